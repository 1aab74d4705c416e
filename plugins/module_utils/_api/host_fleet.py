# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong between the hosts of a fleet, though each of them is right: seen only when all are looked at together."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import kubelet_problem

_UNIQUE: Final[Mapping[str, tuple[str, str]]] = {
    "machine_id": (
        "machine-id",
        "make a new one (rm /etc/machine-id; systemd-machine-id-setup; boot), as is done for each copy of an image",
    ),
    "product_uuid": ("product UUID", "give each machine a UUID of its own in the hypervisor or firmware"),
    "hostname": ("host name", "give each host a name of its own (hostnamectl)"),
    "node_name": ("name of the node", "set another worker_node_name"),
    "macs": ("hardware address", "give each network interface an address of its own in the hypervisor"),
    "addresses": ("address", "give each host an address of its own"),
}
# Names that findings carry.
FLEET_CHECKS: Final = (*(f"unique_{key}" for key in _UNIQUE), "overlap", "skew", "tenant")
# Nodes of different tenants may have one name.
_WITHIN_TENANT: Final = frozenset({"node_name"})


@dataclass(frozen=True)
class FleetFinding:
    """One thing that is wrong between hosts; severity is error or warning. hosts: all it concerns, in order."""

    check: str
    severity: str
    problem: str
    where: str
    remedy: str
    hosts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "hosts": list(self.hosts)}


@dataclass(frozen=True)
class FleetHost:
    """One host of the fleet.

    facts: what module host_preflight returned of it. tenant: namespace/name of the tenant whose worker it is or becomes, "" of a host for
    management. node_name: of its Node. bundle_version: of the kubelet it gets, "" when that is not known.
    """

    name: str
    facts: Mapping[str, Any]
    tenant: str = ""
    node_name: str = ""
    bundle_version: str = ""


@dataclass(frozen=True)
class FleetTenant:
    """What a tenant's definition says. cidrs: networks of its pods and Services; version: "" when it is not known."""

    version: str = ""
    cidrs: Sequence[str] = field(default_factory=tuple)


def fleet_findings(hosts: Sequence[FleetHost], tenants: Mapping[str, FleetTenant]) -> list[FleetFinding]:
    """Compare hosts with each other and with their tenants. tenants: by namespace/name, all that are defined; none when they are
    kept elsewhere.

    Returns nothing for a fleet in order; each finding once, with all hosts that share it.
    """
    found = [*_duplicates(hosts)]
    for host in hosts:
        tenant = tenants.get(host.tenant)
        if tenant is not None:
            found += [*_overlaps(host, tenant), *_skews(host, tenant)]
        elif host.tenant and tenants:
            found.append(_undefined(host, tenants))
    return found


def _undefined(host: FleetHost, tenants: Mapping[str, FleetTenant]) -> FleetFinding:
    meant = difflib.get_close_matches(host.tenant, tenants, n=1)
    hint = f"did you mean {meant[0]}? " if meant else ""
    remedy = f"{hint}Correct worker_tenant, or define the tenant; a host joins only one that exists"
    return FleetFinding("tenant", "warning", "no definition has the tenant of this host", host.tenant, remedy, (host.name,))


def _duplicates(hosts: Sequence[FleetHost]) -> Iterator[FleetFinding]:
    for key, (words, remedy) in _UNIQUE.items():
        owners: dict[tuple[str, str], list[str]] = {}
        for host in hosts:
            for value in _values(host, key):
                scope = host.tenant if key in _WITHIN_TENANT else ""
                owners.setdefault((scope, value), []).append(host.name)
        for (_scope, value), names in owners.items():
            if len(names) > 1:
                yield FleetFinding(f"unique_{key}", "error", f"{len(names)} hosts have the same {words}", value, remedy, tuple(names))


def _values(host: FleetHost, key: str) -> list[str]:
    found = host.node_name if key == "node_name" else host.facts.get(key)
    return [item for item in ([found] if isinstance(found, str) else list(found or [])) if item]


def _overlaps(host: FleetHost, tenant: FleetTenant) -> Iterator[FleetFinding]:
    """A wider route gives way to those of the pod network, and hurts only if hosts of that part of it are wanted."""
    remedy = "choose other networks for the tenant (spec.networkProfile), or take the route away"
    for cidr in tenant.cidrs:
        for route in host.facts.get("routes") or []:
            if _overlap(cidr, route):
                problem = f"{cidr} of tenant {host.tenant} overlaps with a network that the host has a route to"
                severity = "warning" if _prefix_length(route) < _prefix_length(cidr) else "error"
                yield FleetFinding("overlap", severity, problem, route, remedy, (host.name,))


def _overlap(one: str, other: str) -> bool:
    try:
        first, second = ipaddress.ip_network(one, strict=False), ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False  # the definition itself is refused elsewhere
    return first.version == second.version and first.overlaps(second)


def _prefix_length(cidr: str) -> int:
    return ipaddress.ip_network(cidr, strict=False).prefixlen


def _skews(host: FleetHost, tenant: FleetTenant) -> Iterator[FleetFinding]:
    if not tenant.version:
        return
    present = host.facts.get("kubelet_version")
    for version, where in ((present, "kubelet"), (None if present else host.bundle_version, "bundle")):
        problem = kubelet_problem(tenant.version, version) if version else None
        if problem:
            remedy = f"upgrade one of the two first; tenant {host.tenant} is to be {tenant.version}"
            yield FleetFinding("skew", "error", problem, where, remedy, (host.name,))
