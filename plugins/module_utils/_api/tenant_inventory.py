# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants and their nodes as groups and hosts of an inventory.

What stands in a tenant's Nodes is said by whoever administrates that tenant. So nothing of it becomes a template, an option of ssh,
or the name of a host that plays mean otherwise.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import is_dns_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse

ALL_TENANTS: Final = "tenants"
ADDRESS_TYPES: Final = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
# A host of such a name would be another one than plays mean by it, or a group.
_RESERVED: Final = frozenset({"localhost", "127.0.0.1", "all", "ungrouped", ALL_TENANTS})
_TEMPLATE_START: Final = re.compile(r"\{(?=[{%#])")
_MOST_NAMES: Final = 10


@dataclass(frozen=True)
class InventoryNode:
    """A Node as far as an inventory tells of it. addresses: type → addresses, each of which ssh can be given. taints: as in a Node."""

    name: str
    addresses: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    version: str
    ready: bool
    unschedulable: bool
    pod_cidrs: Sequence[str]

    @classmethod
    def parse(cls, node: Json) -> InventoryNode:
        """Build one from a Node as an API server returns it."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        addresses: dict[str, list[str]] = {}
        for item in status.get("addresses") or []:
            if _can_be_connected_to(item["address"]):
                addresses.setdefault(item["type"], []).append(item["address"])
        return cls(
            name=node["metadata"]["name"],
            addresses=addresses,
            labels=dict(node["metadata"].get("labels") or {}),
            taints=[{key: item.get(key) or "" for key in ("key", "value", "effect")} for item in spec.get("taints") or []],
            version=(status.get("nodeInfo") or {}).get("kubeletVersion") or "",
            ready=node_problem(node) is None,
            unschedulable=bool(spec.get("unschedulable")),
            pod_cidrs=list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])),
        )

    def variables(self, address_types: Iterable[str]) -> Json:
        """Variables of the host. address_types: that of the first one that the Node has becomes ansible_host."""
        found = next((self.addresses[kind][0] for kind in address_types if self.addresses.get(kind)), "")
        own = {f"node_{name}": _harmless(value) for name, value in asdict(self).items()}
        return {**own, "ansible_host": found} if found else own


@dataclass(frozen=True)
class InventoryTenant:
    """A tenant as far as an inventory tells of it.

    endpoint: host:port, "" while unknown. version: that runs, or that is wanted while none ran. phase: as in the resource's status.
    problem: why its nodes are not known, "" when they are.
    """

    namespace: str
    name: str
    endpoint: str
    version: str
    phase: str
    asleep: bool
    problem: str
    nodes: tuple[InventoryNode, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, resource: Json, nodes: Iterable[Json] = (), problem: str = "") -> InventoryTenant:
        """Build one from its resource and its Nodes. One that sleeps says so as its problem."""
        status, tenant = resource.get("status") or {}, parse(resource)
        installed = (status.get("kubernetesResources") or {}).get("version") or {}
        return cls(
            namespace=tenant.namespace,
            name=tenant.name,
            endpoint=status.get("controlPlaneEndpoint") or "",
            version=installed.get("version") or tenant.version,
            phase=installed.get("status") or "",
            asleep=tenant.asleep,
            problem="sleeps (spec.controlPlane.deployment.replicas is 0)" if tenant.asleep else problem,
            nodes=tuple(sorted((InventoryNode.parse(node) for node in nodes), key=lambda node: node.name)),
        )

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> InventoryTenant:
        """The opposite of to_json. Raises TypeError and KeyError for what another version wrote."""
        return cls(**{**raw, "nodes": tuple(InventoryNode(**node) for node in raw["nodes"])})

    def to_json(self) -> Json:
        """All of it, for a cache; nothing is secret."""
        return asdict(self)

    def variables(self) -> Json:
        """Variables of the tenant's group."""
        return {f"tenant_{name}": _harmless(value) for name, value in asdict(self).items() if name != "nodes"}


@dataclass(frozen=True)
class Group:
    name: str
    variables: Json


@dataclass(frozen=True)
class Host:
    """variables: of the host alone; those of its group come on top."""

    name: str
    group: str
    variables: Json


@dataclass(frozen=True)
class Arrangement:
    """Groups of tenants, all below ALL_TENANTS, and hosts, each in the group of its tenant."""

    groups: tuple[Group, ...]
    hosts: tuple[Host, ...]


def arrange(tenants: Sequence[InventoryTenant], *, qualified_names: bool, address_types: Sequence[str]) -> Arrangement:
    """Decide what groups and hosts are called and what variables they have. Does not depend on the order of the tenants.

    A name that two of them would share is given to none: each is called by its longer name then. qualified_names: all are.
    """
    groups = _group_names(tenants, qualified_names)
    times = Counter(node.name for tenant in tenants for node in tenant.nodes)
    hosts = []
    for tenant in tenants:
        for node in tenant.nodes:
            is_clear = times[node.name] == 1 and node.name not in _RESERVED and not qualified_names
            # An underscore can stand in none of the three.
            name = node.name if is_clear else f"{node.name}_{tenant.name}_{tenant.namespace}"
            hosts.append(Host(name, groups[tenant.key], node.variables(address_types)))
    named = (Group(groups[tenant.key], tenant.variables()) for tenant in tenants)
    return Arrangement(tuple(sorted(named, key=lambda group: group.name)), tuple(sorted(hosts, key=lambda host: host.name)))


def unknown(tenants: Iterable[InventoryTenant]) -> list[InventoryTenant]:
    """Those whose nodes should be known and are not."""
    return [tenant for tenant in tenants if tenant.problem and not tenant.asleep]


def warnings(tenants: Sequence[InventoryTenant]) -> list[str]:
    """What is missing in the inventory, in words: one for those that sleep, one for each of the others."""
    asleep = sorted(tenant.key for tenant in tenants if tenant.asleep)
    told = [f"the nodes of tenants that sleep are not known: {_some(asleep)}"] if asleep else []
    return [*told, *(f"the nodes of tenant {tenant.key} are not known: {tenant.problem}" for tenant in unknown(tenants))]


def _group_names(tenants: Sequence[InventoryTenant], qualified: bool) -> dict[str, str]:
    """Names of groups by the tenants' keys: tenant_acme, else tenant_tenants_acme, else the same with a fingerprint."""
    short = {tenant.key: _safe(f"tenant_{tenant.name}") for tenant in tenants}
    long = {tenant.key: _safe(f"tenant_{tenant.namespace}_{tenant.name}") for tenant in tenants}
    taken = Counter([*long.values(), *([] if qualified else short.values())])
    shorts = Counter(short.values())
    result = {}
    for key, name in short.items():
        if not qualified and shorts[name] == 1:
            result[key] = name
        elif taken[long[key]] == 1:
            result[key] = long[key]
        else:
            result[key] = f"{long[key]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return result


def _safe(name: str) -> str:
    """As Ansible wants names of groups: what could not stand in a variable's name becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"


def _can_be_connected_to(address: str) -> bool:
    """Whether it is an address or a DNS name, and nothing that ssh could take for an option or a shell for a command."""
    return is_dns_name(address.lower()) or ("%" not in address and is_address(address))


def _harmless(value: Any) -> Any:
    """The same with no text in it that begins a template, which older versions of ansible-core would run on the controller."""
    if isinstance(value, str):
        return _TEMPLATE_START.sub("{ ", value)
    if isinstance(value, Mapping):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(item) for item in value]
    return value
