# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until a node is well after a change of its kubelet or container runtime (rules in _api/node_health.py)."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final, cast

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import node_health
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.node_health import Workload
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import pods_on

LEASES: Final = "kube-node-lease"


def workloads_on(client: Client, name: str) -> list[Workload]:
    """Return whose pods run on a node, as far as they are well now: after a change of the node nothing is to be better than before."""
    found = node_health.workloads_of(pods_on(client, name))
    live = {kind: _by_name(client, kind) for kind in node_health.EVICTED_KINDS if any(item.kind == kind for item in found)}
    return [item for item in found if item.kind not in live or not _problems([item], live[item.kind])]


def _by_name(client: Client, kind: str) -> Objects:
    return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in client.list(resource_of(kind)).items}


def wait_until_alive(client: Client, name: str, version: str, *, deadline: float) -> Json:
    """Wait until a kubelet of a version answers for a node: it renews its Lease from now on, and the Node is Ready at that version.

    A Node stays Ready for 40 seconds after its kubelet died, so that Ready alone says nothing. Returns the Node. Raises WaitTimeout.
    """
    before = node_health.renew_time(client.get(resource_of("Lease"), name, LEASES))
    wait_for(
        client,
        resource_of("Lease"),
        name,
        LEASES,
        predicate=lambda found: node_health.has_renewed(found, before),
        deadline=deadline,
        explain=lambda _found: "its kubelet does not renew it: look at journalctl -u kubelet on the host",
    )
    found = wait_for(
        client,
        resource_of("Node"),
        name,
        predicate=lambda found: found is not None and _problem(found, version) is None,
        deadline=deadline,
        explain=lambda found: _problem(found, version),
    )
    return cast(Json, found)  # the predicate says that it is there


def wait_for_pods_of_node(client: Client, name: str, daemon_sets: Collection[Workload], *, deadline: float) -> None:
    """Wait until the pods of DaemonSets on a node are ready. Raises WaitTimeout that names those that are not."""
    wait_until(
        client,
        resource_of("Pod"),
        field_selector=f"spec.nodeName={name}",
        predicate=lambda pods: node_health.node_pods_problem(list(pods.values()), daemon_sets) is None,
        deadline=deadline,
        what=f"pods of Node {name}",
        explain=lambda pods: node_health.node_pods_problem(list(pods.values()), daemon_sets) or "",
    )


def wait_for_workloads(client: Client, workloads: Sequence[Workload], *, deadline: float) -> None:
    """Wait until controllers have all their pods ready again, wherever; not DaemonSets. Raises WaitTimeout that names those that have not."""
    for kind in node_health.EVICTED_KINDS:
        wanted = [item for item in workloads if item.kind == kind]
        if wanted:
            _wait_for_kind(client, kind, wanted, deadline)


def _wait_for_kind(client: Client, kind: str, wanted: Sequence[Workload], deadline: float) -> None:
    wait_until(
        client,
        resource_of(kind),
        predicate=lambda found: not _problems(wanted, found),
        deadline=deadline,
        what="pods that left the node",
        explain=lambda found: _problems(wanted, found),
    )


def deadline_in(timeout_s: float) -> float:
    """A deadline on the clock of the waits."""
    return time.monotonic() + timeout_s


def _problem(found: Json, version: str) -> str | None:
    seen = found.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
    if seen != version:
        return f"its kubelet is {seen or 'unknown'}, not {version}"
    return node_problem(found)


def _problems(wanted: Sequence[Workload], found: Objects) -> str:
    reasons = [node_health.workload_problem(item, found.get((item.namespace, item.name))) for item in wanted]
    return "; ".join(reason for reason in reasons if reason)
