# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's own network interfaces, told from those of pod networks and container runtimes, of what `ip -json address` prints."""

from __future__ import annotations

import re
from typing import Any

# Those of pod networks, which a reset removes.
POD_NETWORK = re.compile(r"^(cni\d+|flannel(-v6)?\.\d+|kube-ipvs0|kube-bridge|nodelocaldns|cilium_\w+|vxlan\.calico|tunl0\.k8s)$")
# Interfaces whose addresses are the same on many hosts, or come and go: of containers, bridges of runtimes, loopback.
_NOT_OWN = re.compile(r"^(lo|docker|br-|veth|virbr|podman|cali|lxc|cilium|kube-|dummy|ifb|nodelocaldns|tunl|vxlan|vcan)")

Json = dict[str, Any]


def macs(links: list[Json]) -> list[str]:
    """Return the hardware addresses of a host's own interfaces."""
    return sorted({link["address"] for link in links if _is_own(link) and link.get("link_type") == "ether" and link.get("address")})


def addresses(links: list[Json]) -> list[str]:
    """Return the addresses of a host's own interfaces that others can reach it by."""
    entries = (entry for link in links if _is_own(link) for entry in link.get("addr_info") or [])
    return sorted({entry["local"] for entry in entries if entry.get("scope") == "global" and "local" in entry})


def _is_own(link: Json) -> bool:
    name = link.get("ifname", "")
    return not _NOT_OWN.match(name) and not POD_NETWORK.match(name)
