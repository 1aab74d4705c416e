# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kube-apiserver with its etcd on loopback: no kubelet, no controllers, ready in about 3 seconds.

As a library: `with running_api_server(bundle, directory) as server`. By hand, until Ctrl-C:
`python -m ansible_collections.hosted.kubernetes.tests.support.apiserver`, which prints the path of an admin kubeconfig.
Nothing here removes what a controller manager would remove: a deleted namespace stays Terminating, so tests use names of their own.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.tests.support.bundle import binary, bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair, new_key_pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running


class RequestError(Exception):
    """The API server answered with an error status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status}: {body[:512]}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class ApiServer:
    """An API server. admin belongs to system:masters; kubeconfig is its kubeconfig, certificates inline."""

    host: str
    port: int
    authority: Authority
    admin: Pair
    kubeconfig: Path
    etcd_url: str
    flags: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send one request as admin; body and answer are JSON values. Raises RequestError from status 400 on."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        with contextlib.closing(http.client.HTTPSConnection(self.host, self.port, timeout=30, context=self._context())) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RequestError(response.status, text)
        return json.loads(text) if "json" in response.headers.get("Content-Type", "") else text

    def is_ready(self) -> bool:
        """Whether /readyz answers with success. Raises OSError while nothing listens yet."""
        try:
            self.request("GET", "/readyz")
        except RequestError:
            return False
        return True

    def write_kubeconfig(self, path: Path, user: Pair) -> Path:
        """Write a kubeconfig (mode 0600) for the holder of a client certificate of this server's authority."""
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.authority.pair.certificate)}
        credentials = {"client-certificate-data": _base64(user.certificate), "client-key-data": _base64(user.key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": credentials}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        return context


@contextlib.contextmanager
def running_api_server(bundle: Path, directory: Path, *, extra_flags: tuple[str, ...] = ()) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver with all their files in `directory`; the server is ready inside the block.

    bundle: folder as made by the role bundle. Raises MissingBundleError and StartError.
    """
    with running_etcd(bundle, directory) as etcd:
        server = prepare(directory, etcd)
        with running_prepared(bundle, directory, server, extra_flags=extra_flags):
            yield server


def prepare(directory: Path, etcd: Etcd) -> ApiServer:
    """Make all files of an API server over a running etcd; nothing is started."""
    authority = Authority(directory)
    admin = authority.client("admin", ("system:masters",))
    (port,) = free_ports(1)
    flags = tuple(_flags(authority, directory, port, etcd.url))
    server = ApiServer("127.0.0.1", port, authority, admin, directory / "admin.kubeconfig", etcd.url, flags)
    server.write_kubeconfig(server.kubeconfig, admin)
    return server


@contextlib.contextmanager
def running_prepared(
    bundle: Path, directory: Path, server: ApiServer, *, extra_flags: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run kube-apiserver with the files of prepare(); it is ready inside the block. Raises as running_api_server()."""
    argv = [str(binary(bundle, "kube-apiserver")), *server.flags, *extra_flags]
    with running(argv, directory / "kube-apiserver.log", server.is_ready) as process:
        yield process


def _flags(authority: Authority, directory: Path, port: int, etcd_url: str) -> list[str]:
    serving = authority.server("kube-apiserver")
    private, public = new_key_pair(directory, "service-account")
    return [
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={authority.pair.certificate}",
        "--authorization-mode=Node,RBAC",
        # No controller manager runs that would make a service account in each namespace.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
    ]


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def main() -> None:
    """Run a server until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as directory,
        running_api_server(bundle_directory(), Path(directory)) as server,
    ):
        print(server.kubeconfig, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
