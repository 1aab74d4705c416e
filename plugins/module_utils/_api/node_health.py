# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node is well again after its kubelet or container runtime has been changed: itself, its pods, and those that had to leave it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_problem, pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

# Their pods are made again wherever there is room.
EVICTED_KINDS: Final = ("ReplicaSet", "StatefulSet")
DAEMON_SET: Final = "DaemonSet"
KINDS: Final = (*EVICTED_KINDS, DAEMON_SET)


@dataclass(frozen=True, order=True)
class Workload:
    """A controller that makes a pod again: a DaemonSet on the same node, the others wherever there is room. kind: one of KINDS."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Workload:
        """Raises InvalidError."""
        if raw.get("kind") not in KINDS:
            raise InvalidError(
                f'workload {raw.get("namespace")}/{raw.get("name")}: kind "{raw.get("kind")}" is not one of {", ".join(KINDS)}'
            )
        return cls(raw["kind"], raw["namespace"], raw["name"])

    def to_json(self) -> dict[str, str]:
        return dict(self.__dict__)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def workloads_of(pods: Iterable[Json]) -> list[Workload]:
    """Return the controllers of those pods that are ready now, each once and in order. Who was not well before is not waited for after."""
    found = (_workload(pod) for pod in pods if pod_ready(pod))
    return sorted({workload for workload in found if workload.kind in KINDS})


def workload_problem(workload: Workload, found: Json | None) -> str | None:
    """Return why a controller does not have all its pods ready, None when it has, or is gone, or was replaced (no pods are wanted of it)."""
    if found is None:
        return None
    wanted = found["spec"].get("replicas", 1)
    ready = found.get("status", {}).get("readyReplicas", 0)
    return None if ready >= wanted else f"{workload}: {ready} of {wanted} pods are ready"


def node_pods_problem(pods: Sequence[Json], daemon_sets: Collection[Workload]) -> str | None:
    """Return which pods of DaemonSets on a node are not ready, None when all are. A pod that is being deleted makes room for another."""
    reasons = [
        f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}: {pod_problem(pod) or 'is not ready'}"
        for pod in pods
        if _workload(pod) in daemon_sets and not pod["metadata"].get("deletionTimestamp") and not pod_ready(pod)
    ]
    return "; ".join(reasons) or None


def has_renewed(lease: Json | None, before: str) -> bool:
    """Whether a kubelet has renewed its Lease since renewTime was `before`, so that somebody is alive there now. No clock is compared."""
    return renew_time(lease) not in ("", before)


def renew_time(lease: Json | None) -> str:
    """When a Lease was last renewed, as its holder wrote it; "" when it never was."""
    return str(((lease or {}).get("spec") or {}).get("renewTime") or "")


def _workload(pod: Json) -> Workload:
    owners = pod["metadata"].get("ownerReferences") or []
    owner = next((item for item in owners if item.get("controller")), {"kind": "", "name": ""})
    return Workload(owner["kind"], pod["metadata"]["namespace"], owner["name"])
