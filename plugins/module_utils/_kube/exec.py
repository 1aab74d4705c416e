# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program in a container of a pod, through the API server (pods/exec over a WebSocket).

Each message begins with a byte that names its channel: 0 stdin, 1 stdout, 2 stderr, 3 how it ended (a Status). Only
v5.channel.k8s.io can say that stdin has ended (channel 255 and the number of the one that ends); API servers speak it from 1.30 on.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.upgrade import upgrade

_HALF_CLOSE: Final = "v5.channel.k8s.io"
_PROTOCOLS: Final = (_HALF_CLOSE, "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_CHUNK: Final = 1 << 16


class ExecError(HostedKubernetesError):
    """The program could not be started, or the connection to it broke before it ended."""


@dataclass(frozen=True)
class Ended:
    """How a program ended, with all it printed."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def execute(
    client: Client, namespace: str, pod: str, command: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30
) -> Ended:
    """Run a program in the pod's first (or default) container and wait until it ends.

    stdin: what it can read, then its end; None gives it no stdin. timeout_s: for the whole of it, once connected.
    Raises ExecError, ApiError (no such pod, not allowed), UnreachableError and TlsError. A program that fails is no error.
    """
    what = f"exec {command[0]} in pod {namespace}/{pod}"
    query = [
        ("stdout", "true"),
        ("stderr", "true"),
        *([("stdin", "true")] if stdin is not None else []),
        *(("command", part) for part in command),
    ]
    remote = upgrade(client, f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{urlencode(query)}", _PROTOCOLS)
    with remote.socket:
        if stdin is not None and remote.protocol != _HALF_CLOSE:
            raise ExecError(f"{what}: {client.access.server} cannot end stdin (it speaks {remote.protocol}); API servers can from 1.30 on")
        try:
            if stdin is not None:
                remote.socket.sendall(_message(_STDIN, stdin) + _message(_CLOSE, bytes([_STDIN])))
            return _collect(remote.socket, remote.early, what, time.monotonic() + timeout_s)
        except TimeoutError as exc:
            raise ExecError(f"{what}: has not ended after {timeout_s:g} s") from exc
        except (OSError, websocket.WebSocketError) as exc:
            raise ExecError(f"{what}: the connection to {client.access.server} broke: {exc}") from exc


def _message(channel: int, content: bytes) -> bytes:
    return websocket.encode(websocket.BINARY, bytes([channel]) + content)


def _collect(remote: ssl.SSLSocket, early: bytes, what: str, deadline: float) -> Ended:
    """Read until the Status that tells how the program ended."""
    decoder, output = websocket.Decoder(), {_STDOUT: bytearray(), _STDERR: bytearray()}
    for data in _received(remote, early, deadline):
        for kind, payload in decoder.feed(data):
            if kind == websocket.PING:
                remote.sendall(websocket.encode(websocket.PONG, payload))
            if kind not in (websocket.BINARY, websocket.TEXT) or not payload:
                continue
            if payload[0] in output:
                output[payload[0]] += payload[1:]
            elif payload[0] == _ERROR:
                with contextlib.suppress(OSError):
                    remote.sendall(websocket.encode(websocket.CLOSE, b""))
                return Ended(exit_code(payload[1:], what), bytes(output[_STDOUT]), bytes(output[_STDERR]))
    raise ExecError(f"{what}: the connection ended before the program")


def _received(remote: ssl.SSLSocket, early: bytes, deadline: float) -> Iterator[bytes]:
    data = early
    while True:
        if data:
            yield data
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        remote.settimeout(left_s)
        data = remote.recv(_CHUNK)
        if not data:
            return


def exit_code(status: bytes, what: str) -> int:
    """Read the exit code from a Status (k8s.io/kubernetes/pkg/kubelet: reason NonZeroExitCode with a cause ExitCode).

    Raises ExecError with the server's text when the program has not run at all.
    """
    try:
        told = json.loads(status)
    except ValueError:
        raise ExecError(f"{what}: {status.decode(errors='replace').strip()}") from None
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    code = next((cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"), "")
    if not code.isdigit():
        raise ExecError(f"{what}: {told.get('message') or 'the server does not say why it failed'}")
    return int(code)
