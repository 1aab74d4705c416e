# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses for Services: what is wrong with them, and which ones layer 2 may not reach."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.address_pool import (
    EXCLUDED_INTERFACES,
    pool_problems,
    pool_warnings,
)
from ansible_collections.hosted.kubernetes.tests.support import metallb

HOSTS: Final = {"management-1": "192.0.2.10", "named": "host.example.com", "unknown": ""}
LAN: Final = {"interface": "eth0", "network": "192.0.2.0/24"}
LAN6: Final = {"interface": "eth0", "network": "2001:db8::/64"}
PODS: Final = {"interface": "cni0", "network": "10.244.0.0/24"}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        ["192.0.2.20-192.0.2.30"],
        ["192.0.2.20 - 192.0.2.30", "192.0.2.31-192.0.2.31"],
        ["192.0.2.64/26", "2001:db8::100-2001:db8::200"],
        ["192.0.2.65/26"],
        ["192.0.2.66/32"],
    ],
)
def test_good_addresses_have_no_problems(entries: list[str]) -> None:
    assert pool_problems(entries, HOSTS) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("198.18.0.60-198.18.0.50", '"198.18.0.60-198.18.0.50" is reversed; write 198.18.0.50-198.18.0.60'),
        ("2001:db8::2-2001:db8::1", '"2001:db8::2-2001:db8::1" is reversed; write 2001:db8::1-2001:db8::2'),
        ("198.18.0.50-60", '"198.18.0.50-60" is no range, "60" is not an IPv4 or IPv6 address; write a range such as'),
        ("198.18.0.50-", '"" is not an IPv4 or IPv6 address'),
        ("198.18.0.50-2001:db8::1", "has addresses of two families; write a range for each"),
        ("198.18.0.300/24", '"198.18.0.300/24" is neither a range nor a network; write a range such as'),
        ("198.18.0.0/33", "is neither a range nor a network"),
        ("all", '"all" is neither a range nor a network'),
        ("198.18.0.50", '"198.18.0.50" is a single address; write 198.18.0.50/32'),
        ("2001:db8::1", '"2001:db8::1" is a single address; write 2001:db8::1/128'),
        ("127.0.0.10-127.0.0.20", "has 127.0.0.10, which no Service can be reached at"),
        ("223.255.255.0-224.0.0.9", "has 224.0.0.9, which no Service can be reached at"),
        ("192.0.2.1-192.0.2.50", '"192.0.2.1-192.0.2.50" has 192.0.2.10, which is the address of host management-1'),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(entry: str, said: str) -> None:
    (found,) = pool_problems(["203.0.113.0/28", entry], HOSTS)
    assert said in found
    assert entry in found


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("192.0.2.20-192.0.2.30", "192.0.2.30-192.0.2.40", True),
        ("192.0.2.20-192.0.2.30", "192.0.2.16/28", True),
        ("192.0.2.24-192.0.2.25", "192.0.2.20-192.0.2.30", True),
        ("192.0.2.20-192.0.2.30", "192.0.2.31-192.0.2.40", False),
        ("0.0.0.1-0.0.0.9", "::1:1-::1:9", False),
    ],
)
def test_ranges_that_overlap_are_told(one: str, other: str, overlap: bool) -> None:
    for pair in ([one, other], [other, one]):
        found = pool_problems(pair, {})
        assert found == ([f'"{pair[0]}" and "{pair[1]}" overlap; leave one of them out, or make them end before each other'] * overlap)


def test_all_problems_are_told_at_once() -> None:
    assert len(pool_problems(["b", "192.0.2.9-192.0.2.1", "192.0.2.8/30", "192.0.2.8/31"], HOSTS)) == 4


@pytest.mark.parametrize(
    ("entries", "networks", "interfaces", "outside"),
    [
        (["192.0.2.20-192.0.2.30", "2001:db8::/120"], [LAN, LAN6], [], []),
        (["198.18.0.50-198.18.0.60"], [LAN, LAN6], [], ["198.18.0.50-198.18.0.60"]),
        (["192.0.2.250-192.0.3.10"], [LAN], [], ["192.0.2.250-192.0.3.10"]),
        (["10.244.0.0/28"], [LAN, PODS], [], ["10.244.0.0/28"]),
        (["10.244.0.0/28"], [LAN, PODS], ["cni0"], []),
        (["192.0.2.0/28"], [LAN], ["eth1"], ["192.0.2.0/28"]),
        (["192.0.2.0/28"], [], [], ["192.0.2.0/28"]),
        (["what"], [LAN], [], []),
    ],
)
def test_addresses_of_other_networks_are_warned_of(
    entries: list[str], networks: list[dict[str, Any]], interfaces: list[str], outside: list[str]
) -> None:
    found = pool_warnings(entries, networks, interfaces)
    assert [re.findall(r'"(.*?)"', text)[0] for text in found] == outside


def test_a_warning_names_the_networks_that_would_do() -> None:
    (found,) = pool_warnings(["198.18.0.0/28"], [LAN, PODS], [])
    assert "of a network that a node of the management cluster is in (192.0.2.0/24 (eth0))" in found


def test_interfaces_are_left_out_as_metallb_leaves_them_out() -> None:
    (settings,) = (item for item in metallb.objects() if item["kind"] == "ConfigMap")
    (patterns,) = yaml.safe_load(settings["data"]["excludel2.yaml"]).values()
    assert {pattern.lstrip("^").removesuffix(".*") for pattern in patterns} == {*EXCLUDED_INTERFACES, "lo$"}
