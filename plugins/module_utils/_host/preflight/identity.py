# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must differ between the hosts of a fleet: identities, addresses, and the networks a host has routes to."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import interfaces
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import CONTAINER, Reader, is_joined

Json = dict[str, Any]

# Routes that a pod network's own router has made.
_ROUTERS = frozenset({"bird", "bgp", "zebra"})
_DMI_UUID = "/sys/class/dmi/id/product_uuid"


def read(reader: Reader) -> Json:
    """Return what is compared with other hosts: machine_id and product_uuid as fingerprints ("" when there is none), hostname, macs,
    addresses, routes (networks in CIDR notation, those of pod networks left out), kubelet_version (None without a kubelet) and server of
    the cluster it has joined ("" when it has joined none).
    """
    links = _parsed(reader.output("ip", "-json", "address"))
    routes = _parsed(reader.output("ip", "-json", "-4", "route")) + _parsed(reader.output("ip", "-json", "-6", "route"))
    membership = reader.membership()
    joined = is_joined(membership)
    return {
        "machine_id": _fingerprint(reader.text("/etc/machine-id")),
        # A container sees the firmware of its host.
        "product_uuid": "" if reader.exists(CONTAINER) else _fingerprint(reader.text(_DMI_UUID)),
        "hostname": reader.hostname,
        "macs": interfaces.macs(links),
        "addresses": interfaces.addresses(links),
        "routes": networks(routes, joined=joined),
        "kubelet_version": membership["kubelet_version"] if joined else None,
        "server": ((membership["kubelet_conf"] or {}).get("server") or "") if joined else "",
    }


def networks(routes: list[Json], *, joined: bool) -> list[str]:
    """Return the networks of routes, of what `ip -json route` prints, without default routes and those that a pod network made.

    joined: on a node, a network behind another host may be that host's pods (flannel's host-gw).
    """
    found = set()
    for route in routes:
        is_of_pods = (
            interfaces.POD_NETWORK.match(route.get("dev", "")) or route.get("protocol") in _ROUTERS or (joined and "gateway" in route)
        )
        if is_of_pods or route.get("dst") in (None, "default") or re.match(r"cali|lxc|veth", route.get("dev", "")):
            continue
        try:
            network = ipaddress.ip_network(route["dst"], strict=False)
        except ValueError:
            continue
        if not network.is_link_local and not network.is_multicast and not network.is_loopback:
            found.add(str(network))
    return sorted(found)


def _fingerprint(text: str | None) -> str:
    """machine-id(5) asks not to show it to others; to compare, a part of its hash is enough."""
    value = (text or "").strip().lower()
    return hashlib.sha256(f"hosted.kubernetes {value}".encode()).hexdigest()[:16] if value else ""


def _parsed(printed: str | None) -> list[Json]:
    try:
        found = json.loads(printed or "[]")
    except ValueError:
        return []
    return [item for item in found if isinstance(item, dict) and item]
