# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tenant's side of a worker on a real cluster: what a join needs to know, tokens that are signed, drains that honour budgets."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import bootstrap_token as tokens
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import ca_hash
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers
from ansible_collections.hosted.kubernetes.plugins.modules import bootstrap_token, join_info, node
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

PAUSE = "registry.k8s.io/pause:3.10.2"


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        yield client


@pytest.fixture
def host(client: Client) -> Iterator[str]:
    """Name of a host that could join; its tokens are deleted afterwards."""
    name = f"host-{secrets.token_hex(4)}"
    yield name
    for secret in token_secrets(client, name):
        client.delete(resource_of("Secret"), secret["metadata"]["name"], tokens.NAMESPACE)


def token_secrets(client: Client, host: str) -> list[Json]:
    listed = client.list(resource_of("Secret"), namespace=tokens.NAMESPACE, field_selector=tokens.FIELD_SELECTOR).items
    names = tokens.tokens_of(host, listed)
    return [item for item in listed if item["metadata"]["name"] in names]


def run(kubeconfig: Path, module: Any, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(module.main, {"tenant_kubeconfig": str(kubeconfig), **options}, check=check)


def test_what_a_host_must_know(client: Client, kubeconfig: Path) -> None:
    name = client.list(resource_of("Node")).items[0]["metadata"]["name"]
    found = run(kubeconfig, join_info, node_name=name)
    authority = (client.get(resource_of("ConfigMap"), "kube-root-ca.crt", "default") or {})["data"]["ca.crt"]
    assert found["target"] == {
        "tenant": f"of {kubeconfig}",
        "endpoint": client.access.server,
        "ca_hashes": [ca_hash(authority.encode())],
        "version": client.request("GET", "/version")["gitVersion"],
        "has_node": True,
        "has_ipv6": False,
    }
    assert client.access.server == f"https://{found['address']}"
    assert found["ca"] == authority
    assert found["konnectivity"] == ""
    assert "kind: KubeletConfiguration" in found["kubelet_configuration"]
    assert (found["node"]["version"], found["node"]["cordoned"]) == (found["target"]["version"], False)
    assert not run(kubeconfig, join_info, node_name="no-such-node")["target"]["has_node"]


def test_a_token_is_signed_when_the_module_returns_and_goes_afterwards(client: Client, kubeconfig: Path, host: str) -> None:
    assert run(kubeconfig, bootstrap_token, for_host=host, check=True)["changed"]
    assert token_secrets(client, host) == []

    made = run(kubeconfig, bootstrap_token, for_host=host, ttl=60)
    info = client.get(resource_of("ConfigMap"), tokens.CLUSTER_INFO, tokens.CLUSTER_INFO_NAMESPACE) or {}
    assert info["data"][f"jws-kubeconfig-{made['token_id']}"]
    (secret,) = token_secrets(client, host)
    assert base64.b64decode(secret["data"]["expiration"]).decode() == made["expires"]

    assert run(kubeconfig, bootstrap_token, for_host=host, state="absent", check=True)["changed"]
    assert run(kubeconfig, bootstrap_token, for_host=host, state="absent")["changed"]
    assert token_secrets(client, host) == []
    assert not run(kubeconfig, bootstrap_token, for_host=host, state="absent")["changed"]


def test_a_new_token_replaces_one_that_a_killed_run_left(client: Client, kubeconfig: Path, host: str) -> None:
    first = run(kubeconfig, bootstrap_token, for_host=host)
    second = run(kubeconfig, bootstrap_token, for_host=host)
    assert [item["metadata"]["name"] for item in token_secrets(client, host)] == [f"bootstrap-token-{second['token_id']}"]
    assert first["token_id"] != second["token_id"]


def test_the_secret_part_is_in_the_token_only(kubeconfig: Path, host: str) -> None:
    made = run(kubeconfig, bootstrap_token, for_host=host)
    secret = made.pop("token").partition(".")[2]
    assert secret not in json.dumps(made)


def test_a_long_lifetime_is_refused(kubeconfig: Path, host: str) -> None:
    with pytest.raises(ModuleFailedError, match="ttl 86400: a bootstrap token lives 60 to 900 seconds"):
        run(kubeconfig, bootstrap_token, for_host=host, ttl=86400)


def test_a_tenant_that_does_not_exist_is_named(kubeconfig: Path) -> None:
    with pytest.raises(ModuleFailedError, match=r"TenantControlPlane nowhere/nobody: does not exist"):
        run_module(join_info.main, {"kubeconfig": str(kubeconfig), "tenant": "nobody", "namespace": "nowhere", "node_name": "x"})


@pytest.fixture
def guarded(client: Client) -> Iterator[str]:
    """Namespace with two pods, of which a budget lets only one go."""
    namespace = f"drain-{secrets.token_hex(4)}"
    labels = {"app": "guarded"}
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    containers = [{"name": "main", "image": PAUSE, "imagePullPolicy": "Never"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, "terminationGracePeriodSeconds": 1}}
    metadata = {"name": "guarded", "namespace": namespace}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    client.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    budget = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    client.create({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget})
    wait_for(
        client,
        resource_of("Deployment"),
        "guarded",
        namespace,
        predicate=lambda obj: obj is not None and deployment_problem(obj) is None,
        deadline=time.monotonic() + 60,
    )
    wait_for(
        client,
        resource_of("PodDisruptionBudget"),
        "guarded",
        namespace,
        predicate=lambda obj: obj is not None and obj.get("status", {}).get("disruptionsAllowed") == 1,
        deadline=time.monotonic() + 60,
    )
    yield namespace
    client.delete(resource_of("Namespace"), namespace)


def test_a_drain_honours_budgets_and_says_which_pod_it_waits_for(client: Client, kubeconfig: Path, guarded: str) -> None:
    """The other pods of the cluster's only node run on: only those of one namespace are given to the drain."""
    pods = client.list(resource_of("Pod"), namespace=guarded).items
    name = pods[0]["spec"]["nodeName"]
    run(kubeconfig, node, names=[name], cordoned=True)
    try:
        with pytest.raises(
            HostedKubernetesError, match=rf"Node {name}: not drained after 5 s: pod {guarded}/guarded-\S+ may not be evicted"
        ):
            workers.drain(client, name, pods, timeout_s=5, grace_period_s=None)
        left = [pod for pod in client.list(resource_of("Pod"), namespace=guarded).items if pod["spec"].get("nodeName")]
        assert len(left) == 1

        client.delete(resource_of("PodDisruptionBudget"), "guarded", guarded)
        workers.drain(client, name, left, timeout_s=60, grace_period_s=None)
        assert not [pod for pod in client.list(resource_of("Pod"), namespace=guarded).items if pod["spec"].get("nodeName")]
    finally:
        run(kubeconfig, node, names=[name], cordoned=False)


def test_a_node_that_is_alive_is_well(client: Client, kubeconfig: Path) -> None:
    """Its kubelet renews its Lease every ten seconds; one of another version is not waited for in vain."""
    found = client.list(resource_of("Node")).items[0]
    name, version = found["metadata"]["name"], found["status"]["nodeInfo"]["kubeletVersion"]
    seen = run(kubeconfig, node, names=[name], version=version, wait_timeout=60)
    assert not seen["changed"]
    assert seen["nodes"][name]["version"] == version
    with pytest.raises(ModuleFailedError, match=rf"its kubelet is {version}, not v9\.9\.9"):
        run(kubeconfig, node, names=[name], version="v9.9.9", wait_timeout=15)
