# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tenant is reached, and what it calls itself."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import Facts, derive, endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import definition, desired, live, reference, store

BALANCER: Final[Json] = {"controlPlane__service__serviceType": "LoadBalancer"}
CLUSTER: Final[Json] = {"controlPlane__service__serviceType": "ClusterIP"}
NODES: Final[Json] = {"controlPlane__service__serviceType": "NodePort"}
IPV6_FIRST: Final[Json] = {"networkProfile__serviceCidrs": ["fd00:1::/112", "10.96.0.0/16"]}


def seen(spec: Json | None = None, ingress: list[Json] | None = None, status: Json | None = None, **wanted: Any) -> Observed:
    """A tenant with its Service (none: it is away) and what status recorded."""
    resource = {**live(definition(**wanted)), "status": status or {}}
    if spec is None:
        return Observed(resource=resource, datastore=store())
    service = live({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acme", "namespace": "tenants"}, "spec": spec})
    service["status"] = {"loadBalancer": {"ingress": ingress or []}}
    return Observed(resource=resource, datastore=store(), objects={reference("Service"): service})


def facts(observed: Observed, **wanted: Any) -> Facts:
    return derive(desired(**wanted), observed)


TWO: Final[Json] = {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7", "fd00:9::7"]}


@pytest.mark.parametrize(
    ("wanted", "service", "ingress", "addresses", "advertised"),
    [
        (BALANCER, {"clusterIP": "10.96.7.7"}, [{"ip": "198.18.0.200"}], ("198.18.0.200",), "198.18.0.200"),
        (BALANCER, {"clusterIP": "10.96.7.7"}, [], (UNKNOWN,), UNKNOWN),
        (BALANCER, {"clusterIP": "10.96.7.7"}, [{"hostname": "lb.example.com"}], ("lb.example.com",), "10.96.7.7"),
        (
            BALANCER,
            {"clusterIP": "10.96.7.7"},
            [{"hostname": "lb.example.com"}, {"ip": "198.18.0.200"}],
            ("198.18.0.200", "lb.example.com"),
            "198.18.0.200",
        ),
        (
            {**BALANCER, **IPV6_FIRST},
            TWO,
            [{"ip": "198.18.0.200"}, {"ip": "2001:db8::200"}],
            ("2001:db8::200", "198.18.0.200"),
            "2001:db8::200",
        ),
        (CLUSTER, {"clusterIP": "10.96.7.7"}, [], ("10.96.7.7",), "10.96.7.7"),
        ({**CLUSTER, **IPV6_FIRST}, TWO, [], ("fd00:9::7", "10.96.7.7"), "fd00:9::7"),
        ({**CLUSTER, "networkProfile__address": "192.0.2.7"}, TWO, [], ("192.0.2.7",), "192.0.2.7"),
        ({**NODES, "networkProfile__address": "192.0.2.7"}, TWO, [], ("192.0.2.7",), "192.0.2.7"),
        ({**NODES, "networkProfile__advertiseAddress": "192.0.2.8"}, TWO, [], ("192.0.2.8",), "192.0.2.8"),
        (
            {**BALANCER, "networkProfile__advertiseAddress": "192.0.2.8"},
            TWO,
            [{"ip": "198.18.0.200"}],
            ("198.18.0.200",),
            "192.0.2.8",
        ),
    ],
)
def test_addresses(wanted: Json, service: Json, ingress: list[Json], addresses: tuple[str, ...], advertised: str) -> None:
    found = facts(seen(service, ingress, **wanted), **wanted)
    assert found.addresses == addresses
    assert found.advertise_address == advertised


def test_the_published_address_stays_as_long_as_the_service_has_it() -> None:
    recorded = {"hosted": {"addresses": ["198.18.0.201"], "advertiseAddress": "198.18.0.201"}}
    both = [{"ip": "198.18.0.200"}, {"ip": "198.18.0.201"}]
    assert facts(seen({}, both, recorded, **BALANCER), **BALANCER).address == "198.18.0.201"
    assert facts(seen({}, both[:1], recorded, **BALANCER), **BALANCER).address == "198.18.0.200"


@pytest.mark.parametrize(
    ("status", "addresses", "advertised"),
    [
        ({}, (UNKNOWN,), UNKNOWN),
        ({"controlPlaneEndpoint": "[fd00::7]:6443"}, ("fd00::7",), "fd00::7"),
        ({"hosted": {"addresses": ["lb.example.com"], "advertiseAddress": "10.96.7.7"}}, ("lb.example.com",), "10.96.7.7"),
    ],
)
def test_what_was_recorded_stands_in_for_a_service_that_is_away(status: Json, addresses: tuple[str, ...], advertised: str) -> None:
    found = facts(seen(None, status=status, **BALANCER), **BALANCER)
    assert (found.addresses, found.advertise_address) == (addresses, advertised)


def test_a_recorded_route_is_no_address() -> None:
    wanted = {**CLUSTER, "controlPlane__gateway": {"hostname": "acme.example.com"}}
    assert facts(seen(None, status={"controlPlaneEndpoint": "acme.example.com:6443"}, **wanted), **wanted).address == UNKNOWN


@pytest.mark.parametrize(
    ("wanted", "expected", "tunnel"),
    [
        (CLUSTER, ("10.96.7.7", 6443), "10.96.7.7"),
        ({**CLUSTER, "networkProfile__advertiseAddress": "192.0.2.8"}, ("192.0.2.8", 6443), "192.0.2.8"),
        ({**CLUSTER, "controlPlane__ingress": {"hostname": "acme.example.com:443"}}, ("acme.example.com", 443), "10.96.7.7"),
        ({**CLUSTER, "controlPlane__gateway": {"hostname": "acme.example.com"}}, ("acme.example.com", 6443), "acme.example.com"),
        (
            {**CLUSTER, "networkProfile__advertiseAddress": "192.0.2.8", "controlPlane__gateway": {"hostname": "acme.example.com:443"}},
            ("acme.example.com", 443),
            "acme.example.com",
        ),
    ],
)
def test_endpoint(wanted: Json, expected: tuple[str, int], tunnel: str) -> None:
    observed = seen({"clusterIP": "10.96.7.7"}, **wanted)
    assert endpoint(desired(**wanted), observed) == expected
    assert facts(observed, **wanted).tunnel_host == tunnel


def test_no_endpoint_without_an_address() -> None:
    assert endpoint(desired(**BALANCER), seen({"clusterIP": "10.96.7.7"}, **BALANCER)) is None
