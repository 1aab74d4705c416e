# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port of a pod as a port on loopback, through the API server: for tenants and datastores we cannot reach directly.

Each accepted connection gets a WebSocket to the API server of its own (pods/portforward, subprotocol
v4.channel.k8s.io: one byte of channel before each message, 0 data and 1 errors, both beginning with the port number).
One thread per connection moves bytes both ways and sleeps in the selector; TLS sockets must not be shared by two threads.
The protocol cannot close one direction only: when either side ends, both end.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube import websocket
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.upgrade import upgrade

_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PORT_NUMBER_SIZE: Final = 2
_CHUNK: Final = 1 << 16
_ENOUGH: Final = 1 << 20
"""Bytes waiting for a slow receiver from which on nothing more is read for it."""


class PortForwardError(HostedKubernetesError):
    """A forwarded connection could not be opened or broke."""


class PortForward:
    """Forwards connections to 127.0.0.1:port to a port of a pod while the block runs.

    address: where to connect to, once entered. last_error: why the latest failed connection failed, None when none did.
    """

    def __init__(self, client: Client, namespace: str, pod: str, port: int) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
        self._what = f"port-forward to port {port} of pod {namespace}/{pod}"
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._threads: set[threading.Thread] = set()
        self._stop, self._stopped = socket.socketpair()
        self.address: tuple[str, int] = ("127.0.0.1", 0)
        self.last_error: HostedKubernetesError | None = None

    def __enter__(self) -> PortForward:
        self._listener = socket.create_server(self.address)
        self.address = ("127.0.0.1", self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name=self._what, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port on loopback."""
        return self.address[1]

    def close(self) -> None:
        """End the listener and all connections; returns when their threads have ended."""
        if self._acceptor is None:
            return
        self._stop.send(b"x")  # nobody reads it: every selector sees it
        self._acceptor.join()
        for thread in list(self._threads):
            thread.join()
        self._acceptor = None
        self._stop.close()
        self._stopped.close()

    def _accept(self, listener: socket.socket) -> None:
        with listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is not self._stopped for key, events in selector.select()):
                local = listener.accept()[0]
                thread = threading.Thread(target=self._forward, args=(local,), name=self._what, daemon=True)
                self._threads.add(thread)
                thread.start()

    def _forward(self, local: socket.socket) -> None:
        """Serve one accepted connection to its end; our user sees the end only after last_error is set."""
        with local:
            try:
                remote = upgrade(self._client, self._path, (_PROTOCOL,))
                with remote.socket:
                    _Tunnel(local, remote.socket, self._stopped).run(remote.early)
            except HostedKubernetesError as exc:
                self.last_error = PortForwardError(f"{self._what}: {exc.msg}")
            except (OSError, websocket.WebSocketError) as exc:
                self.last_error = PortForwardError(f"{self._what}: the connection to {self._client.access.server} broke: {exc}")
            finally:
                self._threads.discard(threading.current_thread())


class _Tunnel:
    """One connection: bytes from local become messages to remote and the other way round."""

    def __init__(self, local: socket.socket, remote: ssl.SSLSocket, stopped: socket.socket) -> None:
        self._local, self._remote, self._stopped = local, remote, stopped
        self._to_local, self._to_remote = bytearray(), bytearray()
        self._decoder = websocket.Decoder()
        self._seen_port = {_DATA: False, _ERROR: False}
        self._ending = False

    def run(self, early: bytes) -> None:
        """Move bytes until either side ends or the port-forward is closed. Raises PortForwardError, OSError, WebSocketError."""
        self._local.setblocking(False)
        self._remote.setblocking(False)
        self._receive(early)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stopped, selectors.EVENT_READ)
            for side in (self._local, self._remote):
                selector.register(side, selectors.EVENT_READ)
            while not self._finished():
                if not self._step(selector):
                    return

    def _step(self, selector: selectors.BaseSelector) -> bool:
        """Wait for something to do and do it; False when the port-forward is closed."""
        self._watch(selector, self._local, read=len(self._to_remote) < _ENOUGH, write=bool(self._to_local))
        self._watch(selector, self._remote, read=len(self._to_local) < _ENOUGH, write=bool(self._to_remote))
        # TLS may hold decrypted bytes that no selector sees.
        held = self._remote.pending() > 0 and len(self._to_local) < _ENOUGH
        ready = {key.fileobj: events for key, events in selector.select(0 if held else None)}
        if self._stopped in ready:
            return False
        if held or ready.get(self._remote, 0) & selectors.EVENT_READ:
            self._from_remote()
        if ready.get(self._local, 0) & selectors.EVENT_READ:
            self._from_local()
        self._flush(self._to_remote, self._remote.send)
        try:
            self._flush(self._to_local, self._local.send)
        except ConnectionError:
            self._to_local.clear()
        return True

    def _watch(self, selector: selectors.BaseSelector, side: socket.socket, *, read: bool, write: bool) -> None:
        events = (selectors.EVENT_READ if read and not self._ending else 0) | (selectors.EVENT_WRITE if write else 0)
        known = selector.get_map().get(side)
        if known is None:
            if events:
                selector.register(side, events)
        elif not events:
            selector.unregister(side)
        elif known.events != events:
            selector.modify(side, events)

    def _finished(self) -> bool:
        return self._ending and not self._to_local and not self._to_remote

    def _from_local(self) -> None:
        try:
            data = self._local.recv(_CHUNK)
        except ConnectionError:
            data = b""  # our user may leave without a word; that is no fault of the port-forward
        if data:
            self._to_remote += websocket.encode(websocket.BINARY, bytes([_DATA]) + data)
        else:
            self._to_remote += websocket.encode(websocket.CLOSE, b"")
            self._to_local.clear()
            self._ending = True

    def _from_remote(self) -> None:
        try:
            data = self._remote.recv(_CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if data:
            self._receive(data)
        else:
            self._end_of_remote()

    def _end_of_remote(self) -> None:
        self._to_remote.clear()
        self._ending = True

    def _receive(self, data: bytes) -> None:
        for kind, payload in self._decoder.feed(data):
            if kind == websocket.PING:
                self._to_remote += websocket.encode(websocket.PONG, payload)
            elif kind == websocket.CLOSE:
                self._end_of_remote()
            elif kind in (websocket.BINARY, websocket.TEXT) and payload:
                self._message(payload[0], payload[1:])

    def _message(self, channel: int, content: bytes) -> None:
        if not self._seen_port.get(channel, True):
            self._seen_port[channel] = True
            content = content[_PORT_NUMBER_SIZE:]
        if channel == _DATA:
            self._to_local += content
        elif channel == _ERROR and content:
            raise PortForwardError(content.decode(errors="replace").strip())

    @staticmethod
    def _flush(waiting: bytearray, send: Callable[[bytes], int]) -> None:
        """Send what the receiver takes now."""
        try:
            while waiting:
                del waiting[: send(bytes(waiting[:_CHUNK]))]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
