# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller as pods of a real cluster: its playbook, a tenant by kubectl alone, and the loss of the pod that works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import LABEL_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster
from ansible_collections.hosted.kubernetes.tests.support.controller_role import NAME
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun

pytestmark = pytest.mark.long

SYSTEM = "hosted-kubernetes-system"
NAMESPACE = "controller-test"
KIND = "TenantControlPlane"


@dataclass(frozen=True)
class Controller:
    """The controller in a cluster, and one tenant's resource as a person writes it."""

    cluster: Cluster
    client: Client

    def play(self, **variables: Any) -> str:
        return self.cluster.playbook("controller", controller_namespaces=[NAMESPACE], **variables)

    def pods(self) -> list[Json]:
        return self.client.list(resource_of("Pod"), namespace=SYSTEM, label_selector=f"app.kubernetes.io/name={NAME}").items

    def leader(self) -> str:
        lease = self.client.get(resource_of("Lease"), NAME, SYSTEM) or {}
        return str((lease.get("spec") or {}).get("holderIdentity", ""))

    def create(self, name: str) -> None:
        service, deployment = {"serviceType": "LoadBalancer"}, {"replicas": 1}
        spec = {"kubernetes": {"version": "v1.36.3"}, "controlPlane": {"deployment": deployment, "service": service}}
        body = {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
        self.client.create(body, field_manager="kubectl")

    def phase(self, name: str) -> str:
        status = (self.client.get(resource_of(KIND), name, NAMESPACE) or {}).get("status") or {}
        return str(((status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""))

    def delete(self, name: str) -> None:
        self.client.delete(resource_of(KIND), name, NAMESPACE)
        eventually(f"{name} is gone", lambda: self.client.get(resource_of(KIND), name, NAMESPACE) is None, 120)
        assert not self.client.list(resource_of("Secret"), namespace=NAMESPACE, label_selector=f"{LABEL_NAME}={name}").items


def eventually(what: str, look: Callable[[], Any], within_s: float) -> float:
    """Wait until there is something to see; return how many seconds it took."""
    started = time.monotonic()
    while not look():
        assert time.monotonic() < started + within_s, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.5)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def controller(cluster: Cluster, kubeconfig: Path, bundle: Path) -> Iterator[Controller]:
    with cluster.datastore(bundle), connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        controller = Controller(cluster, client)
        controller.play()
        yield controller
        controller.play(controller_state="absent")
        eventually("its pods are gone", lambda: not controller.pods(), 60)
        client.delete(resource_of("Namespace"), NAMESPACE)


def test_its_pods_run_and_a_second_run_changes_nothing(controller: Controller) -> None:
    pods = controller.pods()
    assert [pod_ready(pod) for pod in pods] == [True, True]
    assert controller.leader() in {pod["metadata"]["name"] for pod in pods}
    assert PlaybookRun(0, controller.play()).changed == 0


def test_a_tenant_by_kubectl_alone(controller: Controller) -> None:
    controller.create("acme")
    took = eventually("acme is ready", lambda: controller.phase("acme") == "Ready", 240)
    print(f"kubectl apply until Ready: {took:.1f} s")
    controller.client.delete(resource_of("Service"), "acme", NAMESPACE)
    eventually("its Service is back", lambda: controller.client.get(resource_of("Service"), "acme", NAMESPACE), 30)
    eventually("it is ready again", lambda: controller.phase("acme") == "Ready", 120)


def test_another_pod_goes_on_when_the_one_that_works_is_lost(controller: Controller) -> None:
    lost = controller.leader()
    controller.create("beta")
    # As a node that is gone: without a word to the pod.
    pod = ObjectRef("v1", "Pod", SYSTEM, lost)
    controller.client.request("DELETE", f"/api/v1/namespaces/{SYSTEM}/pods/{lost}", body={"gracePeriodSeconds": 0})
    took = eventually("another one leads", lambda: controller.leader() not in ("", lost), 60)
    print(f"{pod} killed: another one leads after {took:.1f} s")
    eventually("beta is ready", lambda: controller.phase("beta") == "Ready", 240)
    eventually("two pods are ready", lambda: [pod_ready(item) for item in controller.pods()] == [True, True], 120)
    assert controller.phase("acme") == "Ready"


def test_tenants_are_deleted_by_it(controller: Controller) -> None:
    for name in ("acme", "beta"):
        controller.delete(name)
