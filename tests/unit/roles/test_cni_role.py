# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role cni makes of its variables before it asks any cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook, run_role


def rendered(folder: Path, **variables: Any) -> list[dict[str, Any]]:
    """The objects for each cluster, as the role would hand them to the module."""
    template = COLLECTION / "roles/cni/templates/clusters.yaml.j2"
    content = f"{{{{ lookup('ansible.builtin.template', '{template}') | from_yaml | to_json }}}}"
    tasks = [
        {"ansible.builtin.include_role": {"name": "hosted.kubernetes.cni", "tasks_from": "preflight", "public": True}},
        {"ansible.builtin.copy": {"content": content, "dest": str(folder / "made")}},
    ]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    done = run_playbook(folder / "play.yml", **variables)
    assert done.status == 0, done.output
    found: list[dict[str, Any]] = json.loads((folder / "made").read_text(encoding="utf-8"))
    return found


def network(cluster: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """flannel's configuration, and the environment that leads it to the API server."""
    objects = {item["kind"]: item for item in yaml.safe_load_all(cluster["definition"])}
    configuration = json.loads(objects["ConfigMap"]["data"]["net-conf.json"])
    (container,) = objects["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    values = {item["name"]: item.get("value") for item in container["env"]}
    return configuration, {name: value for name, value in values.items() if name.startswith("KUBERNETES_")}


def test_each_tenant_has_its_networks_and_endpoint(tmp_path: Path) -> None:
    base = {"EnableNFTables": False, "Backend": {"Type": "vxlan"}}
    tenants = [
        {"name": "acme", "namespace": "tenants", "pod_cidr": "10.1.0.0/16", "api_endpoint": "192.0.2.1:6443"},
        {"name": "beta", "namespace": "other", "pod_cidr": "fd00::/56, 10.2.0.0/16", "api_endpoint": "[2001:db8::1]:443"},
        {"name": "gamma", "namespace": "other", "pod_cidr": "fd00::/56", "api_endpoint": ""},
    ]
    made = rendered(tmp_path, cni_tenants=tenants)
    assert [(item["name"], item["namespace"]) for item in made] == [("acme", "tenants"), ("beta", "other"), ("gamma", "other")]
    assert [network(item) for item in made] == [
        ({**base, "Network": "10.1.0.0/16"}, {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "6443"}),
        (
            {**base, "Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00::/56"},
            {"KUBERNETES_SERVICE_HOST": "2001:db8::1", "KUBERNETES_SERVICE_PORT": "443"},
        ),
        ({**base, "EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00::/56"}, {}),
    ]


def test_without_tenants_it_is_the_cluster_of_the_kubeconfig(tmp_path: Path) -> None:
    (made,) = rendered(tmp_path, cni_pod_cidr="10.9.0.0/16")
    assert network(made)[0]["Network"] == "10.9.0.0/16"
    assert rendered(tmp_path, cni_tenants=[]) == []


@pytest.mark.parametrize(
    "cidr", ["", "10.0.0.0", "10.0.0.0/8,10.1.0.0/16", "fd00::/56,fd01::/56", "10.0.0.0/8,fd00::/56,10.1.0.0/16", "10.0.0.0/8 fd00::/56"]
)
def test_networks_that_flannel_cannot_serve(tmp_path: Path, cidr: str) -> None:
    good = {"name": "acme", "namespace": "tenants", "pod_cidr": "10.1.0.0/16", "api_endpoint": ""}
    for variables in ({"cni_pod_cidr": cidr}, {"cni_tenants": [good, {**good, "name": "beta", "pod_cidr": cidr}]}):
        done = run_role(tmp_path, "cni", tasks_from="preflight", **variables)
        assert done.status == 2, done.output
        assert f'cni_pod_cidr "{cidr}" is not one network, or one IPv4 and one IPv6 network separated by a comma' in done.text


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "fd00::/56", "10.0.0.0/8,fd00::/56", "fd00::/56, 10.0.0.0/8"])
def test_networks_that_it_can(tmp_path: Path, cidr: str) -> None:
    done = run_role(tmp_path, "cni", tasks_from="preflight", cni_pod_cidr=cidr)
    assert done.status == 0, done.output
