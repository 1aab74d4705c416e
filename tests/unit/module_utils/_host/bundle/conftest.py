# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A loopback server with the paths of upstream's download sites and of an image registry."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import Order, host_arch
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import KUBERNETES_TOOLS, Spec, parse_spec

KUBERNETES = "v1.36.3"
VERSIONS = {
    "containerd": "v2.2.5",
    "runc": "v1.3.6",
    "cni_plugins": "v1.9.1",
    "cri_tools": "v1.36.0",
    "konnectivity": "v0.36.0",
    "kine": "v0.17.5",
    "flannel": "v0.26.7",
    "flannel_cni_plugin": "v1.7.1-flannel1",
    "metallb": "v0.15.2",
    "agnhost": "2.63.0",
}
IMAGES = (
    *(f"registry.k8s.io/{name}:{KUBERNETES}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")),
    "registry.k8s.io/etcd:3.6.8-0",
    "registry.k8s.io/coredns/coredns:v1.14.2",
    "registry.k8s.io/pause:3.10.2",
    "registry.k8s.io/kas-network-proxy/proxy-server:v0.36.0",
    "registry.k8s.io/kas-network-proxy/proxy-agent:v0.36.0",
    "ghcr.io/k3s-io/kine:v0.17.5-nocgo",
    "ghcr.io/flannel-io/flannel:v0.26.7",
    "quay.io/metallb/controller:v0.15.2",
    "quay.io/metallb/speaker:v0.15.2",
    "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
)
KUBEADM_NAMES = [image for image in IMAGES if not re.search("kas-network-proxy|e2e", image) and image.startswith("registry.k8s.io/")]
# kubeadm has to run: it is asked which versions go with it.
KUBEADM = "#!/bin/sh\ncat <<'END'\n" + "\n".join(KUBEADM_NAMES) + "\nEND\n"
TOKEN = "a-token-that-must-not-travel-further"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_gz(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class Upstream:
    """Files and images of upstream. files: content by path; a test changes it to break something."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stall: threading.Event | None = None
        self.url = ""
        self._add_kubernetes()
        self._add_archives()
        for image in IMAGES:
            self.add_image(image)

    def _add_kubernetes(self) -> None:
        for name in KUBERNETES_TOOLS:
            content = KUBEADM.encode() if name == "kubeadm" else f"the program {name}".encode()
            path = f"/release/{KUBERNETES}/bin/linux/{host_arch()}/{name}"
            # Upstream's file holds the bare sum.
            self.files.update({path: content, f"{path}.sha256": sha256(content).encode()})

    def _add_archives(self) -> None:
        arch = host_arch()
        etcd = tar_gz({f"etcd-v3.6.8-linux-{arch}/{name}": name.encode() for name in ("etcd", "etcdctl", "etcdutl")})
        name = f"etcd-v3.6.8-linux-{arch}.tar.gz"
        base = "/etcd-io/etcd/releases/download/v3.6.8"
        lines = f"{'0' * 64}  etcd-v3.6.8-darwin-{arch}.zip\n{sha256(etcd)}  {name}\n"
        self.files.update({f"{base}/{name}": etcd, f"{base}/SHA256SUMS": lines.encode()})

        containerd = tar_gz(
            {f"bin/{name}": name.encode() for name in ("containerd", "ctr", "containerd-shim-runc-v2", "containerd-stress")}
        )
        name = f"containerd-static-2.2.5-linux-{arch}.tar.gz"
        path = f"/containerd/containerd/releases/download/v2.2.5/{name}"
        self.files.update({path: containerd, f"{path}.sha256sum": f"{sha256(containerd)}  {name}\n".encode()})

        base = "/opencontainers/runc/releases/download/v1.3.6"
        sums = f"{sha256(b'runc')} *runc.{arch}\n{'1' * 64} *runc.riscv64\n"
        self.files.update({f"{base}/runc.{arch}": b"runc", f"{base}/runc.sha256sum": sums.encode()})

        names = ("bridge", "host-local", "loopback", "portmap", "ptp", "bandwidth", "firewall", "vlan")
        plugins = tar_gz({f"./{name}": name.encode() for name in names})
        name = f"cni-plugins-linux-{arch}-v1.9.1.tgz"
        path = f"/containernetworking/plugins/releases/download/v1.9.1/{name}"
        self.files.update({path: plugins, f"{path}.sha256": f"{sha256(plugins)}  {name}\n".encode()})

        flannel = tar_gz({f"flannel-{arch}": b"flannel"})
        name = f"cni-plugin-flannel-linux-{arch}-v1.7.1-flannel1.tgz"
        path = f"/flannel-io/cni-plugin/releases/download/v1.7.1-flannel1/{name}"
        self.files.update({path: flannel, f"{path}.sha256": f"{sha256(flannel)}  {name}\n".encode()})

        crictl = tar_gz({"crictl": b"crictl"})
        path = f"/kubernetes-sigs/cri-tools/releases/download/v1.36.0/crictl-v1.36.0-linux-{arch}.tar.gz"
        self.files.update({path: crictl, f"{path}.sha256": f"{sha256(crictl)}\n".encode()})

    def add_image(self, reference: str) -> None:
        """Serve an image of two architectures; the layers of the other one are not there."""
        repository, _colon, tag = reference.partition("/")[2].rpartition(":")
        layer = tar_gz({"program": reference.encode()})
        config = json.dumps({"architecture": host_arch(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"digest": f"sha256:{sha256(config)}", "size": len(config)},
                "layers": [{"digest": f"sha256:{sha256(layer)}", "size": len(layer)}],
            }
        ).encode()
        index = json.dumps(
            {
                "schemaVersion": 2,
                "manifests": [
                    {"digest": f"sha256:{'0' * 64}", "platform": {"os": "linux", "architecture": "s390x"}},
                    {"digest": f"sha256:{sha256(manifest)}", "platform": {"os": "linux", "architecture": host_arch()}},
                ],
            }
        ).encode()
        base = f"/v2/{repository}"
        self.files.update(
            {
                f"{base}/manifests/{tag}": index,
                f"{base}/manifests/sha256:{sha256(manifest)}": manifest,
                f"{base}/blobs/sha256:{sha256(config)}": config,
                f"/storage/{sha256(layer)}": layer,
                # As registry.k8s.io does: layers lie elsewhere.
                f"{base}/blobs/sha256:{sha256(layer)}": f"=> /storage/{sha256(layer)}".encode(),
            }
        )

    def asked(self, start: str) -> list[str]:
        return [path for path, _headers in self.requests if path.startswith(start)]


def handler_of(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            upstream.requests.append((self.path, dict(self.headers)))
            if path == "/token":
                self.answer(200, json.dumps({"token": TOKEN}).encode())
            elif path.startswith("/v2/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                scope = path[len("/v2/") :].rpartition("/")[0].rpartition("/")[0]
                challenge = f'Bearer realm="{upstream.url}/token",service="registry",scope="repository:{scope}:pull"'
                self.answer(401, b"", {"WWW-Authenticate": challenge})
            elif path not in upstream.files:
                self.answer(404, b"no such file")
            elif upstream.files[path].startswith(b"=> "):
                self.answer(307, b"", {"Location": upstream.files[path][3:].decode()})
            else:
                self.answer(200, upstream.files[path])

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if upstream.stall is not None and len(body) > 1 and self.path.endswith("/kubelet"):
                self.wfile.write(body[:1])
                self.wfile.flush()
                upstream.stall.wait(120)
                return
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def served(upstream: Upstream) -> Iterator[Upstream]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(upstream))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    upstream.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield upstream
    finally:
        if upstream.stall is not None:
            upstream.stall.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(name="upstream")
def upstream_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setenv("no_proxy", "*")
    with served(Upstream()) as upstream:
        yield upstream


def raw_spec(base: str) -> dict[str, Any]:
    return {
        "kubernetes": KUBERNETES,
        "arch": host_arch(),
        "versions": VERSIONS,
        "urls": {"kubernetes": base, "github": base},
        "registries": dict.fromkeys(("registry.k8s.io", "ghcr.io", "quay.io"), base),
    }


def spec_for(base: str = "https://upstream.example") -> Spec:
    return parse_spec(raw_spec(base))


def order_for(cache_dir: Any, base: str, **more: Any) -> Order:
    return Order(spec_for(base), str(cache_dir), str(cache_dir / "bundles" / f"{KUBERNETES}-{host_arch()}"), **more)
