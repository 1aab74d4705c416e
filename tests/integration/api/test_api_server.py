# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other tests of this layer build on."""

from __future__ import annotations

import http
import http.client
import os
import select
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, RequestError
from ansible_collections.hosted.kubernetes.tests.support.bundle import kubernetes_version
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import StartError, free_ports, running


def test_server_is_of_the_bundles_version(api_server: ApiServer) -> None:
    assert api_server.request("GET", "/version")["gitVersion"] == kubernetes_version()


def test_objects_are_stored_and_errors_carry_the_status(api_server: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"key": "value"}}

    api_server.request("POST", path, body)

    assert api_server.request("GET", f"{path}/one")["data"] == {"key": "value"}
    with pytest.raises(RequestError) as error:
        api_server.request("POST", path, body)
    assert error.value.status == http.HTTPStatus.CONFLICT


def test_kubeconfig_is_private_and_complete(kubeconfig: Path) -> None:
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert "client-key-data" in kubeconfig.read_text(encoding="utf-8")


def test_strangers_are_refused(api_server: ApiServer) -> None:
    context = ssl.create_default_context(cafile=str(api_server.authority.pair.certificate))
    connection = http.client.HTTPSConnection(api_server.host, api_server.port, context=context, timeout=10)
    connection.request("GET", "/api/v1/secrets")
    assert connection.getresponse().status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}
    connection.close()


def test_etcd_demands_a_client_certificate(tls_etcd: Etcd) -> None:
    assert tls_etcd.authority
    context = ssl.create_default_context(cafile=str(tls_etcd.authority.pair.certificate))
    connection = http.client.HTTPSConnection(tls_etcd.host, tls_etcd.port, context=context, timeout=10)
    with pytest.raises(OSError, match=r"(?i)certificate|reset"):  # noqa: PT012  which of the two fails is up to TLS 1.3's timing
        connection.request("GET", "/health")
        connection.getresponse()
    connection.close()


def test_a_server_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such flag; exit 3"]
    with pytest.raises(StartError, match=r"(?s)status 3.*no such flag"), running(command, tmp_path / "log", lambda: False):
        pass


def test_a_server_that_never_gets_ready_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="not ready after"), running(["sleep", "60"], tmp_path / "log", lambda: False, timeout_s=0.2):
        pass


def test_servers_die_with_their_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import os, pathlib, signal\n"
        "from ansible_collections.hosted.kubernetes.tests.support.processes import running\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "with running(['sh', '-c', 'echo up; exec sleep 600'], log, lambda: log.read_text() != '') as process:\n"
        "    print(process.pid, flush=True)\n"
        "    signal.pause()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()

    # The descriptor becomes readable when the process has ended.
    assert select.select([server], [], [], 10)[0]
    os.close(server)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5
