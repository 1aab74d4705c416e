# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants that are awake: real pods on a real kubelet, the engine outside the cluster, everything inside the tenant observed."""

from __future__ import annotations

import base64
import copy
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names, pull_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import lab_network
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import (
    ConnectionOptions,
    client_from_kubeconfig,
    connect,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ForbiddenError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.info import tenants_info
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import observe_tenant, secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.serving import presented
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_kubeconfig
from ansible_collections.hosted.kubernetes.tests.support import prober
from ansible_collections.hosted.kubernetes.tests.support.bundle import image_reference
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster
from ansible_collections.hosted.kubernetes.tests.support.examples import example
from ansible_collections.hosted.kubernetes.tests.support.life import EXTRA_ARGS, Life
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import Run, assert_predicted, recorded_run, run_and_die

NAMESPACE = "tenants-test"


@dataclass(frozen=True)
class Fleet:
    """The management cluster with a datastore and a load balancer, and how the engine is called there."""

    client: Client
    kubeconfig: Path
    nobody: str
    """An address of the lab's bridge that no machine has."""

    def definition(self, name: str, *, replicas: int = 1, service: str = "LoadBalancer", network: Json | None = None) -> Json:
        return {
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "dataStore": "default",
                "kubernetes": {"version": "v1.36.3"},
                "networkProfile": network or {},
                "controlPlane": {"deployment": {"replicas": replicas}, "service": {"serviceType": service}},
                "addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}},
            },
        }

    def request(self, *definitions: Json, absent: bool = False) -> call.Request:
        return call.Request(list(definitions), None, None, NAMESPACE, absent, rollout_now=False, renew_before_days=30, force=False)

    def run(self, *definitions: Json, absent: bool = False, **settings: Any) -> Run:
        wanted = Settings(**{"holder": "test", "timeout_s": 240.0, **settings})
        return recorded_run(self.client, self.request(*definitions, absent=absent), wanted)

    def pods(self, name: str) -> list[Json]:
        selector = f"{names.LABEL_NAME}={name}"
        return self.client.list(resource_of("Pod"), namespace=NAMESPACE, label_selector=selector).items

    def left(self) -> list[str]:
        """Everything of any tenant that exists in the namespace."""
        kinds = (
            "TenantControlPlane",
            "Deployment",
            "Service",
            "ConfigMap",
            "Secret",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Lease",
            "Pod",
        )
        selector = names.LABEL_NAME
        return [
            str(ObjectRef.of(item))
            for kind in kinds
            for item in self.client.list(resource_of(kind), namespace=NAMESPACE, label_selector=selector).items
        ]

    def inside(self, name: str, endpoint: str, kubeconfig: str = "super-admin.conf") -> Client:
        """A connection into a tenant, as one of its administrators."""
        secret = self.client.get(resource_of("Secret"), name + names.ADMIN_KUBECONFIG, NAMESPACE)
        assert secret
        data = secret_state(secret, None).data or {}
        return client_from_kubeconfig(data[kubeconfig], server=f"https://{endpoint}")


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, kubeconfig: Path, bundle: Path) -> Iterator[Fleet]:
    with cluster.datastore(bundle), connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        yield Fleet(client, kubeconfig, lab_network(cluster.lab_name).address(250))
        client.delete(resource_of("Namespace"), NAMESPACE)


@pytest.fixture(scope="module")
def acme(fleet: Fleet) -> Iterator[Json]:
    """A tenant made with the ladder: check, run, run again, check again."""
    definition = fleet.definition("acme")
    predicted = fleet.run(definition, check=True)
    applied = fleet.run(definition)
    assert_predicted(predicted, applied)
    assert applied.tenant["phase"] == "Ready"
    assert applied.tenant["exposed"]
    assert not fleet.run(definition).changed
    assert not fleet.run(definition, check=True).changed
    yield definition
    fleet.run(definition, absent=True)
    assert fleet.left() == []


def test_a_run_that_changes_nothing_writes_nothing(fleet: Fleet, acme: Json) -> None:
    assert fleet.run(acme).writes == []


def test_info_says_ready(fleet: Fleet, acme: Json) -> None:
    (info,) = tenants_info(fleet.client, Settings(holder="test", check=True), "acme", NAMESPACE)
    assert info["ready"], info
    assert info["drift"] == []


def test_why_a_tenant_is_not_ready(fleet: Fleet) -> None:
    """A flag that nobody knows, images that are nowhere: run and info name the pod and its reason; correcting the definition mends it."""
    definition = fleet.definition("stuck")
    definition["spec"]["addons"] = {}
    deployment = definition["spec"]["controlPlane"]["deployment"]
    deployment["extraArgs"] = {"apiServer": ["--no-such-flag=1"]}
    with pytest.raises(
        HostedKubernetesError, match=r"container kube-apiserver .*; its last line: Error: unknown flag: --no-such-flag; correct"
    ):
        fleet.run(definition)

    del deployment["extraArgs"]
    deployment["registrySettings"] = {"registry": "127.0.0.1:1"}
    reason = r"pod stuck-\S+: container kube-\S+ (ErrImagePull|ImagePullBackOff): .*127\.0\.0\.1:1/kube-"
    with pytest.raises(HostedKubernetesError, match=reason):
        fleet.run(definition, timeout_s=20)

    (info,) = tenants_info(fleet.client, Settings(holder="test", check=True), "stuck", NAMESPACE)
    assert not info["ready"]
    assert info["failing_phase"] == "pods"
    assert re.search(reason, info["reason"]), info["reason"]
    assert info["next_step"] == "kubectl describe and logs of the pods with label kamaji.clastix.io/name=stuck"

    del deployment["registrySettings"]
    assert fleet.run(definition).tenant["phase"] == "Ready"
    (info,) = tenants_info(fleet.client, Settings(holder="test", check=True), "stuck", NAMESPACE)
    assert (info["ready"], info["failing_phase"], info["reason"], info["next_step"]) == (True, "", "", "")
    fleet.run(definition, absent=True)


def test_kubeconfigs_of_a_person_and_of_an_administrator(fleet: Fleet, acme: Json, tmp_path: Path) -> None:
    """Each authenticates as who it was made for, and RBAC decides what that is good for."""
    dest = tmp_path / "kubeconfig"
    options = {"kubeconfig": str(fleet.kubeconfig), "name": "acme", "namespace": NAMESPACE, "dest": str(dest), "lifetime": 10}
    run_module(tenant_kubeconfig.main, {**options, "user": "jane", "groups": ["developers"]})
    with client_from_kubeconfig(dest.read_bytes()) as jane:
        assert _identity(jane) == ("jane", {"developers", "system:authenticated"})
        with pytest.raises(ForbiddenError, match='User "jane" cannot list resource "secrets"'):
            jane.list(resource_of("Secret"), namespace="kube-system")

    assert run_module(tenant_kubeconfig.main, options)["reason"] == "common name is jane, not kubernetes-admin"
    with client_from_kubeconfig(dest.read_bytes()) as admin:
        assert _identity(admin) == ("kubernetes-admin", {"kubeadm:cluster-admins", "system:authenticated"})
        assert admin.list(resource_of("Secret"), namespace="kube-system") is not None


def _identity(client: Client) -> tuple[str, set[str]]:
    """(user, groups) as the API server sees a connection."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    info = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)["status"]["userInfo"]
    return info["username"], set(info["groups"])


def test_each_object_inside_the_tenant_is_mended(fleet: Fleet, acme: Json) -> None:
    """Deleted, and with one owned label changed: the next run reports exactly that and mends it."""
    endpoint = fleet.run(acme, check=True).tenant["endpoint"]
    with fleet.inside("acme", endpoint) as inside:
        references = sorted(observe_tenant(inside))
        assert len(references) > 25
        for reference in references:
            resource = inside.resource_for(reference.api_version, reference.kind)
            inside.delete(resource, reference.name, reference.namespace)
            _assert_mended(fleet, acme, reference, {"create", "patch"})
            inside.merge_patch(reference, {"metadata": {"labels": {names.LABEL_PROJECT: "somebody"}}}, field_manager="somebody")
            _assert_mended(fleet, acme, reference, {"create", "patch"})


def _assert_mended(fleet: Fleet, definition: Json, reference: ObjectRef, actions: set[str]) -> None:
    run = fleet.run(definition)
    assert [change["object"] for change in run.plan] == [str(reference)]
    assert {change["action"] for change in run.plan} <= actions
    assert not fleet.run(definition, check=True).changed


@pytest.mark.parametrize("value", [None, "bm90IGEga3ViZWNvbmZpZw=="])
def test_a_kubeconfig_that_keeps_the_engine_out_is_mended(fleet: Fleet, acme: Json, value: str | None) -> None:
    """Its key removed, or something else in it: the way into the tenant is what has to be repaired."""
    secret = ObjectRef("v1", "Secret", NAMESPACE, f"acme{names.ADMIN_KUBECONFIG}")
    fleet.client.merge_patch(secret, {"data": {"super-admin.svc": value}}, field_manager="somebody")
    _assert_mended(fleet, acme, secret, {"issue"})


def test_a_failed_pod_holds_nothing_up(fleet: Fleet, acme: Json) -> None:
    """As an evicted pod, it stays as a record until somebody collects it."""
    container = fleet.pods("acme")[0]["spec"]["containers"][0]
    spec = {"restartPolicy": "Never", "containers": [{"name": "fails", "image": container["image"], "command": ["/no-such-program"]}]}
    metadata = {"name": "acme-evicted", "namespace": NAMESPACE, "labels": {names.LABEL_NAME: "acme"}}
    fleet.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    wait_for(
        fleet.client,
        resource_of("Pod"),
        "acme-evicted",
        NAMESPACE,
        predicate=lambda pod: pod is not None and pod["status"].get("phase") == "Failed",
        deadline=time.monotonic() + 60,
    )
    assert not fleet.run(acme, timeout_s=10).changed
    fleet.client.delete(resource_of("Pod"), "acme-evicted", NAMESPACE)


def test_write_permissions_are_limited_and_given_back(fleet: Fleet, acme: Json) -> None:
    limited = copy.deepcopy(acme)
    limited["spec"]["writePermissions"] = {"blockCreation": True}
    run = fleet.run(limited)
    assert run.tenant["phase"] == "WriteLimited"
    assert {change["object"].split()[0] for change in run.plan} == {
        "TenantControlPlane",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    with fleet.inside("acme", run.tenant["endpoint"], "admin.conf") as administrator:
        _until(lambda: not _creates(administrator), "the policy is in force")
        assert not fleet.run(limited).changed
        run = fleet.run(acme)
        assert run.tenant["phase"] == "Ready"
        assert {change["action"] for change in run.plan} == {"patch", "delete"}
        _until(lambda: _creates(administrator), "the policy is gone")
    assert not fleet.run(acme).changed


def test_images_inside_the_tenant_are_pulled_with_secrets_of_the_users(fleet: Fleet, acme: Json) -> None:
    """The registries of all named Secrets reach the tenant as one; taken away, nothing of them stays."""
    for name, registry in (("first", "one.example.com"), ("second", "two.example.com")):
        config = base64.b64encode(json.dumps({"auths": {registry: {"auth": "c2VjcmV0"}}}).encode()).decode()
        metadata = {"name": name, "namespace": NAMESPACE}
        fleet.client.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": pull_secrets.TYPE, "data": {pull_secrets.DATA_KEY: config}}
        )
    wanted = copy.deepcopy(acme)
    wanted["spec"]["addons"]["imagePullSecrets"] = [{"name": "first"}, {"name": "second"}]
    predicted = fleet.run(wanted, check=True)
    run = fleet.run(wanted)
    assert_predicted(predicted, run)
    secret = "Secret kube-system/hosted-kubernetes-image-pull"
    changed = {change["object"] for change in run.plan}
    assert changed >= {
        secret,
        "Deployment kube-system/coredns",
        "DaemonSet kube-system/kube-proxy",
        "DaemonSet kube-system/konnectivity-agent",
    }
    assert not {change["object"] for change in run.plan} & {f"Deployment {NAMESPACE}/acme"}
    assert "two.example.com" not in json.dumps(run.result)
    with fleet.inside("acme", run.tenant["endpoint"]) as inside:
        made = inside.get(resource_of("Secret"), "hosted-kubernetes-image-pull", "kube-system")
        assert made
        assert set(json.loads(base64.b64decode(made["data"][pull_secrets.DATA_KEY]))["auths"]) == {"one.example.com", "two.example.com"}
        assert not fleet.run(wanted).changed
        fleet.client.delete(resource_of("Secret"), "second", NAMESPACE)
        with pytest.raises(HostedKubernetesError, match=rf"imagePullSecrets: Secret {NAMESPACE}/second does not exist"):
            fleet.run(wanted)
        assert secret in {change["object"] for change in fleet.run(acme).plan if change["action"] == "delete"}
        assert inside.get(resource_of("Secret"), "hosted-kubernetes-image-pull", "kube-system") is None
    fleet.client.delete(resource_of("Secret"), "first", NAMESPACE)
    assert not fleet.run(acme).changed


def _creates(client: Client) -> bool:
    """Whether a ConfigMap can be created; it is gone afterwards."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": "default"}}
    try:
        client.create(body)
    except ForbiddenError as error:
        if "writePermissions.blockCreation" not in error.msg:
            raise
        return False
    return bool(client.delete(resource_of("ConfigMap"), "probe", "default"))


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_an_upgrade_is_refused_while_a_worker_is_too_old_for_it(fleet: Fleet, acme: Json) -> None:
    """A node as a kubelet of 1.33 would register itself; nothing is changed, so that no image of 1.37 is needed."""
    newer = copy.deepcopy(acme)
    newer["spec"]["kubernetes"]["version"] = "v1.37.2"
    endpoint = fleet.run(acme, check=True).tenant["endpoint"]
    with fleet.inside("acme", endpoint) as inside:
        node = inside.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "old-worker"}})
        inside.merge_patch(ObjectRef.of(node), {"status": {"nodeInfo": _node_info("v1.33.1")}}, subresource="status")
        for check in (True, False):
            with pytest.raises(
                HostedKubernetesError, match=r"cannot follow v1\.36\.3 while workers are too old for it: old-worker \(v1\.33\.1\)"
            ):
                fleet.run(newer, check=check)
        assert not fleet.run(acme).changed
        inside.delete(resource_of("Node"), "old-worker")
    plan = fleet.run(newer, check=True).plan
    assert ("Deployment", "rollout") in {(change["object"].split()[0], change["action"]) for change in plan}


def _node_info(kubelet: str) -> Json:
    texts = ("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "machineID", "operatingSystem")
    return {**dict.fromkeys((*texts, "osImage", "systemUUID"), ""), "kubeletVersion": kubelet}


def test_scaling_replaces_no_pod(fleet: Fleet, acme: Json) -> None:
    before = {pod["metadata"]["uid"] for pod in fleet.pods("acme")}
    two = fleet.definition("acme", replicas=2)
    assert fleet.run(two).changed
    assert before < {pod["metadata"]["uid"] for pod in fleet.pods("acme")}
    budget = ObjectRef("policy/v1", "PodDisruptionBudget", NAMESPACE, "acme")
    assert fleet.client.delete(resource_of(budget.kind), budget.name, budget.namespace)
    _assert_mended(fleet, two, budget, {"create"})
    assert fleet.run(acme).changed
    assert len(fleet.pods("acme")) == 1


@pytest.mark.long
def test_no_request_fails_while_a_tenant_is_changed(fleet: Fleet, tmp_path: Path) -> None:
    """From outside; with workers, from inside and through an upgrade it is tried by tests/integration/life."""
    definition = fleet.definition("steady", replicas=2)
    endpoint = fleet.run(definition).tenant["endpoint"]
    life = Life(fleet.client, NAMESPACE, "steady")

    def change() -> None:
        life.scale(3, 1, 2)
        life.renew()
        life.change({EXTRA_ARGS: ["--v=1"]})

    with fleet.inside("steady", endpoint) as inside, prober.outside(inside, tmp_path) as asking:
        prober.Measurement([asking]).during("scaling, renewal and another argument", change)
    life.delete()


def test_an_endpoint_that_only_workers_reach(fleet: Fleet) -> None:
    """Nothing answers at the published address from here: ready through a port-forward, but not exposed."""
    definition = fleet.definition("hidden", service="ClusterIP", network={"address": fleet.nobody})
    run = fleet.run(definition, wait_exposed=False)
    assert run.tenant["phase"] == "Ready"
    assert not run.tenant["exposed"]
    (found,) = tenants_info(fleet.client, Settings(holder="test", check=True), "hidden", NAMESPACE)
    assert found["ready"]
    assert (found["exposure"]["answers"], found["exposure"]["has_address"]) == (False, True)
    assert found["exposure"]["reason"] == f"{fleet.nobody}:6443 does not answer from this machine"
    assert not fleet.run(definition, wait_exposed=False).changed
    with pytest.raises(HostedKubernetesError, match=rf"is Ready, but not Exposed: {fleet.nobody}:6443 does not answer from this machine"):
        fleet.run(definition, timeout_s=3)
    fleet.run(definition, absent=True)
    assert fleet.left() == [item for item in fleet.left() if "acme" in item]


def test_five_tenants_at_once_without_a_restart(fleet: Fleet) -> None:
    definitions = [fleet.definition(f"team-{number}") for number in range(5)]
    run = fleet.run(*definitions)
    assert {tenant["phase"] for tenant in run.result["tenants"]} == {"Ready"}
    restarts = [
        (pod["metadata"]["name"], status["name"], status["restartCount"])
        for number in range(5)
        for pod in fleet.pods(f"team-{number}")
        for status in pod["status"]["containerStatuses"]
        if status["restartCount"]
    ]
    assert restarts == []
    fleet.run(*definitions, absent=True)


# Settings of a tenant that runs


@pytest.fixture(scope="module")
def blue(fleet: Fleet) -> Iterator[Json]:
    """A tenant with one pod and no addons."""
    definition = fleet.definition("blue")
    definition["spec"]["addons"] = {}
    fleet.run(definition)
    yield definition
    fleet.run(definition, absent=True)


def changed(definition: Json, **kubernetes: Any) -> Json:
    return {**definition, "spec": {**definition["spec"], "kubernetes": {**definition["spec"]["kubernetes"], **kubernetes}}}


def uids(fleet: Fleet) -> set[str]:
    return {pod["metadata"]["uid"] for pod in fleet.pods("blue")}


def test_names_are_served_when_the_call_returns_and_no_pod_is_replaced(fleet: Fleet, blue: Json) -> None:
    before = uids(fleet)
    named = {**blue, "spec": {**blue["spec"], "networkProfile": {"certSANs": ["api.blue.example"]}}}
    secret = fleet.client.get(resource_of("Secret"), "blue-ca", NAMESPACE)
    assert secret
    authority = (secret_state(secret, None).data or {})["ca.crt"]
    run = fleet.run(named)
    print(f"names are served after {run.tenant['durations']}")
    host, _unused, port = run.tenant["endpoint"].rpartition(":")
    assert presented((host, int(port)), "api.blue.example", authority), "all names that the call has added are served"
    assert uids(fleet) == before
    assert not fleet.run(named).changed
    fleet.run(blue)
    assert presented((host, int(port)), "api.blue.example", authority) is None
    assert uids(fleet) == before


def test_encryption_comes_is_rotated_and_goes_in_one_call_each(fleet: Fleet, blue: Json) -> None:
    endpoint = fleet.run(blue, check=True).tenant["endpoint"]

    def word() -> bytes:
        with fleet.inside("blue", endpoint) as inside:
            found = inside.get(resource_of("Secret"), "told", "default")
        return base64.b64decode((found or {})["data"]["word"])

    with fleet.inside("blue", endpoint) as inside:
        metadata = {"name": "told", "namespace": "default"}
        inside.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"word": "hush"}})
    steps: tuple[Json, ...] = ({"encryption": {}}, {"encryption": {"rotation": "2"}}, {})
    for settings in steps:
        wanted = changed(blue, **settings)
        run = fleet.run(wanted)
        assert run.tenant["phase"] == "Ready"
        assert [change["action"] for change in run.plan].count("rewrite") == 1
        assert word() == b"hush"
        live = fleet.client.get(resource_of("TenantControlPlane"), "blue", NAMESPACE)
        recorded = (live or {})["status"]["hosted"].get("encryption", {})
        assert recorded.get("stage") == ("Encrypted" if settings else None)
        assert not fleet.run(wanted).changed
    assert fleet.client.get(resource_of("Secret"), "blue-encryption-configuration", NAMESPACE) is None


@pytest.mark.long
def test_a_real_autoscaler_takes_the_replicas_and_gives_them_back(fleet: Fleet, blue: Json) -> None:
    """It raises them to its minimum, which needs no metrics; first those of the resource (scale subresource), then those of the Deployment."""
    unnamed = copy.deepcopy(blue)
    del unnamed["spec"]["controlPlane"]["deployment"]["replicas"]
    fleet.run(unnamed)
    targets = {"TenantControlPlane": "kamaji.clastix.io/v1alpha1", "Deployment": "apps/v1"}
    for number, (kind, version) in enumerate(targets.items(), start=2):
        metadata = {"name": "blue", "namespace": NAMESPACE}
        target = {"apiVersion": version, "kind": kind, "name": "blue"}
        spec = {"scaleTargetRef": target, "minReplicas": number, "maxReplicas": number}
        autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
        fleet.client.create(autoscaler)
        _wait_for_replicas(fleet, kind, number)
        fleet.run(unnamed)
        assert not fleet.run(unnamed).changed
        deployment = fleet.client.get(resource_of("Deployment"), "blue", NAMESPACE)
        assert _replicas(deployment or {}) == number
        fleet.client.delete(fleet.client.resource_for("autoscaling/v2", "HorizontalPodAutoscaler"), "blue", NAMESPACE)
    fleet.client.merge_patch(ObjectRef("apps/v1", "Deployment", NAMESPACE, "blue"), {"spec": {"replicas": 1}}, subresource="scale")
    fleet.run(blue)
    assert not fleet.run(blue).changed
    assert len(fleet.pods("blue")) == 1


def _replicas(live: Json) -> int:
    spec = live["spec"]
    return int(spec.get("controlPlane", {}).get("deployment", spec).get("replicas", 0))


def _wait_for_replicas(fleet: Fleet, kind: str, number: int) -> None:
    wait_for(
        fleet.client,
        resource_of(kind),
        "blue",
        NAMESPACE,
        predicate=lambda live: live is not None and _replicas(live) == number,
        deadline=time.monotonic() + 90,
    )


@pytest.mark.long
def test_the_shape_of_pods_is_scheduled(fleet: Fleet, cluster: Cluster, bundle: Path) -> None:
    """docs/examples/pods.yml with images that the node has, and with one replica, since there is one node."""
    definition = example("pods")
    definition["metadata"] = {"name": "shaped", "namespace": NAMESPACE}
    definition["spec"]["dataStore"] = "default"
    deployment = definition["spec"]["controlPlane"]["deployment"]
    for field in ("registrySettings", "imagePullSecrets"):
        del deployment[field]
    del definition["spec"]["addons"]["imagePullSecrets"]
    deployment["replicas"] = 1
    deployment["resources"]["apiServer"]["requests"] = {"cpu": "100m", "memory": "256Mi"}
    deployment["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"] = {
        "matchLabels": {names.LABEL_NAME: "shaped"}
    }
    deployment["additionalContainers"][0]["image"] = image_reference(bundle, "pause")
    node = ObjectRef("v1", "Node", "", f"{cluster.lab_name}-management")
    fleet.client.merge_patch(node, {"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}})
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "tenants"}, "value": 1000}
    fleet.client.create(priority)
    metadata = {"name": "admission", "namespace": NAMESPACE}
    fleet.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"policy.yaml": "{}"}})
    try:
        assert fleet.run(definition).tenant["phase"] == "Ready"
        assert not fleet.run(definition).changed
        (pod,) = fleet.pods("shaped")
        assert pod["spec"]["priority"] == 1000
        assert pod["metadata"]["labels"]["team"] == "blue"
        assert {"exporter", "kube-apiserver"} <= {item["name"] for item in pod["status"]["containerStatuses"] if item["ready"]}
        assert pod["status"]["qosClass"] == "Burstable"
    finally:
        fleet.run(definition, absent=True)
        fleet.client.delete(fleet.client.resource_for("scheduling.k8s.io/v1", "PriorityClass"), "tenants")
        fleet.client.merge_patch(node, {"metadata": {"labels": {"topology.kubernetes.io/zone": None}}})


@pytest.mark.long
def test_killed_after_every_single_change(fleet: Fleet) -> None:
    """Each process makes one more change and is killed (SIGKILL), from nothing to ready and back to nothing."""
    definition = fleet.definition("mortal")
    # Changes of one stage are made several at a time, so that one kill may end several.
    assert _killed_until_done(fleet, fleet.request(definition)) > 10
    assert not fleet.run(definition).changed
    assert _killed_until_done(fleet, fleet.request(definition, absent=True)) > 15
    assert [item for item in fleet.left() if "mortal" in item] == []


def _killed_until_done(fleet: Fleet, request: call.Request) -> int:
    for count in range(200):
        status = run_and_die(str(fleet.kubeconfig), request, 1, timeout_s=200.0)
        assert status in (0, -signal.SIGKILL), f"ended with {status} after {count} kills"
        if status == 0:
            return count
    raise AssertionError("200 kills were not enough")
