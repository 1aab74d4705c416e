# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of tenants with one Secret of each, read with as few calls as there can be, for calls that only look them up."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey, not_served


class StoredTenants:
    """What a management cluster holds of some tenants. Safe to use from several threads.

    Of several tenants all resources and all Secrets come with one LIST each, whatever their number; of a single one, by name.
    suffix: of the names of the Secrets, names.CA or names.ADMIN_KUBECONFIG. resources: the TenantControlPlanes, when the caller has them already.
    Raises HostedKubernetesError when the resource definitions are not installed, ApiError.
    """

    def __init__(self, management: Client, tenants: Sequence[TenantKey], suffix: str, *, resources: Sequence[Json] | None = None) -> None:
        self._management, self._suffix = management, suffix
        several = len(set(tenants)) > 1
        self._listed = several or resources is not None
        self._secrets: dict[TenantKey, Json] = {}
        namespaces = {namespace for namespace, _name in tenants}
        namespace = namespaces.pop() if len(namespaces) == 1 else None
        if several and resources is None:
            resources = self._list_resources(namespace)
        if several:
            self._list_secrets(namespace)
        self._resources = {_key(item): item for item in resources or ()}

    @property
    def server(self) -> str:
        """URL of the management cluster, for messages."""
        return self._management.access.server

    def resource(self, key: TenantKey) -> Json | None:
        """The TenantControlPlane, None when there is none."""
        return self._resources.get(key) if self._listed else self._management.get(resource_of(KIND), key[1], key[0])

    def secret(self, tenant: TenantControlPlane) -> Json | None:
        """The tenant's Secret, None when there is none; one that was not listed may only have lost its label."""
        key = (tenant.namespace, tenant.secret_name(self._suffix))
        return self._secrets.get(key) or self._management.get(resource_of("Secret"), key[1], key[0])

    def _list_resources(self, namespace: str | None) -> list[Json]:
        try:
            return self._management.list(resource_of(KIND), namespace=namespace).items
        except NotFoundError as error:
            raise not_served(resource_of(KIND)) from error

    def _list_secrets(self, namespace: str | None) -> None:
        component = self._suffix.removeprefix("-")
        selector = f"{names.PROJECT_SELECTOR},{names.LABEL_COMPONENT}={component}"
        secrets = self._management.list(resource_of("Secret"), namespace=namespace, label_selector=selector).items
        self._secrets.update({_key(item): item for item in secrets})


def _key(item: Json) -> TenantKey:
    return item["metadata"]["namespace"], item["metadata"]["name"]
