# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a host is in itself, those it reaches without a router."""

from __future__ import annotations

import ipaddress
from typing import Any

# include/uapi/linux/route.h and ipv6_route.h of the Linux kernel.
_UP, _GATEWAY, _REJECT, _LOCAL = 0x1, 0x2, 0x200, 0x80000000
_LOOPBACK = "lo"

Json = dict[str, Any]


def on_link(route: str, ipv6_route: str) -> list[Json]:
    """Return interface and network for each network without a router in between, in order, loopback and link-local ones left out.

    route, ipv6_route: texts of /proc/net/route and /proc/net/ipv6_route.
    """
    found = {*_ipv4(route), *_ipv6(ipv6_route)}
    return [{"interface": interface, "network": network} for interface, network in sorted(found)]


def _ipv4(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines()[1:]:
        interface, destination, _gateway, flags, *_counts, mask = line.split()[:8]
        network = ipaddress.IPv4Network((_little_endian(destination), str(_little_endian(mask))))
        if _is_on_link(interface, int(flags, 16)) and network.prefixlen not in (0, network.max_prefixlen) and not network.is_link_local:
            found.append((interface, str(network)))
    return found


def _ipv6(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        columns = line.split()
        network = ipaddress.IPv6Network((int(columns[0], 16), int(columns[1], 16)))
        is_usable = not network.is_link_local and not network.is_multicast and network.prefixlen not in (0, network.max_prefixlen)
        if _is_on_link(columns[9], int(columns[8], 16)) and is_usable:
            found.append((columns[9], str(network)))
    return found


def _little_endian(text: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bytes.fromhex(text)[::-1])


def _is_on_link(interface: str, flags: int) -> bool:
    return interface != _LOOPBACK and bool(flags & _UP) and not flags & (_GATEWAY | _REJECT | _LOCAL)
