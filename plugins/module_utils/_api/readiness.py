# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an object is ready, and if not, why not: one function per kind over plain objects.

Each returns None when the object is ready, else the reason as a person would say it, for messages and results.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


class Problem(Protocol):
    """Says why an object is not ready, None when it is."""

    def __call__(self, obj: Json, /) -> str | None: ...


# Container states that pass by themselves and explain nothing.
_PASSING: Final = frozenset({"ContainerCreating", "PodInitializing"})
# Those that somebody has to end; the kubelet tries again for ever.
_LASTING: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


# How the components of Kubernetes refuse their command line (github.com/spf13/pflag); another try refuses it again.
_FLAG_ERRORS: Final = ("Error: unknown flag: ", "Error: unknown shorthand flag: ", "Error: invalid argument ")


def deployment_problem(obj: Json) -> str | None:
    """Ready: the present template is rolled out to all replicas, all are available, none of an older template is left.

    Pods that are still terminating count only where the server reports them (status.terminatingReplicas, Kubernetes 1.33
    on, by feature gate).
    """
    status, wanted = obj.get("status", {}), _replicas(obj)
    if obj["spec"].get("paused"):
        return "its rollout is paused"
    if not _observed(obj):
        return "the controller has not seen its latest change yet"
    progressing = _condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return f"its rollout is stuck: {progressing.get('message', 'progress deadline exceeded')}"
    failure = _condition(obj, "ReplicaFailure")
    if failure.get("status") == "True":
        return f"pods cannot be created: {failure.get('message', '')}"
    if status.get("updatedReplicas", 0) < wanted:
        return f"{status.get('updatedReplicas', 0)} of {wanted} pods are of the present template"
    older = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    if older:
        return f"{older} pods of an older template are left"
    if status.get("availableReplicas", 0) < wanted:
        return f"{status.get('availableReplicas', 0)} of {wanted} pods are available"
    if status.get("terminatingReplicas", 0):
        return f"{status['terminatingReplicas']} pods are terminating"
    return None


def pods_are_made(deployment: Json) -> bool:
    """Whether a pod of the present template exists."""
    return _observed(deployment) and bool((deployment.get("status") or {}).get("updatedReplicas"))


def pods_are_refused(deployment: Json) -> bool:
    """Whether the API server refuses the pods: a quota, an admission policy."""
    return _condition(deployment, "ReplicaFailure").get("status") == "True"


def stateful_set_problem(obj: Json) -> str | None:
    """Ready: all replicas are of the update revision and available. With a partition only those above it must be."""
    status, wanted = obj.get("status", {}), _replicas(obj)
    if not _observed(obj):
        return "the controller has not seen its latest change yet"
    strategy = obj["spec"].get("updateStrategy", {})
    updated = status.get("updatedReplicas", 0)
    if strategy.get("type") != "OnDelete":
        target = max(0, wanted - (strategy.get("rollingUpdate") or {}).get("partition", 0))
        if updated < target and status.get("currentRevision") != status.get("updateRevision"):
            return f"{updated} of {target} pods are of the present template"
    if status.get("replicas", 0) != wanted:
        return f"{status.get('replicas', 0)} of {wanted} pods exist"
    if status.get("availableReplicas", 0) < wanted:
        return f"{status.get('availableReplicas', 0)} of {wanted} pods are available"
    return None


def daemon_set_problem(obj: Json) -> str | None:
    """Ready: on every node that should run it a pod of the present template is available. No such node is ready too."""
    status = obj.get("status", {})
    if not _observed(obj):
        return "the controller has not seen its latest change yet"
    wanted = status.get("desiredNumberScheduled", 0)
    if obj["spec"].get("updateStrategy", {}).get("type") != "OnDelete" and status.get("updatedNumberScheduled", 0) < wanted:
        return f"{status.get('updatedNumberScheduled', 0)} of {wanted} pods are of the present template"
    if status.get("numberAvailable", 0) < wanted:
        return f"{status.get('numberAvailable', 0)} of {wanted} pods are available"
    return None


def daemon_set_problem_without(obj: Json, pods: Iterable[Json], left_out: Container[str]) -> str | None:
    """The same without the nodes left_out (names), of which nothing is expected. pods: those of the DaemonSet."""
    reason, status = daemon_set_problem(obj), obj.get("status", {})
    if reason is None or not _observed(obj):
        return reason
    places = {pod["spec"].get("nodeName", ""): pod_ready(pod) for pod in sorted(pods, key=pod_ready)}
    wanted = status.get("desiredNumberScheduled", 0) - sum(node in left_out for node in places)
    on_demand = obj["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    updated = on_demand or status.get("updatedNumberScheduled", 0) >= wanted
    ready = sum(is_ready for node, is_ready in places.items() if node not in left_out)
    return None if updated and ready >= wanted else reason


def service_problem(obj: Json) -> str | None:
    """Ready: type LoadBalancer has an address; other types are always ready."""
    if obj["spec"].get("type") == "LoadBalancer" and not load_balancer_hosts(obj):
        return "no load-balancer address has been assigned; is there a load balancer with a free address in the cluster?"
    return None


def load_balancer_hosts(service: Json) -> list[str]:
    """The IP address, else host name, of each entry of a Service's load balancer, in its order; empty while there is none."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [host for item in ingress if (host := item.get("ip") or item.get("hostname"))]


def crd_problem(obj: Json) -> str | None:
    """Ready: names are accepted and the kind is served."""
    names = _condition(obj, "NamesAccepted")
    if names.get("status") == "False":
        return f"its names are not accepted: {names.get('message', '')}"
    if _condition(obj, "Established").get("status") != "True":
        return "it is not established yet"
    return None


def job_problem(obj: Json) -> str | None:
    """Ready: complete."""
    failed = _condition(obj, "Failed")
    if failed.get("status") == "True":
        return f"it failed: {failed.get('message', '')}"
    return None if _condition(obj, "Complete").get("status") == "True" else "it is not complete yet"


def claim_problem(obj: Json) -> str | None:
    """Ready: bound, or waiting for its first pod (volumeBindingMode WaitForFirstConsumer leaves it Pending)."""
    phase = obj.get("status", {}).get("phase", "Pending")
    return "its volume is lost" if phase == "Lost" else None


def namespace_problem(obj: Json) -> str | None:
    """Ready: not on its way out."""
    return "it is being deleted" if obj.get("metadata", {}).get("deletionTimestamp") else None


def node_problem(obj: Json) -> str | None:
    """Ready: the kubelet says so."""
    ready = _condition(obj, "Ready")
    return None if ready.get("status") == "True" else (ready.get("message") or "its kubelet has not reported yet")


def node_is_lost(node: Json) -> bool:
    """Whether a node is not ready for another reason than that it has no network of pods yet, which is what its pods may bring."""
    ready = _condition(node, "Ready")
    # The kubelet's words (pkg/kubelet/kubelet.go, runtimeState): "container runtime network not ready: NetworkReady=false …".
    return ready.get("status") in ("False", "Unknown") and "network not ready" not in ready.get("message", "")


def pod_ready(pod: Json) -> bool:
    """Whether condition Ready is true and the pod is not terminating."""
    return not pod.get("metadata", {}).get("deletionTimestamp") and _condition(pod, "Ready").get("status") == "True"


def pod_counts(pod: Json) -> bool:
    """Whether a pod runs, will run or is ending; evicted and failed ones stay as records until somebody collects them."""
    return bool(pod.get("metadata", {}).get("deletionTimestamp")) or pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")


def will_not_start(pod: Json) -> bool:
    """Whether something holds up a pod that does not pass by itself: no node for it, no image, a container that keeps ending."""
    status = pod.get("status") or {}
    if pod_ready(pod) or pod.get("metadata", {}).get("deletionTimestamp"):
        return False
    if status.get("phase") == "Failed" or _condition(pod, "PodScheduled").get("status") == "False":
        return True
    return any(((item.get("state") or {}).get("waiting") or {}).get("reason") in _LASTING for item in _containers(pod))


def refuses_its_flags(pod: Json) -> bool:
    """Whether a container ended because it does not know a flag, or a flag's value: it will not run before its arguments are others."""
    ends = [(item.get(state) or {}).get("terminated") or {} for item in _containers(pod) for state in ("state", "lastState")]
    return any(_last_line(end).startswith(_FLAG_ERRORS) for end in ends)


def pod_problem(pod: Json) -> str | None:
    """Ready: see pod_ready. The reason tells what holds the pod up: scheduling, image, crash; or that it takes its time."""
    if pod_ready(pod):
        return None
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return "it is terminating"
    status = pod.get("status", {})
    if status.get("phase") == "Failed":
        return f"it failed: {status.get('reason', '')} {status.get('message', '')}".rstrip(": ")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    return next(filter(None, map(_container_problem, _containers(pod))), "its containers are not ready yet")


PROBLEMS: Final[Mapping[str, Problem]] = {
    "CustomResourceDefinition": crd_problem,
    "DaemonSet": daemon_set_problem,
    "Deployment": deployment_problem,
    "Job": job_problem,
    "Namespace": namespace_problem,
    "Node": node_problem,
    "PersistentVolumeClaim": claim_problem,
    "Pod": pod_problem,
    "Service": service_problem,
    "StatefulSet": stateful_set_problem,
}
"""The function of each kind that has a readiness; every other kind is ready as soon as it exists."""


def problem(obj: Json) -> str | None:
    """Why an object of any kind is not ready, None when it is."""
    check = PROBLEMS.get(obj["kind"])
    return check(obj) if check else None


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_problem(container: Json) -> str | None:
    state, name = container.get("state", {}), container.get("name")
    waiting = state.get("waiting") or {}
    if waiting.get("reason") and waiting["reason"] not in _PASSING:
        last = (container.get("lastState") or {}).get("terminated") or {}
        told = waiting.get("message") or ""
        ended = f" (last exit code {last['exitCode']}, {last.get('reason', '')})" if "exitCode" in last else ""
        return f"container {name} {waiting['reason']}: {told}{ended}".rstrip(": ") + _last_words(last)
    terminated = state.get("terminated") or {}
    if terminated.get("exitCode"):
        reason = f"container {name} ended with exit code {terminated['exitCode']}: {terminated.get('reason', '')}".rstrip(": ")
        return reason + _last_words(terminated)
    return None


def _last_words(terminated: Json) -> str:
    line = _last_line(terminated)
    return f"; its last line: {line}" if line else ""


def _last_line(terminated: Json) -> str:
    """The last line of a container's output, which its termination message has with terminationMessagePolicy FallbackToLogsOnError."""
    return next((text for line in reversed((terminated.get("message") or "").splitlines()) if (text := line.strip())), "")


def _replicas(obj: Json) -> int:
    wanted = obj["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def _observed(obj: Json) -> bool:
    return bool(obj.get("status", {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 0))


def _condition(obj: Json, kind: str) -> Json:
    conditions = obj.get("status", {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})
