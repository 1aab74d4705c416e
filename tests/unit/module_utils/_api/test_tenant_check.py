# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof asks of whom, and what it makes of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import tenant_check
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import Check, CheckPod, Dialled

Json = dict[str, Any]


def node(name: str, *, ready: bool = True, cordoned: bool = False) -> Json:
    condition = {"type": "Ready", "status": "True" if ready else "False", "message": "cni plugin not initialized"}
    return {"metadata": {"name": name}, "spec": {"unschedulable": True} if cordoned else {}, "status": {"conditions": [condition]}}


def pod(name: str, on: str = "", **status: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"nodeName": on} if on else {}, "status": status}


def running(name: str, on: str) -> Json:
    return pod(name, on, podIP=f"10.0.0.{len(on)}", conditions=[{"type": "Ready", "status": "True"}])


def test_nodes_are_sorted_by_what_they_can_take() -> None:
    found = tenant_check.workers(
        [node("w3"), node("w1"), node("w2", ready=False), node("w4", cordoned=True), node("w5", ready=False, cordoned=True)]
    )
    assert found.ready == ("w1", "w3")
    assert found.cordoned == ("w4",)
    assert found.problems == ("node w2: cni plugin not initialized", "node w5: cni plugin not initialized")


def test_a_node_without_a_ready_pod_is_named_with_the_reason() -> None:
    waiting = {"name": "agnhost", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes are available"}
    pods = [running("a", "w1"), pod("b", "w2", containerStatuses=[waiting]), pod("c", conditions=[unplaced])]
    assert tenant_check.unserved(pods, ["w1"]) is None
    assert tenant_check.unserved(pods, ["w1", "w2", "w3"]) == (
        "node w2: pod b: container agnhost ImagePullBackOff: no such image; node w3: pod c: Unschedulable: 0/4 nodes are available"
    )
    assert tenant_check.unserved([], ["w1"]) == "node w1: no pod has been made for it"


def test_only_ready_pods_are_tried() -> None:
    assert tenant_check.check_pods([running("b", "w22"), pod("c", "w3"), running("a", "w1")]) == (
        CheckPod("w1", "a", "10.0.0.2"),
        CheckPod("w22", "b", "10.0.0.3"),
    )


@pytest.mark.parametrize(("count", "pairs"), [(1, 0), (2, 2), (3, 6), (11, 110), (40, 400)])
def test_everybody_dials_others_never_itself(count: int, pairs: int) -> None:
    pods = [CheckPod(f"w{number}", f"p{number}", "") for number in range(count)]
    found = tenant_check.targets(pods)
    assert len(found) == len(set(found)) == pairs
    assert all(source != other for source, other in found)


@pytest.mark.parametrize("backends", [1, 2, 3, 10, 50])
def test_a_backend_is_hardly_ever_missed(backends: int) -> None:
    tries = tenant_check.tries_for(backends)
    assert tries >= backends
    assert backends * (1 - 1 / backends) ** tries <= 1e-9


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '{"responses":["a","b"]}', Dialled(("a", "b"), ())),
        (200, '{"errors":["connection refused"]}', Dialled((), ("connection refused",))),
        (
            400,
            "host and/or port param are invalid. no such host\n",
            Dialled((), ("400: host and/or port param are invalid. no such host",)),
        ),
    ],
)
def test_answers_of_agnhost(status: int, body: str, expected: Dialled) -> None:
    assert tenant_check.dialled(status, body) == expected


def test_the_path_that_makes_a_pod_dial() -> None:
    assert tenant_check.dial_path("fd00::1", 80, tries=3) == "/dial?host=fd00%3A%3A1&port=80&request=hostname&protocol=http&tries=3"


def test_the_domain_is_read_from_the_search_list() -> None:
    assert tenant_check.cluster_domain("ns.svc.blue.example,svc.blue.example,blue.example\n") == "blue.example"
    with pytest.raises(HostedKubernetesError, match=r"holds no svc\.<domain>: it is empty"):
        tenant_check.cluster_domain("\n")


def test_the_same_problem_of_many_is_told_once() -> None:
    assert tenant_check.joined(["a", "b", "a"]) == "a; b"
    assert tenant_check.joined([*"abcdef"]) == "a; b; c; d; and 2 more"
    assert tenant_check.joined([]) == ""


def test_one_message_of_all_that_failed() -> None:
    good, bad = Check("logs", True, 5, "fine"), Check("dns", False, 5, "from node w1: no such host; look at coredns")
    assert tenant_check.failure("team/blue", [good]) is None
    assert tenant_check.failure("team/blue", [good, bad]) == (
        "tenant team/blue: 1 of 2 checks failed: dns: from node w1: no such host; look at coredns"
    )


def test_a_namespace_that_stays_says_why() -> None:
    conditions = [
        {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "metrics.k8s.io/v1 cannot be reached"},
        {"type": "NamespaceContentRemaining", "status": "False", "message": "all gone"},
    ]
    objects: dict[tuple[str, str], Json] = {("", "a"): {"status": {"conditions": conditions}}, ("", "b"): {"status": {}}}
    assert tenant_check.namespace_problem(objects) == "namespace a: metrics.k8s.io/v1 cannot be reached; namespace b: it is being deleted"


def test_a_pod_that_stays_says_where() -> None:
    assert tenant_check.remaining({("ns", "b"): running("b", "w1"), ("ns", "a"): pod("a")}) == (
        "pod a is still on node none; pod b is still on node w1"
    )
