# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin tenants as ansible-inventory runs it, on a real management cluster with tenants that are awake, asleep and dead."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_inventory import read_tenants
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import environment
from ansible_collections.hosted.kubernetes.tests.support.stand_in import pretend, standing_in
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

INJECTED = "{{ lookup('ansible.builtin.pipe', 'touch pwned') }}"
PRODUCTION = {"metadata": {"labels": {"stage": "production"}}}


@dataclass(frozen=True)
class Fleet:
    """acme and beta have the same nodes, solo has one of its own, dead does not answer; another acme, in the namespace other, sleeps."""

    kubeconfig: Path
    namespace: str
    other: str
    tenants: dict[str, Tenant]
    servers: dict[str, ApiServer]


def make_node(server: ApiServer, name: str, address: str, version: str = "v1.36.3", **spec: Any) -> None:
    """A Node as its kubelet reports it."""
    metadata = {"name": name, "labels": {"topology.kubernetes.io/zone": "a"}}
    server.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    info = {"kubeletVersion": version}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    status = {"addresses": [{"type": "InternalIP", "address": address}], "conditions": [ready], "nodeInfo": info}
    server.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, "application/merge-patch+json")


@pytest.fixture(scope="module")
def fleet(bundle: Path, ground: Ground, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    first = ground.tenant("acme")
    tenants = {name: ground.tenant(name, first.namespace) for name in ("acme", "beta", "solo", "dead")}
    twin = ground.tenant("acme")
    for tenant in (*tenants.values(), twin):
        tenant.run()
    for name in ("acme", "solo"):
        tenants[name].patch("TenantControlPlane", PRODUCTION)
    shared, own = (tmp_path_factory.mktemp(name) for name in ("shared", "own"))
    with standing_in(bundle, shared, tenants["acme"], tenants["beta"]) as both, standing_in(bundle, own, tenants["solo"]) as alone:
        pretend(both, tenants["dead"])
        tenants["dead"].patch("TenantControlPlane", {"status": {"controlPlaneEndpoint": "127.0.0.1:1"}}, subresource="status")
        make_node(both, "one", "192.0.2.1", podCIDRs=["10.244.0.0/24"], podCIDR="10.244.0.0/24")
        make_node(both, "two", "192.0.2.2", INJECTED, unschedulable=True)
        make_node(alone, "solo-1", "192.0.2.3", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
        yield Fleet(kubeconfig, first.namespace, twin.namespace, tenants, {"both": both, "alone": alone})
    for tenant in (*tenants.values(), twin):
        tenant.absent()


def plain(value: Json) -> Any:
    """A JSON object as it is meant: newer versions of ansible-core mark texts that are no templates."""
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


@dataclass(frozen=True)
class Listed:
    """What a command has said."""

    status: int
    stdout: str
    stderr: str

    @property
    def inventory(self) -> Json:
        assert self.status == 0, self.stderr
        found: Json = json.loads(self.stdout, object_hook=plain)
        return found

    def warns(self, text: str) -> bool:
        """Whether it is in what went to stderr, where Ansible breaks lines also within words."""
        return "".join(text.split()) in "".join(self.stderr.split())

    @property
    def hosts(self) -> Json:
        found: Json = self.inventory["_meta"]["hostvars"]
        return found


def run(folder: Path, program: str, *arguments: str, **variables: str) -> Listed:
    """Run a program of Ansible with the inventory in a folder."""
    command = [str(Path(sys.executable).parent / program), "--inventory", str(folder / "tenants.hosted.yml"), *arguments]
    done = subprocess.run(command, env={**environment(), **variables}, cwd=folder, capture_output=True, text=True, check=False)
    return Listed(done.returncode, done.stdout, done.stderr)


def listed(folder: Path, source: str | Json, **variables: str) -> Listed:
    """What ansible-inventory makes of a source. Group variables stand with their groups (--export)."""
    text = source if isinstance(source, str) else yaml.safe_dump({"plugin": "hosted.kubernetes.tenants", **source})
    (folder / "tenants.hosted.yml").write_text(text, encoding="utf-8")
    return run(folder, "ansible-inventory", "--list", "--export", **variables)


def source(fleet: Fleet, **options: Any) -> Json:
    return {"kubeconfig": str(fleet.kubeconfig), "namespaces": [fleet.namespace, fleet.other], **options}


def secrets_of(fleet: Fleet) -> list[str]:
    """Secret texts in the kubeconfigs of the management cluster and of all tenants."""
    texts = [fleet.kubeconfig.read_text(encoding="utf-8"), *(server.kubeconfig.read_text() for server in fleet.servers.values())]
    return [user["user"]["client-key-data"] for text in texts for user in yaml.safe_load(text)["users"]]


def test_tenants_are_groups_and_nodes_are_hosts(fleet: Fleet, tmp_path: Path) -> None:
    done = listed(tmp_path, source(fleet))
    inventory, hosts = done.inventory, done.hosts
    awake, asleep = (f"tenant_{namespace.replace('-', '_')}_acme" for namespace in (fleet.namespace, fleet.other))
    assert sorted(inventory["tenants"]["children"]) == sorted([awake, asleep, "tenant_beta", "tenant_dead", "tenant_solo"])
    names = {tenant: [f"{node}_{tenant}_{fleet.namespace}" for node in ("one", "two")] for tenant in ("acme", "beta")}
    for group, nodes in {awake: names["acme"], "tenant_beta": names["beta"], "tenant_solo": ["solo-1"]}.items():
        assert sorted(inventory[group]["hosts"]) == nodes
        assert inventory[group]["vars"]["tenant_problem"] == ""
    assert sorted(hosts) == sorted([*names["acme"], *names["beta"], "solo-1"])
    assert hosts["solo-1"].items() >= {"ansible_host": "192.0.2.3", "node_name": "solo-1", "node_ready": True}.items()
    assert {"key": "gpu", "value": "yes", "effect": "NoSchedule"} in hosts["solo-1"]["node_taints"]
    assert hosts[names["acme"][0]].items() >= {"node_pod_cidrs": ["10.244.0.0/24"], "node_version": "v1.36.3"}.items()
    assert hosts[names["acme"][1]]["node_unschedulable"] is True

    alone = fleet.servers["alone"]
    assert inventory["tenant_solo"]["vars"].items() >= {
        "tenant_name": "solo",
        "tenant_namespace": fleet.namespace,
        "tenant_endpoint": f"{alone.host}:{alone.port}",
        "tenant_version": "v1.36.3",
        "tenant_asleep": False,
    }.items()  # fmt: skip
    twin = inventory[asleep]
    assert (twin.get("hosts", []), twin["vars"]["tenant_asleep"], twin["vars"]["tenant_phase"]) == ([], True, "Sleeping")
    dead = inventory["tenant_dead"]
    assert (dead.get("hosts", []), dead["vars"]["tenant_asleep"]) == ([], False)
    assert dead["vars"]["tenant_problem"].startswith("no control-plane pod is ready: ")
    assert done.warns(f"the nodes of tenant {fleet.namespace}/dead are not known: no control-plane pod is ready: ")
    assert done.warns(f"the nodes of tenants that sleep are not known: {fleet.other}/acme")
    assert not [secret for secret in secrets_of(fleet) if secret in done.stdout + done.stderr]


def test_calls_do_not_grow_with_the_tenants(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lists for all tenants, inside each that is awake one; of one that does not answer its pods."""
    inside: list[str] = []
    original = Client.__exit__

    def remember(self: Client, *error: object) -> None:
        inside.extend(f"{self.access.server} {call.method} {call.path.split('?')[0]}" for call in self.calls)
        original(self, *error)

    monkeypatch.setattr(Client, "__exit__", remember)
    with connect(ConnectionOptions(kubeconfig=str(fleet.kubeconfig))) as management:
        found = read_tenants(management, namespaces=[fleet.namespace], timeout_s=10)
        calls = [(call.method, call.path.split("?")[0]) for call in management.calls]
        asked = Counter(inside)
    where = f"namespaces/{fleet.namespace}"
    assert calls == [
        ("GET", f"/apis/kamaji.clastix.io/v1alpha1/{where}/tenantcontrolplanes"),
        ("GET", f"/api/v1/{where}/secrets"),
        ("GET", f"/api/v1/{where}/pods"),
    ]
    assert {tenant.name: len(tenant.nodes) for tenant in found} == {"acme": 2, "beta": 2, "solo": 1, "dead": 0}
    assert asked == {f"https://{name}.{fleet.namespace}.svc:6443 GET /api/v1/nodes": 1 for name in ("acme", "beta", "solo")}


def test_a_single_tenant_everywhere(fleet: Fleet) -> None:
    """One Secret by name, not all of them."""
    fleet.tenants["solo"].patch("TenantControlPlane", {"metadata": {"labels": {"inventory-test": "solo"}}})
    with connect(ConnectionOptions(kubeconfig=str(fleet.kubeconfig))) as management:
        (found,) = read_tenants(management, label_selector="inventory-test in (solo)", timeout_s=10)
        calls = [call.path.split("?")[0] for call in management.calls]
    assert (found.key, [node.name for node in found.nodes]) == (fleet.tenants["solo"].key, ["solo-1"])
    assert calls == [
        "/apis/kamaji.clastix.io/v1alpha1/tenantcontrolplanes",
        f"/api/v1/namespaces/{fleet.namespace}/secrets/solo-admin-kubeconfig",
    ]


def test_the_cache_answers_without_a_cluster(fleet: Fleet, tmp_path: Path) -> None:
    kept = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    kubeconfig = tmp_path / "management.kubeconfig"
    kubeconfig.write_bytes(fleet.kubeconfig.read_bytes())
    options = {"kubeconfig": str(kubeconfig), "namespaces": [fleet.namespace], **kept}

    # A tenant that does not answer can be a failure; what is not complete is not kept.
    done = listed(tmp_path, {**options, "unknown_nodes": "fail"}, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true")
    assert done.status != 0
    assert done.warns(f"the nodes of tenant {fleet.namespace}/dead are not known")
    assert not list((tmp_path / "cache").iterdir())

    options["label_selector"] = "stage=production"
    first = listed(tmp_path, options)
    (file,) = (tmp_path / "cache").iterdir()
    assert not [secret for secret in secrets_of(fleet) if secret in file.read_text()]
    kubeconfig.unlink()
    assert listed(tmp_path, options).inventory == first.inventory
    assert sorted(first.hosts) == ["one", "solo-1", "two"]
    # Of another choice nothing is known.
    assert listed(tmp_path, {**options, "label_selector": ""}).warns(f"kubeconfig {kubeconfig} cannot be read")


def test_ad_hoc_work_and_texts_of_tenants_that_would_be_templates(fleet: Fleet, tmp_path: Path) -> None:
    """The kubeconfig is that of the environment: an empty text means unset."""
    text = yaml.safe_dump({"plugin": "hosted.kubernetes.tenants", "namespaces": [fleet.namespace], "kubeconfig": ""})
    (tmp_path / "tenants.hosted.yml").write_text(text, encoding="utf-8")
    arguments = ("tenant_acme", "-m", "ansible.builtin.debug", "-a", "var=node_version")
    done = run(tmp_path, "ansible", *arguments, K8S_AUTH_KUBECONFIG=str(fleet.kubeconfig))
    assert done.status == 0, done.stderr
    hosts = re.findall(r"^(\S+) \| SUCCESS", done.stdout, re.MULTILINE)
    assert sorted(hosts) == [f"{node}_acme_{fleet.namespace}" for node in ("one", "two")]
    assert "touch pwned" in done.stdout
    assert not (tmp_path / "pwned").exists()


def examples() -> list[str]:
    tree = ast.parse((COLLECTION / "plugins/inventory/tenants.py").read_text(encoding="utf-8"))
    (text,) = [
        ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES"
    ]
    return str(text).split("---\n")


@pytest.mark.parametrize("number", range(len(examples())))
def test_examples(fleet: Fleet, tmp_path: Path, number: int) -> None:
    """They are run as they are; only the namespace is this test's."""
    file = tmp_path / ".kube/hosted-kubernetes/management.kubeconfig"
    file.parent.mkdir(parents=True)
    file.write_bytes(fleet.kubeconfig.read_bytes())
    text = examples()[number].replace("[tenants]", f"[{fleet.namespace}]")
    done = listed(tmp_path, text, HOME=str(tmp_path), K8S_AUTH_KUBECONFIG=str(file))
    assert "tenant_solo" in done.inventory["tenants"]["children"]
    assert (tmp_path / ".cache/hosted-kubernetes").exists() is ("cache: true" in text)
    if "compose" in text:
        assert (
            done.hosts["solo-1"].items() >= {"ansible_user": "admin", "worker_tenant": "solo", "worker_namespace": fleet.namespace}.items()
        )
        assert "solo-1" in done.inventory["zone_a"]["hosts"]
        assert "solo-1" in done.inventory["kubelet_v1_36_3"]["hosts"]
        assert "solo-1" in done.inventory["workers"]["hosts"]
        assert any(host.startswith("two_") for host in done.inventory["cordoned"]["hosts"])
        assert "solo-1" not in done.inventory.get("not_ready", {}).get("hosts", [])
