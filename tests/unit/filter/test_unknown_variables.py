# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filter takes for misspelt, given the real roles, playbooks and inventories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.hosted.kubernetes.plugins.filter.unknown_variables import unknown_variables
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.role_options import known_variables
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION


class Given:
    """Variables of hosts."""

    def __init__(self, **hosts: Mapping[str, Any]) -> None:
        self._hosts = hosts

    def raw_get(self, host_name: str) -> Mapping[str, Any]:
        return self._hosts[host_name]


def found(**variables: Any) -> list[str]:
    return unknown_variables(["one"], Given(one=variables))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("worker_tennat", "worker_tenant"),
        ("tenant_control_plane_definition", "tenant_control_plane_definitions"),
        ("load_balancer_adresses", "load_balancer_addresses"),
        ("mangement_cluster_kubeconfig", "management_cluster_kubeconfig"),
        ("load_balancer_memberlist", "load_balancer_memberlist_port"),
        ("bundle_kubernetes_versoin", "bundle_kubernetes_version"),
        ("datastore_member", "datastore_members"),
    ],
)
def test_misspelt_options_are_told(name: str, nearest: str) -> None:
    (said,) = found(**{name: "x"})
    assert said.endswith(f"did you mean {nearest}?")


def test_registered_results_are_no_variables_of_the_inventory() -> None:
    assert found(worker_outcome={"changed": False, "failed": False, "rc": 0}) == []
    assert len(found(worker_outcome={"rc": 0})) == 1


@pytest.mark.parametrize("inventory", ["demo", "example"])
def test_nothing_in_our_inventories_is_taken_for_misspelt(inventory: str) -> None:
    loader = DataLoader()
    hosts = InventoryManager(loader=loader, sources=[str(COLLECTION / "inventories" / inventory)])
    hostvars = HostVars(hosts, VariableManager(loader=loader, inventory=hosts), loader)
    names = [host.name for host in hosts.get_hosts()]
    assert any("load_balancer_addresses" in hostvars.raw_get(name) for name in names)
    assert unknown_variables(names, hostvars) == []


def variables_of(node: Any) -> set[str]:
    """Names that a play or task sets: vars, set_fact and register, at any depth."""
    if isinstance(node, list):
        return set().union(*map(variables_of, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    own = {name for key in ("vars", "ansible.builtin.set_fact") if isinstance(node.get(key), dict) for name in node[key]}
    return own | ({node["register"]} if "register" in node else set()) | set().union(*map(variables_of, node.values()))


def test_what_playbooks_and_roles_set_themselves_is_known() -> None:
    files: list[Path] = [*COLLECTION.glob("playbooks/**/*.yml"), *COLLECTION.glob("roles/*/tasks/*.yml")]
    names = set().union(*(variables_of(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files))
    assert "worker_reset_all" not in names
    assert {"tenant_control_plane_endpoints", "preflight_login"} <= names
    assert found(**dict.fromkeys(names, "x")) == []
    known = known_variables()
    assert {"worker_batch", "worker_reset_all", "management_cluster_cni", "tenant_rollout_canary"} <= known.others
    assert {name for name in known.options["worker"] if not name.startswith("worker_")} == set()
