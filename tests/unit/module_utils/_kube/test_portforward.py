# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port-forward over a server that speaks the protocol and echoes; the real one needs a kubelet (tests/integration/cluster)."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import Access

from .websocket_server import CA, ClientFrames, frame, read_head, serving, switching


@dataclass
class Server:
    """Upgrades each connection and echoes its data channel in upper case; in other modes it misbehaves."""

    port: int
    mode: str = "echo"
    heads: list[bytes] = field(default_factory=list)

    def serve(self, connection: ssl.SSLSocket) -> None:
        head = read_head(connection)
        self.heads.append(head)
        if self.mode == "refuse":
            body = b'{"kind":"Status","code":404,"reason":"NotFound","message":"pods \\"p\\" not found"}'
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        port_number = struct.pack("<H", 6443)
        # The first messages may come in the same packet as the upgrade.
        connection.sendall(switching(head) + frame(0, port_number) + frame(1, port_number))
        if self.mode == "nobody":
            connection.sendall(frame(1, b"connection refused in the pod\n"))
            return
        decoder = ClientFrames()
        while data := connection.recv(65536):
            for payload in decoder.feed(data):
                connection.sendall(frame(0, payload[1:].upper()))
                if payload[1:] == b"hello and bye ":
                    connection.sendall(bytes([0x80 | websocket.CLOSE, 0]))
                    return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(0)
    with serving(tmp_path, found.serve) as found.port:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(Access(server=f"https://127.0.0.1:{server.port}", origin="test", ca=CA.certificate)) as made:
        yield made


def _say(forward: PortForward, data: bytes) -> bytes:
    with socket.create_connection(forward.address, timeout=10) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        answer = b""
        while len(answer) < len(data):
            piece = connection.recv(1 << 16)
            if not piece:
                break
            answer += piece
        sender.join()
        return answer


def test_bytes_go_both_ways(server: Server, client: Client) -> None:
    with PortForward(client, "team", "p", 6443) as forward:
        assert forward.address == ("127.0.0.1", forward.port)
        assert _say(forward, b"hello, long as a head") == b"HELLO, LONG AS A HEAD"
        assert _say(forward, b"again, and longer yet") == b"AGAIN, AND LONGER YET"
    assert forward.last_error is None
    assert server.heads[0].startswith(b"GET /api/v1/namespaces/team/pods/p/portforward?ports=6443 HTTP/1.1\r\n")
    assert b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n" in server.heads[0]


def test_much_data_in_many_connections_at_once(client: Client) -> None:
    data = [os.urandom(2_500_000) for _unused in range(4)]
    with PortForward(client, "team", "p", 6443) as forward, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda item: _say(forward, item), data))
    assert answers == [item.upper() for item in data]


def test_end_of_the_pods_side_ends_ours(client: Client) -> None:
    with (
        PortForward(client, "team", "p", 6443) as forward,
        socket.create_connection(forward.address, timeout=10) as connection,
    ):
        connection.sendall(b"hello and bye ")
        assert connection.recv(100) == b"HELLO AND BYE "
        assert connection.recv(100) == b""
    assert forward.last_error is None


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("nobody", "port-forward to port 6443 of pod team/p: connection refused in the pod"),
        ("refuse", '404 NotFound: pods "p" not found'),
    ],
)
def test_failure_is_kept(server: Server, client: Client, mode: str, message: str) -> None:
    server.mode = mode
    with PortForward(client, "team", "p", 6443) as forward, contextlib.suppress(ConnectionResetError):
        assert _say(forward, b"hello, anybody there?") == b""
    assert message in str(forward.last_error)


def test_closing_ends_open_connections_and_the_listener(client: Client) -> None:
    with PortForward(client, "team", "p", 6443) as forward:
        connection = socket.create_connection(forward.address, timeout=10)
        connection.sendall(b"something to say here")
        assert connection.recv(100) == b"SOMETHING TO SAY HERE"
    with connection:
        assert connection.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(forward.address, timeout=10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("port-forward")]
