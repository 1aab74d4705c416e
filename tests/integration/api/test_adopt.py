# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A management cluster of the reference system is taken over: operator, webhooks, definitions, datastores and tenants that sleep.

Each test has an API server of its own: what is taken over is all there is on it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_adopt
from ansible_collections.hosted.kubernetes.tests.support import reference_pki, reference_system
from ansible_collections.hosted.kubernetes.tests.support.adoptions import adopt_and_die
from ansible_collections.hosted.kubernetes.tests.support.apiserver import running_api_server
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook
from ansible_collections.hosted.kubernetes.tests.support.reference_pods import PREFIX
from ansible_collections.hosted.kubernetes.tests.support.tenants import CRDS, datastore_definition, open_driver, recorded_run, settings_of

_TOUCHED = (
    "ConfigMap",
    "CustomResourceDefinition",
    "DataStore",
    "Deployment",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Secret",
    "Service",
    "TenantControlPlane",
    "ValidatingWebhookConfiguration",
)


@dataclass(frozen=True)
class Cluster:
    """A management cluster that the reference's operator keeps."""

    client: Client
    kubeconfig: Path
    store: reference_system.Store

    def tenant(self, **settings: Any) -> reference_system.Tenant:
        return reference_system.Tenant(self.client, self.store, reference_system.new_namespace(), **settings)

    def adopt(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        definitions = [str(path) for path in sorted(CRDS.glob("*.yaml"))]
        arguments = {"kubeconfig": str(self.kubeconfig), "resource_definitions": definitions, "renew_before": 1, "wait_timeout": 120}
        return run_module(tenant_adopt.main, {**arguments, **options}, check=check)

    def refusal(self, **options: Any) -> list[str]:
        """What is in the way; nothing may have been changed."""
        before = self.snapshot()
        found = []
        for check in (True, False):
            with pytest.raises(ModuleFailedError) as failed:
                self.adopt(check=check, **options)
            found.append(failed.value.result["problems"])
        assert self.snapshot() == before
        assert found[0] == found[1]
        problems: list[str] = found[0]
        return problems

    def snapshot(self) -> dict[str, str]:
        """Every object that adoption could touch, by its version."""
        listed = [item for kind in _TOUCHED for item in self.client.list(resource_of(kind)).items]
        return {str(ObjectRef.of(item)): item["metadata"]["resourceVersion"] for item in listed}

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        found = self.client.get(resource_of(kind), name, namespace)
        assert found is not None, f"{kind} {namespace}/{name} does not exist"
        return found

    def operator(self) -> int:
        """How many replicas it is told to have."""
        replicas: int = self.get("Deployment", "kamaji", reference_system.NAMESPACE)["spec"]["replicas"]
        return replicas

    def webhooks(self) -> list[Json]:
        kinds = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
        return [item for kind in kinds for item in self.client.list(resource_of(kind)).items]


@pytest.fixture
def cluster(bundle: Path, tls_etcd: Etcd, tmp_path: Path) -> Iterator[Cluster]:
    """Without tenants, and with the webhooks still to come: nobody would answer them here."""
    with running_api_server(bundle, tmp_path) as server, connect(ConnectionOptions(kubeconfig=str(server.kubeconfig))) as client:
        reference_system.install_definitions(client)
        reference_system.install_datastore(client, datastore_definition("default", tls_etcd))
        reference_system.install_operator(client)
        assert tls_etcd.authority
        pair = tls_etcd.authority.pair
        signer = reference_pki.Signer(pair.certificate.read_bytes(), pair.key.read_bytes())
        with open_driver(tls_etcd) as driver:
            yield Cluster(
                client, server.kubeconfig, reference_system.Store("default", driver, signer, [f"{tls_etcd.host}:{tls_etcd.port}"])
            )


def decoded(secret: Json) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


def contents(cluster: Cluster, made: reference_system.Made) -> dict[str, Any]:
    """What must not change: the content of Secrets and ConfigMaps, the Service's address and ports, the Deployment's spec."""
    tenant = made.tenant
    found: dict[str, Any] = {}
    for kind in ("Secret", "ConfigMap"):
        for item in cluster.client.list(resource_of(kind), namespace=tenant.namespace).items:
            found[str(ObjectRef.of(item))] = item["data"]
    service = cluster.get("Service", tenant.name, tenant.namespace)["spec"]
    deployment = cluster.get("Deployment", tenant.name, tenant.namespace)
    return {**found, "Service": service, "template": deployment["spec"]["template"], "selector": deployment["spec"]["selector"]}


def identities(result: dict[str, Any]) -> list[Any]:
    """What "predicted = applied" compares."""
    every = [*result["plan"], *(change for tenant in result["tenants"] for change in tenant["plan"])]
    return [(item["object"], item["action"], [entry["path"] for entry in item.get("fields", [])]) for item in every]


@pytest.mark.long
def test_ladder(cluster: Cluster) -> None:
    """Check, run, run again, check again; then the pods of one are replaced, and both tenants are deleted."""
    made = [cluster.tenant(name=name).made() for name in ("acme", "blue")]
    reference_system.install_webhooks(cluster.client)
    untouched, before = cluster.snapshot(), [contents(cluster, item) for item in made]

    predicted = cluster.adopt(check=True)
    assert cluster.snapshot() == untouched
    applied = cluster.adopt()
    assert identities(predicted) == identities(applied)
    assert not cluster.adopt()["changed"]
    assert not cluster.adopt(check=True)["changed"]

    assert [contents(cluster, item) for item in made] == before
    for item in made:
        assert_adopted(cluster, item)
    assert cluster.operator() == 0
    assert cluster.webhooks() == []
    store = cluster.get("DataStore", "default")
    assert "finalizers" not in store["metadata"]
    assert store["status"]["usedBy"] == sorted(f"{item.tenant.namespace}/{item.tenant.name}" for item in made)
    assert_rolls(cluster, made[0])
    for item in made:
        assert_deleted(cluster, item)


def assert_adopted(cluster: Cluster, made: reference_system.Made) -> None:
    """Everything is the collection's, and says what waits."""
    tenant = made.tenant
    resource = cluster.get("TenantControlPlane", tenant.name, tenant.namespace)
    assert resource["metadata"]["finalizers"] == [names.FINALIZER]
    status = resource["status"]
    assert status["storage"]["setup"]["schema"] == status["storage"]["setup"]["user"] == made.uid
    assert status["hosted"]["engineVersion"]
    deferred = set(status["hosted"]["deferred"])
    assert f"Secret {tenant.namespace}/{tenant.name}-konnectivity-certificate" in deferred
    assert f"NetworkPolicy {tenant.namespace}/{tenant.name}" in deferred
    assert "spec.template.spec.containers[name=kube-apiserver].args" in deferred
    deployment = cluster.get("Deployment", tenant.name, tenant.namespace)
    # The number of revisions kept is the only thing of its spec that differs.
    assert deployment["metadata"]["generation"] <= 2
    config = cluster.get("Secret", f"{tenant.name}-datastore-config", tenant.namespace)
    assert "finalizers" not in config["metadata"]
    for kind in ("Deployment", "Service", "ConfigMap"):
        for item in cluster.client.list(resource_of(kind), namespace=tenant.namespace, label_selector=names.PROJECT_SELECTOR).items:
            assert names.REFERENCE_MANAGER not in [entry["manager"] for entry in item["metadata"]["managedFields"]]


def assert_rolls(cluster: Cluster, made: reference_system.Made) -> None:
    """With rollout now the pods get this collection's template and keys, with nothing of the other one left."""
    tenant = made.tenant
    request = call.Request(None, None, tenant.name, tenant.namespace, False, rollout_now=True, renew_before_days=1, force=False)
    predicted = recorded_run(cluster.client, request, settings_of(check=True, timeout_s=120.0))
    applied = recorded_run(cluster.client, request, settings_of(timeout_s=120.0))
    assert applied.identities == predicted.identities
    assert not recorded_run(cluster.client, replace(request, rollout_now=False), settings_of(timeout_s=120.0)).changed
    assert applied.tenant["deferred"] == []
    deployment = cluster.get("Deployment", tenant.name, tenant.namespace)
    pod = deployment["spec"]["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"]} == {
        *(f"{name}-files" for name in ("kube-apiserver", "kube-scheduler", "kube-controller-manager", "konnectivity-server")),
        "konnectivity-uds",
    }
    for container in pod["containers"]:
        assert {mount["mountPath"] for mount in container["volumeMounts"]} <= {"/etc/kubernetes", "/run/konnectivity"}
    assert f"{PREFIX}/args" not in str(deployment["spec"]["template"]["metadata"])
    after = {suffix: decoded(cluster.get("Secret", f"{tenant.name}-{suffix}", tenant.namespace)) for suffix in made.secrets}
    kept = {suffix for suffix, data in made.secrets.items() if after[suffix] == data}
    assert {"ca", "front-proxy-ca-certificate", "sa-certificate"} <= kept
    assert not kept & {"datastore-certificate", "konnectivity-certificate", "api-server-kubelet-client-certificate"}
    cluster.get("NetworkPolicy", tenant.name, tenant.namespace)


def assert_deleted(cluster: Cluster, made: reference_system.Made) -> None:
    """With its data, wherever the reference put it."""
    tenant = made.tenant
    key = f"/{made.uid}/registry/key".encode()
    tenant.store.driver._call("Put", key=key, value=b"value")
    request = call.Request(None, None, tenant.name, tenant.namespace, True, rollout_now=False, renew_before_days=1, force=False)
    recorded_run(cluster.client, request, settings_of(timeout_s=120.0))
    for kind in ("TenantControlPlane", "Deployment", "Service", "Secret", "NetworkPolicy"):
        selector = names.PROJECT_SELECTOR if kind != "TenantControlPlane" else None
        assert cluster.client.list(resource_of(kind), namespace=tenant.namespace, label_selector=selector).items == []
    assert made.uid not in tenant.store.driver._call("UserList").users
    assert tenant.store.driver._call("Range", key=key).count == 0


@pytest.mark.long
def test_awake_tenant_is_planned_without_a_restart(cluster: Cluster) -> None:
    """Nobody runs its pods here; what a real one goes through is in the layer of real clusters."""
    made = cluster.tenant(replicas=2).made()
    result = cluster.adopt(check=True)
    (tenant,) = result["tenants"]
    actions = {(item["object"].split("/")[-1], item["action"]) for item in tenant["plan"]}
    assert ("acme", "patch") in actions
    assert not {"rollout", "issue", "create"} & {action for _name, action in actions}
    listed = {item["object"].split(" ")[0] for item in tenant["deferred"]}
    assert listed == {"Deployment", "Secret", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget"}
    assert made.address


STATES = ("CertificateAuthorityRotating", "Migrating", "Provisioning", "Upgrading")


@pytest.mark.long
def test_everything_in_the_way_is_named_before_anything_changes(cluster: Cluster) -> None:
    """Each with its reason, all in one go."""
    busy = [cluster.tenant(name=state.lower()).made() for state in STATES]
    for item, state in zip(busy, STATES, strict=True):
        item.write_status(state)
    paused = cluster.tenant(name="paused").made()
    annotation = {"metadata": {"annotations": {names.ANNOTATION_PAUSED: ""}}}
    cluster.client.merge_patch(paused.tenant.ref, annotation, field_manager="kubectl")
    deleted = cluster.tenant(name="deleted").made()
    cluster.client.delete(resource_of("TenantControlPlane"), "deleted", deleted.tenant.namespace)
    cluster.tenant(name="old", version="v1.30.2").made()
    cluster.tenant(name="unknown", spec={"addons": {"coreDNS": {"imageRegistry": "example.com"}}}).made()
    problems = cluster.refusal()

    for text in (
        "is in state CertificateAuthorityRotating: its certificate authority is being rotated; wait until",
        "is in state Migrating: it is being moved to another datastore; wait until",
        "is in state Upgrading: it is being upgraded; wait until",
        "is in state Provisioning: it is being made; wait until",
        f"/paused: is paused (annotation {names.ANNOTATION_PAUSED}); remove the annotation",
        "/deleted: is being deleted; wait until",
        "/old: spec.kubernetes.version v1.30.2 is too old; supported are 1.34 to 1.37",
        "/unknown: spec.addons.coreDNS.imageRegistry is not a known field",
    ):
        assert any(text in problem for problem in problems), (text, problems)
    assert len(problems) == 8


@pytest.mark.long
def test_another_driver_is_refused(cluster: Cluster) -> None:
    spec = {
        "driver": "PostgreSQL",
        "endpoints": ["postgres.example.com:5432"],
        "basicAuth": {"username": {"content": "cm9vdA=="}, "password": {"content": "cm9vdA=="}},
        "tlsConfig": {"certificateAuthority": {"certificate": {"content": base64.b64encode(cluster.store.signer.certificate).decode()}}},
    }
    metadata = {"name": "sql"}
    reference_system.install_datastore(
        cluster.client, {"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "DataStore", "metadata": metadata, "spec": spec}
    )
    other = replace(cluster.store, name="sql")
    made = replace(cluster.tenant(), store=other).made()
    (problem,) = cluster.refusal()
    assert "DataStore sql: tenants of driver PostgreSQL cannot be adopted yet, only those of etcd" in problem
    assert f"move {made.tenant.namespace}/acme to an etcd first" in problem


@pytest.mark.long
def test_certificates_about_to_end_would_replace_pods(cluster: Cluster) -> None:
    made = cluster.tenant(replicas=2, leaf_validity=timedelta(days=10)).made()
    (problem,) = cluster.refusal(renew_before=30)
    assert f"TenantControlPlane {made.tenant.namespace}/acme: its pods would restart: " in problem
    assert "Secret acme-api-server-certificate expires at " in problem
    assert "lower renew_before" in problem
    (tenant,) = cluster.adopt(check=True, renew_before=1)["tenants"]
    assert not {"issue", "rollout"} & {change["action"] for change in tenant["plan"]}


@pytest.mark.long
def test_change_of_the_user_brings_pods_and_keys_of_ours(cluster: Cluster) -> None:
    made = cluster.tenant().made()
    cluster.adopt()
    tenant = made.tenant
    cluster.client.merge_patch(tenant.ref, {"spec": {"networkProfile": {"certSANs": ["acme.example.com"]}}}, field_manager="kubectl")
    request = call.Request(None, None, tenant.name, tenant.namespace, False, rollout_now=False, renew_before_days=1, force=False)
    run = recorded_run(cluster.client, request, settings_of(timeout_s=120.0))
    assert ("Deployment acme", "rollout") in run.summary
    assert ("Secret acme-konnectivity-certificate", "issue") in run.summary
    assert run.tenant["deferred"] == []
    assert not recorded_run(cluster.client, request, settings_of(timeout_s=120.0)).changed


@pytest.mark.long
def test_killed_anywhere_it_converges_without_a_restart(cluster: Cluster) -> None:
    """Each run dies after its first change, with whatever it held."""
    made = cluster.tenant().made()
    reference_system.install_webhooks(cluster.client)
    before = contents(cluster, made)
    expected = len(identities(cluster.adopt(check=True)))
    runs = 0
    while adopt_and_die(cluster.kubeconfig, 1):
        runs += 1
        assert runs <= expected, "a change is made again and again"
        assert contents(cluster, made) == before
    assert not cluster.adopt()["changed"]
    assert_adopted(cluster, made)
    assert_rolls(cluster, made)


@pytest.mark.long
def test_operator_comes_back(cluster: Cluster) -> None:
    """As long as its pods are there: with the webhooks it had, and no pod restarts."""
    made = cluster.tenant().made()
    reference_system.install_webhooks(cluster.client)
    hooks = [item["webhooks"] for item in cluster.webhooks()]
    cluster.adopt()
    before = contents(cluster, made)
    predicted = cluster.adopt(check=True, state="reverted")
    applied = cluster.adopt(state="reverted", wait=False)
    assert identities(predicted) == identities(applied)
    assert [item["webhooks"] for item in cluster.webhooks()] == hooks
    assert cluster.operator() == 1
    assert not cluster.adopt(state="reverted", wait=False)["changed"]
    assert contents(cluster, made) == before

    again = cluster.adopt()
    assert [item["action"] for item in again["plan"]] == ["create", "scale", "delete", "delete"]
    assert [tenant["changed"] for tenant in again["tenants"]] == [False]
    assert_rolls(cluster, made)
    with pytest.raises(ModuleFailedError, match=f"the pods of {made.tenant.namespace}/acme are of this collection's making"):
        cluster.adopt(state="reverted")
    assert cluster.operator() == 0


@pytest.mark.long
def test_playbook(cluster: Cluster) -> None:
    made = cluster.tenant().made()
    variables: dict[str, Any] = {"tenant_control_plane_kubeconfig": str(cluster.kubeconfig), "tenant_control_plane_renew_before": 1}
    predicted = run_playbook("hosted.kubernetes.tenant_adopt", "--check", "--diff", **variables)
    assert (predicted.status, predicted.changed) == (0, 1), predicted.output
    assert cluster.operator() == 1
    applied = run_playbook("hosted.kubernetes.tenant_adopt", **variables)
    assert (applied.status, applied.changed) == (0, 1), applied.output
    assert f"{made.tenant.namespace}/acme keeps until its pods are replaced: Deployment {made.tenant.namespace}/acme, " in applied.text
    again = run_playbook("hosted.kubernetes.tenant_adopt", **variables)
    assert (again.status, again.changed) == (0, 0), again.output
