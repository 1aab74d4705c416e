# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of site.yml say, in check mode before there is a management cluster and, of the summary, afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook

STEPS = ("management_cluster", "datastore", "tenant", "tenant_check")
SUMMARY = {
    "name": "Summary",
    "hosts": "localhost",
    "gather_facts": False,
    "tasks": [
        {
            "name": "Summary",
            "ansible.builtin.include_role": {"name": "hosted.kubernetes.tenant_control_plane", "tasks_from": "summary"},
        }
    ],
}
INVENTORY = "[management]\n[workers]\nhost-1 worker_tenant=acme\nhost-2 worker_tenant=acme\nhost-3 worker_tenant=beta\n"


def definition(name: str, replicas: int = 2) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"kubernetes": {"version": "v1.36.3"}, "controlPlane": {"deployment": {"replicas": replicas}}},
    }


def run(folder: Path, plays: list[Any], *options: str, inventory: str = INVENTORY, **variables: Any) -> PlaybookRun:
    (folder / "plays.yml").write_text(json.dumps(plays), encoding="utf-8")
    (folder / "hosts").write_text(inventory, encoding="utf-8")
    every = {
        "tenant_control_plane_kubeconfig_dir": str(folder),
        "bundle_dir": "/bundle",
        **variables,
    }
    done = run_playbook(folder / "plays.yml", *options, inventory=str(folder / "hosts"), **every)
    assert done.status == 0, done.output
    return done


@pytest.mark.parametrize(
    ("inventory", "more"),
    [
        (INVENTORY, {"management_cluster_kubeconfig": "{{ ansible_inventory_sources[0] | dirname }}/.kube/management.kubeconfig"}),
        # Where nobody says it, all roles and playbooks look beside the inventory.
        (INVENTORY.replace("[management]", "[management]\nmain"), {}),
    ],
    ids=["given", "by default"],
)
def test_a_check_from_nothing_says_what_each_step_makes(tmp_path: Path, inventory: str, more: dict[str, Any]) -> None:
    imports: list[Any] = [{"name": step, "ansible.builtin.import_playbook": f"hosted.kubernetes.{step}"} for step in STEPS]
    done = run(
        tmp_path,
        [*imports, SUMMARY],
        "--check",
        "--diff",
        inventory=inventory,
        **more,
        load_balancer_addresses=["192.0.2.200-192.0.2.220"],
        datastore_members=1,
        tenant_control_plane_definitions=[definition("acme"), definition("beta")],
    )
    yet = f"There is no management cluster yet ({tmp_path / '.kube/management.kubeconfig'}). A real run"
    for said in (
        f"{yet} puts into it: flannel for its pods (10.244.0.0/16); MetalLB with the addresses 192.0.2.200-192.0.2.220.",
        f"{yet} makes an etcd with 1 member in namespace hosted-kubernetes-system and the DataStore default, and probes it.",
        f"{yet} makes the control planes of these tenants: acme, beta.",
        "These tenants are proved by a real run, once they are there: tenants/acme",
        "tenant tenants/acme: v1.36.3, made by a real run, with 2 workers",
        "tenant tenants/beta: v1.36.3, made by a real run, with 1 worker",
        f"management cluster: export KUBECONFIG={tmp_path / '.kube/management.kubeconfig'} (written by a real run)",
        "next: the same without --check",
    ):
        assert said in done.text, done.output
    # One line each, which can be copied.
    assert f"    management cluster: export KUBECONFIG={tmp_path / '.kube/management.kubeconfig'} (written by a real run)\n" in done.output
    assert "WARNING" not in done.output
    assert done.changed == 0


def test_a_store_that_exists_already_is_only_recorded(tmp_path: Path) -> None:
    store = [{"name": "store", "ansible.builtin.import_playbook": "hosted.kubernetes.datastore"}]
    absent = str(tmp_path / "management.kubeconfig")
    done = run(
        tmp_path, store, "--check", management_cluster_kubeconfig=absent, datastore_definition={"metadata": {"name": "sql"}, "spec": {}}
    )
    assert "A real run records the DataStore sql, and probes it." in done.text


def test_the_summary_of_a_real_run(tmp_path: Path) -> None:
    (tmp_path / "management.kubeconfig").touch()
    done = run(
        tmp_path,
        [SUMMARY],
        management_cluster_kubeconfig=str(tmp_path / "management.kubeconfig"),
        tenant_control_plane_definitions=[definition("acme"), definition("beta"), definition("idle", 0), definition("other")],
        tenant_control_plane_endpoints={"tenants/acme": "192.0.2.200:6443", "tenants/beta": "", "tenants/idle": "192.0.2.201:6443"},
        tenant_control_plane_failed=["tenants/beta"],
        tenant_check_nodes={"tenants/acme": ["host-1"]},
    )
    for said in (
        "tenant tenants/acme: v1.36.3 at https://192.0.2.200:6443, workers ready: 1 of 2 in the inventory (host-1)",
        f"its kubeconfig: export KUBECONFIG={tmp_path / 'acme.kubeconfig'}",
        "tenant tenants/beta: failed; the reason follows",
        "tenant tenants/idle: v1.36.3, asleep (replicas 0)",
        f"management cluster: export KUBECONFIG={tmp_path / 'management.kubeconfig'}",
        f"next: /bundle/bin/kubectl --kubeconfig {tmp_path / 'management.kubeconfig'} get tenantcontrolplanes,pods -A",
        f"next: /bundle/bin/kubectl --kubeconfig {tmp_path / 'acme.kubeconfig'} get nodes,pods -A -o wide",
        "next: ansible-playbook hosted.kubernetes.tenant_check proves each tenant again",
    ):
        assert said in done.text, done.output
    # Of one that tenant_control_plane_names left out nothing was seen.
    assert "tenants/other" not in done.text
    assert "written by a real run" not in done.text


def test_the_summary_of_a_cluster_of_the_environment(tmp_path: Path) -> None:
    done = run(tmp_path, [SUMMARY], "--check")
    assert "management cluster: the one of the environment (K8S_AUTH_HOST or K8S_AUTH_KUBECONFIG)" in done.text
