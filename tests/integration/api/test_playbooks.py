# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks about several tenants that sleep on a real API server, and about hosts that are this machine."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import FLEET_CHECKS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import checks
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import TenantLease
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_control_plane
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, command, run_command, run_playbook
from ansible_collections.hosted.kubernetes.tests.support.stand_in import standing_in
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

OFF: Final = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"
ON: Final = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
# Of no use to a play: what runs on the controller has to know how by itself.
CONTROLLER: Final = f"localhost {OFF} ansible_python_interpreter=/nowhere"
SUMMARY: Final = {
    "name": "Summary",
    "hosts": "localhost",
    "gather_facts": False,
    "tasks": [
        {
            "name": "Show",
            "ansible.builtin.include_role": {"name": "hosted.kubernetes.tenant_control_plane", "tasks_from": "summary"},
        }
    ],
}


@pytest.fixture
def pair(ground: Ground) -> tuple[Tenant, Tenant]:
    good = ground.tenant("good")
    return good, ground.tenant("bad", good.namespace)


def play(name: str, **fields: Any) -> Json:
    return {"name": name, "ansible.builtin.import_playbook": f"hosted.kubernetes.{name}", **fields}


def variables(folder: Path, pair: tuple[Tenant, Tenant]) -> Json:
    good, bad = pair
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    return {
        "management_cluster_kubeconfig": str(good.ground.kubeconfig),
        "worker_management_kubeconfig": str(good.ground.kubeconfig),
        "tenant_control_plane_definitions": [bad.definition({"dataStore": "nowhere"}), good.definition()],
        "tenant_control_plane_kubeconfig_dir": str(folder),
        "tenant_control_plane_wait_timeout": 30,
        "bundle_dir": str(folder),
    }


def run(folder: Path, pair: tuple[Tenant, Tenant], plays: list[Json], *options: str) -> PlaybookRun:
    """Run plays with a worker of each tenant."""
    good, bad = pair
    (folder / "plays.yml").write_text(json.dumps(plays), encoding="utf-8")
    hosts = "\n".join(
        f"worker-{tenant.name} ansible_connection=local worker_tenant={tenant.name} {variable}={tenant.namespace}"
        for tenant, variable in ((good, "worker_namespace"), (bad, "tenant_control_plane_namespace"))
    )
    (folder / "inventory").write_text(f"{CONTROLLER}\n[workers]\n{hosts}\n", encoding="utf-8")
    return run_playbook(folder / "plays.yml", *options, inventory=str(folder / "inventory"), **variables(folder, pair))


def test_one_tenant_that_fails_holds_up_neither_the_others_nor_their_workers(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    good, bad = pair
    told = f'TenantControlPlane {bad.key}: spec.dataStore "nowhere" does not exist'
    later = [play("tenant", vars={"tenant_fail": False}), play("worker"), play("tenant_check"), SUMMARY]
    done = run(tmp_path, pair, later)
    assert done.status == 0, done.output
    assert told in done.text
    assert good.live("TenantControlPlane")["status"]["kubernetesResources"]["version"]["status"] == "Sleeping"
    assert (tmp_path / "good.kubeconfig").exists()
    assert not (tmp_path / "bad.kubeconfig").exists()
    assert "host worker-good is left as it is" in done.text
    for what in ("get the network of their pods", "are proved"):
        assert f"Tenants that sleep (spec.controlPlane.deployment.replicas is 0) {what} when they are awake: {good.key}" in done.text
    assert "worker-bad :" not in done.output
    assert "Tenant bad" not in done.text
    version = good.definition()["spec"]["kubernetes"]["version"]
    assert f"tenant {good.key}: {version}, asleep (replicas 0)" in done.text
    assert f"tenant {bad.key}: failed; the reason follows" in done.text
    # Steps are shown while the module runs: of those that are changed, and what is wrong with the others.
    assert re.search(rf"(?s)\n  {good.key}: foundation\n.*\n  {good.key}: done\n", done.output)
    assert f"\n  {bad.key}: {told}" in done.output

    done = run(tmp_path, pair, [play("tenant"), play("worker")])
    assert done.status == 2
    assert f"1 tenants failed, and nothing more was done for them; the others are done: {told}" in done.text


def test_a_deletion_and_its_check_tell_of_kubeconfigs_and_workers(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    good, _bad = pair
    good.run()
    kubeconfig = tmp_path / "good.kubeconfig"
    kubeconfig.touch()
    deletion = [play("tenant", vars={"tenant_control_plane_state": "absent", "tenant_control_plane_names": "good"})]
    said = "Hosts of the inventory that name a deleted tenant: worker-good. Reset each with playbook worker_reset"
    for options, is_there in ((("--check", "--diff"), True), ((), False)):
        done = run(tmp_path, pair, deletion, *options)
        assert done.status == 0, done.output
        assert said in done.text
        assert any("Keep one for an administrator" in task for task in done.changed_tasks), done.changed_tasks
        assert kubeconfig.exists() is is_there
    assert good.left() == []
    assert said not in run(tmp_path, pair, deletion).text


def test_the_site_fails_at_its_end(tmp_path: Path) -> None:
    done = run_playbook("hosted.kubernetes.site", "--list-tasks", bundle_dir=str(tmp_path))
    plays = re.findall(r"play #\d+ \(([^)]*)\): ([^\t]*)", done.output)
    assert plays[-2:] == [("localhost", "Summary"), ("localhost", "Tenants that failed")], done.output


@pytest.mark.long
def test_a_check_of_flannel_needs_no_kubeconfig_that_is_still_good(bundle: Path, tmp_path: Path, tenant: Tenant) -> None:
    tenant.run()
    with standing_in(bundle, tmp_path, tenant) as server:
        ended = server.authority.client("ended", ("system:masters",), timedelta(seconds=-1))
        server.write_kubeconfig(tmp_path / "acme.kubeconfig", ended)
        wanted = tenant.definition({"controlPlane.deployment.replicas": 1})
        (tmp_path / "inventory").write_text(f"{CONTROLLER}\n", encoding="utf-8")
        done = run_playbook(
            "hosted.kubernetes.tenant",
            "--check",
            "--diff",
            inventory=str(tmp_path / "inventory"),
            management_cluster_kubeconfig=str(tenant.ground.kubeconfig),
            tenant_control_plane_definitions=[wanted],
            tenant_control_plane_kubeconfig_dir=str(tmp_path),
        )
    assert done.status == 0, done.output
    assert "flannel | Keep its objects in the cluster and wait until it runs on every node that is up" in done.changed_tasks[-1]
    assert f"value: {server.host}" in done.text or f"'{server.host}'" in done.text


def five(ground: Ground) -> list[Tenant]:
    """Tenants of one namespace that do not exist yet."""
    first = ground.tenant("t0")
    return [first, *(ground.tenant(f"t{number}", first.namespace) for number in range(1, 5))]


@pytest.fixture(scope="module")
def awake(bundle: Path, ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Tenant]]:
    """Five tenants for which one other API server stands in; flannel has no node to run on there."""
    tenants = five(ground)
    for tenant in tenants:
        tenant.run()
    with standing_in(bundle, tmp_path_factory.mktemp("stand-in"), *tenants):
        yield tenants
    for tenant in tenants:
        tenant.absent()


def settings(folder: Path, tenants: list[Tenant], replicas: int) -> Json:
    (folder / "inventory").write_text(f"{CONTROLLER}\n", encoding="utf-8")
    return {
        "management_cluster_kubeconfig": str(tenants[0].ground.kubeconfig),
        "tenant_control_plane_definitions": [tenant.definition({"controlPlane.deployment.replicas": replicas}) for tenant in tenants],
        "tenant_control_plane_kubeconfig_dir": str(folder),
    }


def run_tenants(folder: Path, playbook: str | Path, *options: str, **more: Any) -> PlaybookRun:
    """Run a play about tenants and print which modules it starts."""
    return run_playbook(playbook, "-vvv", *options, inventory=str(folder / "inventory"), **more)


def work_of(done: PlaybookRun) -> tuple[int, list[str]]:
    """How many results tasks and their items had, and which modules were started."""
    results = re.findall(r"^(?:ok|changed|skipping|failed|fatal|included): ", done.output, re.MULTILINE)
    return len(results), [Path(path).stem for path in re.findall(r"Using module file (\S+)", done.output)]


@pytest.mark.long
def test_tenants_that_sleep_take_as_many_tasks_and_modules_for_five_as_for_one(tmp_path: Path, ground: Ground) -> None:
    tenants, counted = five(ground), []
    for number in (1, 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        for options in ((), ("--check",)):
            done = run_tenants(folder, "hosted.kubernetes.tenant", *options, **settings(folder, tenants[:number], 0))
            assert done.status == 0, done.output
            counted.append(work_of(done))
            names = ", ".join(tenant.key for tenant in tenants[:number])
            assert f"get the network of their pods when they are awake: {names}" in done.text
        assert done.changed == 0
        assert sorted(file.name for file in folder.glob("*.kubeconfig")) == [f"t{item}.kubeconfig" for item in range(number)]
    assert counted[:2] == counted[2:]
    assert [modules.count("tenant_kubeconfig") for _results, modules in counted] == [1] * 4


@pytest.mark.long
def test_a_check_of_tenants_that_are_awake_takes_as_many_for_five_as_for_one(tmp_path: Path, awake: list[Tenant]) -> None:
    counted = []
    for number in (1, 5):
        done = run_tenants(tmp_path, "hosted.kubernetes.tenant", "--check", **settings(tmp_path, awake[:number], 1))
        assert done.status == 0, done.output
        assert "flannel | Keep its objects in the cluster" in done.changed_tasks[-1]
        counted.append(work_of(done))
    assert counted[0] == counted[1]
    assert [modules.count("manifest") for _results, modules in counted] == [3, 3]


def test_what_a_check_cannot_foresee_is_said_once(tmp_path: Path, ground: Ground) -> None:
    tenants = five(ground)
    done = run_tenants(tmp_path, "hosted.kubernetes.tenant", "--check", **settings(tmp_path, tenants, 1))
    assert done.status == 0, done.output
    names = ", ".join(tenant.key for tenant in tenants)
    assert f"These tenants get flannel once they are there: {names}" in done.text
    files = ", ".join(str(tmp_path / f"{tenant.name}.kubeconfig") for tenant in tenants)
    assert f"These are written once their tenants are there: {files}" in done.text
    assert "flannel |" not in done.text


def flannel_play(folder: Path, endpoint: str, tenants: list[Tenant], **facts: Any) -> Path:
    """What the playbook tenant does after its role, for tenants whose control planes would be ready by then."""
    role = {"name": "hosted.kubernetes.tenant_control_plane", "tasks_from": "failed"}
    tasks = [
        {"ansible.builtin.include_tasks": str(COLLECTION / "playbooks/tasks/tenant_cni.yml")},
        {"ansible.builtin.debug": {"msg": "failed so far: {{ tenant_control_plane_failed | join(', ') }}."}},
        {"ansible.builtin.include_role": role},
    ]
    known = {
        "tenant_control_plane_names": [],
        "tenant_control_plane_kubeconfig": str(tenants[0].ground.kubeconfig),
        "tenant_control_plane_context": "",
        "tenant_control_plane_endpoints": {tenant.key: endpoint for tenant in tenants},
        **facts,
    }
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    before: list[Json] = [{"ansible.builtin.set_fact": {"tenant_control_plane_failed": [], "__tenant_control_plane_errors": []}}]
    # For its variables.
    skipped = {"role": "hosted.kubernetes.tenant_control_plane", "when": False}
    play = {"name": "After", "hosts": "localhost", "gather_facts": False, "roles": [skipped]}
    plays = [{**play, "vars": {**known, **local}, "tasks": [*before, *tasks]}]
    (folder / "plays.yml").write_text(json.dumps(plays), encoding="utf-8")
    return folder / "plays.yml"


@pytest.mark.long
def test_flannel_in_many_tenants_and_a_tenant_in_which_it_fails(tmp_path: Path, awake: list[Tenant]) -> None:
    endpoint = awake[0].live("TenantControlPlane")["status"]["controlPlaneEndpoint"]
    kubeconfig = base64.b64decode(awake[0].live("Secret", "t0-admin-kubeconfig")["data"]["admin.conf"])
    counted = []

    done = run_tenants(tmp_path, flannel_play(tmp_path, endpoint, awake), cni_wait_timeout=1, **settings(tmp_path, awake, 1))
    assert done.status == 2, "no controller has seen the DaemonSet"
    assert done.text.count("DaemonSet kube-flannel/kube-flannel-ds: not ready after") >= len(awake)

    with client_from_kubeconfig(kubeconfig) as client:
        # What the controller does where there is no node.
        counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
        status = {"status": {"observedGeneration": 1, **dict.fromkeys(counts, 0)}}
        client.merge_patch(ObjectRef("apps/v1", "DaemonSet", "kube-flannel", "kube-flannel-ds"), status, subresource="status")
    for tenants in (awake[:1], awake):
        done = run_tenants(tmp_path, flannel_play(tmp_path, endpoint, tenants), **settings(tmp_path, tenants, 1))
        assert done.status == 0, done.output
        assert "failed so far: ." in done.text
        counted.append(work_of(done))
    assert counted[0] == counted[1]

    never = Tenant(awake[0].ground, awake[0].namespace, "never-was")
    given = [never, *awake]
    done = run_tenants(tmp_path, flannel_play(tmp_path, endpoint, given), **settings(tmp_path, given, 1))
    assert done.status == 2
    assert f"failed so far: {never.key}." in done.text
    assert (
        f"1 tenants failed, and nothing more was done for them; the others are done: TenantControlPlane {never.key}: does not" in done.text
    )


@pytest.mark.parametrize(
    ("hosts", "left"),
    [
        ({"main": ON, "off": OFF, "on": ON}, ["localhost", "main", "on"]),
        ({"main": ON, "off": OFF}, ["localhost", "main"]),
        ({"main": OFF, "on": ON}, []),
    ],
)
def test_a_worker_that_cannot_be_reached_is_left_out_by_the_preflight(
    bundle: Path, tmp_path: Path, hosts: dict[str, str], left: list[str]
) -> None:
    main, *workers = [f"{name} {how}" for name, how in hosts.items()]
    lines = [CONTROLLER, "[management]", main, "[workers]", *workers, ""]
    (tmp_path / "inventory").write_text("\n".join(lines), encoding="utf-8")
    said = {"name": "Say", "ansible.builtin.debug": {"msg": "{{ inventory_hostname }} goes on"}}
    after = {"name": "After", "hosts": "localhost:all", "gather_facts": False, "tasks": [said]}
    (tmp_path / "plays.yml").write_text(json.dumps([play("preflight"), after]), encoding="utf-8")
    # All of them are this machine, which need not be fit for Kubernetes.
    ignored = [*checks.names(), *FLEET_CHECKS]
    inventory = str(tmp_path / "inventory")
    done = run_playbook(tmp_path / "plays.yml", inventory=inventory, bundle_dir=str(bundle), host_preflight_ignore=ignored)
    assert done.status != 0, done.output
    assert "(127.0.0.1): cannot log in as the present user and become root" in done.text, done.output
    assert sorted(set(re.findall(r'msg"?: "?(\S+) goes on', done.output))) == left


def test_a_management_cluster_of_the_environment_needs_no_kubeconfig(bundle: Path, api_server: ApiServer) -> None:
    variables: Json = {"management_cluster_kubeconfig": "", "bundle_dir": str(bundle)}
    where = {
        "K8S_AUTH_HOST": api_server.url,
        "K8S_AUTH_SSL_CA_CERT": str(api_server.authority.pair.certificate),
        "K8S_AUTH_CERT_FILE": str(api_server.admin.certificate),
        "K8S_AUTH_KEY_FILE": str(api_server.admin.key),
    }
    for arguments in (
        ["hosted.kubernetes.preflight"],
        ["hosted.kubernetes.management_cluster"],
        ["hosted.kubernetes.management_cluster", "--check"],
    ):
        done = run_command(command(*arguments, variables=variables), **where)
        assert done.status == 0, done.output
    assert "probe | Wait for the API server and check its version" in done.output
    done = run_command(command("hosted.kubernetes.preflight", variables=variables))
    assert done.status == 2
    assert "or leave it empty and set K8S_AUTH_HOST or K8S_AUTH_KUBECONFIG" in done.text


def test_whom_a_call_waits_for_is_shown_while_it_waits(tmp_path: Path, tenant: Tenant) -> None:
    tenant.run()
    tenant.delete("Service")
    log = tmp_path / "steps.log"
    arguments: Json = {"kubeconfig": str(tenant.ground.kubeconfig), "definition": tenant.definition(), "wait_timeout": 30, "log": str(log)}
    held = TenantLease(
        tenant.ground.client,
        tenant.namespace,
        tenant.name,
        holder="somebody",
        now=lambda: datetime.now(UTC),
        wait_s=5,
        say=lambda _text: None,
    )
    with ThreadPoolExecutor(1) as pool:
        with held:
            running = pool.submit(run_module, tenant_control_plane.main, arguments)
            while not (log.exists() and f"waiting for somebody, who is working on {tenant.key}" in log.read_text(encoding="utf-8")):
                assert not running.done(), running.result()
                time.sleep(0.05)
        assert running.result()["changed"]
    assert log.read_text(encoding="utf-8").splitlines()[-1] == f"== {tenant.key}: done"
