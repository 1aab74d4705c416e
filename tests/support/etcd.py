# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd process on loopback for tests, in plain text or with TLS and client certificates."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running


@dataclass(frozen=True)
class Etcd:
    """A running etcd. authority and root are None for plain text; root is the client certificate of user root."""

    host: str
    port: int
    authority: Authority | None = None
    root: Pair | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.host}:{self.port}"


@contextlib.contextmanager
def running_etcd(bundle: Path, directory: Path, *, tls: bool = False, authority: Authority | None = None) -> Iterator[Etcd]:
    """Run one etcd member with its data in `directory`. With tls it demands client certificates; authentication is still off.

    authority: that of another etcd, to share it.
    """
    client_port, peer_port = free_ports(2)
    if tls and authority is None:
        authority = Authority(directory, "etcd-ca")
    etcd = Etcd("127.0.0.1", client_port, authority, authority.client("root") if authority else None)
    argv = [
        str(binary(bundle, "etcd")),
        "--name=test",
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={etcd.url}",
        f"--advertise-client-urls={etcd.url}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-cluster=test=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        *_tls_flags(authority),
    ]
    with running(argv, directory / "etcd.log", lambda: _is_healthy(etcd)):
        yield etcd


def _tls_flags(authority: Authority | None) -> list[str]:
    if authority is None:
        return []
    server = authority.server(f"etcd-server-{secrets.token_hex(4)}")
    return [
        f"--cert-file={server.certificate}",
        f"--key-file={server.key}",
        f"--trusted-ca-file={authority.pair.certificate}",
        "--client-cert-auth",
    ]


def _is_healthy(etcd: Etcd) -> bool:
    connection = http.client.HTTPConnection(etcd.host, etcd.port, timeout=5)
    if etcd.authority and etcd.root:
        context = ssl.create_default_context(cafile=str(etcd.authority.pair.certificate))
        context.load_cert_chain(etcd.root.certificate, etcd.root.key)
        connection = http.client.HTTPSConnection(etcd.host, etcd.port, timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
