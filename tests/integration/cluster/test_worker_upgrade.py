# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of a tenant for years: refreshed, upgraded to the next minor, killed in the middle, put back when a kubelet does not start.

Two workers join with the older bundle a tenant of the newer version. Each test leaves what the next one begins with. Two bundles are needed
(make bundle, make bundle KUBERNETES_VERSION=v1.37.2).
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory, bundle_of, image_reference
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster, running_cluster
from ansible_collections.hosted.kubernetes.tests.support.lab import machine_root, on_machine
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, kill_when_written, run_command

pytestmark = pytest.mark.long

LAB = "upgrade"
OLDER, NEWER = "v1.36.3", "v1.37.2"
FIRST, SECOND = f"{LAB}-worker-1", f"{LAB}-worker-2"
SNAPSHOT = "var/lib/hosted-kubernetes/snapshots/upgrade/manifest.json"


@dataclass(frozen=True)
class Site:
    """A tenant with two workers. inside: an administrator's way into it."""

    cluster: Cluster
    older: Path
    newer: Path
    management: Client
    inside: Client

    def tried(self, playbook: str, *options: str, bundle: Path | None = None, **variables: Any) -> PlaybookRun:
        return run_command([*self.command(playbook, bundle=bundle, **variables), *options])

    def run(self, playbook: str, *options: str, bundle: Path | None = None, **variables: Any) -> PlaybookRun:
        done = self.tried(playbook, *options, bundle=bundle, **variables)
        assert done.status == 0, done.output[-8000:]
        return done

    def command(self, playbook: str, *, bundle: Path | None = None, **variables: Any) -> list[str]:
        return self.cluster.command(playbook, bundle_dir=str(self.newer), worker_bundle_dir=str(bundle or self.newer), **variables)

    def versions(self) -> dict[str, str]:
        nodes = self.inside.list(resource_of("Node")).items
        return {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes}

    def cordoned(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.inside.list(resource_of("Node")).items if node["spec"].get("unschedulable")]

    def pods(self) -> dict[str, str]:
        """UID by name of the workload's pods."""
        pods = self.inside.list(resource_of("Pod"), namespace="default", label_selector="app=web").items
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    older, newer, directory = bundle_directory(), bundle_of(NEWER), tmp_path_factory.mktemp("upgrade")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(newer, directory, lab_name=LAB, workers=True))
        settings = {"bundle_dir": str(newer), "bundle_kubernetes_version": NEWER}
        for name in ("datastore", "tenant"):
            cluster.playbook(name, **settings)
        cluster.playbook("worker", bundle_dir=str(newer), worker_bundle_dir=str(older))
        # Addons follow the tenant's version, which the workers' bundle does not have.
        cluster.bring_images(newer, {"workers": ("coredns", "kube-proxy")})
        management = stack.enter_context(connect(ConnectionOptions(kubeconfig=str(cluster.kubeconfig))))
        inside = stack.enter_context(client_from_kubeconfig((directory / "acme.kubeconfig").read_bytes()))
        made = Site(cluster, older, newer, management, inside)
        for item in workload(image_reference(older, "agnhost")):
            inside.create(item)
        wait_for(
            inside,
            resource_of("Deployment"),
            "web",
            "default",
            predicate=lambda found: found is not None and deployment_problem(found) is None,
            deadline=time.monotonic() + 120,
        )
        yield made


def workload(image: str) -> list[Json]:
    """Three pods, of which two must always be there."""
    labels = {"app": "web"}
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "agnhost",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=8080"],
        "readinessProbe": probe,
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 5}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "web", "namespace": "default"}
    budget = {"minAvailable": 2, "selector": {"matchLabels": labels}}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
    ]


def fewest_during(site: Site, step: Callable[[], PlaybookRun]) -> tuple[PlaybookRun, int]:
    """Do it, and return how many pods were ready at the worst moment seen."""
    seen, ended = [3], threading.Event()

    def look() -> None:
        with client_from_kubeconfig((site.cluster.directory / "acme.kubeconfig").read_bytes()) as client:
            while not ended.wait(0.3):
                found = client.get(resource_of("Deployment"), "web", "default") or {}
                seen.append(found.get("status", {}).get("readyReplicas", 0))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        done = step()
    finally:
        ended.set()
        watcher.join()
    return done, min(seen)


def test_a_refresh_of_workers_in_order_changes_nothing(site: Site) -> None:
    assert site.versions() == {FIRST: OLDER, SECOND: OLDER}
    assert site.run("worker_refresh", "--check", bundle=site.older).changed == 0
    done = site.run("worker_refresh", bundle=site.older)
    assert done.changed == 0, done.changed_tasks


def test_a_setting_of_the_kubelet_arrives_without_touching_pods(site: Site) -> None:
    before = site.pods()
    settings: Json = {"worker_kubelet_configuration": "{{ lab_kubelet_configuration | combine({'maxPods': 77}) }}"}
    predicted = site.run("worker_refresh", "--check", bundle=site.older, **settings)
    done = site.run("worker_refresh", bundle=site.older, **settings)
    assert predicted.changed_tasks == done.changed_tasks
    assert site.run("worker_refresh", bundle=site.older, **settings).changed == 0
    capacities = {node["status"]["capacity"]["pods"] for node in site.inside.list(resource_of("Node")).items}
    assert capacities == {"77"}
    assert site.run("worker_refresh", bundle=site.older).changed > 0
    assert site.pods() == before


def test_an_address_that_was_changed_by_hand_is_mended(site: Site) -> None:
    on_machine(
        LAB, FIRST, "sed -i 's#server: https://.*#server: https://192.0.2.1:6443#' /etc/kubernetes/kubelet.conf; systemctl restart kubelet"
    )
    done = site.run("worker_refresh", bundle=site.older)
    assert "hosted.kubernetes.worker : kubelet_client | Keep address, CA and certificate" in done.changed_tasks
    assert site.run("worker_refresh", bundle=site.older).changed == 0


def test_a_kubelet_whose_certificate_has_expired_comes_back_with_one_command(site: Site) -> None:
    before = site.pods()
    secret = site.management.get(resource_of("Secret"), f"acme{names.CA}", "tenants") or {}
    pair = KeyPair(*(base64.b64decode(secret["data"][name]) for name in ("ca.crt", "ca.key")))
    now = datetime.now(UTC)
    request = LeafRequest(f"system:node:{FIRST}", ("system:nodes",), client=True)
    ended = new_leaf(pair, request, algorithm=KeyAlgorithm.ECDSA_P256, now=now, validity=timedelta(seconds=1))
    path = machine_root(LAB, FIRST) / "root/ended.pem"
    path.write_bytes(ended.certificate + ended.key)
    path.chmod(0o600)
    pki = "/var/lib/kubelet/pki"
    link = f"mv /root/ended.pem {pki}/kubelet-client-ended.pem; ln -sfn {pki}/kubelet-client-ended.pem {pki}/kubelet-client-current.pem"
    # With a second left the kubelet would still renew it by itself.
    on_machine(LAB, FIRST, f"systemctl stop kubelet; {link}; sleep 2; systemctl start kubelet")
    done = site.run("worker_refresh", "-vvv", bundle=site.older)
    assert "hosted.kubernetes.worker : kubelet_client | Keep address, CA and certificate" in done.changed_tasks
    assert not re.search(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b", done.output)
    assert not (machine_root(LAB, FIRST) / "etc/kubernetes/bootstrap-kubelet.conf").exists()
    assert site.run("worker_refresh", bundle=site.older).changed == 0
    assert site.pods() == before


def test_a_bundle_of_another_minor_names_the_playbook(site: Site) -> None:
    said = site.tried("worker")
    assert said.status != 0
    assert "bring it there drained (playbook worker_upgrade)" in said.text


def test_a_kubelet_newer_than_its_api_server_is_refused_before_anything_changes(site: Site, tmp_path: Path) -> None:
    manifest = json.loads((site.newer / "manifest.json").read_text(encoding="utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "kubernetes": "v1.38.0"}), encoding="utf-8")
    done = site.tried("worker_upgrade", bundle=tmp_path)
    assert done.status != 0
    assert f"kubelet v1.38.0 is newer than the API server {NEWER}; upgrade the control plane first" in done.text
    assert done.changed == 0
    assert site.cordoned() == []
    assert site.versions() == {FIRST: OLDER, SECOND: OLDER}


def test_a_kubelet_that_does_not_start_is_put_back_and_stops_the_rest(site: Site) -> None:
    broken: Json = {"worker_kubelet_configuration": "{{ lab_kubelet_configuration | combine({'evictionHard': {'nonsense': '1'}}) }}"}
    started = time.monotonic()
    done, fewest = fewest_during(site, lambda: site.tried("worker_upgrade", worker_upgrade_wait_timeout=60, **broken))
    assert done.status != 0
    assert f"host lab-worker-1: the upgrade to {NEWER} failed" in done.text, done.output[-8000:]
    assert f"It is back at {OLDER} and Ready" in done.text
    assert "host lab-worker-2: the upgrade" not in done.text
    assert site.versions() == {FIRST: OLDER, SECOND: OLDER}
    assert site.cordoned() == []
    assert not (machine_root(LAB, FIRST) / SNAPSHOT).exists()
    assert fewest >= 2
    print(f"put back after {time.monotonic() - started:.0f} s, drain and check included")
    assert site.run("worker_refresh", bundle=site.older).changed == 0


def test_an_upgrade_that_is_killed_goes_on(site: Site) -> None:
    """Killed as soon as the copy of the old files is complete, while the node is drained."""
    root = machine_root(LAB, FIRST)
    kill_when_written(site.command("worker_upgrade"), root / SNAPSHOT, 0.1, lambda: None)
    assert site.versions()[FIRST] == OLDER
    done = site.run("worker_upgrade", "--limit", "lab-worker-1,localhost")
    assert f"an upgrade from {OLDER} was begun and not ended" in done.text
    assert site.versions() == {FIRST: NEWER, SECOND: OLDER}
    assert site.cordoned() == []
    assert not (root / SNAPSHOT).exists()


def test_the_rest_is_upgraded_while_two_pods_are_always_ready(site: Site) -> None:
    predicted = site.run("worker_upgrade", "--check")
    done, fewest = fewest_during(site, lambda: site.run("worker_upgrade"))
    assert {host for host, changed in done.changes.items() if changed} == {"lab-worker-2"}
    assert {host for host, changed in predicted.changes.items() if changed} == {"lab-worker-2"}
    # What a check cannot see: a node that is cordoned, and a copy that is there, only in a real run.
    later = {"Let pods onto the node again, and wait for those that had to leave it", "Remove the copy"}
    assert [task for task in done.changed_tasks if task.rpartition("| ")[2] not in later] == predicted.changed_tasks
    assert site.versions() == {FIRST: NEWER, SECOND: NEWER}
    assert fewest >= 2
    assert site.run("worker_upgrade").changed == 0
    assert site.run("worker").changed == 0
    assert site.run("worker_refresh").changed == 0
    site.run("tenant_check")
