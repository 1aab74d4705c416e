# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong between hosts: shared identities, networks that overlap, versions that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import FleetFinding, FleetHost, FleetTenant, fleet_findings

TENANTS = {
    "tenants/acme": FleetTenant("v1.36.3", ("10.244.0.0/16", "10.96.0.0/16", "fd00:244::/56")),
    "tenants/other": FleetTenant("v1.36.3"),
}


def host(number: int, *, tenant: str = "tenants/acme", node_name: str = "", bundle_version: str = "v1.36.3", **facts: Any) -> FleetHost:
    own = {
        "machine_id": f"m{number}",
        "product_uuid": f"u{number}",
        "hostname": f"worker-{number}",
        "macs": [f"52:54:00:00:00:0{number}"],
        "addresses": [f"192.0.2.{number}", f"2001:db8::{number}"],
        "routes": ["192.0.2.0/24"],
        "kubelet_version": None,
    }
    return FleetHost(f"h{number}", {**own, **facts}, tenant, node_name or f"worker-{number}", bundle_version)


def look(*hosts: FleetHost) -> list[FleetFinding]:
    return fleet_findings(hosts, TENANTS)


def test_a_fleet_in_order_has_none() -> None:
    assert look(*(host(number) for number in range(1, 6)), host(6, kubelet_version="v1.34.1"), host(7, tenant="")) == []


@pytest.mark.parametrize(
    ("facts", "check", "where"),
    [
        ({"machine_id": "m1"}, "unique_machine_id", "m1"),
        ({"product_uuid": "u1"}, "unique_product_uuid", "u1"),
        ({"hostname": "worker-1"}, "unique_hostname", "worker-1"),
        ({"macs": ["02:00:00:00:00:09", "52:54:00:00:00:01"]}, "unique_macs", "52:54:00:00:00:01"),
        ({"addresses": ["192.0.2.1"]}, "unique_addresses", "192.0.2.1"),
        ({"node_name": "worker-1"}, "unique_node_name", "worker-1"),
    ],
)
def test_what_two_hosts_share(facts: dict[str, Any], check: str, where: str) -> None:
    (finding,) = look(host(1), host(2, **facts), host(3))
    assert (finding.check, finding.severity, finding.where, finding.hosts) == (check, "error", where, ("h1", "h2"))


def test_one_finding_for_all_who_share() -> None:
    (finding,) = look(*(host(number, machine_id="same") for number in range(1, 5)))
    assert finding.hosts == ("h1", "h2", "h3", "h4")
    assert finding.problem == "4 hosts have the same machine-id"


def test_what_a_host_does_not_have_is_not_shared() -> None:
    assert look(host(1, product_uuid="", macs=[]), host(2, product_uuid="", macs=[])) == []


def test_nodes_of_two_tenants_may_have_one_name() -> None:
    assert look(host(1, node_name="worker"), host(2, node_name="worker", tenant="tenants/other")) == []


@pytest.mark.parametrize(
    ("route", "severity"),
    [
        ("10.244.7.0/24", "error"),
        ("10.244.0.0/16", "error"),
        ("10.96.0.1/32", "error"),
        ("fd00:244::/64", "error"),
        ("10.244.0.0/15", "warning"),
        ("10.245.0.0/16", ""),
        ("fd00:245::/64", ""),
        ("172.17.0.0/16", ""),
    ],
)
def test_networks_that_overlap(route: str, severity: str) -> None:
    """A wider route gives way to those of the pod network."""
    found = look(host(1, routes=["192.0.2.0/24", route]))
    assert {(item.check, item.severity, item.where, item.hosts) for item in found} == (
        {("overlap", severity, route, ("h1",))} if severity else set()
    )


def test_a_network_that_is_wider_than_all_is_told_of_for_each() -> None:
    assert [(item.check, item.severity) for item in look(host(1, routes=["10.0.0.0/8"]))] == [("overlap", "warning")] * 2


@pytest.mark.parametrize(
    ("present", "bundle", "said"),
    [
        ("v1.37.0", "v1.36.3", "kubelet v1.37.0 is newer than the API server v1.36.3"),
        ("v1.32.9", "v1.36.3", "more than 3 minors older"),
        (None, "v1.37.2", "kubelet v1.37.2 is newer"),
        (None, "", ""),
        ("v1.35.0", "v1.37.2", ""),
    ],
)
def test_versions_that_do_not_fit(present: str | None, bundle: str, said: str) -> None:
    found = look(host(1, kubelet_version=present, bundle_version=bundle))
    assert len(found) == bool(said)
    assert all(said in item.problem and item.check == "skew" for item in found)


def test_a_tenant_that_no_definition_has() -> None:
    (finding,) = look(host(1), host(2, tenant="tenants/acne"))
    assert (finding.check, finding.severity, finding.where, finding.hosts) == ("tenant", "warning", "tenants/acne", ("h2",))
    assert finding.remedy.startswith("did you mean tenants/acme? Correct worker_tenant")
    (finding,) = look(host(1, tenant="elsewhere/zzz"))
    assert finding.remedy.startswith("Correct worker_tenant")


def test_tenants_that_are_kept_elsewhere() -> None:
    assert fleet_findings([host(1, tenant="tenants/acne")], {}) == []
