# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a site, from bare machines to nothing, playbook by playbook: each test leaves what the next one begins with.

The second worker of the inventory has no machine in this lab: whatever touched it would fail.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers
from ansible_collections.hosted.kubernetes.tests.support.cluster import DEMO
from ansible_collections.hosted.kubernetes.tests.support.lab import machine_root, on_machine, power_off, traces
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, command, kill_when_written, run_command

LAB = "site"
WORKER, NODE = "lab-worker-1", "site-worker-1"
STORE_ABSENT = {"datastore_tasks": "absent", "datastore_remove_local_data": True}


@dataclass(frozen=True)
class Site:
    """Playbooks on the machines of a lab. directory: where kubeconfigs are."""

    directory: Path
    bundle: Path

    @property
    def management(self) -> str:
        """Path of the management cluster's kubeconfig."""
        return str(self.directory / "management.kubeconfig")

    def command(self, playbook: str, *options: str, replicas: int = 1, **variables: Any) -> list[str]:
        spec = {
            "dataStore": "default",
            "kubernetes": {"version": "v1.36.3"},
            "networkProfile": {"podCidr": "10.245.0.0/16"},
            "controlPlane": {"deployment": {"replicas": replicas}, "service": {"serviceType": "LoadBalancer"}},
            "addons": {"coreDNS": {}, "kubeProxy": {"configurationJSONPatches": "{{ lab_kube_proxy_patches }}"}, "konnectivity": {}},
        }
        every = {
            "lab_name": LAB,
            "lab_groups": ["management", WORKER],
            "demo_dir": str(self.directory),
            "bundle_dir": str(self.bundle),
            "tenant_control_plane_definitions": [{"metadata": {"name": "acme", "namespace": "tenants"}, "spec": spec}],
            **variables,
        }
        limit = "" if "--limit" in options else f"localhost,management,{WORKER}"
        limited = ("--limit", limit, *options) if limit else options
        return command(f"hosted.kubernetes.{playbook}", *limited, inventory=DEMO, variables=every)

    def tried(self, playbook: str, *options: str, **variables: Any) -> PlaybookRun:
        return run_command(self.command(playbook, *options, **variables))

    def run(self, playbook: str, *options: str, **variables: Any) -> PlaybookRun:
        """Run a playbook that must succeed."""
        done = self.tried(playbook, *options, **variables)
        assert done.status == 0, done.output[-8000:]
        return done

    def refused(self, playbook: str, *options: str, **variables: Any) -> str:
        """Run a playbook that must fail; return its output."""
        done = self.tried(playbook, *options, **variables)
        assert done.status != 0, done.output[-8000:]
        return done.text

    def twice(self, playbook: str, *options: str, **variables: Any) -> PlaybookRun:
        """Run a playbook that changes something, and once more, which must change nothing. Returns the first run."""
        first = self.run(playbook, *options, **variables)
        assert first.changed > 0
        again = self.run(playbook, *options, **variables)
        assert again.changed == 0, again.changed_tasks
        return first

    def worker(self, script: str) -> str:
        return on_machine(LAB, NODE, script)

    def killed_join(self, **variables: Any) -> None:
        """Kill a run, and kubeadm on the host, as soon as kubeadm has written its first file."""
        first_file = machine_root(LAB, NODE) / "etc/kubernetes/bootstrap-kubelet.conf"
        kill_when_written(self.command("worker", **variables), first_file, 0.01, kill_kubeadms)
        assert not (machine_root(LAB, NODE) / "etc/kubernetes/kubelet.conf").exists(), "kubeadm was faster than its end"


def kill_kubeadms() -> None:
    for pid in kubeadms():
        os.kill(pid, signal.SIGKILL)


def kubeadms() -> list[int]:
    """Processes of kubeadm on the worker; this host sees them all."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_kubeadm = (folder / "comm").read_text() == "kubeadm\n"
            if is_kubeadm and (folder / "root/etc/hostname").read_text() == f"{NODE}\n":
                found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def site(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two bare machines, one of them for the management cluster; nothing of them is left, whatever the tests did."""
    site = Site(tmp_path_factory.mktemp("site") / "demo", bundle)
    site.run("lab", lab_machine_state="absent")
    try:
        site.run("lab")
        yield site
    finally:
        site.run("lab", lab_machine_state="absent")


def test_a_check_from_nothing_lists_the_steps_and_changes_nothing(site: Site) -> None:
    done = site.run("site", "--check", "--diff")
    assert {"lab-management", WORKER} <= {host for host, changed in done.changes.items() if changed}
    for expected in (
        "A real run initialises the cluster with kubeadm",
        "A real run makes an etcd with 1 member in namespace hosted-kubernetes-system and the DataStore default",
        "A real run makes the control planes of these tenants: acme",
        "A real run puts into it: flannel for its pods (10.244.0.0/16); MetalLB with the addresses",
        f"host {WORKER} would join when the tenant is there, which it is not: there is no management cluster yet",
        "These tenants are proved by a real run, once they are there: tenants/acme",
        "tenant tenants/acme: v1.36.3, made by a real run, with 2 workers",
    ):
        assert expected in done.text
    assert not (machine_root(LAB, NODE) / "usr/local/bin/kubelet").exists()
    assert not site.directory.exists()


def test_a_wrong_ssh_user_is_named_with_the_host(site: Site) -> None:
    said = site.refused("preflight", ansible_user="nobody-here")
    assert re.search(rf"{WORKER} \(198\.\S+\): cannot log in as nobody-here and become root: .*Permission denied.*check ansible_host", said)
    assert "lab-management (198." in said

    # One who may log in and not become root.
    site.worker("useradd --create-home plain && cp -r /home/lab/.ssh /home/plain/ && chown -R plain /home/plain/.ssh")
    said = site.refused("preflight", "--limit", f"localhost,{WORKER}", ansible_user="plain")
    assert re.search(rf"{WORKER} \(198\.\S+\): cannot log in as plain and become root: .*sudo password; check ansible_host", said)


def test_management_cluster_and_datastore(site: Site) -> None:
    site.run("management_cluster")
    site.twice("datastore")


def plan_of(done: PlaybookRun) -> list[str]:
    """What --diff prints of the tenants' objects."""
    start = done.output.index("TASK [hosted.kubernetes.tenant_control_plane : tenants | Make them")
    lines = done.output[start : done.output.index("\nTASK [", start)].splitlines()
    return [line for line in lines if line.startswith(("+", "-"))]


def test_from_the_tenant_on_a_check_is_exact(site: Site) -> None:
    predicted = site.run("tenant", "--check", "--diff")
    applied = site.run("tenant", "--diff")
    assert len(plan_of(predicted)) > 30
    for foreseen, done in zip(plan_of(predicted), plan_of(applied), strict=True):
        assert re.fullmatch(".*".join(map(re.escape, foreseen.split(UNKNOWN))), done), f"foreseen {foreseen}, done {done}"
    assert site.run("tenant").changed == 0
    assert site.run("tenant", "--check").changed == 0


def test_a_wrong_ssh_user_of_a_worker(site: Site) -> None:
    assert f"host {WORKER}: cannot be reached as user nobody-here at 198." in site.refused("worker", ansible_user="nobody-here")
    said = site.refused("worker", ansible_user="plain")
    assert re.search(rf"host {WORKER}: cannot be worked on as user plain at 198\.\S+ \(.*sudo password\); correct ansible_host", said)


def test_a_full_disk_is_named_and_nothing_half_written_stays(site: Site) -> None:
    """A small file system lies where the programs go, and where the images go."""
    programs, images = "/usr/local/bin", "/var/lib/containerd"
    site.worker(f"mount -t tmpfs -o size=20m full {programs}")
    try:
        said = site.refused("worker")
        assert re.search(rf"host {WORKER}: {programs}: \d+ MiB free, 3072 MiB are needed; free some", said)
        assert site.worker(f"ls {programs}") == ""

        said = site.refused("worker", worker_minimum_free_mb=0)
        assert re.search(rf"{programs}/\S+: no space left on the device; free some and run again", said)
        assert "hosted-kubernetes.new" not in site.worker(f"ls {programs}")
    finally:
        site.worker(f"umount {programs}")

    site.worker(f"mount -t tmpfs -o size=20m full {images}")
    try:
        said = site.refused("worker", worker_minimum_free_mb=0)
        assert re.search(r"\S+: not imported: ctr: .*no space left on device.*with space on its disk", said)
    finally:
        site.worker(f"systemctl stop containerd; umount {images}")


def test_a_container_runtime_of_somebody_else_is_not_taken_over_unasked(site: Site) -> None:
    config, kept = "/etc/containerd/config.toml", "/etc/containerd/config.toml.before-hosted-kubernetes"
    site.worker(f"cp {config} /root/config.toml; echo 'version = 3' >{config}")
    said = site.refused("worker")
    assert f"host {WORKER}: a container runtime that this role did not set up is there (file {config}" in said
    assert site.worker(f"cat {config}") == "version = 3\n"

    # The image that is missing ends the run after containerd has been taken over.
    replaced = site.tried("worker", container_runtime_replace_existing=True, container_runtime_images=["no-such-image"])
    assert "no-such-image" in replaced.text
    assert site.worker(f"cat {kept}") == "version = 3\n"
    assert site.worker(f"cmp {config} /root/config.toml; rm {kept}") == ""


def test_a_token_is_never_shown_and_goes_whatever_happens(site: Site) -> None:
    """kubeadm refuses a flag without a name before it changes the host."""
    done = site.tried("worker", "-vvv", worker_kubelet_extra_args=[{"name": "", "value": "x"}])
    assert done.status != 0
    assert "kubeadm join failed: " in done.text
    assert "join | Make a token for this host" in str(done.changed_tasks)
    assert not re.search(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b", done.output)
    with connect(ConnectionOptions(kubeconfig=str(site.directory / "acme.kubeconfig"))) as tenant:
        assert workers.token_names(tenant, NODE) == []


def test_a_join_that_was_killed_is_completed_and_touches_no_other_host(site: Site) -> None:
    site.killed_join()
    first = site.run("worker")
    assert "join | Join the tenant cluster" in str(first.changed_tasks)
    assert set(first.changes) == {WORKER}
    assert set(re.findall(r"-> (\S+?)[\]\(]", first.output)) == {"localhost"}
    assert site.run("worker").changed == 0
    site.run("tenant_check")


def test_a_host_that_has_joined_elsewhere_is_refused(site: Site) -> None:
    said = site.refused("worker", worker_tenant="", worker_tenant_kubeconfig=site.management)
    assert re.search(
        rf"host {WORKER}: it has joined another cluster: https://198\.\S+ with CA \S+ .*, not tenant of {site.management}", said
    )
    assert "take it out of that one first (playbook worker_reset with that cluster as worker_tenant" in said


def test_a_node_of_another_cluster_is_not_reset(site: Site) -> None:
    said = site.refused("worker_reset", worker_tenant="", worker_tenant_kubeconfig=site.management)
    assert re.search(
        rf"host {WORKER}: it is a node of another cluster: https://198\.\S+ with CA \S+ .*, not of tenant of {site.management}", said
    )
    assert "set worker_reset_foreign to reset the host undrained" in said
    assert site.worker("crictl ps --quiet") != ""
    assert site.run("worker").changed == 0


def test_a_dead_host_goes_with_its_pods(site: Site) -> None:
    with connect(ConnectionOptions(kubeconfig=str(site.directory / "acme.kubeconfig"))) as tenant:
        assert workers.pods_on(tenant, NODE) != []
        power_off(LAB, NODE)
        try:
            assert "or set worker_reset_dead when the host is dead" in site.refused("worker_reset")
            done = site.run("worker_reset", worker_reset_dead=True, worker_reset_drain_timeout=10)
            assert done.changed_tasks == ["hosted.kubernetes.worker : reset_node | Delete the node"]
            assert site.run("worker_reset", worker_reset_dead=True).changed == 0
            deadline = time.monotonic() + 180
            while workers.pods_on(tenant, NODE):
                assert time.monotonic() < deadline, "the tenant did not delete the pods of a Node that is gone"
                time.sleep(2)
        finally:
            site.run("lab")


def test_a_check_of_a_join_after_a_reset_is_exact(site: Site) -> None:
    """The kubelet trusts no CA any more: the host is reset and joins again, which check mode does not do first."""
    site.worker(
        "systemctl stop kubelet; sed -i 's/certificate-authority-data:.*/certificate-authority-data: AAAA/' /etc/kubernetes/kubelet.conf"
    )
    predicted, applied = site.run("worker", "--check"), site.run("worker")
    # A token that does not exist yet is not deleted.
    assert [*predicted.changed_tasks, "hosted.kubernetes.worker : join | Delete the token"] == applied.changed_tasks
    assert site.run("worker").changed == 0


def test_a_host_whose_containerd_is_dead_is_not_called_clean(site: Site) -> None:
    site.worker("systemctl stop containerd")
    try:
        said = site.refused("worker_reset", worker_reset_drain=False)
    finally:
        site.worker("systemctl start containerd")
    assert "nobody can say which containers of pods this host has, because containerd does not answer" in said
    assert "start it (systemctl start containerd) and run again" in said
    assert site.worker("crictl ps --quiet") != ""


def test_a_reset_host_can_join_again(site: Site) -> None:
    site.twice("worker_reset")
    predicted, applied = site.run("worker", "--check"), site.run("worker")
    # A token that does not exist yet is not deleted.
    assert [*predicted.changed_tasks, "hosted.kubernetes.worker : join | Delete the token"] == applied.changed_tasks


def test_a_site_with_a_sleeping_tenant_is_in_order(site: Site) -> None:
    done = site.run("site", replicas=0)
    for what in ("get the network of their pods", "are proved"):
        assert f"Tenants that sleep (spec.controlPlane.deployment.replicas is 0) {what} when they are awake: tenants/acme" in done.text
    assert f"host {WORKER} is left as it is: TenantControlPlane tenants/acme: sleeps" in done.text
    assert "TenantControlPlane tenants/acme: sleeps" in site.refused("worker_reset")


def test_a_deleted_tenant_leaves_hosts_that_can_be_reset(site: Site) -> None:
    site.twice("tenant", tenant_control_plane_state="absent", tenant_control_plane_names="acme")
    assert not (site.directory / "acme.kubeconfig").exists()

    done = site.twice("worker_reset")
    assert "there is no node to drain or delete, only the host is reset: TenantControlPlane tenants/acme: does not exist" in done.text


def test_what_is_in_the_management_cluster_can_be_removed(site: Site) -> None:
    site.twice("datastore", **STORE_ABSENT)
    services = {"cni_state": "absent", "load_balancer_state": "absent"}
    site.twice("management_cluster", "--limit", "localhost", **services)


def test_the_end_of_a_demonstration_killed_in_a_join_leaves_nothing(site: Site) -> None:
    site.killed_join(worker_tenant="", worker_tenant_kubeconfig=site.management)
    assert traces(LAB) != []
    site.twice("demo_down")
    assert traces(LAB) == []
    assert not site.directory.exists()
