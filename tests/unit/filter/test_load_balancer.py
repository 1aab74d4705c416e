# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters about the addresses for Services take what an inventory may have."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.filter.load_balancer_problems import load_balancer_problems
from ansible_collections.hosted.kubernetes.plugins.filter.load_balancer_warnings import load_balancer_warnings

NETWORKS: Final = [{"interface": "eth0", "network": "192.0.2.0/24"}]


def test_problems_name_the_variable() -> None:
    said = 'load_balancer_addresses: "192.0.2.60-192.0.2.50" is reversed; write 192.0.2.50-192.0.2.60'
    assert load_balancer_problems(["192.0.2.60-192.0.2.50"]) == load_balancer_problems("192.0.2.60-192.0.2.50") == [said]
    assert load_balancer_problems("192.0.2.1/32, 192.0.2.2/32") == []
    (found,) = load_balancer_problems(["192.0.2.0/28"], {"a": "192.0.2.7"})
    assert "address of host a" in found


def test_warnings_name_the_variable() -> None:
    assert load_balancer_warnings("192.0.2.1/32,192.0.2.2/32", NETWORKS) == []
    (found,) = load_balancer_warnings(["198.18.0.0/28"], NETWORKS)
    assert found.startswith('load_balancer_addresses: "198.18.0.0/28" is not of a network')
    assert load_balancer_warnings(["192.0.2.0/28"], NETWORKS, ["eth1"])
