# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tenant of the reference system whose pods run is taken over: they go on as they are, until they are told to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, ForbiddenError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import find_datastore, open_store
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_adopt, tenant_control_plane
from ansible_collections.hosted.kubernetes.tests.support import reference_pki, reference_system
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import CRDS

STORE = {"datastore_name": "default", "datastore_remove_local_data": True}
AGENTS = ObjectRef("apps/v1", "DaemonSet", "kube-system", "konnectivity-agent")


@pytest.fixture(scope="module")
def management(cluster: Cluster, kubeconfig: Path, bundle: Path) -> Iterator[Client]:
    """With a datastore in use, and the operator; its image is nowhere, so that its pod only waits to be stopped."""
    cluster.playbook("datastore", bundle_dir=str(bundle), **STORE)
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        reference_system.install_operator(client)
        yield client
        client.delete(resource_of("Namespace"), reference_system.NAMESPACE)
    cluster.playbook("datastore", datastore_tasks="absent", **STORE)


@pytest.fixture(scope="module")
def made(management: Client, kubeconfig: Path) -> Iterator[reference_system.Made]:
    """A tenant that runs and whose operator limits the writing in it; then the operator goes away."""
    with open_store(management, find_datastore(management, "default")) as store:
        credentials = store.credentials
        assert credentials.ca_certificate
        assert credentials.ca_key
        signer = reference_pki.Signer(credentials.ca_certificate, credentials.ca_key)
        assert isinstance(store.driver, EtcdDriver)
        endpoints = [str(endpoint) for endpoint in store.datastore.endpoints]
        tenant = reference_system.Tenant(
            management,
            reference_system.Store("default", store.driver, signer, endpoints),
            "adopted",
            replicas=1,
            service="LoadBalancer",
            pull_policy="IfNotPresent",
            spec={"writePermissions": {"blockCreation": True}},
        )
        made = tenant.made()
    wait_for(
        management,
        resource_of("Deployment"),
        tenant.name,
        tenant.namespace,
        predicate=lambda live: live is not None and deployment_problem(live) is None,
        deadline=time.monotonic() + 120,
        explain=deployment_problem,
    )
    with inside(made, "super-admin.conf") as client:
        made.fill(client, made.address)
    made.write_status("WriteLimited")
    reference_system.install_webhooks(management)
    yield made
    options = {"kubeconfig": str(kubeconfig), "name": tenant.name, "namespace": tenant.namespace}
    run_module(tenant_control_plane.main, {**options, "state": "absent"})
    assert pods(management) == {}
    management.delete(resource_of("Namespace"), tenant.namespace)


def inside(made: reference_system.Made, key: str) -> Client:
    """Into the tenant, with a kubeconfig from before."""
    return client_from_kubeconfig(made.secrets["admin-kubeconfig"][key])


def pods(client: Client) -> dict[str, int]:
    """uid → restarts of all containers, of each control-plane pod that does not end."""
    found = client.list(resource_of("Pod"), namespace="adopted", label_selector=names.LABEL_NAME).items
    return {
        pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
        for pod in found
        if not pod["metadata"].get("deletionTimestamp")
    }


def probe(client: Client) -> None:
    """Create something, and remove it."""
    client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": "default"}})
    client.delete(resource_of("ConfigMap"), "probe", "default")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_free(client: Client) -> bool:
    """An API server forgets a webhook a little later than it is deleted."""
    try:
        probe(client)
    except ApiError:
        return False
    return True


def is_limited(client: Client) -> bool:
    try:
        probe(client)
    except ForbiddenError as error:
        return "writePermissions.blockCreation" in error.msg
    return False


def test_running_tenant(management: Client, kubeconfig: Path, made: reference_system.Made) -> None:
    """Taken over with the same pods; the next run changes nothing; then the pods are replaced by ours, and it works."""
    before = pods(management)
    with inside(made, "super-admin.conf") as client, pytest.raises(ApiError, match="failed calling webhook"):
        probe(client)

    adoption = {"kubeconfig": str(kubeconfig), "resource_definitions": [str(path) for path in sorted(CRDS.glob("*.yaml"))]}
    predicted = run_module(tenant_adopt.main, adoption, check=True)
    assert pods(management) == before
    applied = run_module(tenant_adopt.main, adoption)
    assert identities(applied) == identities(predicted)
    assert not run_module(tenant_adopt.main, adoption)["changed"]

    assert pods(management) == before
    (tenant,) = applied["tenants"]
    assert (tenant["phase"], tenant["exposed"]) == ("WriteLimited", True)
    assert {item["object"].split(" ")[0] for item in tenant["deferred"]} >= {"Deployment", "Secret", "ConfigMap", "DaemonSet"}
    authority = management.get(resource_of("Secret"), f"acme{names.CA}", "adopted")
    assert authority
    with inside(made, "super-admin.conf") as client, inside(made, "admin.conf") as administrator:
        until(lambda: is_free(client))
        until(lambda: is_limited(administrator))
        assert client.get(resource_of("ValidatingWebhookConfiguration"), "kamaji-write-permissions") is None
        agents = client.get(resource_of(AGENTS.kind), AGENTS.name, AGENTS.namespace)
        assert agents
        assert "-v=8" in agents["spec"]["template"]["spec"]["containers"][0]["args"]

    options = {"kubeconfig": str(kubeconfig), "name": "acme", "namespace": "adopted"}
    rolled = run_module(tenant_control_plane.main, {**options, "rollout": "now"})["tenants"][0]
    assert (rolled["phase"], rolled["deferred"]) == ("WriteLimited", [])
    assert not run_module(tenant_control_plane.main, options)["changed"]
    after = pods(management)
    assert len(after) == 1
    assert not after.keys() & before.keys()
    with inside(made, "admin.conf") as administrator:
        agents = administrator.get(resource_of(AGENTS.kind), AGENTS.name, AGENTS.namespace)
        assert agents
        assert "--count-server-leases=true" in agents["spec"]["template"]["spec"]["containers"][0]["args"]
        assert names.REFERENCE_MANAGER not in [entry["manager"] for entry in agents["metadata"]["managedFields"]]
    assert management.get(resource_of("Secret"), f"acme{names.CA}", "adopted") == authority


def identities(result: dict[str, Any]) -> list[Json]:
    """What "predicted = applied" compares."""
    every = [*result["plan"], *(change for tenant in result["tenants"] for change in tenant["plan"])]
    return [{"object": item["object"], "action": item["action"], "paths": [f["path"] for f in item.get("fields", [])]} for item in every]
