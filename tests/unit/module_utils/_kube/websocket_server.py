# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS server on loopback for what speaks WebSocket with an API server, and the frames of its side."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_ca, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm

EC = KeyAlgorithm.ECDSA_P256
NOW = datetime.now(UTC)
CA = new_ca("test", algorithm=EC, now=NOW)
LEAF = new_leaf(CA, LeafRequest("server", ip_addresses=("127.0.0.1",), server=True), algorithm=EC, now=NOW)


def frame(channel: int, content: bytes) -> bytes:
    """A binary message of one channel, as a server sends it."""
    payload = bytes([channel]) + content
    return bytes([0x80 | websocket.BINARY, 127]) + struct.pack("!Q", len(payload)) + payload


def read_head(connection: ssl.SSLSocket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    return head


def switching(head: bytes, *fields: str) -> bytes:
    """The answer that upgrades the connection of a request."""
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = f"Sec-WebSocket-Accept: {websocket.accept_value(key.decode())}"
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", accept, *fields, "", ""]).encode()


class ClientFrames:
    """Decodes masked frames by removing the mask before the decoder under test would see them."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while len(self._buffer) >= 6:
            size, start = self._buffer[1] & 0x7F, 2
            if size >= 126:
                start = {126: 4, 127: 10}[size]
                size = int.from_bytes(self._buffer[2:start], "big")
            if len(self._buffer) < start + 4 + size:
                return
            mask, body = self._buffer[start : start + 4], self._buffer[start + 4 : start + 4 + size]
            self._buffer = self._buffer[start + 4 + size :]
            repeated = (mask * (size // 4 + 1))[:size]
            yield (int.from_bytes(body, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


@contextlib.contextmanager
def serving(folder: Path, serve: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Serve each connection in a thread of its own while the block runs; gives the port."""
    pem = folder / "server.pem"
    pem.write_bytes(LEAF.certificate + LEAF.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(10) as pool:

        def handle(raw: socket.socket) -> None:
            with contextlib.suppress(OSError, ssl.SSLError), raw, context.wrap_socket(raw, server_side=True) as connection:
                serve(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    pool.submit(handle, listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
