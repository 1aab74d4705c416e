# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants of one call that cannot start, and those that wait for their turn. The test does what controllers and kubelet would do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import engine
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

TIMEOUT_S: Final = 12.0
ONE_STARTS: Final[Json] = {"timeout_s": TIMEOUT_S, "max_starting": 1}


@pytest.fixture
def pair(ground: Ground) -> tuple[Tenant, Tenant]:
    first = ground.tenant("first")
    return first, ground.tenant("second", first.namespace)


def run_awake(pair: tuple[Tenant, Tenant], settings: Mapping[str, Any]) -> Json:
    """Results of the two tenants by name; both fail, since nothing runs their pods."""
    definitions = [tenant.definition({"controlPlane.deployment.replicas": 1, "addons": None}) for tenant in pair]
    with pytest.raises(HostedKubernetesError) as failure:
        pair[0].run(definitions, settings=settings)
    return {item["tenant"]: item for item in failure.value.result["tenants"]}


def begun(pair: tuple[Tenant, Tenant], future: Future[Json]) -> list[Tenant]:
    """Those with a Deployment, as soon as there is one."""
    while not future.done():
        found = [tenant for tenant in pair if tenant.get("Deployment")]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no tenant began: {future.result()}")


def test_who_gets_no_turn_fails_before_its_deployment_is_written(pair: tuple[Tenant, Tenant]) -> None:
    results = run_awake(pair, {**ONE_STARTS, "timeout_s": 4.0})
    (begun,) = [tenant for tenant in pair if tenant.get("Deployment")]
    (queued,) = [tenant for tenant in pair if tenant is not begun]
    assert results[queued.key]["error"] == (
        f"TenantControlPlane {queued.key}: no time was left to start its pods, and its Deployment was not changed; 1 control planes may start "
        f"at a time (max_starting), and at the deadline (wait_timeout) these were starting: {begun.key}; look at their pods, allow more time "
        "or more at a time, and run again"
    )
    assert "not ready in time" in results[begun.key]["error"]


def refuse_pods(tenant: Tenant) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    generation = tenant.live("Deployment")["metadata"]["generation"]
    tenant.patch("Deployment", {"status": {"observedGeneration": generation, "conditions": [failure]}}, subresource="status")


def lack_the_image(tenant: Tenant) -> None:
    generation = tenant.live("Deployment")["metadata"]["generation"]
    made = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1}
    tenant.patch("Deployment", {"status": made}, subresource="status")
    name = f"{tenant.name}-x"
    metadata = {"name": name, "namespace": tenant.namespace, "labels": {names.LABEL_NAME: tenant.name}}
    image = "images.example.com/kube-apiserver:v0"
    spec = {"containers": [{"name": "kube-apiserver", "image": image}], "automountServiceAccountToken": False}
    tenant.ground.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    container = {"name": "kube-apiserver", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    tenant.patch("Pod", {"status": {"phase": "Pending", "containerStatuses": [container]}}, name, subresource="status")


@pytest.mark.long
@pytest.mark.parametrize(
    ("hold_up", "reason"),
    [(refuse_pods, "pods cannot be created: exceeded quota"), (lack_the_image, "container kube-apiserver ImagePullBackOff: not found")],
)
@pytest.mark.parametrize(("at_once", "starting"), [(16, 1), (1, 16)])
def test_one_that_is_held_up_gives_its_turn_away(
    pair: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch, hold_up: Any, reason: str, at_once: int, starting: int
) -> None:
    monkeypatch.setattr(engine, "_TENANTS_AT_ONCE", at_once)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_awake, pair, {"timeout_s": TIMEOUT_S, "max_starting": starting})
        (held_up,) = begun(pair, future)
        (other,) = [tenant for tenant in pair if tenant is not held_up]
        time.sleep(0.5)
        assert other.get("Deployment") is None
        hold_up(held_up)
        while not other.get("Deployment"):
            assert not future.done(), future.result()
            time.sleep(0.05)
        results = future.result()
    assert reason in results[held_up.key]["error"]
    assert "not ready in time" in results[other.key]["error"]
