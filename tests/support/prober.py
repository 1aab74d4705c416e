# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a tenant's API server all the time while something is done to it, from outside and from a pod inside; see prober.go."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.tests.support.bundle import cache_directory

SOURCE: Final = Path(__file__).with_name("prober.go")
PROTOCOLS: Final = ("HTTP/1.1", "HTTP/2.0")
LEAST_REQUESTS: Final = 600
NAME: Final = "prober"
NAMESPACE: Final = "prober"
# What it asks for: an object that every namespace has, so that a request goes through authentication, RBAC and the store.
AUTHORITY: Final = "kube-root-ca.crt"
PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{AUTHORITY}"
_INTERVAL_S: Final = 0.1
_TIMEOUT_S: Final = 5
_TOKEN_S: Final = 3 * 3600
_POD_TOKEN_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_Result = TypeVar("_Result")


def program() -> Path:
    """The compiled prober: one static file that runs anywhere, kept in the cache for as long as its source stays the same."""
    wanted = cache_directory() / "tests" / f"prober-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not wanted.exists():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        made = wanted.with_suffix(f".{os.getpid()}")
        go = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(made), str(SOURCE)]
        subprocess.run(go, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}, check=True)
        made.replace(wanted)
    return wanted


@dataclass(frozen=True)
class Probe:
    """One request. time: of its start, UTC; error: empty when it was answered well; retried: its kept connection was closed, and it was sent anew.

    told: a server that was stopping told it to ask again (Retry-After), which it did once.
    """

    time: datetime
    protocol: str
    ms: float
    retried: bool
    told: bool
    error: str


@dataclass(frozen=True)
class Summary:
    """What became of all requests of one prober over one protocol."""

    requests: int
    retried: int
    told: int
    slowest_ms: float
    failures: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.requests} requests, {len(self.failures)} failed, {self.retried} retried, {self.told} told to, slowest {self.slowest_ms:.0f} ms"


def read_probes(text: str) -> list[Probe]:
    """What a prober printed; its last line may not be finished yet."""
    whole = text[: text.rfind("\n") + 1]
    found = []
    for line in whole.splitlines():
        values: Json = json.loads(line)
        found.append(Probe(**{**values, "time": datetime.fromisoformat(values["time"])}))
    return found


def summary(probes: Iterable[Probe], protocol: str, since: datetime, until: datetime) -> Summary:
    """Requests over one protocol that began in a time."""
    chosen = [probe for probe in probes if probe.protocol == protocol and since <= probe.time < until]
    return Summary(
        requests=len(chosen),
        retried=sum(probe.retried for probe in chosen),
        told=sum(probe.told for probe in chosen),
        slowest_ms=max((probe.ms for probe in chosen), default=0.0),
        failures=tuple(f"{probe.time:%H:%M:%S.%f} after {probe.ms:.0f} ms: {probe.error}" for probe in chosen if probe.error),
    )


@dataclass(frozen=True)
class Prober:
    """One that runs. where: as the report calls it; output: what it has printed from a time on, as it stands now."""

    where: str
    output: Callable[[datetime], str]


class Measurement:
    """Does something while probers ask, and reports what became of their requests."""

    def __init__(self, probers: Iterable[Prober]) -> None:
        self._probers = tuple(probers)

    def during(self, what: str, step: Callable[[], _Result]) -> _Result:
        """Do it, and wait until there are enough requests. Prints a line for each prober and protocol; fails when any request failed."""
        since = datetime.now(UTC)
        started = time.monotonic()
        result = step()
        took_s = time.monotonic() - started
        # A little longer than the requests need, and then for those that are on their way.
        time.sleep(max(0.0, (LEAST_REQUESTS + 10) * _INTERVAL_S - took_s))
        until = datetime.now(UTC)
        time.sleep(_TIMEOUT_S + 1)
        print(f"\n{what} took {took_s:.1f} s")
        problems = []
        for prober in self._probers:
            probes = read_probes(prober.output(since))
            for protocol in PROTOCOLS:
                found = summary(probes, protocol, since, until)
                print(f"  {prober.where}, {protocol}: {found}")
                problems += [f"{prober.where}, {protocol}, {failure}" for failure in found.failures]
                if found.requests < LEAST_REQUESTS:
                    problems.append(f"{prober.where}, {protocol}: only {found.requests} requests")
        assert not problems, f"{what}: {len(problems)} problems:\n" + "\n".join(problems)
        return result


@contextlib.contextmanager
def outside(inside: Client, directory: Path) -> Iterator[Prober]:
    """A prober on this machine. inside: an administrator of the tenant, connected to what the prober is to ask."""
    authority = _make_user(inside)
    token, ca, log = (directory / name for name in ("token", "ca.crt", "probes.json"))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": _TOKEN_S}}
    answer = inside.request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token", body=review)
    token.touch(mode=0o600)
    token.write_text(answer["status"]["token"], encoding="utf-8")
    ca.write_text(authority, encoding="utf-8")
    command = [str(program()), *_flags(inside.access.server, str(ca), str(token))]
    with log.open("wb") as stream, subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=stream) as process:
        try:
            yield Prober("outside", lambda since: log.read_text(encoding="utf-8"))
        finally:
            process.terminate()


@contextlib.contextmanager
def in_pod(inside: Client, node: str, image: str, folder: str) -> Iterator[Prober]:
    """A prober in a pod that asks kubernetes.default.svc. image: any that the node has; folder: where on the node the program lies."""
    _make_user(inside)
    inside.create(_pod(node, image, folder))
    pods = resource_of("Pod")
    wait_for(inside, pods, NAME, NAMESPACE, predicate=lambda pod: pod is not None and pod_ready(pod), deadline=time.monotonic() + 60)

    def output(since: datetime) -> str:
        return inside.get_raw(f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}/log?sinceTime={since:%Y-%m-%dT%H:%M:%SZ}")

    yield Prober("in a pod", output)
    inside.delete(pods, NAME, NAMESPACE)


def _flags(server: str, authority: str, token: str) -> list[str]:
    return [f"-url={server}{PATH}", f"-ca={authority}", f"-token={token}", f"-timeout={_TIMEOUT_S}s", f"-interval={_INTERVAL_S}s"]


def _make_user(inside: Client) -> str:
    """Make a namespace with a service account that may read one ConfigMap: the tenant's authority (PEM), which is returned."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [AUTHORITY], "verbs": ["get"]}
    objects: tuple[Json, ...] = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    )
    for item in objects:
        inside.apply(item, force=True)
    deadline = time.monotonic() + 30
    found = wait_for(inside, resource_of("ConfigMap"), AUTHORITY, NAMESPACE, predicate=lambda obj: obj is not None, deadline=deadline)
    assert found is not None
    return str(found["data"]["ca.crt"])


def _pod(node: str, image: str, folder: str) -> Json:
    flags = _flags("https://kubernetes.default.svc", f"{_POD_TOKEN_DIR}/ca.crt", f"{_POD_TOKEN_DIR}/token")
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [f"/prober/{program().name}", *flags],
        "volumeMounts": [{"name": "program", "mountPath": "/prober", "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "nodeName": node,
            "serviceAccountName": NAME,
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "program", "hostPath": {"path": folder, "type": "Directory"}}],
        },
    }
