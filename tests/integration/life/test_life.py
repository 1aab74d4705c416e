# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a tenant with two replicas and two workers, asked all the time: from outside, and from a pod on a worker.

No request may fail, and no pod on a worker may be replaced or restart, but those of the addons that are upgraded.
Machines of its own; two bundles (make bundle, make bundle KUBERNETES_VERSION=v1.37.2).
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import (
    ConnectionOptions,
    client_from_kubeconfig,
    connect,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.tests.support import prober
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory, bundle_of, image_reference
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster, running_cluster
from ansible_collections.hosted.kubernetes.tests.support.lab import machine_root
from ansible_collections.hosted.kubernetes.tests.support.life import EXTRA_ARGS, VERSION, Life
from ansible_collections.hosted.kubernetes.tests.support.tenants import Run, assert_predicted

LAB = "life"
OLDER, NEWER = "v1.36.3", "v1.37.2"
WORKERS = (f"{LAB}-worker-1", f"{LAB}-worker-2")
# The addons that follow the version of the control plane.
UPGRADED = ("coredns", "kube-proxy")
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
WORKLOAD = "workload"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Site:
    """The tenant, an administrator's way into it, and the probers that ask it."""

    cluster: Cluster
    life: Life
    inside: Client
    measurement: prober.Measurement

    def ready(self, kind: str, name: str, namespace: str) -> Json:
        """Wait until an object inside the tenant is ready."""
        found = wait_for(
            self.inside,
            resource_of(kind),
            name,
            namespace,
            predicate=lambda obj: obj is not None and problem(obj) is None,
            deadline=time.monotonic() + 120,
        )
        assert found is not None
        return found

    def during(self, what: str, step: Callable[[], _Result]) -> _Result:
        """Do it while the probers ask; it fails no request and touches no pod."""
        before = self.kept_pods()
        assert len([name for name in before if name.startswith(WORKLOAD)]) == len(WORKERS)
        result = self.measurement.during(what, step)
        assert self.kept_pods() == before
        return result

    def kept_pods(self) -> dict[str, tuple[str, int]]:
        """Name → (UID, restarts) of all pods but those of addons that are upgraded."""
        pods = self.inside.list(resource_of("Pod")).items
        return {
            pod["metadata"]["name"]: (
                pod["metadata"]["uid"],
                sum(item["restartCount"] for item in pod["status"].get("containerStatuses", [])),
            )
            for pod in pods
            if not pod["metadata"]["name"].startswith(UPGRADED)
        }


@pytest.fixture(scope="module")
def newer_bundle() -> Path:
    return bundle_of(NEWER)


@pytest.fixture(scope="module")
def site(newer_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bundle, directory = str(bundle_directory()), tmp_path_factory.mktemp("life")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(Path(bundle), directory, lab_name=LAB, workers=True))
        for name in ("datastore", "tenant", "worker"):
            cluster.playbook(name, bundle_dir=bundle)
        cluster.bring_images(newer_bundle, {"management": CONTROL_PLANE, "workers": UPGRADED})
        client = stack.enter_context(connect(ConnectionOptions(kubeconfig=str(cluster.kubeconfig))))
        inside = stack.enter_context(client_from_kubeconfig((directory / "acme.kubeconfig").read_bytes()))
        image = image_reference(Path(bundle), "agnhost")
        folder = machine_root(LAB, WORKERS[0]) / "opt/prober"
        folder.mkdir()
        shutil.copy(prober.program(), folder)
        measurement = prober.Measurement(
            [
                stack.enter_context(prober.outside(inside, directory)),
                stack.enter_context(prober.in_pod(inside, WORKERS[0], image, "/opt/prober")),
            ]
        )
        made = Site(cluster, Life(client, "tenants", "acme"), inside, measurement)
        inside.create(workload(image))
        made.ready("DaemonSet", WORKLOAD, "default")
        yield made


def workload(image: str) -> Json:
    """A pod on each worker."""
    labels = {"app": WORKLOAD}
    container = {"name": "agnhost", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["pause"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": WORKLOAD, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def test_scaling(site: Site) -> None:
    site.during("scaling 2, 3, 1, 2", lambda: site.life.scale(3, 1, 2))


def test_renewal_of_all_certificates(site: Site) -> None:
    site.during("renewal of all certificates", site.life.renew)


def test_another_argument_of_the_api_server(site: Site) -> None:
    run = site.during("another argument", lambda: site.life.change({EXTRA_ARGS: ["--v=1"]}))
    assert ("Deployment acme", "rollout") in run.summary


def test_upgrade_to_the_next_minor(site: Site) -> None:
    """The dry run says what the run does; workers stay as they are."""
    wanted = {VERSION: NEWER, EXTRA_ARGS: None}
    predicted = site.life.change(wanted, check=True)

    def upgrade() -> Run:
        run = site.life.change(wanted)
        site.ready("DaemonSet", "kube-proxy", "kube-system")
        site.ready("Deployment", "coredns", "kube-system")
        return run

    assert_predicted(predicted, site.during(f"upgrade from {OLDER} to {NEWER}", upgrade))
    assert not site.life.change({}).changed
    assert site.inside.request("GET", "/version")["gitVersion"] == NEWER
    nodes = site.inside.list(resource_of("Node")).items
    assert {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == dict.fromkeys(WORKERS, OLDER)
    site.cluster.playbook("tenant_check", tenant_check_minimum_nodes=len(WORKERS))
