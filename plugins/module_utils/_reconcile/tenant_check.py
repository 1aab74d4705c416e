# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a tenant cluster works: looks at what is there, then runs pods on every worker, and takes all of it away again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import tenant_check as pure
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem, problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests import tenant_check as manifests
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import tenant_probes
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import told
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_paths import Paths, tenant_paths
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_probes import CheckFailedError, Insides, Target
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import TenantSource

_SYSTEM: Final = "kube-system"

# What to do, by check. Checks in the order in which they are reported.
_KONNECTIVITY: Final = (
    "look at the pods konnectivity-agent in kube-system of the tenant: the agents must reach the control plane's konnectivity port from "
    "every worker, and must be connected to each replica"
)
_REMEDIES: Final[Mapping[str, str]] = {
    "control-plane": "run the tenant's playbook until it is Ready",
    "nodes": "look at the kubelet of that host (journalctl -u kubelet), and whether the tenant has a pod network (CNI)",
    "system": "look at those pods in kube-system of the tenant",
    "pods": "give every worker the image (option image, role worker: worker_images) or a registry that has it, then run again",
    "logs": _KONNECTIVITY,
    "exec": _KONNECTIVITY,
    "port-forward": _KONNECTIVITY,
    "proxy": f"{_KONNECTIVITY}; a Service is proxied over the pod network",
    "pod-to-pod": "look at the pod network (CNI) on both nodes and at firewalls between them (flannel vxlan: UDP 8472)",
    "service": "look at kube-proxy on that node",
    "dns": "look at the pods coredns in kube-system of the tenant, and at kube-proxy on that node",
    "removal": "look at the namespace's conditions; the next run removes it first",
}


@dataclass(frozen=True)
class Options:
    """What a caller chooses. Times in seconds, each for one wait. read_only: look, make nothing, wait for nothing."""

    image: str
    minimum_nodes: int
    repeats: int
    wait_timeout_s: float
    settle_s: float
    read_only: bool


@dataclass
class Report:
    """What has been seen. fault: why nothing could be looked at. error: one message of all that failed, None when nothing did."""

    tenant: str
    replicas: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    checks: list[pure.Check] = field(default_factory=list)
    fault: str = ""

    @property
    def error(self) -> str | None:
        return self.fault or pure.failure(self.tenant, self.checks)

    def ok(self, *names: str) -> bool:
        """Whether all of these checks have succeeded."""
        return all(check.ok for check in self.checks if check.name in names)

    def check(self, name: str, action: Callable[[], str], *, needs: tuple[str, ...] = ()) -> None:
        """Do one check, unless one that it needs has failed."""
        failed = [check.name for check in self.checks if check.name in needs and not check.ok]
        if failed:
            self.checks.append(pure.Check(name, False, 0, f"not tried, because {' and '.join(failed)} failed"))
            return
        started = time.monotonic()
        try:
            ok, message = True, action()
        except HostedKubernetesError as error:
            ok, message = False, f"{error.msg}; {_REMEDIES[name]}"
        self.checks.append(pure.Check(name, ok, round((time.monotonic() - started) * 1000), message))

    def as_dict(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "replicas": list(self.replicas),
            "nodes": list(self.nodes),
            "checks": [check.as_dict() for check in self.checks],
        }


def check_tenants(
    proofs: Sequence[tuple[TenantSource, Options]], *, at_once: int, tell: Callable[[str], None] = lambda _text: None
) -> list[Report]:
    """Prove several tenants, at_once of them at a time; one that fails does not hold up the others. tell: hears of each that is done."""

    def prove(proof: tuple[TenantSource, Options]) -> Report:
        source, options = proof
        started = time.monotonic()
        try:
            report = check_tenant(source, options)
        except HostedKubernetesError as error:
            report = Report(source.label, fault=told(source.label, error))
        tell(report.error or f"{source.label}: {len(report.checks)} checks in {time.monotonic() - started:.0f} s")
        return report

    with ThreadPoolExecutor(max_workers=min(at_once, len(proofs)) or 1) as pool:
        return list(pool.map(prove, proofs))


def check_tenant(source: TenantSource, options: Options) -> Report:
    """Prove that a tenant cluster works. Raises HostedKubernetesError when it cannot be reached at all, read_only says so in the report."""
    report = Report(source.label)
    try:
        with tenant_paths(source) as paths, paths.all[0].open() as client:
            _check(paths, client, options, report)
    except HostedKubernetesError as error:
        if not options.read_only:
            raise
        report.checks.append(pure.Check("control-plane", False, 0, error.msg))
    return report


def _check(paths: Paths, client: Client, options: Options, report: Report) -> None:
    report.replicas = paths.replicas
    if paths.replicas:
        report.check("control-plane", lambda: _control_plane(paths))
    looked = _Looked(client, options, report)
    report.check("nodes", looked.nodes)
    report.check("system", looked.system)
    if not options.read_only and report.nodes:
        _prove(paths, client, options, report)


def _control_plane(paths: Paths) -> str:
    if paths.problems:
        raise CheckFailedError(paths.problems)
    return f"{len(paths.replicas)} replicas: {', '.join(paths.replicas)}"


class _Looked:
    """What is read of a cluster."""

    def __init__(self, client: Client, options: Options, report: Report) -> None:
        self._client, self._options, self._report = client, options, report
        self._is_empty = False

    def nodes(self) -> str:
        minimum = self._options.minimum_nodes

        def problems(objects: Objects) -> str:
            found = pure.workers(objects.values())
            self._report.nodes = found.ready
            few = len(found.ready) + len(found.cordoned) + len(found.problems) < minimum
            return pure.joined([*found.problems, *([f"{len(objects)} of at least {minimum} nodes have joined"] if few else [])])

        objects = self._wait("Node", "", "workers", problems)
        self._is_empty = not objects
        if self._is_empty:
            return "no worker has joined, and none is asked for"
        found = pure.workers(objects.values())
        cordoned = f"; left out, since cordoned: {', '.join(found.cordoned)}" if found.cordoned else ""
        return f"{len(found.ready)} Ready: {', '.join(found.ready)}{cordoned}"

    def system(self) -> str:
        if self._is_empty:
            return "not looked at: it runs on workers, and there is none"

        def problems(objects: Objects) -> str:
            return pure.joined(
                f"{found['kind']} {name}: {reason}" for (_unused, name), found in objects.items() if (reason := problem(found))
            )

        kinds = [self._wait(kind, _SYSTEM, f"{kind}s of {_SYSTEM}", problems) for kind in ("DaemonSet", "Deployment")]
        return f"ready: {', '.join(sorted(name for objects in kinds for _namespace, name in objects))}"

    def _wait(self, kind: str, namespace: str, what: str, problems: Callable[[Objects], str]) -> Objects:
        timeout_s = 0 if self._options.read_only else self._options.wait_timeout_s
        return wait_until(
            self._client,
            resource_of(kind),
            namespace=namespace or None,
            predicate=lambda objects: not problems(objects),
            deadline=time.monotonic() + timeout_s,
            what=what,
            explain=problems,
        )


def _prove(paths: Paths, client: Client, options: Options, report: Report) -> None:
    """Make the pods, try everything on them, and remove them whatever happens."""
    space = _Space(client, options, report.nodes)
    try:
        report.check("pods", space.make)
        if report.ok("pods"):
            _probe(space.target(paths), client, report)
    finally:
        report.check("removal", space.remove)


def _probe(target: Target, client: Client, report: Report) -> None:
    report.check("logs", lambda: tenant_probes.logs(target))
    report.check("exec", lambda: tenant_probes.exec_(target))
    report.check("port-forward", lambda: tenant_probes.port_forward(target))
    with Insides(target, client) as insides:
        report.check("pod-to-pod", insides.pod_to_pod, needs=("port-forward",))
        report.check("service", insides.service, needs=("port-forward",))
        report.check("dns", insides.dns, needs=("exec",))
    report.check("proxy", lambda: tenant_probes.proxy(target))


class _Space:
    """The namespace of one proof."""

    def __init__(self, client: Client, options: Options, nodes: tuple[str, ...]) -> None:
        self._client, self._options, self._nodes = client, options, nodes
        self._name = f"{pure.NAMESPACE_PREFIX}{secrets.token_hex(4)}"
        self._pods: tuple[pure.CheckPod, ...] = ()
        self._service_ip = ""

    def make(self) -> str:
        """Create everything and wait until a pod runs on each node. Raises HostedKubernetesError that names nodes and reasons."""
        self._delete()
        self._client.create(manifests.namespace(self._name))
        self._service_ip = self._client.create(manifests.service(self._name))["spec"]["clusterIP"]
        self._client.create(manifests.deployment(self._name, self._options.image, self._nodes))
        served = self._wait_for_pods(
            lambda found: not pure.unserved(found.values(), self._nodes), f"image {self._options.image}", self._unserved
        )
        self._pods = pure.check_pods(served.values())
        return f"one on each of {', '.join(self._nodes)}"

    def target(self, paths: Paths) -> Target:
        return Target(paths, self._name, self._pods, self._service_ip, self._options.repeats, self._options.settle_s)

    def remove(self) -> str:
        """Delete the namespace and wait until it, and any other of such a proof, is gone.

        The pods go first: the namespace controller, when it finds some, looks again only after many seconds.
        """
        try:
            self._client.delete(resource_of("Deployment"), pure.NAME, self._name)
            self._wait_for_pods(lambda found: not found, "removal of the pods", pure.remaining)
        finally:
            self._delete()
        wait_until(
            self._client,
            resource_of("Namespace"),
            label_selector=pure.LABEL,
            predicate=lambda found: not found,
            deadline=time.monotonic() + self._options.wait_timeout_s,
            what="removal of what the check has made",
            explain=pure.namespace_problem,
        )
        return f"namespace {self._name} is gone"

    def _wait_for_pods(self, predicate: Callable[[Objects], bool], what: str, explain: Callable[[Objects], str]) -> Objects:
        return wait_until(
            self._client,
            resource_of("Pod"),
            namespace=self._name,
            predicate=predicate,
            deadline=time.monotonic() + self._options.wait_timeout_s,
            what=what,
            explain=explain,
        )

    def _delete(self) -> None:
        """Delete every namespace of such a proof; one that is not ours was left by a run that was killed."""
        for found in self._client.list(resource_of("Namespace"), label_selector=pure.LABEL, metadata_only=True).items:
            self._client.delete(resource_of("Namespace"), found["metadata"]["name"])

    def _unserved(self, found: Objects) -> str:
        reasons = pure.unserved(found.values(), self._nodes) or ""
        deployment: Json | None = None if found else self._client.get(resource_of("Deployment"), pure.NAME, self._name)
        return f"{reasons} ({deployment_problem(deployment)})" if deployment else reasons
