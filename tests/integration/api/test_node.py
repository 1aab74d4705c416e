# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module node on a real API server: labels, taints and cordons beside those of others, deletion, refusals."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.node_health import workloads_on
from ansible_collections.hosted.kubernetes.plugins.modules import node
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, RequestError
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

FOREIGN = {"key": "example.com/maintenance", "effect": "NoSchedule"}
# The API server's own, for a node whose kubelet has not reported yet.
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
LABELS = {"tier": "web", "example.com/rack": 7}
TAINTS = [{"key": "gpu", "value": "yes", "effect": "PreferNoSchedule"}]


@pytest.fixture
def nodes(api_server: ApiServer) -> Iterator[list[str]]:
    """Two Nodes as kubelets register them, with a taint of somebody else."""
    names = [f"node-{secrets.token_hex(4)}" for _unused in range(2)]
    for name in names:
        metadata = {"name": name, "labels": {"kubernetes.io/os": "linux"}}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [FOREIGN]}}
        api_server.request("POST", "/api/v1/nodes", body)
    yield names
    for name in names:
        if exists(api_server, name):
            api_server.request("DELETE", f"/api/v1/nodes/{name}")


def exists(server: ApiServer, name: str) -> bool:
    try:
        server.request("GET", f"/api/v1/nodes/{name}")
    except RequestError:
        return False
    return True


def run(kubeconfig: Path, names: list[str], *, check: bool = False, **options: Any) -> dict[str, Any]:
    arguments = {"tenant_kubeconfig": str(kubeconfig), "names": names, "wait": False, **options}
    return run_module(node.main, arguments, check=check)


def ladder(kubeconfig: Path, names: list[str], **options: Any) -> dict[str, Any]:
    """Check, run, run again, check again; returns what the first check foresaw, which must be what the run did."""
    foreseen = run(kubeconfig, names, check=True, **options)
    done = run(kubeconfig, names, **options)
    assert foreseen["changed"]
    assert foreseen["changes"] == done["changes"]
    assert run(kubeconfig, names, **options)["changes"] == {}
    assert not run(kubeconfig, names, check=True, **options)["changed"]
    return foreseen


def get(server: ApiServer, name: str) -> Json:
    found: Json = server.request("GET", f"/api/v1/nodes/{name}")
    return found


def test_a_check_foresees_what_a_host_that_joins_will_get(kubeconfig: Path) -> None:
    name = f"node-{secrets.token_hex(4)}"
    assert not run(kubeconfig, [name], check=True, labels={}, taints=[])["changed"]
    assert run(kubeconfig, [name], check=True, labels={"tier": "web"})["changes"] == {name: ["label tier=web"]}


def test_labels_and_taints_come_and_go_beside_those_of_others(api_server: ApiServer, kubeconfig: Path, nodes: list[str]) -> None:
    ladder(kubeconfig, nodes, labels=LABELS, taints=TAINTS)
    for name in nodes:
        seen = get(api_server, name)
        assert seen["metadata"]["labels"].items() >= {"kubernetes.io/os": "linux", "tier": "web", "example.com/rack": "7"}.items()
        assert {taint["key"] for taint in seen["spec"]["taints"]} == {"example.com/maintenance", "gpu", NOT_READY["key"]}

    ladder(kubeconfig, nodes, labels={"tier": "db"}, taints=[])
    for name in nodes:
        seen = get(api_server, name)
        assert seen["metadata"]["labels"]["tier"] == "db"
        assert "example.com/rack" not in seen["metadata"]["labels"]
        assert seen["spec"]["taints"] == [FOREIGN, NOT_READY]


def test_cordon_and_uncordon(api_server: ApiServer, kubeconfig: Path, nodes: list[str]) -> None:
    assert ladder(kubeconfig, nodes, cordoned=True)["changes"] == {name: ["cordoned"] for name in nodes}
    assert all(get(api_server, name)["spec"]["unschedulable"] for name in nodes)
    ladder(kubeconfig, nodes, cordoned=False)
    assert not any(get(api_server, name)["spec"].get("unschedulable") for name in nodes)


def test_a_node_is_deleted_once(api_server: ApiServer, kubeconfig: Path, nodes: list[str]) -> None:
    ladder(kubeconfig, nodes[:1], state="absent")
    assert not exists(api_server, nodes[0])
    assert exists(api_server, nodes[1])


def test_a_node_that_does_not_come_is_named(kubeconfig: Path, nodes: list[str]) -> None:
    with pytest.raises(ModuleFailedError, match=r"Node no-such-node: not ready after \d+ s: Node no-such-node does not exist"):
        run(kubeconfig, ["no-such-node"], wait_timeout=1)


def test_a_node_that_is_not_ready_says_why(kubeconfig: Path, nodes: list[str]) -> None:
    with pytest.raises(ModuleFailedError, match=f"Node {nodes[0]}: its kubelet has not reported yet"):
        run(kubeconfig, nodes[:1], wait=True, wait_timeout=1)


def test_draining_what_does_not_exist_is_refused(kubeconfig: Path) -> None:
    with pytest.raises(ModuleFailedError, match="Node no-such-node: does not exist; correct the name"):
        run(kubeconfig, ["no-such-node"], state="drained")


def test_a_pod_without_a_controller_stops_the_drain_before_anything_is_done(
    api_server: ApiServer, kubeconfig: Path, nodes: list[str], namespace: str
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    api_server.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    spec = {"nodeName": nodes[0], "containers": [{"name": "main", "image": "x"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "naked"}, "spec": spec}
    api_server.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)

    with pytest.raises(ModuleFailedError, match=f"pod {namespace}/naked has no controller and would be lost"):
        run(kubeconfig, nodes[:1], state="drained")
    assert not get(api_server, nodes[0])["spec"].get("unschedulable")

    done = run(kubeconfig, nodes[:1], state="drained", force=True, grace_period=0)
    assert done["changes"][nodes[0]] == ["cordoned", f"pod {namespace}/naked evicted"]
    assert run(kubeconfig, nodes[:1], state="drained", force=True)["changes"] == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tenant_kubeconfig": ""}, "no tenant cluster given: set tenant"),
        ({"tenant_kubeconfig": "/nonexistent"}, "tenant_kubeconfig /nonexistent: No such file or directory"),
    ],
)
def test_refused_connections(options: dict[str, str], said: str) -> None:
    with pytest.raises(ModuleFailedError, match=said):
        run_module(node.main, {"names": ["x"], "wait": False, **options})


def test_a_node_without_a_kubelet_is_not_well(kubeconfig: Path, nodes: list[str]) -> None:
    """Nobody renews its Lease; a check waits for nothing."""
    with pytest.raises(ModuleFailedError, match=rf"Lease kube-node-lease/{nodes[0]}.*(does not exist|journalctl -u kubelet on the host)"):
        run(kubeconfig, nodes[:1], version="v1.36.3", wait_timeout=2)
    assert not run(kubeconfig, nodes[:1], version="v1.36.3", wait_timeout=2, check=True)["changed"]


def test_pods_that_had_to_leave_are_waited_for(api_server: ApiServer, kubeconfig: Path, nodes: list[str]) -> None:
    """No controller manager runs here, so that a ReplicaSet never gets its pods, and one that wants none is in order."""
    path = "/apis/apps/v1/namespaces/default/replicasets"
    labels = {"app": "gone"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    name = f"web-{secrets.token_hex(4)}"
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    api_server.request("POST", path, {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec})
    wanted = [{"kind": "ReplicaSet", "namespace": "default", "name": name}]
    try:
        with pytest.raises(ModuleFailedError, match=f"ReplicaSet default/{name}: 0 of 2 pods are ready"):
            run(kubeconfig, nodes[:1], workloads=wanted, wait_timeout=2)
        api_server.request("PATCH", f"{path}/{name}", {"spec": {"replicas": 0}}, "application/merge-patch+json")
        assert not run(kubeconfig, nodes[:1], workloads=wanted, wait_timeout=2)["changed"]
    finally:
        api_server.request("DELETE", f"{path}/{name}")
    assert not run(kubeconfig, nodes[:1], workloads=wanted, wait_timeout=2)["changed"]


def test_what_was_not_well_before_is_not_waited_for(api_server: ApiServer, kubeconfig: Path, nodes: list[str], namespace: str) -> None:
    """A DaemonSet whose pod is not ready, and a ReplicaSet that lacks one elsewhere, do not hold up the change of a node."""
    api_server.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    for name, kind, ready in (
        ("web", "ReplicaSet", True),
        ("half", "ReplicaSet", True),
        ("agent", "DaemonSet", True),
        ("crash", "DaemonSet", False),
    ):
        make_pod(api_server, namespace, nodes[0], name, (kind, name), ready=ready)
    for name, count in (("web", 2), ("half", 1)):
        make_replica_set(api_server, namespace, name, count)
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        found = [item.to_json() for item in workloads_on(client, nodes[0])]
    assert [(item["kind"], item["name"]) for item in found] == [("DaemonSet", "agent"), ("ReplicaSet", "web")]
    assert not run(kubeconfig, nodes[:1], workloads=found, wait_timeout=2)["changed"]

    make_pod(api_server, namespace, nodes[0], "agent-again", ("DaemonSet", "agent"), ready=False)
    with pytest.raises(ModuleFailedError, match=f"pod {namespace}/agent-again"):
        run(kubeconfig, nodes[:1], workloads=found, wait_timeout=2)


def make_pod(server: ApiServer, namespace: str, node_name: str, name: str, owner: tuple[str, str], *, ready: bool) -> None:
    reference = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": owner[1], "controller": True}
    spec = {"nodeName": node_name, "containers": [{"name": "main", "image": "x"}]}
    path = f"/api/v1/namespaces/{namespace}/pods"
    server.request("POST", path, {"metadata": {"name": name, "ownerReferences": [reference]}, "spec": spec})
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    server.request("PATCH", f"{path}/{name}/status", {"status": status}, "application/merge-patch+json")


def make_replica_set(server: ApiServer, namespace: str, name: str, ready: int) -> None:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    server.request("POST", path, {"metadata": {"name": name}, "spec": spec})
    server.request("PATCH", f"{path}/{name}/status", {"status": {"replicas": 2, "readyReplicas": ready}}, "application/merge-patch+json")
