# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs with the flags and files of a tenant's Deployment: they start, in any order, and stop without haste."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair, new_key_pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import definition

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class ControlPlane:
    """Arguments of each program, and what a client needs. ports: of each program."""

    argv: dict[str, list[str]]
    ports: dict[str, int]
    directory: Path
    admin: Pair
    authority: Path

    def get(self, program: str, path: str) -> tuple[int, str]:
        """GET as administrator; raises OSError while nothing listens."""
        with contextlib.closing(self.connect(program)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def connect(self, program: str) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        if program != "kube-apiserver":
            # These serve with a certificate they make themselves, and only the kubelet asks.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.ports[program], context=context, timeout=10)

    @contextlib.contextmanager
    def run(self, program: str, path: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program until the block ends; it answers on `path` inside it."""
        with running(
            self.argv[program], self.directory / f"{program}.log", lambda: self.get(program, path)[0] == http.HTTPStatus.OK
        ) as process:
            yield process


@pytest.fixture
def control_plane(bundle: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    """A tenant's Deployment turned into programs on this host, with its files where the flags look for them."""
    with running_etcd(bundle, tmp_path, tls=True) as etcd:
        assert etcd.authority
        ports = dict(zip(PROGRAMS, free_ports(3), strict=True))
        wanted = parse(
            definition(
                {
                    "networkProfile.port": ports["kube-apiserver"],
                    "controlPlane.deployment.extraArgs": {
                        "apiServer": ["--shutdown-delay-duration=2s", "--bind-address=127.0.0.1"],
                        "controllerManager": [f"--secure-port={ports['kube-controller-manager']}"],
                        "scheduler": [f"--secure-port={ports['kube-scheduler']}"],
                    },
                }
            )
        )
        datastore = DatastoreInputs("default", "etcd", (f"{etcd.host}:{etcd.port}",), "tenants_acme", "tenants_acme", "", "")
        inputs = ManagementInputs("uid", "192.0.2.7", "192.0.2.7", "192.0.2.7:6443", {}, datastore, 1)
        pod = objects(wanted, inputs)[-1]["spec"]["template"]["spec"]
        authority = Authority(tmp_path, "tenant-ca")
        contents = _contents(tmp_path, authority, etcd.authority, f"https://127.0.0.1:{ports['kube-apiserver']}")
        argv = {item["name"]: _argv(bundle, item, _files(pod, item["name"], contents, tmp_path)) for item in pod["containers"]}
        admin = authority.client("admin", ("system:masters",))
        yield ControlPlane(argv, ports, tmp_path, admin, authority.pair.certificate)


def _argv(bundle: Path, container: Json, files: Path) -> list[str]:
    return [str(binary(bundle, container["command"][0])), *(flag.replace("/etc/kubernetes", str(files)) for flag in container["args"])]


def _files(pod: Json, container: str, contents: dict[str, dict[str, Path]], directory: Path) -> Path:
    """Write the volume of one container, with nothing but what the Deployment projects into it."""
    root = directory / f"{container}-files"
    volume = next(item for item in pod["volumes"] if item["name"] == root.name)
    for source in volume["projected"]["sources"]:
        for item in source["secret"]["items"]:
            target = root / item["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(contents[source["secret"]["name"]][item["key"]], target)
    return root


def _contents(directory: Path, tenant: Authority, store: Authority, server: str) -> dict[str, dict[str, Path]]:
    """Secret → key → file, as the engine makes them."""
    front = Authority(directory, "front-proxy-ca")
    private, public = new_key_pair(directory, "sa")
    serving = tenant.server("kube-apiserver")
    kubelet_client = tenant.client("kube-apiserver-kubelet-client", ("kubeadm:cluster-admins",))
    front_client = front.client("front-proxy-client")
    user = store.client("tenants_acme")
    kubeconfigs = {
        name: {f"{name}.conf": _kubeconfig(directory / f"{name}.conf", server, tenant, f"system:kube-{name}")}
        for name in ("controller-manager", "scheduler")
    }
    return {
        "acme-ca": {"ca.crt": tenant.pair.certificate, "ca.key": tenant.pair.key},
        "acme-api-server-certificate": {"apiserver.crt": serving.certificate, "apiserver.key": serving.key},
        "acme-api-server-kubelet-client-certificate": {
            "apiserver-kubelet-client.crt": kubelet_client.certificate,
            "apiserver-kubelet-client.key": kubelet_client.key,
        },
        "acme-front-proxy-ca-certificate": {"front-proxy-ca.crt": front.pair.certificate},
        "acme-front-proxy-client-certificate": {
            "front-proxy-client.crt": front_client.certificate,
            "front-proxy-client.key": front_client.key,
        },
        "acme-sa-certificate": {"sa.pub": public, "sa.key": private},
        "acme-datastore-certificate": {"ca.crt": store.pair.certificate, "server.crt": user.certificate, "server.key": user.key},
        "acme-controller-manager-kubeconfig": kubeconfigs["controller-manager"],
        "acme-scheduler-kubeconfig": kubeconfigs["scheduler"],
    }


def _kubeconfig(path: Path, server: str, authority: Authority, user: str) -> Path:
    client = authority.client(user)

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": server, "certificate-authority-data": embedded(authority.pair.certificate)}}],
        "users": [
            {"name": "a", "user": {"client-certificate-data": embedded(client.certificate), "client-key-data": embedded(client.key)}}
        ],
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def test_all_three_run_whichever_starts_first(control_plane: ControlPlane) -> None:
    with control_plane.run("kube-controller-manager", "/healthz") as manager, contextlib.ExitStack() as stack:
        # It is up before the API server and has to wait for it instead of giving up.
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        stack.enter_context(control_plane.run("kube-scheduler", "/healthz"))
        _wait_for(control_plane, "/api/v1/namespaces/default/serviceaccounts/default", "the controller manager makes service accounts")
        _wait_for(control_plane, "/api/v1/namespaces/kube-public/configmaps/kube-root-ca.crt", "and hands out the CA")
        for leader in ("kube-controller-manager", "kube-scheduler"):
            _wait_for(control_plane, f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{leader}", f"{leader} leads")
        assert manager.poll() is None
        # The engine owns them: a stopping API server must not empty them.
        assert control_plane.get("kube-apiserver", "/api/v1/namespaces/default/endpoints/kubernetes")[0] == http.HTTPStatus.NOT_FOUND


def _wait_for(control_plane: ControlPlane, path: str, what: str) -> None:
    deadline = time.monotonic() + 30
    while control_plane.get("kube-apiserver", path)[0] != http.HTTPStatus.OK:
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_stopping_api_server_serves_on_and_then_ends_its_watches(control_plane: ControlPlane) -> None:
    with control_plane.run("kube-apiserver", "/readyz") as process, contextlib.closing(control_plane.connect("kube-apiserver")) as watch:
        watch.request("GET", "/api/v1/namespaces?watch=true")
        assert watch.getresponse().status == http.HTTPStatus.OK

        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        while control_plane.get("kube-apiserver", "/readyz")[0] == http.HTTPStatus.OK:
            assert time.monotonic() - started < 2, "it says at once that it is not ready"
            time.sleep(0.02)
        assert control_plane.get("kube-apiserver", "/version")[0] == http.HTTPStatus.OK, "a new connection is served for the delay"

        process.wait(30)
        elapsed = time.monotonic() - started
        assert 2 <= elapsed < 15, f"ended after {elapsed:.0f} s: the delay, and not the minute that open watches would cost"
