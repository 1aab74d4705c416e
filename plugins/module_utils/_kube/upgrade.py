# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a WebSocket to a subresource of a pod: a connection of its own, never one that the client keeps."""

from __future__ import annotations

import http.client
import io
import ssl
from typing import Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import api_error, status_of

_CHUNK: Final = 1 << 16
_MAX_HEAD: Final = 1 << 16
_OPEN_TIMEOUT_S: Final = 15.0


class Upgraded(NamedTuple):
    """An open WebSocket. early: what the server has already sent on it; protocol: the one it has chosen."""

    socket: ssl.SSLSocket
    early: bytes
    protocol: str


def upgrade(client: Client, path: str, protocols: tuple[str, ...]) -> Upgraded:
    """Ask for a WebSocket with one of the subprotocols (the best first); the caller closes it.

    Raises ApiError when the server answers anything else, UnreachableError and TlsError.
    """
    access, key = client.access, websocket.new_key()
    remote = client.transport.dial()
    try:
        remote.settimeout(_OPEN_TIMEOUT_S)
        lines = [f"GET {access.prefix}{path} HTTP/1.1", f"Host: {access.host}:{access.port}"]
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Protocol: {', '.join(protocols)}"]
        lines += [f"{name}: {value}" for name, value in client.identity_headers()]
        remote.sendall("\r\n".join([*lines, "", ""]).encode())
        return _upgraded(client, remote, path, key)
    except BaseException:
        remote.close()
        raise


def _upgraded(client: Client, remote: ssl.SSLSocket, path: str, key: str) -> Upgraded:
    """Read the server's answer. Raises ApiError when it is not an upgrade."""
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _MAX_HEAD:
        data = remote.recv(_CHUNK)
        if not data:
            break
        answer += data
    head, rest = _cut(answer, b"\r\n\r\n")
    first, fields = _cut(head, b"\r\n")
    code = first.split(b" ")[1:2]
    headers = http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
    if code == [b"101"] and headers.get("Sec-WebSocket-Accept") == websocket.accept_value(key):
        return Upgraded(remote, rest, headers.get("Sec-WebSocket-Protocol", ""))
    while len(rest) < int(headers.get("Content-Length") or 0):
        data = remote.recv(_CHUNK)
        if not data:
            break
        rest += data
    status = status_of(int(code[0]) if code and code[0].isdigit() else 0, rest or first)
    raise api_error(client.access.server, "GET", path, status)


def _cut(data: bytes, separator: bytes) -> tuple[bytes, bytes]:
    """What is before and after the first separator."""
    parts = data.partition(separator)
    return parts[0], parts[2]
