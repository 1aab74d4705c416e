# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs with the flags and files of a tenant's Deployment: they start, in any order, and stop without haste."""

from __future__ import annotations

import contextlib
import http
import json
import shutil
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.tests.support import prober
from ansible_collections.hosted.kubernetes.tests.support.control_plane import Changes, ControlPlane, prepared
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports

Prepare = Callable[[Changes], AbstractContextManager[ControlPlane]]


@pytest.fixture
def prepare(bundle: Path, tmp_path: Path) -> Prepare:
    """Make the programs of a tenant with changes of its definition."""
    return lambda changes: prepared(bundle, tmp_path, changes)


@pytest.fixture
def control_plane(prepare: Prepare) -> Iterator[ControlPlane]:
    with prepare({}) as found:
        yield found


def test_all_three_run_whichever_starts_first(control_plane: ControlPlane) -> None:
    with control_plane.run("kube-controller-manager", "/healthz") as manager, contextlib.ExitStack() as stack:
        # It is up before the API server and has to wait for it instead of giving up.
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        stack.enter_context(control_plane.run("kube-scheduler", "/healthz"))
        _wait_for(control_plane, "/api/v1/namespaces/default/serviceaccounts/default", "the controller manager makes service accounts")
        _wait_for(control_plane, "/api/v1/namespaces/kube-public/configmaps/kube-root-ca.crt", "and hands out the CA")
        for leader in ("kube-controller-manager", "kube-scheduler"):
            _wait_for(control_plane, f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{leader}", f"{leader} leads")
        assert manager.poll() is None
        # The engine owns them: a stopping API server must not empty them.
        assert control_plane.get("kube-apiserver", "/api/v1/namespaces/default/endpoints/kubernetes")[0] == http.HTTPStatus.NOT_FOUND


def test_services_of_ipv6_first_behind_an_ipv4_address(prepare: Prepare) -> None:
    """The order is the user's; without a reconciler of its own endpoints the server does not mind the family of its address."""
    changes = {
        "networkProfile.serviceCidrs": ["fd00:1::/112", "10.100.0.0/16"],
        "networkProfile.podCidrs": ["fd00:2::/56", "10.200.0.0/16"],
    }
    with prepare(changes) as control_plane, contextlib.ExitStack() as stack:
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        stack.enter_context(control_plane.run("kube-controller-manager", "/healthz"))
        _wait_for(control_plane, "/api/v1/namespaces/default/services/kubernetes", "the server makes its own Service")
        service = json.loads(control_plane.get("kube-apiserver", "/api/v1/namespaces/default/services/kubernetes")[1])
        assert service["spec"]["clusterIP"] == "fd00:1::1"


def test_the_api_server_reads_its_certificate_again(control_plane: ControlPlane) -> None:
    """So that a name is added and taken away without a restart; a restarted server would not have the same process."""
    with control_plane.run("kube-apiserver", "/readyz") as process:
        assert "acme.example.com" not in _served_names(control_plane)
        for hosts in (("127.0.0.1", "localhost", "acme.example.com"), ("127.0.0.1", "localhost")):
            pair = control_plane.authority.server("again", hosts)
            for source, name in ((pair.certificate, "apiserver.crt"), (pair.key, "apiserver.key")):
                target = control_plane.directory / "kube-apiserver-files/pki" / name
                # Replaced as a whole, as the kubelet does it.
                shutil.copyfile(source, target.with_suffix(".new")).replace(target)
            wanted = "acme.example.com" in hosts
            deadline = time.monotonic() + 90
            while ("acme.example.com" in _served_names(control_plane)) is not wanted:
                assert time.monotonic() < deadline, "the server looks at its files at least once a minute"
                time.sleep(0.1)
        assert process.poll() is None


def _served_names(control_plane: ControlPlane) -> set[str]:
    with contextlib.closing(control_plane.connect("kube-apiserver")) as connection:
        connection.connect()
        certificate: Any = connection.sock.getpeercert()
    return {value for _kind, value in certificate["subjectAltName"]}


def _wait_for(control_plane: ControlPlane, path: str, what: str) -> None:
    deadline = time.monotonic() + 30
    while control_plane.get("kube-apiserver", path)[0] != http.HTTPStatus.OK:
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_stopping_api_server_serves_on_and_then_ends_its_watches(control_plane: ControlPlane) -> None:
    with control_plane.run("kube-apiserver", "/readyz") as process, contextlib.closing(control_plane.connect("kube-apiserver")) as watch:
        watch.request("GET", "/api/v1/namespaces?watch=true")
        assert watch.getresponse().status == http.HTTPStatus.OK

        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        while control_plane.get("kube-apiserver", "/readyz")[0] == http.HTTPStatus.OK:
            assert time.monotonic() - started < 2, "it says at once that it is not ready"
            time.sleep(0.02)
        assert control_plane.get("kube-apiserver", "/version")[0] == http.HTTPStatus.OK, "a new connection is served for the delay"

        process.wait(30)
        elapsed = time.monotonic() - started
        assert 2 <= elapsed < 15, f"ended after {elapsed:.0f} s: the delay, and not the minute that open watches would cost"


class Forwarder(socketserver.ThreadingTCPServer):
    """Passes new connections on to one port, as a Service does to ready pods; those that are open stay where they are."""

    daemon_threads = True
    port = 0


class Forwarded(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        assert isinstance(self.server, Forwarder)
        with socket.create_connection(("127.0.0.1", self.server.port)) as behind:
            back = threading.Thread(target=_pass_on, args=(behind, self.request))
            back.start()
            _pass_on(self.request, behind)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_no_request_fails_when_one_api_server_gives_way_to_another(control_plane: ControlPlane, tmp_path: Path) -> None:
    """One address for both; that the first one stops is noticed a second later, as endpoints and proxies take their time."""
    (port,) = free_ports(1)
    other_argv = [f"--secure-port={port}" if flag.startswith("--secure-port=") else flag for flag in control_plane.argv["kube-apiserver"]]
    folder = tmp_path / "other"
    folder.mkdir()
    other = replace(control_plane, argv={"kube-apiserver": other_argv}, ports={"kube-apiserver": port}, directory=folder)
    with contextlib.ExitStack() as stack:
        forwarder = stack.enter_context(Forwarder(("127.0.0.1", 0), Forwarded))
        forwarder.port = control_plane.ports["kube-apiserver"]
        threading.Thread(target=forwarder.serve_forever, daemon=True).start()
        stack.callback(forwarder.shutdown)
        first = stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        stack.enter_context(control_plane.run("kube-controller-manager", "/healthz"))
        stack.enter_context(other.run("kube-apiserver", "/readyz"))
        url = f"https://127.0.0.1:{forwarder.server_address[1]}"
        client = stack.enter_context(client_from_kubeconfig(control_plane.kubeconfig.read_bytes(), server=url))
        asking = stack.enter_context(prober.outside(client, tmp_path))
        since = datetime.now(UTC)
        time.sleep(1)
        first.send_signal(signal.SIGTERM)
        time.sleep(1)
        forwarder.port = port
        first.wait(60)
        time.sleep(2)
        until = datetime.now(UTC)
        time.sleep(1)
        probes = prober.read_probes(asking.output(since))
    for protocol in prober.PROTOCOLS:
        found = prober.summary(probes, protocol, since, until)
        print(f"{protocol}: {found}")
        assert found.requests > 30
        assert found.failures == ()
