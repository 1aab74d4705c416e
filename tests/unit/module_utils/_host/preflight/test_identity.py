# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host is compared with other hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import identity
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.preflight.good_host import JOINED, GoodHost


def test_only_what_is_a_hosts_own() -> None:
    host = GoodHost()
    found = identity.read(host)
    assert found["macs"] == ["52:54:00:12:34:56"]
    assert found["addresses"] == ["192.0.2.11"]
    assert found["routes"] == ["172.17.0.0/16", "192.0.2.0/24"]
    assert (found["hostname"], found["kubelet_version"], found["server"]) == ("worker-1", None, "")
    # Only a fingerprint leaves the host.
    assert found["machine_id"]
    assert "6d2c5e0f" not in json.dumps(found)


def test_of_a_node_its_cluster_and_version() -> None:
    host = GoodHost()
    host.member = JOINED
    found = identity.read(host)
    assert (found["kubelet_version"], found["server"]) == ("v1.36.3", "https://198.51.100.20:6443")


def test_a_container_has_no_firmware_of_its_own() -> None:
    host = GoodHost()
    assert identity.read(host)["product_uuid"]
    host.files["/run/systemd/container"] = "systemd-nspawn"
    assert identity.read(host)["product_uuid"] == ""


def test_a_host_without_ip_has_nothing_to_compare() -> None:
    host = GoodHost()
    host.programs.clear()
    found = identity.read(host)
    assert (found["macs"], found["addresses"], found["routes"]) == ([], [], [])


@pytest.mark.parametrize(
    ("route", "joined", "kept"),
    [
        ({"dst": "10.0.0.0/8", "gateway": "192.0.2.1", "dev": "ens3"}, False, ["10.0.0.0/8"]),
        # On a node it may be flannel's, with the backend host-gw.
        ({"dst": "10.244.1.0/24", "gateway": "192.0.2.12", "dev": "ens3"}, True, []),
        ({"dst": "10.244.1.0/24", "dev": "flannel.1"}, False, []),
        ({"dst": "10.244.1.0/26", "dev": "ens3", "protocol": "bird"}, False, []),
        ({"dst": "10.244.1.7", "dev": "cali0123"}, True, []),
        ({"dst": "10.1.2.3", "dev": "ens3"}, False, ["10.1.2.3/32"]),
        ({"dst": "fe80::/64", "dev": "ens3"}, False, []),
        ({"dst": "fd00:10::/64", "dev": "ens3"}, False, ["fd00:10::/64"]),
        ({"dst": "default", "dev": "ens3"}, False, []),
        ({"type": "blackhole", "dst": "10.9.0.0/16", "protocol": "bird"}, False, []),
        ({"dst": "something new"}, False, []),
    ],
)
def test_networks_of_routes(route: dict[str, Any], joined: bool, kept: list[str]) -> None:
    assert identity.networks([route], joined=joined) == kept
