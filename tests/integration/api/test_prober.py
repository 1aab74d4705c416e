# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober sees what fails, over both protocols, and tells a kept connection that was closed from a failure."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support import prober
from ansible_collections.hosted.kubernetes.tests.support.apiserver import prepare, running_prepared
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd

FOREVER = datetime.max.replace(tzinfo=UTC)


def test_a_server_that_runs_and_one_that_does_not(bundle: Path, tmp_path: Path) -> None:
    with running_etcd(bundle, tmp_path) as etcd:
        server = prepare(tmp_path, etcd)
        with running_prepared(bundle, tmp_path, server), connect(ConnectionOptions(kubeconfig=str(server.kubeconfig))) as client:
            metadata = {"name": prober.AUTHORITY, "namespace": prober.NAMESPACE}
            client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": prober.NAMESPACE}})
            # What a controller manager would make.
            data = {"ca.crt": server.authority.pair.certificate.read_text(encoding="utf-8")}
            client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
            started = datetime.now(UTC)
            running = prober.outside(client, tmp_path)
            asking = running.__enter__()
            time.sleep(2)
        stopped = datetime.now(UTC)
        time.sleep(1)
        probes = prober.read_probes(asking.output(started))
        running.__exit__(None, None, None)
    for protocol in prober.PROTOCOLS:
        good = prober.summary(probes, protocol, started, stopped)
        bad = prober.summary(probes, protocol, stopped, FOREVER)
        assert good.requests > 10
        assert 0 < bad.requests == len(bad.failures)
        assert "connection refused" in bad.failures[-1]


class Quiet(http.server.BaseHTTPRequestHandler):
    """Says nothing about its requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def answer(self, status: http.HTTPStatus, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Closing(Quiet):
    """Answers one request on each connection, and closes it when the second one comes."""

    answered = False

    def do_GET(self) -> None:
        if self.answered:
            self.close_connection = True
            return
        self.answered = True
        self.answer(http.HTTPStatus.OK)


class Stopping(Quiet):
    """Answers one request on each connection, then refuses as a kube-apiserver does that stops."""

    answered = False

    def do_GET(self) -> None:
        if self.answered:
            self.close_connection = True
            self.answer(http.HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1", Connection="close")
            return
        self.answered = True
        self.answer(http.HTTPStatus.OK)


class Stopped(Quiet):
    """Refuses for ever."""

    def do_GET(self) -> None:
        self.answer(http.HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1")


def probed(tmp_path: Path, handler: type[Quiet], interval: str) -> list[prober.Probe]:
    """What the prober says of such a server, which does not speak HTTP/2."""
    authority = Authority(tmp_path)
    pair = authority.server("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    token = tmp_path / "token"
    token.write_text("token", encoding="utf-8")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}/"
        flags = [f"-url={url}", f"-ca={authority.pair.certificate}", f"-token={token}", f"-interval={interval}"]
        with subprocess.Popen([str(prober.program()), *flags], stdout=subprocess.PIPE, text=True) as process:
            time.sleep(3)
            process.terminate()
            printed, _nothing = process.communicate()
        server.shutdown()
    return prober.read_probes(printed)


def over(probes: list[prober.Probe], protocol: str) -> prober.Summary:
    return prober.summary(probes, protocol, datetime.min.replace(tzinfo=UTC), FOREVER)


def test_a_kept_connection_that_is_closed_is_no_failure(tmp_path: Path) -> None:
    probes = probed(tmp_path, Closing, "200ms")
    over_one, over_two = (over(probes, protocol) for protocol in prober.PROTOCOLS)
    assert over_one.failures == ()
    assert 0 < over_one.retried < over_one.requests
    assert over_one.told == 0
    # This server does not speak it.
    assert len(over_two.failures) == over_two.requests > 0


def test_a_server_that_stops_tells_to_ask_again(tmp_path: Path) -> None:
    """The second of two requests is told to; the third is then asked on a connection of its own."""
    told = over(probed(tmp_path, Stopping, "1500ms"), prober.PROTOCOLS[0])
    assert told.failures == ()
    assert 0 < told.told < told.requests


def test_a_server_that_tells_it_twice_fails_the_request(tmp_path: Path) -> None:
    refused = over(probed(tmp_path, Stopped, "500ms"), prober.PROTOCOLS[0])
    assert refused.told == len(refused.failures) == refused.requests > 0
    assert "503" in refused.failures[0]
