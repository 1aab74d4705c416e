# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers for tests: in this process, where calls can be counted, and as the program that it is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.controller import Controller
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.options import Options
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.tenants import RENEW_BEFORE_DAYS, Tenant

MODULE: Final = "ansible_collections.hosted.kubernetes.plugins.module_utils._controller"
_LOOK_S: Final = 0.05
_START_S: Final = 30.0


def eventually(what: str, look: Callable[[], Any], within_s: float = 15.0) -> Any:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(_LOOK_S)
    raise AssertionError(f"{what}: not within {within_s:.0f} s")


def options_of(namespace: str, **changes: Any) -> Options:
    """Options of a controller that serves one namespace, where it also elects."""
    default = Options(
        kubeconfig=None,
        namespaces=(namespace,),
        workers=4,
        identity="in-process",
        lease_namespace=namespace,
        metrics_address=None,
        renew_before=timedelta(days=RENEW_BEFORE_DAYS),
        resync=timedelta(hours=1),
        max_starting=4,
        log_level="debug",
    )
    return replace(default, **changes)


@contextlib.contextmanager
def running_here(
    kubeconfig: str | Path,
    options: Options,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    silence_s: float = 90.0,
) -> Iterator[Controller]:
    """A controller in threads of this process; it has ended after the block, and ended well."""
    controller = Controller(options, lambda: connect(ConnectionOptions(kubeconfig=str(kubeconfig))), now=now, silence_s=silence_s)
    result: list[bool] = []
    thread = threading.Thread(target=lambda: result.append(controller.run()), daemon=True)
    thread.start()
    try:
        yield controller
    finally:
        controller.stop()
        thread.join(30)
    assert result == [True]


@dataclass
class Program:
    """A controller as a process. log: what it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[Json]:
        """Its log, each line of which must be JSON. The last one may not be complete yet."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]

    @property
    def port(self) -> int:
        found = eventually("the port of its web server", lambda: [line["port"] for line in self.lines() if "port" in line], _START_S)
        return int(found[0])

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page of its web server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def leads(self) -> bool:
        return any(line["msg"] == "leads" for line in self.lines())

    def kill(self) -> None:
        """As a node that loses power."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """As the kubelet does; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running_program(
    kubeconfig: str | Path, namespace: str | None, log: Path, *, identity: str, arguments: tuple[str, ...] = ()
) -> Iterator[Program]:
    """The controller as a program that serves one namespace, or (None) what its arguments say; killed at the end of the block when it is still there."""
    command = [sys.executable, "-m", MODULE, f"--kubeconfig={kubeconfig}"]
    command += [f"--namespace={namespace}", f"--lease-namespace={namespace}"] if namespace else []
    command += [f"--identity={identity}", "--metrics-address=127.0.0.1:0", f"--renew-before={RENEW_BEFORE_DAYS}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(COLLECTION.parents[2])}
    with log.open("wb") as stream:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stderr=stream, env=environment)
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()


def create(tenant: Tenant, **changes: object) -> Tenant:
    """As kubectl does."""
    tenant.ground.client.create(tenant.definition(changes), field_manager="kubectl")
    return tenant


def asleep(tenant: Tenant) -> Tenant:
    """Wait until a tenant is complete."""
    eventually(f"{tenant.key} sleeps", lambda: phase(tenant) == "Sleeping" and condition(tenant, "Ready")["status"] == "True")
    return tenant


def phase(tenant: Tenant) -> str:
    status = tenant.live("TenantControlPlane").get("status") or {}
    return str(((status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""))


def condition(tenant: Tenant, kind: str) -> Json:
    status = tenant.live("TenantControlPlane").get("status") or {}
    return next((item for item in status.get("conditions") or [] if item["type"] == kind), {"status": "", "message": ""})
