# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness of each kind, over the parts of objects that decide it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import (
    daemon_set_problem_without,
    load_balancer_hosts,
    node_is_lost,
    pod_ready,
    problem,
    refuses_its_flags,
    will_not_start,
)

UNSEEN = "the controller has not seen its latest change yet"


def _obj(kind: str, status: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "a", "generation": 2, **metadata}, "spec": spec or {}, "status": status}


def _seen(**status: Any) -> dict[str, Any]:
    return {"observedGeneration": 2, **status}


def _condition(kind: str, status: str, **fields: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **fields}]}


DONE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"replicas": 2}, _seen(**DONE), None),
        ({"replicas": 2}, _seen(**DONE, terminatingReplicas=0), None),
        ({"replicas": 0}, _seen(), None),
        ({}, _seen(replicas=1, updatedReplicas=1, availableReplicas=1), None),
        ({"replicas": 2}, {}, UNSEEN),
        ({"replicas": 2}, {**DONE, "observedGeneration": 1}, UNSEEN),
        ({"replicas": 2, "paused": True}, _seen(**DONE), "its rollout is paused"),
        ({"replicas": 2}, _seen(updatedReplicas=1, replicas=2), "1 of 2 pods are of the present template"),
        ({"replicas": 2}, _seen(**{**DONE, "replicas": 3}), "1 pods of an older template are left"),
        ({"replicas": 2}, _seen(**{**DONE, "availableReplicas": 1}), "1 of 2 pods are available"),
        ({"replicas": 2}, _seen(**DONE, terminatingReplicas=1), "1 pods are terminating"),
        ({"replicas": 0}, _seen(replicas=1), "1 pods of an older template are left"),
        (
            {"replicas": 2},
            _seen(**_condition("Progressing", "False", reason="ProgressDeadlineExceeded", message="too slow")),
            "its rollout is stuck: too slow",
        ),
        (
            {"replicas": 2},
            _seen(**_condition("ReplicaFailure", "True", reason="FailedCreate", message="quota")),
            "pods cannot be created: quota",
        ),
    ],
)
def test_deployment(spec: dict[str, Any], status: dict[str, Any], expected: str | None) -> None:
    assert problem(_obj("Deployment", status, spec)) == expected


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"replicas": 2}, _seen(**DONE, currentRevision="b", updateRevision="b"), None),
        ({"replicas": 2}, _seen(replicas=2, availableReplicas=2, currentRevision="b", updateRevision="b"), None),
        ({"replicas": 2}, {**DONE, "observedGeneration": 1}, UNSEEN),
        (
            {"replicas": 2},
            _seen(replicas=2, updatedReplicas=1, availableReplicas=2, currentRevision="a", updateRevision="b"),
            "1 of 2 pods are of the present template",
        ),
        (
            {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
            _seen(replicas=3, updatedReplicas=1, availableReplicas=3, currentRevision="a", updateRevision="b"),
            None,
        ),
        (
            {"replicas": 1, "updateStrategy": {"type": "OnDelete"}},
            _seen(replicas=1, availableReplicas=1, currentRevision="a", updateRevision="b"),
            None,
        ),
        ({"replicas": 1}, _seen(**DONE), "2 of 1 pods exist"),
        ({"replicas": 2}, _seen(**{**DONE, "availableReplicas": 0}), "0 of 2 pods are available"),
    ],
)
def test_stateful_set(spec: dict[str, Any], status: dict[str, Any], expected: str | None) -> None:
    assert problem(_obj("StatefulSet", status, spec)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (_seen(desiredNumberScheduled=0), None),
        (_seen(desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), None),
        ({"desiredNumberScheduled": 0}, UNSEEN),
        (_seen(desiredNumberScheduled=2, updatedNumberScheduled=1), "1 of 2 pods are of the present template"),
        (_seen(desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=1), "1 of 2 pods are available"),
    ],
)
def test_daemon_set(status: dict[str, Any], expected: str | None) -> None:
    assert problem(_obj("DaemonSet", status)) == expected


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected"),
    [
        ("Service", {"type": "ClusterIP"}, {}, None),
        ("Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "198.18.0.2"}]}}, None),
        (
            "Service",
            {"type": "LoadBalancer"},
            {"loadBalancer": {}},
            "no load-balancer address has been assigned; is there a load balancer with a free address in the cluster?",
        ),
        ("CustomResourceDefinition", {}, _condition("Established", "True"), None),
        ("CustomResourceDefinition", {}, {}, "it is not established yet"),
        ("CustomResourceDefinition", {}, _condition("NamesAccepted", "False", message="taken"), "its names are not accepted: taken"),
        ("Job", {}, _condition("Complete", "True"), None),
        ("Job", {}, _condition("Failed", "True", message="backoff"), "it failed: backoff"),
        ("Job", {}, {}, "it is not complete yet"),
        ("PersistentVolumeClaim", {}, {"phase": "Pending"}, None),
        ("PersistentVolumeClaim", {}, {"phase": "Lost"}, "its volume is lost"),
        ("Node", {}, _condition("Ready", "True"), None),
        ("Node", {}, _condition("Ready", "False", message="no network"), "no network"),
        ("Node", {}, {}, "its kubelet has not reported yet"),
        ("ConfigMap", {}, {}, None),
    ],
)
def test_other_kinds(kind: str, spec: dict[str, Any], status: dict[str, Any], expected: str | None) -> None:
    assert problem(_obj(kind, status, spec)) == expected


def test_namespace_on_its_way_out() -> None:
    assert problem(_obj("Namespace", {})) is None
    assert problem(_obj("Namespace", {}, deletionTimestamp="2026-11-22T12:00:00Z")) == "it is being deleted"


@pytest.mark.parametrize(
    ("ingress", "hosts"),
    [
        ([{"ip": "198.18.0.2"}, {"ip": "198.18.0.3"}], ["198.18.0.2", "198.18.0.3"]),
        ([{"hostname": "lb.example.com"}, {"ip": "198.18.0.2", "hostname": "a"}], ["lb.example.com", "198.18.0.2"]),
        ([{"ports": []}], []),
        (None, []),
    ],
)
def test_load_balancer_hosts(ingress: Any, hosts: list[str]) -> None:
    assert load_balancer_hosts({"status": {"loadBalancer": {"ingress": ingress}}}) == hosts


def _pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "a", **metadata}, "status": status}


# As kube-apiserver says it.
FLAG_ERROR = "W1128 a warning\n\nError: unknown flag: --no-such-flag\n"
READY = _condition("Ready", "True")


def _waiting(reason: str, message: str = "", **fields: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}, **fields}]}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(READY), None),
        (_pod(READY, deletionTimestamp="2026-11-22T12:00:00Z"), "it is terminating"),
        (_pod({}), "its containers are not ready yet"),
        (_pod(_waiting("ContainerCreating")), "its containers are not ready yet"),
        (
            _pod(_waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
            'container main ImagePullBackOff: Back-off pulling image "x"',
        ),
        (
            _pod(_waiting("CrashLoopBackOff", "back-off 10s", lastState={"terminated": {"exitCode": 1, "reason": "Error"}})),
            "container main CrashLoopBackOff: back-off 10s (last exit code 1, Error)",
        ),
        (
            _pod(
                _waiting(
                    "CrashLoopBackOff", "back-off", lastState={"terminated": {"exitCode": 1, "reason": "Error", "message": FLAG_ERROR}}
                )
            ),
            "container main CrashLoopBackOff: back-off (last exit code 1, Error); its last line: Error: unknown flag: --no-such-flag",
        ),
        (
            _pod({"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
            "container main ended with exit code 137: OOMKilled",
        ),
        (_pod({"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]}), "its containers are not ready yet"),
        (
            _pod(_condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes are available")),
            "Unschedulable: 0/1 nodes are available",
        ),
        (_pod({"phase": "Failed", "reason": "Evicted", "message": "disk"}), "it failed: Evicted disk"),
    ],
)
def test_pod(pod: dict[str, Any], expected: str | None) -> None:
    assert problem(pod) == expected
    assert pod_ready(pod) == (expected is None)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(READY), False),
        (_pod({}), False),
        (_pod(_waiting("ContainerCreating")), False),
        *(
            (_pod(_waiting(reason)), True)
            for reason in ("ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError")
        ),
        (_pod(_waiting("ImagePullBackOff"), deletionTimestamp="2026-11-22T12:00:00Z"), False),
        (_pod({"initContainerStatuses": _waiting("ErrImagePull")["containerStatuses"]}), True),
        # One that ended once is started again.
        (_pod({"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 1}}}]}), False),
        (_pod(_condition("PodScheduled", "False", reason="Unschedulable")), True),
        (_pod({"phase": "Failed", "reason": "Evicted"}), True),
    ],
)
def test_pods_that_need_help(pod: dict[str, Any], expected: bool) -> None:
    assert will_not_start(pod) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (_waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1, "message": FLAG_ERROR}}), True),
        ({"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 1, "message": FLAG_ERROR}}}]}, True),
        ({"initContainerStatuses": [{"name": "kine", "lastState": {"terminated": {"exitCode": 1, "message": FLAG_ERROR}}}]}, True),
        (_waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1, "message": f"{FLAG_ERROR}then it waited\n"}}), False),
        (_waiting("CrashLoopBackOff"), False),
        ({}, False),
    ],
)
def test_containers_that_refuse_their_flags(state: dict[str, Any], expected: bool) -> None:
    assert refuses_its_flags(_pod(state)) == expected


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("True", "kubelet is posting ready status", False),
        ("Unknown", "Kubelet stopped posting node status.", True),
        ("False", "[container runtime is down, PLEG is not healthy]", True),
        (
            "False",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized",
            False,
        ),
    ],
)
def test_lost_nodes(status: str, message: str, expected: bool) -> None:
    assert node_is_lost(_obj("Node", _condition("Ready", status, message=message))) == expected
    assert not node_is_lost(_obj("Node", {}))


def _on(node: str, *, ready: bool) -> dict[str, Any]:
    return {"metadata": {"name": node}, "spec": {"nodeName": node}, "status": _condition("Ready", str(ready))}


@pytest.mark.parametrize(
    ("updated", "ready", "lost", "done"),
    [
        (3, "ab", "c", True),
        (2, "ab", "c", True),
        (3, "ab", "", False),
        (3, "a", "c", False),
        (1, "ab", "c", False),
        (3, "a", "bc", True),
        # It has no pod on the lost node, so each of its own counts.
        (3, "ab", "z", False),
    ],
)
def test_daemon_set_without_lost_nodes(updated: int, ready: str, lost: str, done: bool) -> None:
    status = _seen(desiredNumberScheduled=3, updatedNumberScheduled=updated, numberAvailable=len(ready))
    pods = [_on(node, ready=node in ready) for node in "abc"]
    assert (daemon_set_problem_without(_obj("DaemonSet", status), pods, lost) is None) == done
