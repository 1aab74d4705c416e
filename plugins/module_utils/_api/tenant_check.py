# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a tenant cluster works, as far as it needs no cluster: what is asked of whom, and what answers mean."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem, pod_problem, pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

LABEL: Final = "hosted-kubernetes.io/tenant-check"
"""On every namespace of such a proof; one that is found was left by a run that was killed."""
NAMESPACE_PREFIX: Final = "hosted-kubernetes-check-"
NAME: Final = "check"
"""Of the Deployment and of the Service."""
POD_PORT: Final = 8080
SERVICE_PORT: Final = 80
NEED_PODS: Final = ("pods", "logs", "exec", "port-forward", "pod-to-pod", "service", "dns", "proxy", "removal")
"""Names of the checks that make pods."""
MOST_TARGETS: Final = 10
_MISSED: Final = 1e-9
_SHOWN_PROBLEMS: Final = 4


@dataclass(frozen=True)
class Check:
    """The outcome of one check. ms: how long it took, with all waiting."""

    name: str
    ok: bool
    ms: int
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Workers:
    """Nodes by what a check can do with them: names that take pods, names that are cordoned, reasons of those not Ready."""

    ready: tuple[str, ...]
    cordoned: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, order=True)
class CheckPod:
    """A running pod of the check. Its host name is its name."""

    node: str
    name: str
    ip: str

    def __str__(self) -> str:
        return f"pod {self.name} on node {self.node}"


@dataclass(frozen=True)
class Dialled:
    """What a pod got that dialled somewhere, one text for each try."""

    responses: tuple[str, ...]
    errors: tuple[str, ...]


def workers(nodes: Iterable[Json]) -> Workers:
    """Sort the Nodes of a cluster."""
    ready, cordoned, problems = [], [], []
    for node in sorted(nodes, key=lambda item: str(item["metadata"]["name"])):
        name, problem = node["metadata"]["name"], node_problem(node)
        if problem:
            problems.append(f"node {name}: {problem}")
        elif node["spec"].get("unschedulable"):
            cordoned.append(name)
        else:
            ready.append(name)
    return Workers(tuple(ready), tuple(cordoned), tuple(problems))


def check_pods(pods: Iterable[Json]) -> tuple[CheckPod, ...]:
    """The ready pods, by node."""
    return tuple(
        sorted(CheckPod(pod["spec"]["nodeName"], pod["metadata"]["name"], pod["status"]["podIP"]) for pod in pods if pod_ready(pod))
    )


def unserved(pods: Iterable[Json], nodes: Sequence[str]) -> str | None:
    """Say which nodes run no ready pod of the check and why; None when each does."""
    found = list(pods)
    served = {pod.node for pod in check_pods(found)}
    problems = {
        pod["spec"].get("nodeName", ""): f"pod {pod['metadata']['name']}: {pod_problem(pod)}" for pod in found if not pod_ready(pod)
    }
    unplaced = problems.get("")
    missing = [f"node {node}: {problems.get(node) or unplaced or 'no pod has been made for it'}" for node in nodes if node not in served]
    return "; ".join(missing) or None


def remaining(objects: Mapping[tuple[str, str], Json]) -> str:
    """Which pods are still there, and where."""
    return joined(
        f"pod {name} is still on node {pod['spec'].get('nodeName', 'none')}" for (_namespace, name), pod in sorted(objects.items())
    )


def targets(pods: Sequence[CheckPod]) -> list[tuple[CheckPod, CheckPod]]:
    """Who dials whom: everybody all others, in a large cluster the next MOST_TARGETS in the round."""
    count, steps = len(pods), min(len(pods) - 1, MOST_TARGETS)
    return [(pod, pods[(index + step) % count]) for index, pod in enumerate(pods) for step in range(1, steps + 1)]


def dial_path(host: str, port: int, *, tries: int = 1) -> str:
    """The path of agnhost netexec that makes the pod ask http://host:port/hostname (test/images/agnhost/netexec)."""
    return f"/dial?{urlencode({'host': host, 'port': port, 'request': 'hostname', 'protocol': 'http', 'tries': tries})}"


def dialled(status: int, body: str) -> Dialled:
    """Read the answer to dial_path; every answer that is not JSON counts as one error."""
    try:
        told = json.loads(body)
    except ValueError:
        return Dialled((), (f"{status}: {body.strip()}",))
    return Dialled(tuple(told.get("responses") or ()), tuple(told.get("errors") or ()))


def tries_for(backends: int) -> int:
    """How often a Service must be dialled so that one of its backends, chosen at random, is missed once in 10^9 runs."""
    if backends < 2:
        return 1
    return math.ceil(math.log(_MISSED / backends) / math.log(1 - 1 / backends))


def cluster_domain(suffixes: str) -> str:
    """The cluster's domain from a pod's DNS search list, such as "ns.svc.cluster.local,svc.cluster.local,cluster.local".

    Raises HostedKubernetesError when the list is not that of a pod that uses cluster DNS.
    """
    for suffix in suffixes.strip().split(","):
        if suffix.startswith("svc."):
            return suffix[len("svc.") :]
    raise HostedKubernetesError(f"the search list of a pod's /etc/resolv.conf holds no svc.<domain>: {suffixes.strip() or 'it is empty'}")


def joined(problems: Iterable[str]) -> str:
    """Several problems as one text: each once, the first few of them."""
    different = list(dict.fromkeys(problems))
    more = len(different) - _SHOWN_PROBLEMS
    return "; ".join([*different[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def failure(label: str, checks: Sequence[Check]) -> str | None:
    """One message of all failed checks, None when there is none."""
    failed = [check for check in checks if not check.ok]
    if not failed:
        return None
    reasons = "; ".join(f"{check.name}: {check.message}" for check in failed)
    return f"tenant {label}: {len(failed)} of {len(checks)} checks failed: {reasons}"


def namespace_problem(objects: Mapping[tuple[str, str], Json]) -> str:
    """Why namespaces are still there, by what their controller reports."""
    reasons = []
    for (_unused, name), found in sorted(objects.items()):
        told = [item.get("message", "") for item in found.get("status", {}).get("conditions") or [] if item.get("status") == "True"]
        reasons.append(f"namespace {name}: {' '.join(filter(None, told)) or 'it is being deleted'}")
    return "; ".join(reasons)
