# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node is well again: its kubelet, its own pods, and those that had to leave it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.node_health import (
    Workload,
    has_renewed,
    node_pods_problem,
    renew_time,
    workload_problem,
    workloads_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

WEB = Workload("ReplicaSet", "shop", "web-1")
AGENT = Workload("DaemonSet", "shop", "agent")


def pod(name: str, kind: str = "ReplicaSet", owner: str = "web-1", *, ready: bool = True, **metadata: Any) -> Json:
    owners = [{"kind": kind, "name": owner, "controller": True}] if kind else []
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": {"name": name, "namespace": "shop", "ownerReferences": owners, **metadata}, "spec": {}, "status": status}


def controller(replicas: int, ready: int | None) -> Json:
    return {"spec": {"replicas": replicas}, "status": {} if ready is None else {"readyReplicas": ready}}


def test_whose_pods_are_waited_for() -> None:
    pods = [
        pod("a"),
        pod("b"),
        pod("c", "StatefulSet", "db"),
        pod("d", "Job", "once"),
        pod("e", ""),
        # Not well before the upgrade: nobody waits for it afterwards.
        pod("f", "ReplicaSet", "broken", ready=False),
        pod("g", "DaemonSet", "agent"),
        pod("h", "DaemonSet", "crashing", ready=False),
    ]
    assert workloads_of(pods) == [AGENT, WEB, Workload("StatefulSet", "shop", "db")]
    assert Workload.parse(WEB.to_json()) == WEB


def test_a_controller_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidError, match='kind "Job" is not one of ReplicaSet, StatefulSet, DaemonSet'):
        Workload.parse({"kind": "Job", "namespace": "shop", "name": "once"})


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (controller(3, 3), None),
        (controller(3, 2), "ReplicaSet shop/web-1: 2 of 3 pods are ready"),
        (controller(3, None), "ReplicaSet shop/web-1: 0 of 3 pods are ready"),
        (controller(0, None), None),
        (None, None),
    ],
    ids=["well", "one is missing", "all are missing", "replaced by a roll-out", "deleted"],
)
def test_controllers(found: Json | None, problem: str | None) -> None:
    assert workload_problem(WEB, found) == problem


@pytest.mark.parametrize(
    ("pods", "problem"),
    [
        ([pod("agent", "DaemonSet", "agent"), pod("web", ready=False)], None),
        ([pod("agent", "DaemonSet", "agent", ready=False)], "pod shop/agent: "),
        ([pod("agent", "DaemonSet", "agent", ready=False, deletionTimestamp="2026-01-01T00:00:00Z")], None),
        ([pod("crashing", "DaemonSet", "crashing", ready=False)], None),
        ([], None),
    ],
    ids=["well", "not ready", "makes room", "was not well before", "none"],
)
def test_pods_of_a_node(pods: list[Json], problem: str | None) -> None:
    found = node_pods_problem(pods, {AGENT})
    assert (found is None) if problem is None else (found or "").startswith(problem)


@pytest.mark.parametrize(
    ("lease", "renewed"),
    [
        ({"spec": {"renewTime": "2026-01-01T00:00:10.000000Z"}}, True),
        ({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}, False),
        ({"spec": {}}, False),
        (None, False),
    ],
)
def test_a_kubelet_that_is_alive_renews_its_lease(lease: Json | None, renewed: bool) -> None:
    before = renew_time({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}})
    assert has_renewed(lease, before) is renewed
