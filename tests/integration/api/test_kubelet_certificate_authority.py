# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the API server of a tenant verifies kubelets: by default not, with the flag of docs/examples it does. The kubelets are stand-ins."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair
from ansible_collections.hosted.kubernetes.tests.support.control_plane import prepared
from ansible_collections.hosted.kubernetes.tests.support.examples import example

FLAGS = example("kubelet_certificates")["spec"]["controlPlane"]["deployment"]["extraArgs"]["apiServer"]


class Kubelet(http.server.BaseHTTPRequestHandler):
    """Answers for the log of any container."""

    def do_GET(self) -> None:
        body = b"hello from the pod\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def kubelet(serving: Pair) -> Iterator[int]:
    """A kubelet that is known by this certificate; yields its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubelet) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(serving.certificate, serving.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def make_pod(client: Client, node: str, port: int) -> None:
    """A pod on a node whose kubelet listens on that port."""
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": status})
    spec: Json = {"nodeName": node, "containers": [{"name": "main", "image": "main"}], "automountServiceAccountToken": False}
    client.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"on-{node}", "namespace": "default"}, "spec": spec})


def logs(bundle: Path, folder: Path, flags: list[str], kubelets: Mapping[str, Pair | None]) -> dict[str, str]:
    """What the log of a pod on each node gives with an API server that has these flags. kubelets: None for one that the tenant's CA has signed."""
    found = {}
    changes = {"controlPlane.deployment.extraArgs": {"apiServer": ["--bind-address=127.0.0.1", *flags]}}
    with prepared(bundle, folder, changes) as control_plane, contextlib.ExitStack() as stack:
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        client = stack.enter_context(connect(ConnectionOptions(kubeconfig=str(control_plane.kubeconfig))))
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}, force=True)
        client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}})
        for node, serving in kubelets.items():
            pair = serving or control_plane.authority.server(f"system-node-{node}", ("127.0.0.1", node))
            make_pod(client, node, stack.enter_context(kubelet(pair)))
            _status, found[node] = control_plane.get("kube-apiserver", resource_of("Pod").path("default", f"on-{node}", "log"))
    return found


@pytest.mark.parametrize(("flags", "verifies"), [([], False), (FLAGS, True)], ids=["default", "flag"])
def test_kubelets(bundle: Path, tmp_path: Path, flags: list[str], verifies: bool) -> None:
    own = Authority(tmp_path, "own-kubelet").server("own", ("127.0.0.1", "own"))
    found = logs(bundle, tmp_path, flags, {"signed": None, "own": own})
    assert "hello from the pod" in found["signed"]
    if verifies:
        assert "certificate signed by unknown authority" in found["own"]
    else:
        assert "hello from the pod" in found["own"]
