# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to one API server: TLS that is always verified, kept connections, errors that name the cause.

Built on http.client and not on a client library on purpose: a process of ours lives for a second or two, urllib3 and the
kubernetes client cost 0.1 and 0.4 CPU-seconds of import, and both the client and the port-forward need the bare socket.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import select
import socket
import ssl
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol
from urllib.parse import SplitResult, urlsplit

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ConnectionSettingsError,
    TlsError,
    UnreachableError,
)

Headers = list[tuple[str, str]]

CONNECT_TIMEOUT_S: Final = 10.0
_CERTIFICATE_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_NOT_YET_VALID: Final = 9
_NAME_MISMATCH: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


class Credentials(Protocol):
    """Where the Authorization header comes from."""

    def header(self) -> str:
        """Return the header's value."""

    def renew(self) -> bool:
        """After a 401: whether another value can be had; the next header() returns it."""


@dataclass(frozen=True)
class Access:
    """Everything needed to open an authenticated connection to one API server.

    server: https URL, with a path when the API is not at the root. origin: where the settings come from, for messages.
    ca: PEM of the authorities to trust, None for those of the operating system.
    tls_server_name: the name the server's certificate must carry, if not the host of the URL.
    resolve_to: address and port to connect to instead of those in the URL; TLS still checks the URL's name.
    note: one more sentence for the message when the server's certificate is refused.
    """

    server: str
    origin: str
    ca: bytes | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    proxy: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    resolve_to: tuple[str, int] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        url = _split(self.server, self.origin)
        if url.scheme != "https" or not url.hostname:
            raise ConnectionSettingsError(f"{self.origin}: server {self.server!r} is not an https URL; write https://HOST:PORT")

    @property
    def host(self) -> str:
        return _split(self.server, self.origin).hostname or ""

    @property
    def port(self) -> int:
        return _split(self.server, self.origin).port or 443

    @property
    def prefix(self) -> str:
        """Path of the URL that comes before /api and /apis, "" mostly."""
        return _split(self.server, self.origin).path.rstrip("/")


class Transport:
    """Opens connections and keeps idle ones. Safe to use from many threads."""

    def __init__(self, access: Access, *, keep: int) -> None:
        self.access = access
        self._context = _tls_context(access)
        self._idle: deque[HttpConnection] = deque(maxlen=keep)
        self._closed = False

    def dial(self, timeout_s: float = CONNECT_TIMEOUT_S) -> ssl.SSLSocket:
        """Return a connected socket with the TLS handshake done and verified. Raises UnreachableError and TlsError."""
        name = self.access.tls_server_name or self.access.host
        raw = self._connect(timeout_s)
        try:
            return self._context.wrap_socket(raw, server_hostname=name)
        except ssl.SSLCertVerificationError as exc:
            raw.close()
            raise TlsError(self._refused(exc, name)) from exc
        except (OSError, ssl.SSLError) as exc:
            raw.close()
            raise UnreachableError(f"{self._target()}: the TLS handshake failed: {exc}; is this the API server's port?") from exc

    def acquire(self) -> tuple[HttpConnection, bool]:
        """Return a connection for one exchange and whether it was kept from an earlier one."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was faster
                connection = self._idle.pop()
                if connection.is_alive():
                    return connection, True
                connection.close()
        return HttpConnection(self), False

    def release(self, connection: HttpConnection) -> None:
        """Keep a connection whose answer has been read to its end."""
        if self._closed or len(self._idle) == self._idle.maxlen:
            connection.close()
        else:
            self._idle.append(connection)

    def drop_idle(self) -> None:
        """Close the connections that are kept."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        self._closed = True
        self.drop_idle()

    def _connect(self, timeout_s: float) -> socket.socket:
        host, port = self.access.resolve_to or (self.access.host, self.access.port)
        proxy = _split(self.access.proxy, self.access.origin) if self.access.proxy else None
        address = (proxy.hostname or "", proxy.port or 3128) if proxy else (host, port)
        try:
            connection = socket.create_connection(address, timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except socket.gaierror as exc:
            raise UnreachableError(f"{self._target()}: host name {address[0]} cannot be resolved: {exc.strerror}") from exc
        except ConnectionRefusedError as exc:
            raise UnreachableError(f"{self._target()}: connection to {address[0]}:{address[1]} refused; is the server up?") from exc
        except TimeoutError as exc:
            raise UnreachableError(
                f"{self._target()}: no answer from {address[0]}:{address[1]} within {timeout_s:g} s; check route and firewall"
            ) from exc
        except OSError as exc:
            raise UnreachableError(f"{self._target()}: cannot connect to {address[0]}:{address[1]}: {exc.strerror or exc}") from exc
        if proxy:
            self._open_tunnel(connection, proxy, host, port)
        return connection

    def _open_tunnel(self, connection: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
        """Ask an HTTP proxy for a tunnel (CONNECT)."""
        target = host_port(host, port)
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if proxy.username:
            user = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
            head += f"Proxy-Authorization: Basic {user}\r\n"
        where = f"{self._target()}: proxy {proxy.hostname}:{proxy.port or 3128}"
        try:
            connection.sendall(f"{head}\r\n".encode())
            # Byte by byte: what follows the blank line already belongs to TLS.
            answer = b""
            while not answer.endswith(b"\r\n\r\n") and len(answer) < 8192:
                byte = connection.recv(1)
                if not byte:
                    break
                answer += byte
        except OSError as exc:
            connection.close()
            raise UnreachableError(f"{where} does not answer: {exc}") from exc
        status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
        if status.split(" ")[1:2] != ["200"]:
            connection.close()
            raise UnreachableError(f"{where} refuses the tunnel: {status or 'no answer'}")

    def _target(self) -> str:
        return f"{self.access.server} ({self.access.origin})"

    def _refused(self, error: ssl.SSLCertVerificationError, name: str) -> str:
        if error.verify_code == _CERTIFICATE_EXPIRED:
            text = "the certificate of the server or of its CA has expired; renew it there"
        elif error.verify_code == _NOT_YET_VALID:
            text = "the certificate of the server is not valid yet; compare the clocks of both hosts"
        elif error.verify_code in _NAME_MISMATCH:
            text = f"the certificate of the server does not name {name}; use a name it carries, or set the TLS server name to one"
        else:
            trusted = "the given CA" if self.access.ca else "the CAs of this operating system; give the cluster's CA certificate"
            text = f"the certificate of the server is not signed by {trusted} ({error.verify_message})"
            text += "; that CA is another cluster's: take it, or a kubeconfig, from this one" if self.access.ca else ""
        return f"{self._target()}: {text}" + (f". {self.access.note}" if self.access.note else "")


class HttpConnection(http.client.HTTPConnection):
    """An HTTP/1.1 connection over a Transport's TLS socket."""

    default_port = 443

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport.access.host, transport.access.port)
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.dial()

    def send_request(self, method: str, target: str, headers: Headers, body: bytes | None) -> None:
        """Send a request; unlike request(), a header may be there more than once (Impersonate-Group)."""
        self.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            self.putheader(name, value)
        if body is not None:
            self.putheader("Content-Length", str(len(body)))
        self.endheaders(body)

    def is_alive(self) -> bool:
        """Whether the server has kept the connection open: an idle one has nothing to read but the end."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


def stream_lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the lines of an endless answer as they come; ends when the server ends it properly.

    Raises IncompleteRead when it breaks off: HTTPResponse.readline() would take that for the end.
    """
    if not response.chunked:
        yield from response
        return
    stream, line = response.fp, b""
    while size := int(_whole_line(stream).split(b";")[0], 16):
        chunk = stream.read(size)
        if len(chunk) < size or stream.read(2) != b"\r\n":
            raise http.client.IncompleteRead(chunk)
        *lines, line = (line + chunk).split(b"\n")
        yield from lines
    while _whole_line(stream) != b"\r\n":  # trailers
        pass
    response.close()


def _whole_line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise http.client.IncompleteRead(line)
    return line


def _split(url: str, origin: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        hash(parts.port)  # it is read late, and raises ValueError for what is no port
    except ValueError as exc:
        raise ConnectionSettingsError(f"{origin}: {exc} in URL {url!r}") from exc
    return parts


def _tls_context(access: Access) -> ssl.SSLContext:
    """Return a context that verifies as Go's clients do: any given CA certificate is an anchor, names must match."""
    try:
        context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
    except (ssl.SSLError, ValueError) as exc:
        raise ConnectionSettingsError(f"{access.origin}: the CA certificate cannot be read; expected PEM") from exc
    # Python 3.13 switches both on. Partial chains: an intermediate CA may be the one to trust. Strict would refuse
    # CAs without a key identifier, which Kubernetes' own clients accept.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.client_certificate and access.client_key:
        with _readable(access.client_certificate + b"\n" + access.client_key) as path:
            try:
                # Without a password callback OpenSSL would ask the terminal.
                context.load_cert_chain(path, password=lambda: b"")
            except (ssl.SSLError, OSError) as exc:
                raise ConnectionSettingsError(
                    f"{access.origin}: client certificate and key cannot be used; both must be PEM and belong together"
                ) from exc
    return context


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """Give secret content a path for as long as the block runs; in memory where the system can, else mode 0600."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hosted-kubernetes")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp()
    try:
        os.write(descriptor, content)
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            os.unlink(path)
