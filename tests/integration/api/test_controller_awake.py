# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Awake tenants and the controller. The test does what controllers and kubelet of the management cluster would do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.controller import Controller
from ansible_collections.hosted.kubernetes.tests.support.awake import own_address, pod_of, say_ready
from ansible_collections.hosted.kubernetes.tests.support.controllers import condition, create, eventually, options_of, phase, running_here
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

AWAKE: Final = {"controlPlane.deployment.replicas": 1, "addons": None}


@pytest.fixture
def home(ground: Ground) -> Tenant:
    """A tenant that does not exist, in a namespace that does."""
    tenant = ground.tenant()
    ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    return tenant


@pytest.fixture
def controller(ground: Ground, home: Tenant) -> Iterator[Controller]:
    options = options_of(home.namespace, workers=1, max_starting=1, resync=timedelta(seconds=5))
    with running_here(ground.kubeconfig, options) as controller:
        yield controller


def test_a_tenant_wakes_and_is_kept_inside_too(home: Tenant, controller: Controller, bundle: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    where = {"networkProfile.address": own_address(), "networkProfile.port": port}
    tenant = create(home, **{**AWAKE, "addons": {"coreDNS": {}}, **where})
    eventually("its Deployment", lambda: tenant.get("Deployment"))
    eventually("its worker is free", lambda: controller.queue.is_idle)
    assert phase(tenant) == "Provisioning"
    with pod_of(tenant, bundle, tmp_path) as inside:
        eventually("it is ready", lambda: phase(tenant) == "Ready" and condition(tenant, "Exposed")["status"] == "True", 30)
        # No watch tells of what goes on inside a tenant: that is looked at again after a time.
        assert inside.delete(resource_of("Service"), "kube-dns", "kube-system")
        eventually("its Service inside is back", lambda: inside.get(resource_of("Service"), "kube-dns", "kube-system"))
        say_ready(tenant, 0)
        eventually("the fall of its pods is seen", lambda: phase(tenant) == "NotReady")
        say_ready(tenant, 1)
        eventually("and their return", lambda: phase(tenant) == "Ready")


def notes(tenant: Tenant) -> list[str]:
    """Of the events about a tenant that waits."""
    found = tenant.ground.client.request("GET", f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events")["items"]
    return [item["note"] for item in found if item["regarding"]["name"] == tenant.name and item["reason"] == "Pending"]


def test_only_so_many_start_at_a_time_and_nobody_is_held_up(home: Tenant, controller: Controller) -> None:
    """One worker serves both of them, and a third one that sleeps."""
    pair = [create(home.ground.tenant(name, home.namespace), **AWAKE) for name in ("one", "two")]
    begun = eventually("one of them starts", lambda: [tenant for tenant in pair if tenant.get("Deployment")])
    eventually("why the other one waits is told", lambda: any("may start at a time" in note for tenant in pair for note in notes(tenant)))
    sleeping = create(home.ground.tenant("three", home.namespace))
    eventually("the one that sleeps is complete", lambda: phase(sleeping) == "Sleeping")
    (other,) = [tenant for tenant in pair if tenant is not begun[0]]
    assert other.get("Deployment") is None
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    generation = begun[0].live("Deployment")["metadata"]["generation"]
    begun[0].patch("Deployment", {"status": {"observedGeneration": generation, "conditions": [failure]}}, subresource="status")
    eventually("the other one has its turn", lambda: other.get("Deployment"), 5)
    assert "exceeded quota" in condition(begun[0], "Ready")["message"]
