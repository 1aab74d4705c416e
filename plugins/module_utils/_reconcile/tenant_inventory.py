# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads all tenants of a management cluster with their nodes: tenants with one LIST, then inside each that is awake, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_inventory import InventoryTenant
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import for_each
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import not_served
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import administrator_of


def read_tenants(
    management: Client, *, namespaces: Sequence[str] = (), label_selector: str = "", timeout_s: float
) -> list[InventoryTenant]:
    """Return the tenants of some namespaces, or of all when none are named, with their nodes.

    A tenant that cannot be read says why in its problem and holds up no other. timeout_s: for the answer of each tenant's API server.
    Raises HostedKubernetesError when the management cluster does not answer.
    """
    found: list[tuple[Json, StoredTenants]] = []
    for namespace in sorted(set(namespaces)) or [""]:
        resources = _resources(management, namespace, label_selector)
        awake = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in resources if not parse(item).asleep]
        stored = StoredTenants(management, awake, names.ADMIN_KUBECONFIG, resources=resources)
        found += [(item, stored) for item in resources]
    nodes = for_each(found, partial(_nodes, management, timeout_s))
    return [
        InventoryTenant.parse(resource, problem=answer.msg.removeprefix(f"{KIND} {_label(resource)}: "))
        if isinstance(answer, HostedKubernetesError)
        else InventoryTenant.parse(resource, answer)
        for (resource, _stored), answer in zip(found, nodes, strict=True)
    ]


def _label(resource: Json) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"


def _resources(management: Client, namespace: str, label_selector: str) -> list[Json]:
    try:
        return management.list(resource_of(KIND), namespace=namespace, label_selector=label_selector or None).items
    except NotFoundError as error:
        raise not_served(resource_of(KIND)) from error


def _nodes(management: Client, timeout_s: float, tenant: tuple[Json, StoredTenants]) -> list[Json]:
    """The Nodes of one tenant, none of one that sleeps."""
    resource, stored = tenant
    if parse(resource).asleep:
        return []
    admin = administrator_of(stored, (resource["metadata"]["namespace"], resource["metadata"]["name"]))
    with admin.access(management) as client:
        return client.list(resource_of("Node"), timeout_s=timeout_s).items
