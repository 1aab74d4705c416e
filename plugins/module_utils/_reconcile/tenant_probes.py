# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried on the pods of a proof. Each function returns one sentence of what it has seen, or raises with every problem.

What goes from the API server to a worker (logs, exec, port-forward, proxy) may take a moment to begin to work, since konnectivity agents
connect to each replica on their own. From its first success on, each further try on the same way has to succeed at once.
What goes from pod to pod is asked over port-forwards, which need no pod network: a fault is then where the message says it is.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import tenant_check
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import CheckPod
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.exec import execute
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_paths import Path, Paths

_THREADS: Final = 8
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_HTTP_TIMEOUT_S: Final = 30
_BATCH: Final = 5
"""Tries that a pod makes in one request: when all of them time out after agnhost's 5 seconds, the answer still comes in time."""
_PROGRAM: Final = "/agnhost"
_LOG_BEGINS: Final = "Started HTTP server on port"

Item = TypeVar("Item")


class CheckFailedError(HostedKubernetesError):
    """A check has seen what must not be."""


@dataclass(frozen=True)
class Target:
    """Where the probes work. repeats: fresh connections on each way after the first; settle_s: time until the first success."""

    paths: Paths
    namespace: str
    pods: tuple[CheckPod, ...]
    service_ip: str
    repeats: int
    settle_s: float


# From the API server to a worker


def logs(target: Target) -> str:
    def read(client: Client, pod: CheckPod) -> None:
        text = client.get_raw(f"/api/v1/namespaces/{target.namespace}/pods/{pod.name}/log?limitBytes=2048")
        _expect(_LOG_BEGINS in text, f"the log does not begin with what the program prints at its start, but with: {text[:80]!r}")

    return _on_every_way(target, read)


def exec_(target: Target) -> str:
    def run(client: Client, pod: CheckPod) -> None:
        word = secrets.token_hex(8)
        ended = execute(client, target.namespace, pod.name, [_PROGRAM, "mounttest", "--file_content=/dev/stdin"], stdin=word.encode())
        _expect(word in ended.stdout.decode(errors="replace"), f"exec did not give back what it read from stdin, but {ended}")

    return _on_every_way(target, run)


def port_forward(target: Target) -> str:
    def forward(client: Client, pod: CheckPod) -> None:
        with PortForward(client, target.namespace, pod.name, tenant_check.POD_PORT) as opened:
            answer = _get(opened, "/hostname")[1]
        _expect(answer == pod.name, f"the forwarded port answers {answer!r} and not with the pod's name")

    return _on_every_way(target, forward)


def proxy(target: Target) -> str:
    path = f"/api/v1/namespaces/{target.namespace}/services/{tenant_check.NAME}:{tenant_check.SERVICE_PORT}/proxy/hostname"

    def ask(client: Client, _pod: CheckPod) -> None:
        answer = client.get_raw(path)
        _expect(answer in {pod.name for pod in target.pods}, f"the proxied Service answers {answer!r}, which is no pod of it")

    return _on_every_way(target, ask)


def _on_every_way(target: Target, attempt: Callable[[Client, CheckPod], None]) -> str:
    """Try each pod on each way, always with a fresh connection."""

    def one(item: tuple[Path, CheckPod]) -> int:
        path, pod = item

        def fresh() -> None:
            with path.open() as client:
                attempt(client, pod)

        with _located(f"{pod} through {path.label}"):
            refusals = _settle(fresh, target.settle_s)
            for _unused in range(target.repeats):
                fresh()
        return refusals

    items = [(path, pod) for path in target.paths.all for pod in target.pods]
    refusals = sum(_each(items, one))
    late = f"; the first of them after {refusals} refusals" if refusals else ""
    return f"{len(items) * (target.repeats + 1)} connections to {_pods(target.pods)}, through {target.paths}{late}"


# From pod to pod


class Insides:
    """Lets the pods of a proof speak: a port-forward to each, open for as long as the block runs."""

    def __init__(self, target: Target, client: Client) -> None:
        self._target, self._client = target, client
        self._stack = contextlib.ExitStack()
        self._forwards: dict[CheckPod, PortForward] = {}

    def __enter__(self) -> Insides:
        for pod in self._target.pods:
            forward = PortForward(self._client, self._target.namespace, pod.name, tenant_check.POD_PORT)
            self._forwards[pod] = self._stack.enter_context(forward)
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stack.close()

    def pod_to_pod(self) -> str:
        pairs = tenant_check.targets(self._target.pods)
        if not pairs:
            return "there is only one worker, so nothing to cross"

        def one(pair: tuple[CheckPod, CheckPod]) -> None:
            source, other = pair
            with _located(f"from node {source.node} to node {other.node} ({other.ip})"):
                _settle(lambda: self._reach(source, other), self._target.settle_s)

        _each(pairs, one)
        return f"{len(pairs)} directions between {_pods(self._target.pods)}"

    def service(self) -> str:
        """Each pod gets answers of all pods through the Service's address."""

        def one(pod: CheckPod) -> None:
            with _located(f"from node {pod.node} to the Service's address {self._target.service_ip}"):
                _settle(lambda: self._balanced(pod), self._target.settle_s)

        _each(self._target.pods, one)
        return (
            f"{self._target.service_ip} reaches {len(self._target.pods)} of {len(self._target.pods)} pods from {_pods(self._target.pods)}"
        )

    def dns(self) -> str:
        """Each pod resolves the Service and the API server's, and connects to what it has got."""
        domain = tenant_check.cluster_domain(self._run(self._target.pods[0], "dns-suffix"))
        service = f"{tenant_check.NAME}.{self._target.namespace}.svc.{domain}:{tenant_check.SERVICE_PORT}"
        # The short name needs the search list; the API server is reached by what every client in a pod uses.
        names = (service, f"{tenant_check.NAME}:{tenant_check.SERVICE_PORT}", f"kubernetes.default.svc.{domain}:443")

        def connect(pod: CheckPod, name: str) -> None:
            with _located(f"from node {pod.node} to {name}"):
                _settle(lambda: self._run(pod, "connect", name, "--timeout=5s"), self._target.settle_s)

        def one(pod: CheckPod) -> None:
            for name in names:
                connect(pod, name)

        _each(self._target.pods, one)
        return f"the Service by its full and its short name, the API server's Service, in {domain}, from {_pods(self._target.pods)}"

    def _reach(self, source: CheckPod, other: CheckPod) -> None:
        got = self._dial(source, other.ip, tenant_check.POD_PORT, 1)
        _expect(got.responses == (other.name,), got.errors[0] if got.errors else f"answered {got.responses}, not the pod {other.name}")

    def _balanced(self, pod: CheckPod) -> None:
        wanted, tries = {item.name for item in self._target.pods}, tenant_check.tries_for(len(self._target.pods))
        seen: set[str] = set()
        while tries > 0 and not wanted <= seen:
            got = self._dial(pod, self._target.service_ip, tenant_check.SERVICE_PORT, min(tries, _BATCH))
            _expect(not got.errors, "; ".join(got.errors[:1]))
            seen.update(got.responses)
            tries -= _BATCH
        missed = sorted(str(item) for item in self._target.pods if item.name not in seen)
        _expect(not missed, f"never answered: {', '.join(missed)}")

    def _dial(self, pod: CheckPod, host: str, port: int, tries: int) -> tenant_check.Dialled:
        return tenant_check.dialled(*_get(self._forwards[pod], tenant_check.dial_path(host, port, tries=tries)))

    def _run(self, pod: CheckPod, *arguments: str) -> str:
        ended = execute(self._client, self._target.namespace, pod.name, [_PROGRAM, *arguments], timeout_s=_HTTP_TIMEOUT_S)
        told = (ended.stderr or ended.stdout).decode(errors="replace").strip()
        _expect(ended.exit_code == 0, told or f"exit code {ended.exit_code}")
        return ended.stdout.decode(errors="replace")


# Common


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckFailedError(otherwise)


def _settle(attempt: Callable[[], object], settle_s: float) -> int:
    """Try until it works; returns how often it did not. Raises the last error when settle_s is over."""
    deadline, pause_s, failed = time.monotonic() + settle_s, _FIRST_PAUSE_S, 0
    while True:
        try:
            attempt()
        except HostedKubernetesError:
            failed += 1
            if time.monotonic() + pause_s > deadline:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            return failed


def _each(items: Sequence[Item], work: Callable[[Item], int | None]) -> list[int]:
    """Do all at once; raises one error with the problems of all that failed."""

    def caught(item: Item) -> int | HostedKubernetesError:
        try:
            return work(item) or 0
        except HostedKubernetesError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        outcomes = list(pool.map(caught, items))
    problems = [outcome.msg for outcome in outcomes if isinstance(outcome, HostedKubernetesError)]
    if problems:
        raise CheckFailedError(tenant_check.joined(problems))
    return [outcome for outcome in outcomes if isinstance(outcome, int)]


@contextlib.contextmanager
def _located(where: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise CheckFailedError(f"{where}: {error.status} {error.reason}: {error.message}") from error
    except HostedKubernetesError as error:
        raise CheckFailedError(f"{where}: {error.msg}") from error


def _get(forward: PortForward, path: str) -> tuple[int, str]:
    """GET over a port-forward; raises CheckFailedError with the port-forward's own reason when it has one."""
    connection = http.client.HTTPConnection(*forward.address, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise CheckFailedError(forward.last_error.msg if forward.last_error else f"the forwarded port: {error}") from error
    finally:
        connection.close()


def _pods(pods: Sequence[CheckPod]) -> str:
    return f"{len(pods)} nodes" if len(pods) > 1 else f"node {pods[0].node}"
