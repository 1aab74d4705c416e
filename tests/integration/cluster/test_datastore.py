# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role datastore on a real cluster: from nothing to a store that is probed by port-forward, and back to nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import job_problem, stateful_set_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, Resource, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import datastores
from ansible_collections.hosted.kubernetes.plugins.modules import datastore, datastore_etcd
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster, PlaybookError
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module

NAME, NAMESPACE = "store", "datastore-test"
ACME = Isolation("acme", "acme")
VARIABLES = {"datastore_name": NAME, "datastore_namespace": NAMESPACE, "datastore_remove_local_data": True}


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        yield client


@pytest.fixture(scope="module")
def store(cluster: Cluster, client: Client, bundle: Path) -> Iterator[Client]:
    """The role's store; removed with its namespace afterwards."""
    cluster.playbook("datastore", bundle_dir=str(bundle), **VARIABLES)
    yield client
    cluster.playbook("datastore", datastore_tasks="absent", **VARIABLES)
    client.delete(resource_of("Namespace"), NAMESPACE)


def wait(client: Client, kind: str, name: str, problem: object, namespace: str = "", resource: Resource | None = None) -> Json:
    assert callable(problem)
    found = wait_for(
        client,
        resource or resource_of(kind),
        name,
        namespace,
        predicate=lambda obj: obj is not None and problem(obj) is None,
        deadline=time.monotonic() + 120,
    )
    assert found
    return found


def changed(output: str) -> int:
    return sum(int(number) for number in re.findall(r"changed=(\d+)", output))


def test_a_second_run_changes_nothing(store: Client, cluster: Cluster, bundle: Path) -> None:
    assert changed(cluster.playbook("datastore", bundle_dir=str(bundle), **VARIABLES)) == 0


def test_the_store_is_ready_and_reached_by_port_forward(store: Client, kubeconfig: Path) -> None:
    live = store.get(resource_of("DataStore"), NAME)
    assert live
    assert live["status"]["ready"]
    result = run_module(
        datastore.main, {"kubeconfig": str(kubeconfig), "definition": {k: live[k] for k in ("metadata", "spec")}}, check=True
    )
    assert result["probe"]["healthy"]
    assert result["probe"]["members"][0]["name"] == f"{NAME}-0"


def test_tenants_data_survives_the_pod(store: Client) -> None:
    found = datastores.find_datastore(store, NAME)
    with datastores.open_store(store, found) as opened:
        for part in opened.driver.parts:
            opened.driver.create_part(ACME, part)
    store.delete(resource_of("Pod"), f"{NAME}-0", NAMESPACE)
    wait_for(
        store,
        resource_of("StatefulSet"),
        NAME,
        NAMESPACE,
        predicate=lambda obj: obj is not None and stateful_set_problem(obj) is not None,
        deadline=time.monotonic() + 60,
    )
    wait(store, "StatefulSet", NAME, stateful_set_problem, NAMESPACE)
    with datastores.open_store(store, found) as opened:
        state = opened.driver.observe([ACME], detailed=True)[ACME.schema]
        assert state.missing == ()
        for part in opened.driver.purge_parts:
            opened.driver.delete_part(ACME, part)
        assert opened.driver.observe([ACME], keys=True)[ACME.schema].absent


def test_deleted_objects_are_made_again(store: Client, cluster: Cluster, bundle: Path) -> None:
    kinds = ("Service", "PodDisruptionBudget", "StatefulSet")
    for kind in kinds:
        store.delete(resource_of(kind), NAME, NAMESPACE)
    assert changed(cluster.playbook("datastore", bundle_dir=str(bundle), **VARIABLES)) == 1
    assert all(store.get(resource_of(kind), NAME, NAMESPACE) for kind in kinds)
    assert changed(cluster.playbook("datastore", bundle_dir=str(bundle), **VARIABLES)) == 0


def test_a_store_without_pods_is_unreachable_and_says_why(store: Client, kubeconfig: Path) -> None:
    store.request(
        "PATCH",
        resource_of("StatefulSet").path(NAMESPACE, NAME),
        body={"spec": {"replicas": 0}},
        content_type="application/merge-patch+json",
    )
    wait_for(store, resource_of("Pod"), f"{NAME}-0", NAMESPACE, predicate=lambda pod: pod is None, deadline=time.monotonic() + 60)
    definition = store.get(resource_of("DataStore"), NAME)
    assert definition
    definition = {key: definition[key] for key in ("metadata", "spec")}
    result = run_module(datastore.main, {"kubeconfig": str(kubeconfig), "definition": definition}, check=True)
    assert f"Service {NAMESPACE}/{NAME} has no ready pod behind port 2379" in str(result["warnings"])
    store.request(
        "PATCH",
        resource_of("StatefulSet").path(NAMESPACE, NAME),
        body={"spec": {"replicas": 1}},
        content_type="application/merge-patch+json",
    )
    wait(store, "StatefulSet", NAME, stateful_set_problem, NAMESPACE)


def test_defragmentation_works(store: Client) -> None:
    cron = store.get(resource_of("CronJob"), f"{NAME}-defragmentation", NAMESPACE)
    assert cron
    jobs = Resource("batch/v1", "Job", "jobs", namespaced=True)
    spec = cron["spec"]["jobTemplate"]["spec"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "defragment-now", "namespace": NAMESPACE}, "spec": spec}
    store.request("POST", jobs.path(NAMESPACE), body=job)
    wait(store, "Job", "defragment-now", job_problem, NAMESPACE, jobs)


def test_an_etcd_that_is_recorded_is_not_removed(store: Client, kubeconfig: Path) -> None:
    arguments = {"kubeconfig": str(kubeconfig), "name": NAME, "namespace": NAMESPACE, "state": "absent"}
    with pytest.raises(Exception, match="delete that first"):
        run_module(datastore_etcd.main, arguments)


def test_removal_leaves_nothing(cluster: Cluster, client: Client, bundle: Path) -> None:
    variables = {**VARIABLES, "datastore_name": "brief"}
    cluster.playbook("datastore", bundle_dir=str(bundle), **variables)
    assert changed(cluster.playbook("datastore", datastore_tasks="absent", **variables)) > 0
    assert changed(cluster.playbook("datastore", datastore_tasks="absent", **variables)) == 0
    for kind in ("StatefulSet", "Service", "Secret", "PersistentVolumeClaim", "PersistentVolume", "CronJob", "PodDisruptionBudget"):
        items = client.list(resource_of(kind), label_selector="app.kubernetes.io/instance=brief").items
        assert [str(ObjectRef.of(item)) for item in items] == []
    assert client.get(resource_of("DataStore"), "brief") is None


@pytest.mark.long
def test_members_that_cannot_start_are_explained(cluster: Cluster, client: Client) -> None:
    variables = {**VARIABLES, "datastore_name": "broken", "datastore_image": "registry.invalid/etcd:3.6.8-0", "datastore_wait_timeout": 15}
    with pytest.raises(PlaybookError, match=r"pod broken-0: container etcd (ErrImagePull|ImagePullBackOff)"):
        cluster.playbook("datastore", **variables)
    cluster.playbook("datastore", datastore_tasks="absent", **variables)
