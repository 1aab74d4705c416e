# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that go from one tenant to another and back: nothing of the former one is left, whatever interrupts the way.

Two tenants, two workers that begin in the first one. Each test leaves what the next one begins with.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem, node_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory, image_reference
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster, running_cluster
from ansible_collections.hosted.kubernetes.tests.support.lab import machine_root, on_machine
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, kill_when, run_command

pytestmark = pytest.mark.long

LAB = "move"
FIRST, SECOND = f"{LAB}-worker-1", f"{LAB}-worker-2"
HOST = "lab-worker-1"
PRIVATE = "registry.acme.example/secret:1"
ROLE = "hosted.kubernetes.worker : "


@dataclass(frozen=True)
class Site:
    """Two tenants, each with an administrator's way into it."""

    cluster: Cluster
    bundle: Path
    management: Client
    tenants: dict[str, Client]

    def command(self, playbook: str, *options: str, **variables: Any) -> list[str]:
        every = {"bundle_dir": str(self.bundle), "tenant_control_plane_definitions": definitions(), **variables}
        return [*self.cluster.command(playbook, **every), *options]

    def tried(self, tenant: str, *options: str, playbook: str = "worker_move", **variables: Any) -> PlaybookRun:
        """Run a playbook for the first worker, whose tenant shall be this one."""
        return run_command(self.command(playbook, "--limit", f"{HOST},localhost", *options, worker_tenant=tenant, **variables))

    def run(self, tenant: str, *options: str, **variables: Any) -> PlaybookRun:
        done = self.tried(tenant, *options, **variables)
        assert done.status == 0, done.output[-8000:]
        return done

    def nodes(self, tenant: str) -> dict[str, Json]:
        return {node["metadata"]["name"]: node for node in self.tenants[tenant].list(resource_of("Node")).items}

    def authority(self, tenant: str) -> str:
        """The tenant's CA certificate, as a kubeconfig holds it."""
        secret = self.management.get(resource_of("Secret"), f"{tenant}{names.CA}", "tenants") or {}
        return str(secret["data"]["ca.crt"])

    def is_at(self, tenant: str, other: str) -> None:
        """Fail unless the first worker is a Ready node of one tenant, and nothing of it is left in the other and of the other on it."""
        assert FIRST not in self.nodes(other)
        assert node_problem(self.nodes(tenant)[FIRST]) is None
        conf = (machine_root(LAB, FIRST) / "etc/kubernetes/kubelet.conf").read_text(encoding="utf-8")
        assert self.authority(tenant) in conf
        assert self.authority(other) not in conf
        theirs = base64.b64decode(self.authority(other)).decode().splitlines()[1]
        assert (
            on_machine(LAB, FIRST, f"grep -rlF '{theirs}' /etc/kubernetes /var/lib/kubelet /etc/cni /run/flannel 2>/dev/null || true") == ""
        )
        assert self.run(tenant).changed == 0


def definitions() -> list[Json]:
    def tenant(name: str, pods: str) -> Json:
        spec = {
            "dataStore": "default",
            "kubernetes": {"version": "v1.36.3"},
            "networkProfile": {"podCidr": pods},
            "controlPlane": {"deployment": {"replicas": 1}, "service": {"serviceType": "LoadBalancer"}},
            "addons": {"coreDNS": {}, "kubeProxy": {"configurationJSONPatches": "{{ lab_kube_proxy_patches }}"}, "konnectivity": {}},
        }
        return {"metadata": {"name": name, "namespace": "tenants"}, "spec": spec}

    return [tenant("acme", "10.245.0.0/16"), tenant("beta", "10.246.0.0/16")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bundle, directory = bundle_directory(), tmp_path_factory.mktemp("move")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(bundle, directory, lab_name=LAB, workers=True))
        for name in ("datastore", "tenant", "worker"):
            cluster.playbook(name, bundle_dir=str(bundle), tenant_control_plane_definitions=definitions())
        management = stack.enter_context(connect(ConnectionOptions(kubeconfig=str(cluster.kubeconfig))))
        ways = {
            name: stack.enter_context(client_from_kubeconfig((directory / f"{name}.kubeconfig").read_bytes())) for name in ("acme", "beta")
        }
        made = Site(cluster, bundle, management, ways)
        for item in workload(image_reference(bundle, "agnhost")):
            ways["acme"].create(item)
        wait_for_workload(made)
        yield made


def workload(image: str) -> list[Json]:
    """Two pods, one on each node as long as there are two, of which one must always be there."""
    labels = {"app": "web"}
    container = {"name": "agnhost", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["netexec", "--http-port=8080"]}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1, "topologySpreadConstraints": [spread]}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    metadata = {"name": "web", "namespace": "default"}
    budget = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
    ]


def wait_for_workload(site: Site) -> None:
    wait_for(
        site.tenants["acme"],
        resource_of("Deployment"),
        "web",
        "default",
        predicate=lambda found: found is not None and deployment_problem(found) is None,
        deadline=time.monotonic() + 120,
    )


def test_a_join_names_the_playbook_and_changes_nothing(site: Site) -> None:
    done = site.tried("beta", playbook="worker")
    assert done.status != 0
    assert "that is tenant tenants/acme: move the host from there (playbook worker_move)" in done.text
    assert done.changed == 0
    assert sorted(site.nodes("acme")) == [FIRST, SECOND]


def test_a_budget_that_lets_no_pod_go_stops_the_move(site: Site) -> None:
    def least(pods: int) -> None:
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"}}
        site.tenants["acme"].apply({**budget, "spec": {"minAvailable": pods}}, force=True)

    least(2)
    done = site.tried("beta", worker_reset_drain_timeout=5)
    least(1)
    assert done.status != 0
    assert "pod default/web-" in done.text
    assert "may not be evicted" in done.text
    assert node_problem(site.nodes("acme")[FIRST]) is None
    assert site.nodes("beta") == {}


def test_a_move_does_what_its_check_said_and_leaves_nothing_behind(site: Site) -> None:
    on_machine(LAB, FIRST, f"ctr -n k8s.io images convert --oci registry.k8s.io/pause:3.10.2 {PRIVATE}")
    predicted = site.run("beta", "--check")
    assert FIRST in site.nodes("acme")
    done = site.run("beta")
    # A token that does not exist yet is not deleted.
    assert [*predicted.changed_tasks, f"{ROLE}join | Delete the token"] == done.changed_tasks
    assert [task.removeprefix(ROLE) for task in done.changed_tasks][1:4] == [
        "leave | Stop the kubelet",
        "reset_node | Delete the node",
        "reset_host | Reset the host and prove that nothing is left",
    ]
    assert "has nothing left of tenant tenants/acme, as was seen afterwards at: kubelet.service, /etc/kubernetes" in done.text
    for place in ("mounts of pods", "network links", "containers of pods", "layers of containers", "images", "tables of nft"):
        assert place in done.text
    assert PRIVATE not in on_machine(LAB, FIRST, "ctr -n k8s.io images list --quiet")
    site.is_at("beta", "acme")
    wait_for_workload(site)


def test_a_move_that_is_killed_when_the_node_is_gone_goes_on(site: Site) -> None:
    kill_when(
        site.command("worker_move", "--limit", f"{HOST},localhost", worker_tenant="acme"),
        lambda: FIRST not in site.nodes("beta"),
        "the Node was deleted",
        0.05,
        lambda: None,
    )
    site.run("acme")
    site.is_at("acme", "beta")


def test_a_move_that_is_killed_while_the_host_is_reset_goes_on(site: Site) -> None:
    conf = machine_root(LAB, FIRST) / "etc/kubernetes/kubelet.conf"
    command = site.command("worker_move", "--limit", f"{HOST},localhost", worker_tenant="beta")
    kill_when(command, lambda: not conf.exists(), "the host was reset", 0.01, kill_resets)
    assert sorted(site.nodes("acme")) == [SECOND]
    site.run("beta")
    site.is_at("beta", "acme")


def kill_resets() -> None:
    """End what a reset runs on the worker; this host sees all its processes."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0")
            if ("reset" in words or "AnsiballZ" in str(words)) and (folder / "root/etc/hostname").read_text() == f"{FIRST}\n":
                os.kill(int(folder.name), signal.SIGKILL)


def test_a_node_of_no_tenant_is_left_alone(site: Site) -> None:
    """A kubelet that trusts the management cluster's CA."""
    config = (site.cluster.directory / "management.kubeconfig").read_text(encoding="utf-8")
    ca = next(line.split()[-1] for line in config.splitlines() if "certificate-authority-data" in line)
    conf = machine_root(LAB, FIRST) / "etc/kubernetes/kubelet.conf"
    before = conf.read_text(encoding="utf-8")
    conf.write_text(before.replace(site.authority("beta"), ca), encoding="utf-8")
    done = site.tried("acme")
    conf.write_text(before, encoding="utf-8")
    assert done.status != 0
    assert "no tenant of this management cluster has that CA" in done.text
    assert done.changed == 0
    assert json.dumps(sorted(site.nodes("beta"))) == json.dumps([FIRST])
