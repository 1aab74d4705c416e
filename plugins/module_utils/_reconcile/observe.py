# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at many tenants with a constant number of calls to the management cluster.

Objects are listed by label, once per kind, however many tenants there are. Secrets come as metadata only. Inside an awake
tenant: one LIST for each kind of which it holds several objects, one GET for each singleton.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names, pull_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import (
    Json,
    ObjectRef,
    Resource,
    resource_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import LISTED_KINDS, READ_OBJECTS
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PkiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import ImagePull, Observed, OwnAuthority, secret_record
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState, own_authority

TenantKey = tuple[str, str]  # namespace, name


@dataclass(frozen=True)
class Selection:
    """Which objects of one kind are looked at. metadata_only: their content is not.

    optional: a management cluster need not have a definition of the kind.
    """

    kind: str
    label_selector: str | None = None
    metadata_only: bool = False
    optional: bool = False

    @property
    def resource(self) -> Resource:
        return resource_of(self.kind)


_OBJECT_KINDS: Final = ("Service", "Ingress", "TLSRoute", "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Pod")
SELECTIONS: Final = (
    Selection("Namespace", metadata_only=True),
    Selection("TenantControlPlane"),
    Selection("Secret", names.PROJECT_SELECTOR, metadata_only=True),
    # Pods carry the labels of their Deployment's template, which another system may have written.
    *(
        Selection(kind, names.LABEL_NAME if kind == "Pod" else names.PROJECT_SELECTOR, optional=kind == "TLSRoute")
        for kind in _OBJECT_KINDS
    ),
)
"""What is looked at in the management cluster: one LIST each, or one watch."""


def observe_management(reader: Reader, tenants: Sequence[TenantKey], *, served: bool = True) -> dict[TenantKey, Observed]:
    """Return what the management cluster holds of each tenant. Tenants of one namespace are listed in it alone, and one tenant by its name.

    reader: the API server, or a cache of the same lists (SELECTIONS).
    served: whether the resource definitions must be installed; without them there is no resource, and all else may be there.
    Raises ApiError; HostedKubernetesError when the resource definitions are not installed.
    """
    namespaces = {namespace for namespace, _name in tenants}
    scope = namespaces.pop() if len(namespaces) == 1 else None
    only = tenants[0][1] if len(tenants) == 1 else None
    with ThreadPoolExecutor(max_workers=4) as pool:
        found_of = pool.map(lambda selection: _list(reader, selection, scope, only, served=served), SELECTIONS)
        answers = {selection.kind: items for selection, items in zip(SELECTIONS, found_of, strict=True)}
    unserved = frozenset(kind for kind, items in answers.items() if items is None)
    lists = {kind: items or [] for kind, items in answers.items()}
    found = {item["metadata"]["name"]: item for item in lists["Namespace"]}
    resources = {_key(item): item for item in lists["TenantControlPlane"]}
    objects = _by_tenant(item for kind in _OBJECT_KINDS for item in lists[kind])
    secrets = _by_tenant(lists["Secret"])
    return {
        key: replace(_observed(resources.get(key), found.get(key[0]), objects.get(key, []), secrets.get(key, [])), unserved=unserved)
        for key in tenants
    }


def read_secrets(client: Client, observed: Observed, key: TenantKey, wanted: Iterable[str]) -> Observed:
    """Read the content of the named Secrets of one tenant with a single LIST, and note it in the observation."""
    selector = f"{names.PROJECT_SELECTOR},{names.LABEL_NAME}={key[1]}"
    items = client.list(resource_of("Secret"), namespace=key[0], label_selector=selector).items
    wanted = set(wanted)
    changed = {
        item["metadata"]["name"]: secret_state(item, secret_record(observed, item["metadata"]["name"]))
        for item in items
        if item["metadata"]["name"] in wanted
    }
    gone: Mapping[str, SecretState | None] = dict.fromkeys(wanted - changed.keys())
    return observed.with_secrets({**changed, **gone})


def read_datastore_configs(client: Client, observed: Mapping[TenantKey, Observed]) -> dict[TenantKey, Observed]:
    """Read the Secrets with the datastore passwords of many tenants with a single LIST, and note them in the observations."""
    unread = {
        key: name
        for key, item in observed.items()
        if (state := item.secrets.get(name := key[1] + names.DATASTORE_CONFIG)) is not None and state.data is None
    }
    if not unread:
        return dict(observed)
    namespaces = {namespace for namespace, _name in unread}
    scope = namespaces.pop() if len(namespaces) == 1 else None
    selector = f"{names.PROJECT_SELECTOR},{names.LABEL_COMPONENT}={names.DATASTORE_CONFIG_COMPONENT}"
    items = client.list(resource_of("Secret"), namespace=scope, label_selector=selector).items
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
    result = dict(observed)
    for key, name in unread.items():
        item = found.get((key[0], name))
        if item is not None:
            result[key] = observed[key].with_secrets({name: secret_state(item, secret_record(observed[key], name))})
    return result


def observe_own_authority(client: Client, tenant: TenantControlPlane, observed: Observed, now: datetime) -> Observed:
    """Read the certificate authority that the user brings, when the tenant still has to take it over."""
    name = tenant.authority_secret
    if name is None or observed.own_authority or tenant.secret_name(names.CA) in observed.secrets or observed.lives(tenant.name):
        return observed
    secret = client.get(resource_of("Secret"), name, tenant.namespace)
    label = f"Secret {tenant.namespace}/{name}"
    if secret is None:
        found = OwnAuthority(error=f"{label} does not exist; create it with tls.crt and tls.key of the authority")
    else:
        try:
            found = OwnAuthority(own_authority(secret_state(secret, None).data or {}, now))
        except PkiError as error:
            found = OwnAuthority(error=f"{label}: {error.msg}")
    return replace(observed, own_authority=found)


def observe_image_pull(client: Client, tenant: TenantControlPlane, observed: Observed) -> Observed:
    """Read the Secrets that the definition of an awake tenant names for its addons' images."""
    if observed.image_pull or tenant.asleep or not tenant.addons.image_pull_secrets:
        return observed
    return replace(observed, image_pull=_image_pull(client, tenant))


def _image_pull(client: Client, tenant: TenantControlPlane) -> ImagePull:
    configs: dict[str, bytes] = {}
    for name in tenant.addons.image_pull_secrets:
        secret = client.get(resource_of("Secret"), name, tenant.namespace)
        label = f"{tenant.namespace}/{name}"
        if secret is None:
            return ImagePull(error=f"Secret {label} does not exist; create it with kubectl create secret docker-registry")
        configs[label] = (secret_state(secret, None).data or {}).get(pull_secrets.DATA_KEY, b"")
    try:
        return ImagePull(pull_secrets.merged(configs))
    except InvalidError as error:
        return ImagePull(error=error.msg)


def not_served(resource: Resource) -> HostedKubernetesError:
    """The error for a kind that the management cluster must know, and does not."""
    return HostedKubernetesError(
        f"the management cluster does not know {resource.kind} ({resource.api_version}); install the resource definitions first: "
        "role hosted.kubernetes.tenant_control_plane, tasks_from crds"
    )


def secret_state(secret: Json, record: Json | None) -> SecretState:
    """A Secret read whole, decoded."""
    return SecretState(secret["metadata"], decoded(secret), record)


def observe_tenant(client: Client, also: Iterable[ObjectRef] = ()) -> dict[ObjectRef, Json]:
    """Return the collection's objects inside one tenant cluster. also: further objects to read there."""
    found: dict[ObjectRef, Json] = {}
    for _api_version, kind in LISTED_KINDS:
        for item in client.list(resource_of(kind), label_selector=names.PROJECT_SELECTOR).items:
            found[ObjectRef.of(item)] = item
    for reference in (*READ_OBJECTS, *also):
        single = client.get(resource_of(reference.kind), reference.name, reference.namespace)
        if single is not None:
            found[reference] = single
    return found


def observe_nodes(client: Client) -> dict[str, str]:
    """Return name and kubelet version of the nodes of one tenant cluster."""
    nodes = client.list(resource_of("Node")).items
    return {node["metadata"]["name"]: ((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "") for node in nodes}


def _list(reader: Reader, selection: Selection, scope: str | None, only: str | None, *, served: bool) -> list[Json] | None:
    """The selected objects; None when the management cluster need not know their kind, and does not.

    scope: of this namespace; only: of the tenant of this name.
    """
    is_namespace, labels = selection.kind == "Namespace", selection.label_selector
    name = scope if is_namespace else only if selection.kind == "TenantControlPlane" else None
    try:
        return reader.list(
            selection.resource,
            namespace=None if is_namespace else scope,
            label_selector=f"{labels},{names.LABEL_NAME}={only}" if labels and only else labels,
            field_selector=f"metadata.name={name}" if name else None,
            metadata_only=selection.metadata_only,
        ).items
    except NotFoundError as error:
        if selection.optional or (selection.kind == "TenantControlPlane" and not served):
            return None
        raise not_served(selection.resource) from error


def _key(item: Json) -> TenantKey:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _by_tenant(items: Iterable[Json]) -> dict[TenantKey, list[Json]]:
    grouped: dict[TenantKey, list[Json]] = {}
    for item in items:
        tenant = (item["metadata"].get("labels") or {}).get(names.LABEL_NAME)
        if tenant:
            grouped.setdefault((item["metadata"]["namespace"], tenant), []).append(item)
    return grouped


def _observed(resource: Json | None, namespace: Json | None, objects: list[Json], secrets: list[Json]) -> Observed:
    observed = Observed(
        resource=resource,
        namespace_exists=namespace is not None,
        namespace_ending=bool(namespace and namespace["metadata"].get("deletionTimestamp")),
        objects={ObjectRef.of(item): item for item in objects if item["kind"] != "Pod"},
        pods=tuple(item for item in objects if item["kind"] == "Pod"),
    )
    states = {
        item["metadata"]["name"]: SecretState(item["metadata"], None, secret_record(observed, item["metadata"]["name"])) for item in secrets
    }
    return observed.with_secrets(states)
