# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much processor the nodes of a cluster have left."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import quantity
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem, pod_counts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


def free_processors(nodes: Iterable[Json], pods: Iterable[Json]) -> Decimal:
    """What nodes that take pods can give, less what pods asked for; in processors. pods: of all namespaces, at any stage."""
    asked: dict[str, Decimal] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod_counts(pod):
            asked[node] = asked.get(node, Decimal(0)) + _requested(pod["spec"])
    free = Decimal(0)
    for node in nodes:
        if not node["spec"].get("unschedulable") and node_problem(node) is None:
            allocatable = (node["status"].get("allocatable") or {}).get("cpu")
            free += max(Decimal(0), (quantity(allocatable) or Decimal(0)) - asked.get(node["metadata"]["name"], Decimal(0)))
    return free


def _requested(spec: Json) -> Decimal:
    """By the containers that run as long as the pod does, and by the runtime; those that only prepare it have ended, or will."""
    sidecars = [item for item in spec.get("initContainers") or [] if item.get("restartPolicy") == "Always"]
    asked = [(item.get("resources") or {}).get("requests") for item in (*spec["containers"], *sidecars)]
    return sum((quantity((amounts or {}).get("cpu")) or Decimal(0) for amounts in (*asked, spec.get("overhead"))), Decimal(0))
