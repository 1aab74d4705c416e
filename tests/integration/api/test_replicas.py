# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who scales a tenant, on a real API server: its definition, the scale subresource, an autoscaler of its Deployment; and back."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.tests.support.tenants import Run, Tenant

UNNAMED: Final = {"controlPlane.deployment.replicas": None}
AUTOSCALER: Final = "horizontal-pod-autoscaler"


def work(tenant: Tenant, changes: dict[str, Any]) -> None:
    """Make a tenant that is awake. No kubelet is here to run its pods, so that the call ends when it has waited for them."""
    with pytest.raises(HostedKubernetesError, match="not ready in time"):
        tenant.run(changes=changes, settings={"timeout_s": 3.0})


def planned(tenant: Tenant, changes: dict[str, Any]) -> Run:
    """What is left to do in the management cluster."""
    return tenant.run(changes=changes, check=True)


def management(run: Run) -> list[tuple[str, str]]:
    return [item for item, change in zip(run.summary, run.plan, strict=True) if change["cluster"] == "management"]


def scale(tenant: Tenant) -> Json:
    path = resource_of("TenantControlPlane").path(tenant.namespace, tenant.name, "scale")
    found: Json = tenant.ground.client.request("GET", path)
    return found


def scale_to(tenant: Tenant, kind: str, number: int, manager: str) -> None:
    tenant.patch(kind, {"spec": {"replicas": number}}, manager=manager, subresource="scale")


def pods(tenant: Tenant) -> int:
    number: int = tenant.live("Deployment")["spec"]["replicas"]
    return number


def test_autoscaler_of_the_deployment_takes_over_and_hands_back(tenant: Tenant) -> None:
    work(tenant, UNNAMED)
    assert pods(tenant) == 2
    scale_to(tenant, "Deployment", 5, AUTOSCALER)
    assert management(planned(tenant, UNNAMED)) == [], "the number is the autoscaler's now"
    # Any other change leaves it alone too.
    work(tenant, {**UNNAMED, "controlPlane.deployment.nodeSelector": {"disk": "ssd"}})
    assert pods(tenant) == 5
    owners = {
        entry["manager"]
        for entry in tenant.live("Deployment")["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {AUTOSCALER}

    named = {"controlPlane.deployment.replicas": 3, "controlPlane.deployment.nodeSelector": {"disk": "ssd"}}
    assert ("Deployment acme", "patch") in management(planned(tenant, named))
    work(tenant, named)
    assert pods(tenant) == 3
    assert management(planned(tenant, named)) == []
    # And away again: what is there stays until somebody else scales it.
    work(tenant, UNNAMED)
    assert pods(tenant) == 3
    scale_to(tenant, "Deployment", 4, AUTOSCALER)
    assert management(planned(tenant, UNNAMED)) == []


def test_scale_subresource_answers_where_nobody_named_a_number(tenant: Tenant) -> None:
    assert ("TenantControlPlane acme", "scale") in planned(tenant, UNNAMED).summary
    work(tenant, UNNAMED)
    assert scale(tenant)["spec"]["replicas"] == 2
    assert scale(tenant)["status"]["selector"] == "kamaji.clastix.io/name=acme"
    assert management(planned(tenant, UNNAMED)) == []


def test_scaled_resource(tenant: Tenant) -> None:
    """kubectl scale tenantcontrolplane, or an autoscaler of it: the definition names no number, so that theirs counts."""
    work(tenant, UNNAMED)
    scale_to(tenant, "TenantControlPlane", 3, "kubectl")
    assert management(planned(tenant, UNNAMED)) == [("Deployment acme", "patch")]
    work(tenant, UNNAMED)
    assert pods(tenant) == 3
    assert scale(tenant)["spec"]["replicas"] == 3
    scale_to(tenant, "TenantControlPlane", 0, "kubectl")
    slept = tenant.run(changes=UNNAMED)
    assert (slept.tenant["phase"], pods(tenant)) == ("Sleeping", 0)
    assert not tenant.run(changes=UNNAMED).changed
    assert not tenant.run(name="acme").changed, "the same without a definition"


def test_definition_that_names_a_number_wins(tenant: Tenant) -> None:
    work(tenant, UNNAMED)
    scale_to(tenant, "TenantControlPlane", 3, "kubectl")
    slept = tenant.run(changes={"controlPlane.deployment.replicas": 0})
    assert slept.tenant["phase"] == "Sleeping"
    # Scaled away from what the definition says, two want different things: that is for people to settle.
    scale_to(tenant, "TenantControlPlane", 3, "kubectl")
    with pytest.raises(HostedKubernetesError, match=r"spec\.controlPlane\.deployment\.replicas belongs to manager kubectl"):
        tenant.run(changes={"controlPlane.deployment.replicas": 0})


def test_placeholder_gives_way_to_the_definition(tenant: Tenant) -> None:
    """It is no wish of anybody's."""
    work(tenant, UNNAMED)
    slept = tenant.run(changes={"controlPlane.deployment.replicas": 0})
    assert slept.tenant["phase"] == "Sleeping"
    assert not tenant.run(changes={"controlPlane.deployment.replicas": 0}).changed
