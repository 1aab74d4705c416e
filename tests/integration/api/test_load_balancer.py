# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MetalLB as role load_balancer makes it: its real programs against a real API server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.modules import manifest
from ansible_collections.hosted.kubernetes.tests.support import metallb
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module

ADDRESS = "192.0.2.200"
STARTS = 2
NODES = 400


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of its own: no other test wants so many nodes."""
    with running_api_server(bundle, tmp_path_factory.mktemp("load-balancer")) as running:
        yield running


@pytest.fixture(scope="module")
def made(server: ApiServer) -> list[dict[str, Any]]:
    """The role's objects, in the cluster; nothing runs that would make pods of them."""
    objects = metallb.objects(load_balancer_addresses=[f"{ADDRESS}-192.0.2.220"], load_balancer_interfaces=["lo"])
    run_module(manifest.main, {"kubeconfig": str(server.kubeconfig), "definition": [*metallb.crds(), *objects], "wait": False})
    return objects


@pytest.fixture
def service(server: ApiServer) -> str:
    """A Service that has its address and an endpoint; namespace/name."""
    port = {"port": 6443, "protocol": "TCP"}
    path = "/api/v1/namespaces/default/services"
    meta = {"name": "acme", "namespace": "default"}
    server.request("POST", path, {"metadata": meta, "spec": {"type": "LoadBalancer", "ports": [port]}})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}}
    server.request("PATCH", f"{path}/acme/status", status, content_type="application/merge-patch+json")
    endpoints = {
        "metadata": {"name": "acme-1", "labels": {"kubernetes.io/service-name": "acme"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": True}, "nodeName": metallb.NODE}],
        "ports": [port],
    }
    server.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoints)
    return "default/acme"


@pytest.fixture
def pod(server: ApiServer, made: list[dict[str, Any]]) -> None:
    """What the speaker takes itself for."""
    container = {"name": "speaker", "image": metallb.container("DaemonSet", made)["image"]}
    spec = {"nodeName": metallb.NODE, "containers": [container]}
    server.request("POST", "/api/v1/namespaces/metallb-system/pods", {"metadata": {"name": metallb.POD}, "spec": spec})


@pytest.fixture
def nodes(server: ApiServer) -> None:
    """That of the speaker is the last of many that are left out of load balancing."""
    left_out = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    with connect(ConnectionOptions(kubeconfig=str(server.kubeconfig)), {}) as client:
        for number in range(NODES):
            client.request("POST", "/api/v1/nodes", body={"metadata": {"name": f"node-0-{number}", "labels": left_out}})
        client.request("POST", "/api/v1/nodes", body={"metadata": {"name": metallb.NODE}})


@pytest.fixture
def kubeconfig_of(server: ApiServer, tmp_path: Path) -> Callable[[str], Path]:
    """What a program connects with: it has the rights that the role gives its service account, and no other."""

    def write(name: str) -> Path:
        user = server.authority.client(f"system:serviceaccount:metallb-system:{name}", ("system:authenticated",))
        return server.write_kubeconfig(tmp_path / f"{name}.kubeconfig", user)

    return write


def test_the_controller_makes_the_secret_that_speakers_wait_for(
    server: ApiServer, bundle: Path, tmp_path: Path, made: list[dict[str, Any]], kubeconfig_of: Callable[[str], Path]
) -> None:
    """And gives a Service its address, from the pool of the role."""
    path = "/api/v1/namespaces/default/services"
    server.request("POST", path, {"metadata": {"name": "new"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 6443}]}})
    secrets = "/api/v1/namespaces/metallb-system/secrets?fieldSelector=metadata.name%3Dmemberlist"
    with metallb.running_controller(metallb.program(bundle, "controller", tmp_path), made, kubeconfig_of("controller"), tmp_path):
        deadline = time.monotonic() + 30
        while not (server.request("GET", secrets)["items"] and server.request("GET", f"{path}/new")["status"]["loadBalancer"]):
            assert time.monotonic() < deadline, (tmp_path / "controller.log").read_text(encoding="utf-8")
            time.sleep(0.1)
    (secret,) = server.request("GET", secrets)["items"]
    assert secret["data"]["secretkey"]
    assert server.request("GET", f"{path}/new")["status"]["loadBalancer"]["ingress"][0]["ip"].startswith("192.0.2.2")


@pytest.mark.usefixtures("nodes", "pod")
def test_a_speaker_announces_after_every_start(
    bundle: Path, tmp_path: Path, made: list[dict[str, Any]], service: str, kubeconfig_of: Callable[[str], Path]
) -> None:
    """Also when it learns of its own node last, after which without memberlist it looks at no Service again."""
    program, kubeconfig = metallb.program(bundle, "speaker", tmp_path), kubeconfig_of("speaker")
    log = tmp_path / "speaker.log"
    for _start in range(STARTS):
        with metallb.running_speaker(program, made, kubeconfig, tmp_path) as speaker:
            deadline = time.monotonic() + 30
            while not speaker.announces(service):
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.1)
