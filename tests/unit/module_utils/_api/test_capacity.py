# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from decimal import Decimal

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.capacity import free_processors
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


def node(cpu: str = "4", *, name: str = "node", ready: str = "True", **spec: object) -> Json:
    status = {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def container(cpu: str, **fields: str) -> Json:
    return {"resources": {"requests": {"cpu": cpu}}, **fields}


def pod(*cpus: str, phase: str = "Running", **spec: object) -> Json:
    containers = [container(cpu) for cpu in cpus]
    return {"metadata": {"name": "pod"}, "spec": {"nodeName": "node", "containers": containers, **spec}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("nodes", "pods", "free"),
    [
        ([], [], "0"),
        ([node("2500m")], [], "2.5"),
        ([node(), node("3", name="other")], [], "7"),
        ([node(), node(name="off", ready="False"), node(name="silent", ready="Unknown")], [], "4"),
        ([node(), node(name="cordoned", unschedulable=True)], [], "4"),
        ([node()], [pod("250m", "1"), pod("0.5")], "2.25"),
        ([node()], [pod("1", phase="Succeeded"), pod("1", phase="Failed"), pod("1", nodeName="gone"), pod("1", nodeName=None)], "4"),
        ([node()], [pod("1", initContainers=[container("1", restartPolicy="Always"), container("2")], overhead={"cpu": "250m"})], "1.75"),
        ([node()], [pod("1", containers=[{"name": "asks-for-nothing"}, {"resources": {"requests": {"memory": "1Gi"}}}])], "4"),
        # One that is overcommitted takes nothing from the others.
        ([node("1"), node("2", name="other")], [pod("3")], "2"),
    ],
)
def test_free_processors(nodes: list[Json], pods: list[Json], free: str) -> None:
    assert free_processors(nodes, pods) == Decimal(free)
