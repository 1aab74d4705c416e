# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client behaves when a server does not: closed connections, passing faults, refused certificates, proxies.

The servers are scripted: each answers its requests with the next prepared answers, over real TLS on loopback.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ApiError,
    ExpiredCredentialError,
    ForbiddenError,
    GoneError,
    TlsError,
    UnauthorizedError,
    UnreachableError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import Access
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_ca, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair

EC = KeyAlgorithm.ECDSA_P256
NOW = datetime.now(UTC)
CA = new_ca("test", algorithm=EC, now=NOW)
OTHER_CA = new_ca("other", algorithm=EC, now=NOW)
SERVER = LeafRequest("server", dns_names=("api.example.com",), ip_addresses=("127.0.0.1",), server=True)
ADMIN = LeafRequest("admin", client=True)
LEAF = new_leaf(CA, SERVER, algorithm=EC, now=NOW)
CONFIG_MAP = resource_of("ConfigMap")
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}


def answer(status: int, body: object = None, **headers: str) -> bytes:
    """One HTTP answer; headers with _ for -."""
    text = body if isinstance(body, bytes) else json.dumps(body or {"kind": "Status", "code": status, "message": "told"}).encode()
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + text


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A streamed answer; without its end the connection seems to break."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if end else b"")


CLOSE = b""
"""Instead of an answer: close the connection."""


@dataclass
class Script:
    """A server on loopback that gives prepared answers; requests are the heads it has read."""

    answers: list[bytes]
    port: int = 0
    ca: KeyPair = CA
    requests: list[str] = field(default_factory=list)
    connections: int = 0

    def access(self) -> Access:
        return Access(server=f"https://127.0.0.1:{self.port}", origin="test", ca=self.ca.certificate)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Start a scripted server: serve(answer, …, ca=…, leaf=…, demand_certificate=…)."""
    with contextlib.ExitStack() as stack:

        def start(*answers: bytes, ca: KeyPair = CA, leaf: KeyPair = LEAF, demand_certificate: bool = False) -> Script:
            pem = tmp_path / "server.pem"
            pem.write_bytes(leaf.certificate + leaf.key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            if demand_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=ca.certificate.decode())
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            script = Script(list(answers), listener.getsockname()[1], ca)
            thread = threading.Thread(target=_serve, args=(script, listener, context), daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return script

        yield start


def _serve(script: Script, listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):  # the listener is shut down at the end
        while True:
            raw, _unused = listener.accept()
            script.connections += 1
            with contextlib.suppress(OSError, ssl.SSLError), raw, context.wrap_socket(raw, server_side=True) as connection:
                _answer(script, connection)


def _answer(script: Script, connection: ssl.SSLSocket) -> None:
    while head := _head(connection):
        script.requests.append(head)
        text = script.answers.pop(0)
        if text == CLOSE:
            return
        connection.sendall(text)
        if "Transfer-Encoding" in text.decode() and not text.endswith(b"0\r\n\r\n"):
            return


def _head(connection: ssl.SSLSocket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return ""
        data += piece
    head, _unused, body = data.partition(b"\r\n\r\n")
    sizes = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
    while sizes and len(body) < sizes[0]:
        body += connection.recv(65536)
    return head.decode()


def statuses(client: Client) -> list[int]:
    return [call.status for call in client.calls]


def test_connections_are_kept(serve: Callable[..., Script]) -> None:
    script = serve(*[answer(200)] * 3)
    with Client(script.access()) as client:
        for _unused in range(3):
            client.request("GET", "/version")
    assert script.connections == 1


def test_read_is_repeated_when_a_kept_connection_was_closed(serve: Callable[..., Script]) -> None:
    script = serve(answer(200), CLOSE, answer(200))
    with Client(script.access()) as client:
        client.request("GET", "/one")
        client.request("GET", "/two")
    assert statuses(client) == [200, 0, 200]


def test_write_is_not_repeated_when_its_fate_is_unknown(serve: Callable[..., Script]) -> None:
    script = serve(answer(200), CLOSE, answer(200))
    with Client(script.access()) as client:
        client.request("GET", "/one")
        with pytest.raises(UnreachableError, match="the connection broke before the answer was complete"):
            client.create(OBJECT)
    assert len(script.requests) == 2


def test_new_connection_that_breaks_is_not_tried_again(serve: Callable[..., Script]) -> None:
    script = serve(CLOSE)
    with Client(script.access()) as client, pytest.raises(UnreachableError, match="connection broke"):
        client.request("GET", "/one")


@pytest.mark.parametrize(
    ("answers", "act", "seen", "waits"),
    [
        ([answer(429), answer(201)], "create", [429, 201], (0.05, 0.2)),
        ([answer(503, Retry_After="2"), answer(201)], "create", [503, 201], (2.0, 2.2)),
        ([answer(500), answer(503), answer(200)], "get", [500, 503, 200], (0.2, 0.4)),
        ([answer(504), answer(200)], "apply", [504, 200], (0.05, 0.2)),
    ],
    ids=["429", "retry-after", "get", "apply"],
)
def test_passing_faults_are_waited_out(
    serve: Callable[..., Script], answers: list[bytes], act: str, seen: list[int], waits: tuple[float, float]
) -> None:
    slept: list[float] = []
    with Client(serve(*answers).access(), sleep=slept.append) as client:
        _act(client, act)
    assert statuses(client) == seen
    assert waits[0] <= sum(slept) <= waits[1]


@pytest.mark.parametrize(
    ("answers", "act", "seen"),
    [
        ([answer(503)], "create", [503]),
        ([answer(500)], "apply", [500]),
        ([answer(500)], "raw", [500]),
        ([answer(503, Retry_After="1")], "raw", [503]),
        ([answer(429, Retry_After="3600")], "get", [429]),
        ([answer(503)] * 5, "get", [503] * 5),
    ],
    ids=["create", "apply 500", "raw", "raw turned away", "longer than the time allowed", "lasting"],
)
def test_other_faults_are_raised(serve: Callable[..., Script], answers: list[bytes], act: str, seen: list[int]) -> None:
    with Client(serve(*answers).access(), sleep=lambda _unused: None) as client, pytest.raises(ApiError, match="told"):
        _act(client, act)
    assert statuses(client) == seen


def _act(client: Client, name: str) -> None:
    if name == "create":
        client.create(OBJECT)
    elif name == "apply":
        client.apply(OBJECT, force=True)
    elif name == "raw":
        client.get_raw("/readyz")
    else:
        client.get(CONFIG_MAP, "a", "b")


class Changing:
    """Credentials whose second value is the right one."""

    def __init__(self, *values: str) -> None:
        self.values = list(values)

    def header(self) -> str:
        return f"Bearer {self.values[0]}"

    def renew(self) -> bool:
        return bool(self.values.pop(0)) and bool(self.values)


def test_credentials_are_renewed_once(serve: Callable[..., Script]) -> None:
    script = serve(answer(401), answer(200))
    with Client(replace(script.access(), credentials=Changing("old", "new"))) as client:
        client.request("GET", "/one")
    assert ["Bearer old" in script.requests[0], "Bearer new" in script.requests[1]] == [True, True]
    script = serve(answer(401), answer(401))
    credentials = Changing("a", "b", "c")
    with (
        Client(replace(script.access(), credentials=credentials)) as client,
        pytest.raises(UnauthorizedError, match="does not accept the credentials of test; renew them"),
    ):
        client.request("GET", "/one")


def _identified(script: Script, issued: datetime) -> Access:
    pair = new_leaf(script.ca, ADMIN, algorithm=EC, now=issued, validity=timedelta(hours=1))
    return replace(script.access(), client_certificate=pair.certificate, client_key=pair.key)


@pytest.mark.parametrize("demand_certificate", [False, True], ids=["401", "handshake"])
def test_expired_client_certificate_is_named(serve: Callable[..., Script], demand_certificate: bool) -> None:
    issued = NOW - timedelta(days=2)
    ca = new_ca("test", algorithm=EC, now=issued)
    leaf = new_leaf(ca, SERVER, algorithm=EC, now=NOW)
    script = serve(answer(401), ca=ca, leaf=leaf, demand_certificate=demand_certificate)
    ended = f"{issued + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    with (
        Client(_identified(script, issued)) as client,
        pytest.raises(ExpiredCredentialError, match=f"the client certificate ended at {ended}; get a new kubeconfig"),
    ):
        client.request("GET", "/one")


def test_refused_but_valid_client_certificate(serve: Callable[..., Script]) -> None:
    script = serve(answer(401))
    with Client(_identified(script, NOW)) as client, pytest.raises(UnauthorizedError):
        client.request("GET", "/one")
    script = serve(answer(200), demand_certificate=True)
    pair = new_leaf(OTHER_CA, ADMIN, algorithm=EC, now=NOW)
    access = replace(script.access(), client_certificate=pair.certificate, client_key=pair.key)
    with Client(access) as client, pytest.raises((TlsError, UnreachableError), match="broke"):
        client.request("GET", "/one")


def test_forbidden_says_who(serve: Callable[..., Script]) -> None:
    with Client(serve(answer(403)).access()) as client, pytest.raises(ForbiddenError, match="grant this to the user of test"):
        client.request("GET", "/one")


def _old(days: int, validity: int) -> KeyPair:
    ca = new_ca("test", algorithm=EC, now=NOW - timedelta(days=30))
    leaf = new_leaf(ca, SERVER, algorithm=EC, now=NOW + timedelta(days=days), validity=timedelta(days=validity))
    return KeyPair(leaf.certificate + ca.certificate, leaf.key)


@pytest.mark.parametrize(
    ("leaf", "change", "message"),
    [
        (LEAF, {"ca": OTHER_CA.certificate}, "not signed by the given CA"),
        (LEAF, {"ca": None}, "not signed by the CAs of this operating system; give the cluster's CA certificate"),
        (LEAF, {"tls_server_name": "b.example.com"}, "does not name b.example.com; use a name it carries"),
        (LEAF, {"ca": OTHER_CA.certificate, "note": "Verification stays on."}, r"\. Verification stays on\."),
    ],
)
def test_refused_server_certificate(serve: Callable[..., Script], leaf: KeyPair, change: dict[str, object], message: str) -> None:
    access = replace(serve(leaf=leaf).access(), **change)  # type: ignore[arg-type]
    with Client(access) as client, pytest.raises(TlsError, match=message):
        client.request("GET", "/one")


@pytest.mark.parametrize(("days", "validity", "message"), [(-10, 5, "has expired; renew it there"), (10, 5, "not valid yet")])
def test_server_certificate_out_of_its_time(serve: Callable[..., Script], days: int, validity: int, message: str) -> None:
    leaf = _old(days, validity)
    ca = leaf.certificate[leaf.certificate.rindex(b"-----BEGIN") :]
    with Client(replace(serve(leaf=leaf).access(), ca=ca)) as client, pytest.raises(TlsError, match=message):
        client.request("GET", "/one")


def test_other_address_with_the_certificates_name(serve: Callable[..., Script]) -> None:
    script = serve(answer(200))
    access = replace(script.access(), server="https://api.example.com:6443/prefix", resolve_to=("127.0.0.1", script.port))
    with Client(access) as client:
        client.request("GET", "/version")
    assert script.requests[0].startswith("GET /prefix/version HTTP/1.1\r\nHost: api.example.com:6443\r\n")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    access = Access(server=f"https://127.0.0.1:{port}", origin="kubeconfig /x", ca=CA.certificate)
    with Client(access) as client, pytest.raises(UnreachableError, match=rf"\(kubeconfig /x\): connection to 127.0.0.1:{port} refused"):
        client.request("GET", "/one")
    assert statuses(client) == [0]


def test_name_that_does_not_resolve() -> None:
    access = Access(server="https://no-such-host.invalid", origin="test")
    with Client(access) as client, pytest.raises(UnreachableError, match=r"host name no-such-host\.invalid cannot be resolved"):
        client.request("GET", "/one")


def test_server_without_tls(serve: Callable[..., Script]) -> None:
    def speak(listener: socket.socket) -> None:
        connection, _unused = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak, args=(listener,))
        thread.start()
        access = Access(server=f"https://127.0.0.1:{listener.getsockname()[1]}", origin="test", ca=CA.certificate)
        with Client(access) as client, pytest.raises(UnreachableError, match="the TLS handshake failed"):
            client.request("GET", "/one")
        thread.join()


def test_silence_ends_in_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        access = Access(server=f"https://127.0.0.1:{listener.getsockname()[1]}", origin="test", ca=CA.certificate)
        with Client(access) as client, pytest.raises(UnreachableError):
            client.transport.dial(timeout_s=0.05)


@pytest.mark.parametrize(
    ("reply", "message"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", None), (b"HTTP/1.1 407 Who\r\n\r\n", "refuses the tunnel: HTTP/1.1 407 Who"), (b"", "no answer")],
    ids=["open", "407", "nothing"],
)
def test_proxy(serve: Callable[..., Script], reply: bytes, message: str | None) -> None:
    script = serve(answer(200))
    heads: list[bytes] = []

    def proxy(listener: socket.socket) -> None:
        connection, _unused = listener.accept()
        with connection, socket.create_connection(("127.0.0.1", script.port)) as target:
            heads.append(connection.recv(65536))
            connection.sendall(reply)
            if b"200" in reply:
                back = threading.Thread(target=_pipe, args=(target, connection))
                back.start()
                _pipe(connection, target)
                back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=proxy, args=(listener,))
        thread.start()
        access = replace(
            script.access(),
            server="https://api.example.com:6443",
            proxy=f"http://me:secret@127.0.0.1:{listener.getsockname()[1]}",
        )
        with Client(access) as client:
            if message is None:
                client.request("GET", "/one")
            else:
                with pytest.raises(UnreachableError, match=message):
                    client.request("GET", "/one")
        thread.join()
    assert heads[0].startswith(b"CONNECT api.example.com:6443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_answer_that_is_no_kubernetes(serve: Callable[..., Script]) -> None:
    script = serve(answer(200, b"<html>"))
    with Client(script.access()) as client, pytest.raises(UnreachableError, match="is this a Kubernetes API server"):
        client.request("GET", "/one")


def _event(type_: str, **obj: object) -> bytes:
    return json.dumps({"type": type_, "object": obj}).encode() + b"\n"


def test_watch_yields_events_whole(serve: Callable[..., Script]) -> None:
    one, two = _event("ADDED", metadata={"name": "a"}), _event("BOOKMARK", metadata={"resourceVersion": "7"})
    script = serve(chunked(one[:9], one[9:] + two), answer(200))
    with Client(script.access()) as client:
        events = list(client.watch(CONFIG_MAP))
        client.request("GET", "/same-connection")
    assert [(event.type, event.object["kind"]) for event in events] == [("ADDED", "ConfigMap"), ("BOOKMARK", "ConfigMap")]
    assert script.connections == 1


def test_watch_that_breaks_off_or_is_too_old(serve: Callable[..., Script]) -> None:
    script = serve(chunked(_event("ADDED", metadata={"name": "a"}), end=False))
    with Client(script.access()) as client, pytest.raises(UnreachableError, match="the watch broke off"):
        list(client.watch(CONFIG_MAP))
    script = serve(chunked(_event("ERROR", kind="Status", code=410, reason="Expired", message="too old")))
    with Client(script.access()) as client, pytest.raises(GoneError, match="too old"):
        list(client.watch(CONFIG_MAP))


def test_list_starts_over_when_its_pages_are_gone(serve: Callable[..., Script]) -> None:
    page = {"metadata": {"continue": "next", "resourceVersion": "1"}, "items": [{"metadata": {"name": "a"}}]}
    whole = {"metadata": {"resourceVersion": "2"}, "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}
    script = serve(answer(200, page), answer(410), answer(200, whole))
    with Client(script.access()) as client:
        found = client.list(CONFIG_MAP, namespace="x", label_selector="a=b")
    assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
    assert found.resource_version == "2"
    assert [call.path for call in client.calls] == [
        "/api/v1/namespaces/x/configmaps?labelSelector=a%3Db&limit=500",
        "/api/v1/namespaces/x/configmaps?labelSelector=a%3Db&limit=500&continue=next",
        "/api/v1/namespaces/x/configmaps?labelSelector=a%3Db",
    ]


def test_closing_ends_a_watch_in_another_thread(serve: Callable[..., Script]) -> None:
    # The answer has begun and nothing follows: chunked without an end, from a server that does not close.
    script = serve(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-encoding: chunked\r\n\r\n")
    client = Client(script.access())
    ended = threading.Event()
    seen: list[object] = []

    def follow() -> None:
        seen.extend(client.watch(CONFIG_MAP))
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    until = time.monotonic() + 5
    while not client.calls and time.monotonic() < until:
        thread.join(0.01)
    client.close()
    assert ended.wait(5)
    thread.join()
    assert seen == []
