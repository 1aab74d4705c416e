# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks a host is in, from what Linux says of its routes."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.networks import on_link

# A host with a router, two addresses on one interface, a pod network, a route through another host, and a refused network.
ROUTE: Final = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t000012C6\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0
cni0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t0001F40A\t0B0200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t0000FEA9\t00000000\t0001\t0\t0\t1000\t0000FFFF\t0\t0\t0
*\t0000000A\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0
eth0\t010200C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
"""
_ANY: Final = "0" * 32
IPV6_ROUTE: Final = f"""\
20010db8000000000000000000000000 40 {_ANY} 00 {_ANY} 00000100 00000001 00000000 00000001     eth0
fe800000000000000000000000000000 40 {_ANY} 00 {_ANY} 00000100 00000002 00000000 00000001     eth0
{_ANY} 00 {_ANY} 00 20010db8000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000001 80 {_ANY} 00 {_ANY} 00000000 00000004 00000000 80200001       lo
20010db8000000000000000000000002 80 {_ANY} 00 {_ANY} 00000000 00000003 00000000 80200001     eth0
ff000000000000000000000000000000 08 {_ANY} 00 {_ANY} 00000100 00000005 00000000 00000001     eth0
{_ANY} 00 {_ANY} 00 {_ANY} ffffffff 00000001 00000000 00200200       lo
"""


def test_networks_without_a_router() -> None:
    assert on_link(ROUTE, IPV6_ROUTE) == [
        {"interface": "cni0", "network": "10.244.0.0/24"},
        {"interface": "eth0", "network": "192.0.2.0/24"},
        {"interface": "eth0", "network": "198.18.0.0/15"},
        {"interface": "eth0", "network": "2001:db8::/64"},
    ]


def test_a_host_without_ipv6_and_routes() -> None:
    assert on_link("", "") == on_link(ROUTE.splitlines()[0], "") == []
