# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec over a server that speaks the protocol and runs `cat`; the real one needs a kubelet."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.exec import Ended, ExecError, execute, exit_code
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import Access

from .websocket_server import CA, ClientFrames, frame, read_head, serving, switching

STDIN_ENDS = b"\xff\x00"
SUCCESS = b'{"metadata":{},"status":"Success"}'
FAILURE = b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"17"}]}}'


@dataclass
class Server:
    """Answers with what it got on stdin, in two messages, and a word on stderr."""

    mode: str = "cat"
    protocol: str = "v5.channel.k8s.io"
    heads: list[bytes] = field(default_factory=list)

    def serve(self, connection: ssl.SSLSocket) -> None:
        head = read_head(connection)
        self.heads.append(head)
        if self.mode == "missing":
            body = b'{"kind":"Status","code":404,"reason":"NotFound","message":"pods \\"p\\" not found"}'
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        # The first message may come in the same packet as the upgrade.
        connection.sendall(switching(head, f"Sec-WebSocket-Protocol: {self.protocol}") + frame(2, b"a word"))
        if self.mode == "silent":
            connection.recv(65536)
            return
        stdin = self._stdin(connection) if b"stdin=true" in head else b""
        if self.mode == "broken":
            return
        connection.sendall(bytes([0x80 | websocket.PING, 0]) + frame(1, stdin[:3]) + frame(1, stdin[3:]))
        connection.sendall(frame(3, FAILURE if self.mode == "fails" else SUCCESS))
        connection.recv(65536)

    @staticmethod
    def _stdin(connection: ssl.SSLSocket) -> bytes:
        decoder, got = ClientFrames(), b""
        while data := connection.recv(65536):
            for payload in decoder.feed(data):
                if payload == STDIN_ENDS:
                    return got
                got += payload[1:]
        return b"stdin has not been ended"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server()
    with serving(tmp_path, found.serve) as port:
        found.heads.append(str(port).encode())
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    port = server.heads.pop().decode()
    with Client(Access(server=f"https://127.0.0.1:{port}", origin="test", ca=CA.certificate)) as made:
        yield made


def test_stdin_goes_in_and_everything_comes_back(server: Server, client: Client) -> None:
    assert execute(client, "team", "p", ["/agnhost", "mounttest", "a b"], stdin=b"hello") == Ended(0, b"hello", b"a word")
    first = server.heads[0].split(b"\r\n")[0].decode()
    query = "stdout=true&stderr=true&stdin=true&command=%2Fagnhost&command=mounttest&command=a+b"
    assert first == f"GET /api/v1/namespaces/team/pods/p/exec?{query} HTTP/1.1"
    assert b"Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n" in server.heads[0]


def test_a_program_that_fails_is_no_error(server: Server, client: Client) -> None:
    server.mode = "fails"
    assert execute(client, "team", "p", ["false"]).exit_code == 17
    assert b"stdin" not in server.heads[0]


def test_an_older_server_does_without_stdin_only(server: Server, client: Client) -> None:
    server.protocol = "v4.channel.k8s.io"
    assert execute(client, "team", "p", ["true"]).exit_code == 0
    with pytest.raises(ExecError, match=r"cannot end stdin \(it speaks v4\.channel\.k8s\.io\); API servers can from 1\.30 on"):
        execute(client, "team", "p", ["cat"], stdin=b"hello")


def test_a_missing_pod_is_the_servers_error(server: Server, client: Client) -> None:
    server.mode = "missing"
    with pytest.raises(NotFoundError, match='pods "p" not found'):
        execute(client, "team", "p", ["true"])


@pytest.mark.parametrize(
    ("mode", "timeout_s", "message"),
    [
        ("broken", 10, "exec cat in pod team/p: .*(ended before the program|broke)"),
        ("silent", 0.2, "exec cat in pod team/p: has not ended after 0.2 s"),
    ],
)
def test_a_program_whose_end_is_not_seen(server: Server, client: Client, mode: str, timeout_s: float, message: str) -> None:
    server.mode = mode
    with pytest.raises(ExecError, match=message):
        execute(client, "team", "p", ["cat"], timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            json.dumps({"status": "Failure", "reason": "InternalError", "message": "No agent available"}).encode(),
            "exec: No agent available",
        ),
        (json.dumps({"status": "Failure"}).encode(), "exec: the server does not say why it failed"),
        (b"error dialing backend\n", "exec: error dialing backend"),
    ],
)
def test_why_a_program_has_not_run(status: bytes, message: str) -> None:
    with pytest.raises(ExecError, match=f"^{message}$"):
        exit_code(status, "exec")
