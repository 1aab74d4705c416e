# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker with a kernel of its own, by the roles' defaults: cgroup v2, the systemd cgroup driver, and no setting of the lab.

Each test leaves what the next one begins with. An emulated machine is slow: minutes for what takes others seconds.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem, pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import lab_network
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory, image_reference
from ansible_collections.hosted.kubernetes.tests.support.cluster import running_cluster
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, command, run_command
from ansible_collections.hosted.kubernetes.tests.support.virtual_machine import VirtualMachine, running_machine

LAB, NAME, NUMBER = "vm", "vm-worker", 50
WAIT_S = 900


@dataclass(frozen=True)
class Site:
    """A tenant on a machine of the lab, and a virtual machine. inside: an administrator's way into the tenant."""

    machine: VirtualMachine
    bundle: Path
    inventory: Path
    management: Path
    inside: Client

    def run(self, playbook: str, *options: str, **variables: Any) -> PlaybookRun:
        """Run a playbook for the machine: nothing of the lab's inventory reaches it."""
        every = {
            "bundle_dir": str(self.bundle),
            "worker_management_kubeconfig": str(self.management),
            "worker_tenant": "acme",
            "worker_wait_timeout": WAIT_S,
            **variables,
        }
        done = run_command(command(f"hosted.kubernetes.{playbook}", *options, inventory=str(self.inventory), variables=every))
        assert done.status == 0, done.output[-8000:]
        return done

    def node(self) -> Json | None:
        return self.inside.get(resource_of("Node"), NAME)


def definition() -> Json:
    # The bundle's image of kube-proxy has nft and no iptables.
    proxy = {"configurationJSONPatches": [{"op": "replace", "path": "/mode", "value": "nftables"}]}
    spec = {
        "dataStore": "default",
        "kubernetes": {"version": "v1.36.3"},
        "networkProfile": {"podCidr": "10.245.0.0/16"},
        "controlPlane": {"deployment": {"replicas": 1}, "service": {"serviceType": "LoadBalancer"}},
        "addons": {"coreDNS": {}, "kubeProxy": proxy, "konnectivity": {}},
    }
    return {"metadata": {"name": "acme", "namespace": "tenants"}, "spec": spec}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bundle, directory = bundle_directory(), tmp_path_factory.mktemp("vm")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(bundle, directory, lab_name=LAB))
        cluster.playbook("datastore", bundle_dir=str(bundle))
        # The interface of the lab's other machines is not this one's.
        cluster.playbook("tenant", bundle_dir=str(bundle), tenant_control_plane_definitions=[definition()], cni_flannel_interface="")
        folder = directory / "machine"
        folder.mkdir()
        machine = stack.enter_context(running_machine(NAME, lab_network(LAB), NUMBER, folder))
        inside = stack.enter_context(client_from_kubeconfig((directory / "acme.kubeconfig").read_bytes()))
        inventory = directory / "inventory"
        ssh = f"ansible_host={machine.address} ansible_user={machine.user} ansible_ssh_common_args='{' '.join(machine.ssh_arguments)}'"
        inventory.write_text(f"[workers]\n{NAME} {ssh}\n", encoding="utf-8")
        yield Site(machine, bundle, inventory, cluster.kubeconfig, inside)


def test_the_machine_is_no_container_of_this_host(site: Site) -> None:
    kernel, groups, init = site.machine.run("uname -r; stat -fc %T /sys/fs/cgroup; ps -o comm= 1").split()
    assert kernel != platform.release()
    assert (groups, init) == ("cgroup2fs", "systemd")


def test_it_becomes_a_worker_by_the_defaults_of_the_roles(site: Site) -> None:
    predicted = site.run("worker", "--check")
    assert site.node() is None
    started = time.monotonic()
    done = site.run("worker")
    print(f"joined and Ready after {time.monotonic() - started:.0f} s")
    # A token that does not exist yet is not deleted.
    assert [*predicted.changed_tasks, "hosted.kubernetes.worker : join | Delete the token"] == done.changed_tasks
    node = site.node()
    assert node is not None
    assert node_problem(node) is None
    assert "cgroupDriver: systemd" in site.machine.run("cat /var/lib/kubelet/config.yaml")
    assert site.run("worker").changed == 0


def test_a_pod_runs_in_the_groups_of_systemd(site: Site) -> None:
    container = {
        "name": "agnhost",
        "image": image_reference(site.bundle, "agnhost"),
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=8080"],
    }
    site.inside.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [container]}}
    )
    pod = wait_for(
        site.inside,
        resource_of("Pod"),
        "web",
        "default",
        predicate=lambda found: found is not None and pod_ready(found),
        deadline=time.monotonic() + WAIT_S,
    )
    assert pod is not None
    group = f"pod{pod['metadata']['uid'].replace('-', '_')}.slice"
    assert group in site.machine.run("find /sys/fs/cgroup/kubepods.slice -name '*.slice'")


def test_it_leaves_without_a_trace(site: Site) -> None:
    predicted = site.run("worker_reset", "--limit", NAME, "--check", worker_reset_force=True)
    done = site.run("worker_reset", "--limit", NAME, worker_reset_force=True)
    assert predicted.changed_tasks == done.changed_tasks
    assert site.node() is None
    assert site.machine.run("nft list tables; ls /etc/cni/net.d; ls -d /sys/fs/cgroup/kubepods.slice 2>/dev/null || true") == ""
    assert site.run("worker_reset", "--limit", NAME, worker_reset_force=True).changed == 0
