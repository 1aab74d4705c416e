# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_inventory import (
    Arrangement,
    InventoryNode,
    InventoryTenant,
    arrange,
    unknown,
    warnings,
)


def node(name: str, *addresses: tuple[str, str], ready: bool = True, **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "labels": {"zone": "a"}},
        "spec": spec,
        "status": {
            "addresses": [{"type": kind, "address": address} for kind, address in addresses],
            "nodeInfo": {"kubeletVersion": "v1.36.3"},
            "conditions": [{"type": "Ready", "status": str(ready), "message": "no network"}],
        },
    }


def resource(name: str, namespace: str = "tenants", replicas: int = 1, status: Json | None = None) -> Json:
    spec = {"kubernetes": {"version": "v1.36.3"}, "controlPlane": {"deployment": {"replicas": replicas}}}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, **({"status": status} if status else {})}


def tenant(name: str, namespace: str = "tenants", *nodes: str) -> InventoryTenant:
    return InventoryTenant.parse(resource(name, namespace), [node(item) for item in nodes])


def arranged(*tenants: InventoryTenant, qualified_names: bool = False, address_types: Sequence[str] = ("InternalIP",)) -> Arrangement:
    there, back = (arrange(order, qualified_names=qualified_names, address_types=address_types) for order in (tenants, tenants[::-1]))
    assert there == back
    return there


def groups(*tenants: InventoryTenant, **options: Any) -> dict[str, str]:
    return {
        f"{group.variables['tenant_namespace']}/{group.variables['tenant_name']}": group.name
        for group in arranged(*tenants, **options).groups
    }


def hosts(*tenants: InventoryTenant, **options: Any) -> dict[str, str]:
    return {host.name: host.group for host in arranged(*tenants, **options).hosts}


def variables(found: Json, *address_types: str) -> Json:
    return InventoryNode.parse(found).variables(address_types or ("InternalIP",))


def fingerprint(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def test_variables_of_a_host() -> None:
    taints = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, {"key": "new", "effect": "NoExecute", "timeAdded": "now"}]
    found = node(
        "one", ("Hostname", "one"), ("InternalIP", "192.0.2.1"), ("InternalIP", "2001:db8::1"), podCIDRs=["10.0.0.0/24"], taints=taints
    )
    assert variables(found) == {
        "ansible_host": "192.0.2.1",
        "node_name": "one",
        "node_addresses": {"Hostname": ["one"], "InternalIP": ["192.0.2.1", "2001:db8::1"]},
        "node_labels": {"zone": "a"},
        "node_taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, {"key": "new", "value": "", "effect": "NoExecute"}],
        "node_version": "v1.36.3",
        "node_ready": True,
        "node_unschedulable": False,
        "node_pod_cidrs": ["10.0.0.0/24"],
    }


def test_a_node_that_has_only_been_made() -> None:
    assert variables({"metadata": {"name": "new"}, "spec": {"podCIDR": "10.0.0.0/24", "unschedulable": True}}) == {
        "node_name": "new",
        "node_addresses": {},
        "node_labels": {},
        "node_taints": [],
        "node_version": "",
        "node_ready": False,
        "node_unschedulable": True,
        "node_pod_cidrs": ["10.0.0.0/24"],
    }


@pytest.mark.parametrize(
    ("types", "host"),
    [
        (("InternalIP",), "192.0.2.1"),
        (("ExternalIP", "InternalIP"), "192.0.2.1"),
        (("Hostname", "InternalIP"), "Worker-1.example.com"),
        (("ExternalIP",), None),
    ],
)
def test_the_first_type_that_a_node_has_is_connected_to(types: tuple[str, ...], host: str | None) -> None:
    found = node("one", ("InternalIP", "192.0.2.1"), ("InternalIP", "192.0.2.2"), ("Hostname", "Worker-1.example.com"))
    assert variables(found, *types).get("ansible_host") == host


@pytest.mark.parametrize(
    "address", ["-oProxyCommand=id", "a b", "$(id)", "fe80::1%$(id)", "{{ lookup('pipe', 'id') }}", "root@192.0.2.1", ""]
)
def test_an_address_that_is_none_is_left_out(address: str) -> None:
    found = variables(node("one", ("InternalIP", address), ("InternalIP", "192.0.2.1")))
    assert found["ansible_host"] == "192.0.2.1"
    assert found["node_addresses"] == {"InternalIP": ["192.0.2.1"]}


@pytest.mark.parametrize("text", ["{{ lookup('pipe', 'id') }}", "{% for a in b %}", "{# a #}", "{{{ a", "a{{{{% b"])
def test_no_text_begins_a_template(text: str) -> None:
    found = node("one")
    found["status"]["nodeInfo"]["kubeletVersion"] = text
    found["metadata"]["labels"] = {text: text}
    found["spec"]["taints"] = [{"key": text, "effect": text}]
    problem = InventoryTenant.parse(resource("acme", status={"controlPlaneEndpoint": text}), problem=text).variables()
    said = [json.dumps(variables(found)["node_" + name]) for name in ("version", "labels", "taints")] + [json.dumps(problem)]
    # The outermost braces are JSON's own.
    assert [part for item in said for part in ("{{", "{%", "{#") if part in item[1:].replace(": {", ":")] == []


def test_variables_of_a_tenant() -> None:
    assert tenant("acme").variables() == {
        "tenant_name": "acme",
        "tenant_namespace": "tenants",
        "tenant_endpoint": "",
        "tenant_version": "v1.36.3",
        "tenant_phase": "",
        "tenant_asleep": False,
        "tenant_problem": "",
    }
    status = {"controlPlaneEndpoint": "192.0.2.9:6443", "kubernetesResources": {"version": {"version": "v1.35.1", "status": "Upgrading"}}}
    found = InventoryTenant.parse(resource("acme", status=status)).variables()
    assert (found["tenant_endpoint"], found["tenant_version"], found["tenant_phase"]) == ("192.0.2.9:6443", "v1.35.1", "Upgrading")


def test_groups_are_called_by_the_tenants_names() -> None:
    assert groups(tenant("acme"), tenant("my-shop.eu", "other")) == {"tenants/acme": "tenant_acme", "other/my-shop.eu": "tenant_my_shop_eu"}


def test_a_name_that_two_tenants_have_is_given_to_none() -> None:
    assert groups(tenant("acme"), tenant("acme", "other"), tenant("beta")) == {
        "tenants/acme": "tenant_tenants_acme",
        "other/acme": "tenant_other_acme",
        "tenants/beta": "tenant_beta",
    }
    assert groups(tenant("a-b"), tenant("a.b")) == {
        "tenants/a-b": f"tenant_tenants_a_b_{fingerprint('tenants/a-b')}",
        "tenants/a.b": f"tenant_tenants_a_b_{fingerprint('tenants/a.b')}",
    }


def test_a_longer_name_is_not_the_shorter_one_of_another_tenant() -> None:
    assert groups(tenant("acme"), tenant("acme", "other"), tenant("other-acme")) == {
        "tenants/acme": "tenant_tenants_acme",
        "other/acme": f"tenant_other_acme_{fingerprint('other/acme')}",
        "tenants/other-acme": "tenant_other_acme",
    }


def test_names_that_depend_on_no_other_tenant() -> None:
    alone = arranged(tenant("acme", "tenants", "one"), qualified_names=True)
    beside = arranged(tenant("acme", "tenants", "one"), tenant("acme", "other", "one"), qualified_names=True)
    assert {group.name for group in alone.groups} < {group.name for group in beside.groups} == {"tenant_tenants_acme", "tenant_other_acme"}
    assert [host.name for host in alone.hosts] == ["one_acme_tenants"]
    assert {host.name for host in beside.hosts} == {"one_acme_tenants", "one_acme_other"}


def test_hosts_are_called_by_the_nodes_names() -> None:
    acme, beta = tenant("acme", "tenants", "one", "two"), tenant("beta", "tenants", "two", "three")
    assert hosts(acme, beta) == {
        "one": "tenant_acme",
        "two_acme_tenants": "tenant_acme",
        "two_beta_tenants": "tenant_beta",
        "three": "tenant_beta",
    }


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "all", "ungrouped", "tenants"])
def test_no_tenant_can_take_the_place_of_what_plays_mean_otherwise(name: str) -> None:
    assert hosts(tenant("acme", "tenants", name)) == {f"{name}_acme_tenants": "tenant_acme"}


def test_warnings() -> None:
    broken = InventoryTenant.parse(resource("broken"), problem="no control-plane pod is ready")
    asleep = [InventoryTenant.parse(resource(f"t{number:02}", replicas=0), problem="asked by mistake") for number in range(12)]
    assert warnings([tenant("acme")]) == []
    assert unknown([tenant("acme"), *asleep]) == []
    assert unknown([broken, *asleep]) == [broken]
    some = ", ".join(f"tenants/t{number:02}" for number in range(10))
    assert warnings([broken, *asleep]) == [
        f"the nodes of tenants that sleep are not known: {some} and 2 more",
        "the nodes of tenant tenants/broken are not known: no control-plane pod is ready",
    ]
    assert asleep[0].variables()["tenant_problem"] == "sleeps (spec.controlPlane.deployment.replicas is 0)"


def test_what_comes_from_a_cache_is_what_was_kept() -> None:
    kept = [tenant("acme", "tenants", "one", "two"), InventoryTenant.parse(resource("asleep", replicas=0))]
    back = [InventoryTenant.from_json(json.loads(json.dumps(item.to_json()))) for item in kept]
    assert arranged(*back) == arranged(*kept)
    assert warnings(back) == warnings(kept)
