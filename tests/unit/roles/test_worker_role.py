# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A join touches its own host and the tenant's API, no other host, and costs few tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook, run_role
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._api.test_join import facts

ROOT = Path(__file__).parents[3]
# Run on the controller without a connection to the host: some hundredths of a second each.
CHEAP = {"assert", "debug", "fail", "include_role", "include_tasks", "set_fact"}
BUDGET = 40


def tasks(role: str, name: str = "main") -> Iterator[dict[str, Any]]:
    """Every task of a role's file, with those it includes; conditions are taken as true."""
    for task in flat(yaml.safe_load((ROOT / f"roles/{role}/tasks/{name}.yml").read_text())):
        yield task
        included = task.get("ansible.builtin.include_tasks")
        if included:
            yield from tasks(role, included["file"].removesuffix(".yml"))
        other = task.get("ansible.builtin.include_role")
        if other:
            yield from tasks(other["name"].rpartition(".")[2], other.get("tasks_from", "main"))


def flat(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if "block" in entry:
            for part in ("block", "rescue", "always"):
                yield from flat(entry.get(part) or [])
        else:
            yield entry


def module_of(task: dict[str, Any]) -> str:
    return next(key for key in task if "." in key)


@pytest.mark.parametrize("name", ["main", "move", "reset", "upgrade", "refresh"])
def test_no_task_touches_another_host(name: str) -> None:
    found = list(tasks("worker", name))
    assert found
    for task in found:
        assert task.get("delegate_to", "localhost") == "localhost", task["name"]
        assert "run_once" not in task, task["name"]
        assert "hostvars" not in str(task), task["name"]


def test_the_join_stays_within_its_budget_of_tasks() -> None:
    costly = [task["name"] for task in tasks("worker") if module_of(task).rpartition(".")[2] not in CHEAP]
    assert 10 <= len(costly) <= BUDGET, costly


def preflight(folder: Path, *options: str, **variables: Any) -> PlaybookRun:
    (folder / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": []}), encoding="utf-8")
    given = {"worker_bundle_dir": str(folder), "worker_tenant": "acme", "ansible_become": False, **variables}
    return run_role(folder, "worker", *options, tasks_from="preflight", **given)


def test_a_check_goes_on_while_there_is_no_management_cluster(tmp_path: Path) -> None:
    kubeconfig = str(tmp_path / "none.kubeconfig")
    checked = preflight(tmp_path, "--check", worker_management_kubeconfig=kubeconfig)
    assert checked.status == 0, checked.output
    assert "host localhost would join when the tenant is there, which it is not" in checked.text

    ran = preflight(tmp_path, worker_management_kubeconfig=kubeconfig)
    assert ran.status == 2
    assert kubeconfig in ran.text


@pytest.mark.parametrize("options", [[], ["--check"]], ids=["run", "check"])
def test_a_wrong_kubeconfig_fails_in_a_check_too(tmp_path: Path, options: list[str]) -> None:
    kubeconfig = tmp_path / "wrong.kubeconfig"
    kubeconfig.write_text("not: a kubeconfig\n", encoding="utf-8")
    done = preflight(tmp_path, *options, worker_management_kubeconfig=str(kubeconfig))

    assert done.status == 2
    assert str(kubeconfig) in done.text


def test_a_check_without_any_cluster_named_fails(tmp_path: Path) -> None:
    done = preflight(tmp_path, "--check")

    assert done.status == 2
    assert "no management cluster given" in done.text


TARGET = {
    "tenant": "tenants/acme",
    "endpoint": "https://198.51.100.20:6443",
    "ca_hashes": ["sha256:aa"],
    "version": "v1.36.3",
    "has_node": True,
}
FOREIGN = {"server": "https://192.0.2.1:6443", "ca_hashes": ["sha256:bb"], "ca_names": ["other"], "client_not_after_s": 1, "problem": None}


def reset_decide(folder: Path, conf: dict[str, Any] | None, **variables: Any) -> PlaybookRun:
    """The decisions of a reset about a host with this kubelet.conf; what was read of host and tenant is given."""
    given = {"__worker_facts": {"host": {"membership": {"kubelet_conf": conf}}}, "__worker_join": {"target": TARGET}, **variables}
    return run_role(folder, "worker", tasks_from="reset_decide", worker_tenant="acme", **given)


def test_a_node_of_another_cluster_is_not_reset(tmp_path: Path) -> None:
    done = reset_decide(tmp_path, FOREIGN)
    assert done.status == 2
    assert (
        "host localhost: it is a node of another cluster: https://192.0.2.1:6443 with CA other (sha256:bb), not of tenant tenants/acme at "
        "https://198.51.100.20:6443 (sha256:aa); name that cluster" in done.text
    )
    assert reset_decide(tmp_path, FOREIGN, worker_reset_foreign=True).status == 0


@pytest.mark.parametrize(
    "conf", [None, {**FOREIGN, "ca_hashes": ["sha256:aa"]}, {**FOREIGN, "ca_hashes": []}], ids=["none", "ours", "broken"]
)
def test_other_hosts_are_reset(tmp_path: Path, conf: dict[str, Any] | None) -> None:
    assert reset_decide(tmp_path, conf).status == 0


def test_a_node_of_another_cluster_is_not_joined_whether_or_not_anybody_can_say_whose_it_is(tmp_path: Path) -> None:
    kubeconfig = str(tmp_path / "none.kubeconfig")
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": []}), encoding="utf-8")
    given = {
        "__worker_facts": {"host": {**facts(), "membership": {**facts()["membership"], "kubelet_conf": FOREIGN}}},
        "__worker_join": {"target": TARGET},
        "worker_bundle_dir": str(tmp_path),
        "worker_management_kubeconfig": kubeconfig,
    }
    done = run_role(tmp_path, "worker", tasks_from="decide", **given)
    assert done.status == 2
    assert "it has joined another cluster: https://192.0.2.1:6443 with CA other (sha256:bb)" in done.text
    assert "take it out of that one first (playbook worker_reset with" in done.text

    done = run_role(tmp_path, "worker", tasks_from="decide", __worker_may_move=True, **given)
    assert done.status == 2
    assert kubeconfig in done.text
    assert "Decide what the host needs" not in done.text


def test_a_move_leaves_the_tenant_that_the_host_is_in_whatever_the_variables_say(tmp_path: Path) -> None:
    """Extra variables win over those of an include: the tenant to leave must not be taken from them."""
    seen = "{{ __worker_left.namespace }}/{{ __worker_left.name }} {{ __worker_left.node_name }} {{ __worker_left.kubeconfig | default('-', true) }}."
    (tmp_path / "seen.yml").write_text(json.dumps([{"ansible.builtin.debug": {"msg": f"left {seen}"}}]), encoding="utf-8")
    leaves = {item["name"]: item for item in flat(yaml.safe_load((ROOT / "roles/worker/tasks/leave.yml").read_text()))}
    included = [item["vars"] for item in leaves.values() if "__worker_left" in item.get("vars", {})]
    assert len(included) == 2
    plays: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": {"name": "hosted.kubernetes.worker", "tasks_from": "reset_decide", "public": True}},
        {"ansible.builtin.include_tasks": str(tmp_path / "seen.yml")},
        *({"ansible.builtin.include_tasks": str(tmp_path / "seen.yml"), "vars": variables} for variables in included),
    ]
    path = tmp_path / "left.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": plays}]), encoding="utf-8")
    done = run_playbook(
        path,
        worker_tenant="beta",
        worker_namespace="red",
        worker_node_name="new-name",
        worker_tenant_kubeconfig="",
        worker_reset_foreign=True,
        __worker_join={"target": TARGET},
        __worker_facts={"host": {"membership": {"kubelet_conf": {**FOREIGN, "node_name": "old-name"}}}},
        __worker_plan={"action": "move", "leaves": {"namespace": "blue", "name": "acme"}},
    )
    assert done.status == 0, done.output
    assert re.findall(r"left ([^.]*)\.", done.text) == ["red/beta new-name -", "blue/acme old-name -", "blue/acme old-name -"]


def test_a_move_names_its_hosts(tmp_path: Path) -> None:
    (tmp_path / "inventory").write_text("[workers]\nworker-1 ansible_connection=local\n", encoding="utf-8")
    done = run_playbook("hosted.kubernetes.worker_move", inventory=str(tmp_path / "inventory"))
    assert done.status == 2
    assert "name the hosts with --limit, or set worker_move_all" in done.text


def test_images_of_the_bundle_stay(tmp_path: Path) -> None:
    image = {"kind": "image", "name": "pause", "reference": "registry.k8s.io/pause:3.10.2"}
    manifest = {"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": [image, {"kind": "binary", "name": "kubelet"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    include = {"name": "hosted.kubernetes.worker", "tasks_from": "reset_preflight", "public": True}
    tasks = [{"ansible.builtin.include_role": include}, {"ansible.builtin.debug": {"msg": "kept {{ __worker_kept_images | join(' ') }}."}}]
    path = tmp_path / "kept.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    for bundle, expected in ((str(tmp_path), "registry.k8s.io/pause:3.10.2"), ("", "")):
        done = run_playbook(path, ansible_become=False, worker_bundle_dir=bundle)
        assert f"kept {expected}." in done.text, done.output


def test_a_reset_needs_no_bundle(tmp_path: Path) -> None:
    done = run_role(tmp_path, "worker", tasks_from="reset_preflight", ansible_become=False)
    assert done.status == 0, done.output
    assert "ignored=0" in done.output


def test_the_clocks_are_compared_in_the_task_that_reads_the_host(tmp_path: Path) -> None:
    """The host gets the controller's time; a busy machine takes some seconds for that."""
    include = {"name": "hosted.kubernetes.worker", "tasks_from": "reset_preflight", "public": True}
    tasks = [
        {"ansible.builtin.include_role": include},
        {"ansible.builtin.debug": {"msg": "offset {{ __worker_facts.host.clock_offset_s }} s"}},
    ]
    path = tmp_path / "clock.json"
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    path.write_text(json.dumps(play), encoding="utf-8")
    done = run_playbook(path, ansible_become=False)
    assert done.status == 0, done.output
    assert re.search(r"offset \d\d? s", done.text), done.output


@pytest.mark.parametrize(
    ("variables", "expected"), [({}, "tenants"), ({"tenant_control_plane_namespace": "red"}, "red"), ({"worker_namespace": "blue"}, "blue")]
)
def test_tenants_are_looked_for_where_the_role_of_tenants_makes_them(tmp_path: Path, variables: dict[str, str], expected: str) -> None:
    include = {"name": "hosted.kubernetes.worker", "tasks_from": "reset_preflight", "public": True}
    tasks = [{"ansible.builtin.include_role": include}, {"ansible.builtin.debug": {"msg": "namespace={{ worker_namespace }}"}}]
    path = tmp_path / "namespace.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = run_playbook(path, ansible_become=False, **variables)
    assert f"namespace={expected}" in done.text


def test_whether_a_kubelet_asks_for_a_serving_certificate(tmp_path: Path) -> None:
    """Its configuration decides: the tenant's, with the host's on top."""
    cases: list[tuple[str, dict[str, Any], bool]] = [
        ("", {}, False),
        ("maxPods: 5", {}, False),
        ("serverTLSBootstrap: true", {}, True),
        ("serverTLSBootstrap: true", {"maxPods": 5}, True),
        ("", {"serverTLSBootstrap": True}, True),
        ("serverTLSBootstrap: true", {"serverTLSBootstrap": False}, False),
    ]
    include = {"name": "hosted.kubernetes.worker", "tasks_from": "serving_certificate", "public": True}
    plays: list[dict[str, Any]] = [{"ansible.builtin.include_role": include, "vars": {"__worker_join": {}}}]
    plays += [
        {
            "ansible.builtin.debug": {"msg": f"case {number} {{{{ __worker_asks_for_serving | bool }}}}."},
            "vars": {"__worker_join": {"kubelet_configuration": of_tenant}, "worker_kubelet_configuration": of_host},
        }
        for number, (of_tenant, of_host, _asks) in enumerate(cases)
    ]
    path = tmp_path / "serving.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": plays}]), encoding="utf-8")
    done = run_playbook(path)
    assert done.status == 0, done.output
    assert re.findall(r"case \d (\w+)\.", done.text) == [str(asks) for _tenant, _host, asks in cases]
