# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd process on loopback for tests, in plain text or with TLS and client certificates."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
def running_etcd(bundle: Path, directory: Path, *flags: str, tls: bool = False, authority: Authority | None = None) -> Iterator[Etcd]:
    """Run one etcd member with its data in `directory`. With tls it demands client certificates; authentication is still off.

    flags: further ones. authority: that of another etcd, to share it.
    """
    if tls and authority is None:
        authority = Authority(directory, "etcd-ca")
    client_port, peer_port = free_ports(2)
    etcd = Etcd("127.0.0.1", client_port, authority, authority.client("root") if authority else None)
    argv = _argv(bundle, directory, etcd, {"test": peer_port}, "test", flags)
    with running(argv, directory / "etcd.log", lambda: _is_healthy(etcd)):
        yield etcd


@contextlib.contextmanager
def running_members(bundle: Path, directory: Path, count: int, *flags: str) -> Iterator[list[Etcd]]:
    """Run an etcd of several members with TLS, named m0, m1 and so on; as running_etcd."""
    authority = Authority(directory, "etcd-ca")
    root, ports = authority.client("root"), free_ports(2 * count)
    members = [Etcd("127.0.0.1", port, authority, root) for port in ports[:count]]
    peers = {f"m{index}": port for index, port in enumerate(ports[count:])}
    with contextlib.ExitStack() as stack:
        for index, member in enumerate(members):
            argv = _argv(bundle, directory, member, peers, f"m{index}", flags)
            # The first ones serve only once a majority of them runs.
            awaited = members if index == count - 1 else []
            stack.enter_context(running(argv, directory / f"etcd-m{index}.log", partial(_are_healthy, awaited)))
        yield members


def _argv(bundle: Path, directory: Path, etcd: Etcd, peers: Mapping[str, int], name: str, flags: Sequence[str]) -> list[str]:
    peer_url = f"http://127.0.0.1:{peers[name]}"
    return [
        str(binary(bundle, "etcd")),
        f"--name={name}",
        f"--data-dir={directory / ('etcd' if len(peers) == 1 else f'etcd-{name}')}",
        f"--listen-client-urls={etcd.url}",
        f"--advertise-client-urls={etcd.url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster={','.join(f'{item}=http://127.0.0.1:{port}' for item, port in peers.items())}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        *flags,
        *_tls_flags(etcd.authority),
    ]


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


def _are_healthy(members: Sequence[Etcd]) -> bool:
    return all(map(_is_healthy, members))


def _is_healthy(etcd: Etcd) -> bool:
    connection = http.client.HTTPConnection(etcd.host, etcd.port, timeout=5)
    if etcd.authority and etcd.root:
        context = ssl.create_default_context(cafile=str(etcd.authority.pair.certificate))
        context.load_cert_chain(etcd.root.certificate, etcd.root.key)
        connection = http.client.HTTPSConnection(etcd.host, etcd.port, timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
