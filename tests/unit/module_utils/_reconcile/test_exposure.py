# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a tenant is exposed, what is missing, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.exposure import exposure_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import definition, desired, live, reference, store

ADDRESS: Final = "198.18.0.200"
INGRESS: Final[Json] = {"controlPlane__service__serviceType": "ClusterIP", "controlPlane__ingress": {"hostname": "acme.example.com:443"}}
GATEWAY: Final[Json] = {
    "controlPlane__service__serviceType": "ClusterIP",
    "controlPlane__gateway": {"hostname": "acme.example.com", "parentRefs": [{"name": "edge"}]},
}


def seen(kind: str | None, address: str = "", recorded: str = "") -> Observed:
    """A tenant with a Service of a type (none: it is away), its load balancer's address, and the address that status recorded."""
    status = {"hosted": {"addresses": [recorded]}} if recorded else {}
    resource = {**live(definition()), "status": status}
    if kind is None:
        return Observed(resource=resource, datastore=store())
    spec = {"type": kind, "clusterIP": "10.96.7.7"}
    service = live({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acme", "namespace": "tenants"}, "spec": spec})
    service["status"] = {"loadBalancer": {"ingress": [{"ip": address}] if address else []}}
    return Observed(resource=resource, datastore=store(), objects={reference("Service"): service})


def found(observed: Observed, answered: bool | None, **wanted: Any) -> Json:
    return exposure_of(desired(**wanted), observed, answered).to_result()


def test_all_is_well() -> None:
    assert found(seen("LoadBalancer", ADDRESS), True) == {
        "service_type": "LoadBalancer",
        "route": "",
        "address": ADDRESS,
        "port": 6443,
        "has_address": True,
        "answers": True,
        "reason": "",
        "next_step": "",
    }


@pytest.mark.parametrize(
    ("wanted", "observed", "answered", "expected", "step"),
    [
        pytest.param({}, seen("LoadBalancer", ADDRESS), False, f"{ADDRESS}:6443 does not answer from this machine", "speaker", id="silent"),
        pytest.param({}, seen("LoadBalancer"), None, "Service tenants/acme has no address", "address pool", id="no address"),
        pytest.param(
            {}, seen("LoadBalancer", recorded=ADDRESS), None, "Service tenants/acme has no address", "address pool", id="address lost"
        ),
        pytest.param({}, seen(None), None, "Service tenants/acme does not exist", "tenant_control_plane", id="no Service"),
        pytest.param({}, seen("LoadBalancer", ADDRESS), None, "not tried, no API server of the tenant is ready", "", id="not ready"),
        pytest.param(
            {"controlPlane__deployment": {"replicas": 0}},
            seen("LoadBalancer", ADDRESS),
            None,
            "not tried, the tenant sleeps",
            "",
            id="asleep",
        ),
        pytest.param(
            {"controlPlane__service__serviceType": "ClusterIP"},
            seen("ClusterIP"),
            False,
            "10.96.7.7:6443 does not answer from this machine; it is an address inside the management cluster",
            "",
            id="inside",
        ),
        pytest.param(INGRESS, seen("ClusterIP"), False, "acme.example.com:443 does not answer", "look at the Ingress", id="Ingress"),
        pytest.param(GATEWAY, seen("ClusterIP"), False, "acme.example.com:6443 does not answer", "look at the Gateway", id="Gateway"),
        pytest.param(
            {"controlPlane__service__serviceType": "NodePort", "networkProfile__advertiseAddress": "192.0.2.7"},
            seen("NodePort"),
            False,
            "192.0.2.7:6443 does not answer from this machine",
            "look at routes and firewalls on the way",
            id="NodePort",
        ),
    ],
)
def test_what_is_missing_is_told(wanted: Json, observed: Observed, answered: bool | None, expected: str, step: str) -> None:
    result = found(observed, answered, **wanted)
    assert result["reason"].startswith(expected)
    assert step in result["next_step"]
    assert bool(step) == bool(result["next_step"])
    assert result["answers"] is answered


def test_a_service_that_has_no_address_is_not_taken_for_one_that_has() -> None:
    result = found(seen("LoadBalancer", recorded=ADDRESS), None)
    assert (result["address"], result["has_address"]) == (ADDRESS, False)
    assert found(seen("LoadBalancer"), None, networkProfile__address="192.0.2.7")["has_address"]


def test_routes_are_named() -> None:
    assert found(seen("ClusterIP"), True, **INGRESS)["route"] == "Ingress"
    assert found(seen("ClusterIP"), True, **GATEWAY)["route"] == "Gateway"
