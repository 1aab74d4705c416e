# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses that follow from a lab's name."""

from __future__ import annotations

import ipaddress

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import Machine, check_machines, lab_network


def test_a_name_always_gives_the_same_network() -> None:
    """Inventories of one project and a running lab must agree, also after an update."""
    network = lab_network("demo")
    assert (network.bridge, network.subnet, network.gateway) == ("hk-demo", "198.19.108.0/24", "198.19.108.1")
    assert network.address(10) == "198.19.108.10"


def test_networks_of_labs_lie_in_the_benchmark_range_and_differ() -> None:
    subnets = {lab_network(name).subnet for name in ("demo", "test", "ci", "a", "longestname1")}
    assert len(subnets) == 5
    assert all(ipaddress.IPv4Network(subnet).subnet_of(ipaddress.IPv4Network("198.18.0.0/15")) for subnet in subnets)


def test_a_given_subnet_wins() -> None:
    assert lab_network("demo", "10.99.0.0/24").gateway == "10.99.0.1"


@pytest.mark.parametrize("name", ["", "Demo", "1lab", "de-mo", "demo_1", "thirteenchars"])
def test_names_that_do_not_fit_interfaces_or_are_prefixes_of_others_are_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="use 1 to 12 lower-case letters and digits"):
        lab_network(name)


@pytest.mark.parametrize("subnet", ["10.99.0.0/33", "10.99.0.1/24", "fd00::/64", "lab"])
def test_a_subnet_that_is_no_ipv4_network_is_refused(subnet: str) -> None:
    with pytest.raises(InvalidError, match="is not an IPv4 network"):
        lab_network("demo", subnet)


@pytest.mark.parametrize(
    ("machines", "problem"),
    [
        ([Machine("demo_1", "198.19.108.10")], 'machine name "demo_1" is not a host name'),
        ([Machine("demo-1", "192.0.2.1")], 'address "192.0.2.1" is not a free address of 198.19.108.0/24'),
        ([Machine("demo-1", "198.19.108.1")], 'address "198.19.108.1" is not a free address'),
        ([Machine("demo-1", "")], 'address "" is not a free address'),
        ([Machine("demo-1", "198.19.108.10"), Machine("demo-2", "198.19.108.10")], 'the address "198.19.108.10" is given to more than one'),
        ([Machine("demo-1", "198.19.108.10"), Machine("demo-1", "198.19.108.11")], 'the name "demo-1" is given to more than one'),
    ],
)
def test_machines_that_cannot_be_made_are_named(machines: list[Machine], problem: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_machines("demo", lab_network("demo"), tuple(machines))
    assert problem in caught.value.msg


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as caught:
        check_machines("demo", lab_network("demo"), (Machine("A", "198.19.108.10"), Machine("b", "x")))
    assert len(caught.value.result["problems"]) == 2
