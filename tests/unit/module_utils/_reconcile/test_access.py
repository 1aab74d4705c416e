# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a tenant answers at a published name: what routes by name accepts connections for any."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import TenantAccess, answers, presents
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.serving import presented
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import tenant


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextlib.contextmanager
def serving(authority: Authority, *hosts: str) -> Iterator[int]:
    """The port of a TLS server with a certificate for these hosts."""
    pair = authority.server("server", hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _peer = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_certificate_of_the_name_and_the_authority(authority: Authority, tmp_path: Path) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Authority(other_folder)
    with serving(authority, "localhost") as port:
        assert answers("127.0.0.1", port)
        assert presents("localhost", port, authority.pair.certificate.read_bytes())
        assert not presents("localhost", port, other.pair.certificate.read_bytes()), "of another authority"
    with serving(authority, "elsewhere.example") as port:
        assert not presents("localhost", port, authority.pair.certificate.read_bytes()), "of another name"


def test_nothing_listens(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not answers("127.0.0.1", port)
    assert not presents("localhost", port, authority.pair.certificate.read_bytes())


@pytest.mark.parametrize(("new", "expected"), [(True, 0.2), (False, 1.0)])
def test_an_address_that_is_new_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, new: bool, expected: float) -> None:
    waited = []

    def create_connection(_address: tuple[str, int], timeout: float) -> socket.socket:
        waited.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", create_connection)
    access = TenantAccess(cast(Client, None), tenant(), b"", ("192.0.2.1", 6443), new=new)
    assert not access.exposed
    assert not access.answers(("192.0.2.1", 6443))
    assert waited == [expected, 1.0]


def test_which_certificate_is_presented(authority: Authority) -> None:
    with serving(authority, "acme.tenants.svc") as port:
        found = presented(("127.0.0.1", port), "acme.tenants.svc", authority.pair.certificate.read_bytes())
    assert found == ssl.PEM_cert_to_DER_cert((authority.pair.certificate.parent / "server.crt").read_text(encoding="utf-8"))
