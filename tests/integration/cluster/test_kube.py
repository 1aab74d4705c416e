# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs a kubelet: the port-forward into real pods, and waiting for real rollouts."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import TlsError, UnreachableError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.modules import manifest
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

CONFIG_MAP = resource_of("ConfigMap")
NAME = "https://kubernetes.default.svc"
PAUSE = "registry.k8s.io/pause:3.10.2"


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), {}) as made:
        yield made


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """A namespace that is gone after the test."""
    name = f"test-{secrets.token_hex(4)}"
    definition = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    arguments = {"kubeconfig": str(kubeconfig), "definition": definition, "wait_timeout": 120}
    run_module(manifest.main, arguments)
    yield name
    run_module(manifest.main, {**arguments, "state": "absent"})


def forward(client: Client, port: int = 6443, pod: str | None = None) -> PortForward:
    """A port-forward to the API server's own pod."""
    pods = client.list(resource_of("Pod"), namespace="kube-system", label_selector="component=kube-apiserver").items
    return PortForward(client, "kube-system", pod or pods[0]["metadata"]["name"], port)


def test_tls_is_verified_through_the_port_forward(client: Client, kubeconfig: Path) -> None:
    data = kubeconfig.read_bytes()
    with forward(client) as way:
        with client_from_kubeconfig(data, server=NAME, resolve_to=way.address) as inside:
            assert inside.get_raw("/readyz") == "ok"
        with (
            client_from_kubeconfig(data, server="https://elsewhere.example.com", resolve_to=way.address) as inside,
            pytest.raises(TlsError, match=r"does not name elsewhere\.example\.com"),
        ):
            inside.get_raw("/readyz")
    assert way.last_error is None


def test_many_large_answers_at_once(client: Client, kubeconfig: Path, namespace: str) -> None:
    text = os.urandom(300_000).hex()
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}, "data": {"a": text}}
    with forward(client) as way, client_from_kubeconfig(kubeconfig.read_bytes(), server=NAME, resolve_to=way.address) as inside:
        inside.apply(body, force=True)
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda _number: inside.get(CONFIG_MAP, "a", namespace), range(24)))
    assert {item["data"]["a"] == text for item in found if item} == {True}
    assert len(found) == 24


def test_watch_goes_through(client: Client, kubeconfig: Path, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}
    with forward(client) as way, client_from_kubeconfig(kubeconfig.read_bytes(), server=NAME, resolve_to=way.address) as inside:
        listed = inside.list(CONFIG_MAP, namespace=namespace)
        events = inside.watch(CONFIG_MAP, namespace=namespace, resource_version=listed.resource_version, timeout_s=30)
        client.create(body)
        assert [next(events).object["metadata"]["name"]] == ["a"]
        events.close()


@pytest.mark.parametrize(
    ("port", "pod", "message"),
    [(1, None, "connection refused"), (6443, "no-such-pod", '404 NotFound: pods "no-such-pod" not found')],
)
def test_failure_says_why(client: Client, port: int, pod: str | None, message: str) -> None:
    with forward(client, port, pod) as way, socket.create_connection(way.address, timeout=20) as connection:
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert message in str(way.last_error)


def test_closed_port_forward_breaks_kept_connections(client: Client, kubeconfig: Path) -> None:
    with forward(client) as way:
        inside = client_from_kubeconfig(kubeconfig.read_bytes(), server=NAME, resolve_to=way.address)
        inside.get_raw("/readyz")
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with inside, pytest.raises(UnreachableError):
        inside.get_raw("/readyz")


def deployment(namespace: str, image: str = PAUSE, **labels: str) -> dict[str, Any]:
    container = {"name": "main", "image": image, "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "a", **labels}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": namespace}, "spec": spec}


def test_manifest_waits_for_rollouts(client: Client, kubeconfig: Path, namespace: str) -> None:
    def run(definition: dict[str, Any], **options: Any) -> dict[str, Any]:
        return run_module(manifest.main, {"kubeconfig": str(kubeconfig), "definition": definition, **options})

    for definition in (deployment(namespace), deployment(namespace, generation="two")):
        assert run(definition, wait_timeout=120)["changed"]
        live = client.get(resource_of("Deployment"), "a", namespace)
        assert live is not None
        assert live["status"]["availableReplicas"] == live["status"]["updatedReplicas"] == live["status"]["replicas"] == 2
        assert not run(definition)["changed"]
    with pytest.raises(ModuleFailedError, match=r"1 of 2 pods are of the present template; pod a-\S+: container main ErrImageNeverPull"):
        run(deployment(namespace, image="example.com/no-such-image:v1"), wait_timeout=5)
    assert run(deployment(namespace), state="absent", wait_timeout=60)["changed"]
    assert client.get(resource_of("Deployment"), "a", namespace) is None
