# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role controller on a real API server, and the program with no other rights than the role's: they suffice, and are no more than said."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support import controller_role
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.controllers import Program, asleep, condition, create, eventually, running_program
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, datastore_definition, delete_datastore

STORE = "by-reference"


@dataclass(frozen=True)
class World:
    """The controller's namespace, one with tenants that it serves, one that it does not, and one with the Secrets of a DataStore."""

    own: str
    served: str
    other: str
    stores: str

    @property
    def variables(self) -> Json:
        secrets_ = [{"namespace": self.stores, "names": ["store"]}]
        return {"controller_namespace": self.own, "controller_namespaces": [self.served], "controller_datastore_secrets": secrets_}


@pytest.fixture(scope="module")
def world(ground: Ground) -> Iterator[World]:
    mark = secrets.token_hex(4)
    world = World(*(f"{what}-{mark}" for what in ("own", "served", "other", "stores")))
    for name in (world.other, world.stores):
        ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    _store_by_reference(ground, world.stores)
    with controller_role.deployment_controller(ground.client, world.own):
        yield world
    delete_datastore(ground.client, STORE)


def _store_by_reference(ground: Ground, namespace: str) -> None:
    """The DataStore of the tests again, with its keys in a Secret."""
    definition = datastore_definition(STORE, ground.etcd)
    data: dict[str, str] = {}
    for part, pair in definition["spec"]["tlsConfig"].items():
        for kind in pair:
            data[f"{part}.{kind}"] = pair[kind]["content"]
            pair[kind] = {"secretReference": {"namespace": namespace, "name": "store", "keyPath": f"{part}.{kind}"}}
    for name in ("store", "unrelated"):
        ground.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data})
    ground.client.apply(definition, force=True)


@contextmanager
def as_pod(ground: Ground, server: ApiServer, world: World, folder: Path) -> Iterator[tuple[Program, Client]]:
    """The program with the arguments and the rights of its pods, and a client with these rights."""
    folder.mkdir()
    kubeconfig = controller_role.service_account(server, world.own, folder / "pod.kubeconfig")
    given = controller_role.arguments(ground.client, world.own)
    with (
        connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client,
        running_program(kubeconfig, None, folder / "log", identity="pod", arguments=given) as program,
    ):
        yield program, client
        assert _refused(program) == []
        assert program.end() == 0


def _refused(program: Program) -> list[str]:
    """What it was not allowed to do, by its metrics and by its log."""
    counted = [
        line for line in program.page("/metrics")[1].splitlines() if line.startswith("rest_client_requests_total") and 'code="403"' in line
    ]
    told = [line["msg"] for line in program.lines() if "forbidden" in line["msg"].lower() or line.get("reason") == "PermissionMissing"]
    return counted + told


def allowed(client: Client, verb: str, kind: str, namespace: str = "", name: str = "") -> bool:
    group = resource_of(kind).api_version.rpartition("/")[0]
    attributes = {"verb": verb, "group": group, "resource": resource_of(kind).plural, "namespace": namespace, "name": name}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    answer = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def life(tenant: Tenant) -> None:
    """A tenant is made, drifts, is asked for a new certificate and for more, and is deleted, everything by the controller."""
    asleep(create(tenant, dataStore=STORE))
    tenant.delete("Service")
    eventually("the Service is back", lambda: tenant.get("Service"))
    tenant.patch("Service", {"spec": {"selector": {"more": "x"}}})
    eventually("the selector", lambda: "more" not in tenant.live("Service")["spec"]["selector"])
    name = tenant.name + names.API_SERVER
    before = tenant.live("Secret", name)["data"]
    tenant.patch("Secret", {"metadata": {"annotations": {"certs.kamaji.clastix.io/rotate": ""}}}, name, manager="kubectl")
    eventually("a new certificate", lambda: tenant.live("Secret", name)["data"] != before)
    ingress = {"ingressClassName": "x", "hostname": "acme.example.com"}
    tenant.patch("TenantControlPlane", {"spec": {"controlPlane": {"ingress": ingress}}}, manager="kubectl")
    eventually("its Ingress", lambda: tenant.get("Ingress"))
    asleep(tenant)
    tenant.patch("TenantControlPlane", {"spec": {"controlPlane": {"ingress": None}}}, manager="kubectl")
    eventually("its Ingress goes", lambda: tenant.get("Ingress") is None)
    events = f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events"
    eventually("its event", lambda: tenant.ground.client.request("GET", events)["items"])
    tenant.delete("TenantControlPlane")
    eventually("it is gone", lambda: tenant.get("TenantControlPlane") is None)
    # The Lease under which it was deleted goes after it.
    eventually("nothing is left", lambda: tenant.left() == [])


def test_rights_in_the_namespaces_that_it_serves(ground: Ground, api_server: ApiServer, world: World, tmp_path: Path) -> None:
    check = controller_role.run(tmp_path, ground.kubeconfig, "--check", **world.variables)
    assert (check.status, check.changed) == (0, 1), check.output
    assert ground.client.get(resource_of("Namespace"), world.own) is None
    done = controller_role.run(tmp_path, ground.kubeconfig, **world.variables)
    assert (done.status, done.changed) == (0, 1), done.output
    again = controller_role.run(tmp_path, ground.kubeconfig, **world.variables)
    assert (again.status, again.changed) == (0, 0), again.output
    with as_pod(ground, api_server, world, tmp_path / "pod") as (program, client):
        life(ground.tenant("acme", world.served))
        eventually("the DataStore is looked at", lambda: _status(ground).get("ready"))
        assert ground.client.get(resource_of("Lease"), controller_role.NAME, world.own)
        for verb in ("get", "list", "watch", "create", "delete"):
            assert allowed(client, verb, "Secret", world.served)
            assert not allowed(client, verb, "Secret", world.other)
            assert not allowed(client, verb, "Secret"), "no Secrets of the whole cluster"
            assert not allowed(client, verb, "Secret", world.own), "not even those of its own namespace"
        assert allowed(client, "get", "Secret", world.stores, "store")
        assert not allowed(client, "get", "Secret", world.stores, "unrelated")
        assert not allowed(client, "list", "Pod")
        for kind in ("Role", "RoleBinding", "ClusterRoleBinding", "CustomResourceDefinition"):
            assert not allowed(client, "create", kind, world.served)
        assert not allowed(client, "delete", "TenantControlPlane", world.served)
        left_alone = create(ground.tenant("alone", world.other))
        eventually("it leads", program.leads)
        assert left_alone.get("Secret", "alone-ca") is None
    assert ground.client.get(resource_of("Lease"), controller_role.NAME, world.own) is None, "given back at the end"
    left_alone.delete("TenantControlPlane")


def _status(ground: Ground) -> Json:
    return dict((ground.client.get(resource_of("DataStore"), STORE) or {}).get("status") or {})


@pytest.mark.long
def test_what_it_may_not_read_is_said(ground: Ground, api_server: ApiServer, world: World, tmp_path: Path) -> None:
    """Otherwise the test before could not fail."""
    given = {**world.variables, "controller_datastore_secrets": [{"namespace": world.stores, "names": ["another"]}]}
    assert controller_role.run(tmp_path, ground.kubeconfig, **given).status == 0
    kubeconfig = controller_role.service_account(api_server, world.own, tmp_path / "pod.kubeconfig")
    given_ = controller_role.arguments(ground.client, world.own)
    with running_program(kubeconfig, None, tmp_path / "log", identity="pod", arguments=given_) as program:
        tenant = create(ground.tenant("refused", world.served), dataStore=STORE)
        eventually("it says what is missing", lambda: _refused(program))
        eventually("its tenant tells", lambda: "store" in condition(tenant, "Ready")["message"] or "store" in " ".join(_refused(program)))
        assert 'code="403"' in program.page("/metrics")[1]
        assert program.end() == 0
    assert controller_role.run(tmp_path, ground.kubeconfig, **world.variables).status == 0
    with as_pod(ground, api_server, world, tmp_path / "again"):
        asleep(tenant)
        tenant.delete("TenantControlPlane")
        eventually("it is gone", lambda: tenant.get("TenantControlPlane") is None)


@pytest.mark.long
def test_rights_in_the_whole_cluster_and_back(ground: Ground, api_server: ApiServer, world: World, tmp_path: Path) -> None:
    everywhere = {**world.variables, "controller_cluster_wide": True}
    done = controller_role.run(tmp_path, ground.kubeconfig, **everywhere)
    assert (done.status, done.changed) == (0, 2), done.output
    assert controller_role.run(tmp_path, ground.kubeconfig, **everywhere).changed == 0
    assert ground.client.get(resource_of("RoleBinding"), controller_role.NAME, world.served) is None
    with as_pod(ground, api_server, world, tmp_path / "pod") as (_program, client):
        life(ground.tenant("acme", world.other))
        _generator(ground, world)
        assert allowed(client, "get", "Secret")
    back = controller_role.run(tmp_path, ground.kubeconfig, **world.variables)
    assert (back.status, back.changed) == (0, 1), back.output
    kubeconfig = controller_role.service_account(api_server, world.own, tmp_path / "pod.kubeconfig")
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        assert not allowed(client, "get", "Secret")


def _generator(ground: Ground, world: World) -> None:
    """A KubeconfigGenerator over one tenant, made and taken away."""
    tenant = asleep(create(ground.tenant("generated", world.other), dataStore=STORE))
    tenant.patch("TenantControlPlane", {"metadata": {"labels": {"kubeconfigs": world.other}}}, manager="kubectl")
    name = f"generator-{world.other}"
    spec = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.other}},
        "tenantControlPlaneSelector": {"matchLabels": {"kubeconfigs": world.other}},
        "user": {"stringValue": "reader"},
    }
    kind = "KubeconfigGenerator"
    ground.client.create({"apiVersion": resource_of(kind).api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
    made = f"{names.LABEL_MANAGED_BY}={name}"
    eventually("its Secret", lambda: ground.client.list(resource_of("Secret"), namespace=world.other, label_selector=made).items)
    ground.client.delete(resource_of(kind), name)
    eventually("the generator is gone", lambda: ground.client.get(resource_of(kind), name) is None)
    tenant.delete("TenantControlPlane")
    eventually("its tenant is gone", lambda: tenant.get("TenantControlPlane") is None)


@pytest.mark.long
def test_a_namespace_that_is_served_no_more_and_the_end(ground: Ground, world: World, tmp_path: Path) -> None:
    assert controller_role.run(tmp_path, ground.kubeconfig, **world.variables).status == 0
    moved = {**world.variables, "controller_namespaces": [world.other], "controller_former_namespaces": [world.served]}
    assert controller_role.run(tmp_path, ground.kubeconfig, **moved).changed == 2
    assert controller_role.run(tmp_path, ground.kubeconfig, **moved).changed == 0
    for kind in ("Role", "RoleBinding"):
        assert ground.client.get(resource_of(kind), controller_role.NAME, world.served) is None
        assert ground.client.get(resource_of(kind), controller_role.NAME, world.other)
    gone = controller_role.run(tmp_path, ground.kubeconfig, "--check", **moved, controller_state="absent")
    assert gone.changed == 1
    assert controller_role.deployment(ground.client, world.own)
    assert controller_role.run(tmp_path, ground.kubeconfig, **moved, controller_state="absent").changed == 1
    assert controller_role.run(tmp_path, ground.kubeconfig, **moved, controller_state="absent").changed == 0
    for kind in ("Deployment", "ServiceAccount", "Service", "PodDisruptionBudget"):
        assert ground.client.get(resource_of(kind), controller_role.NAME, world.own) is None
    for ref in (ObjectRef("", "ClusterRole", "", controller_role.NAME), ObjectRef("", "ClusterRoleBinding", "", controller_role.NAME)):
        assert ground.client.get(resource_of(ref.kind), ref.name) is None
    assert ground.client.get(resource_of("Namespace"), world.own), "it is not the controller's alone"


@pytest.mark.long
def test_its_pods_are_admitted_to_a_restricted_namespace(ground: Ground, tmp_path: Path) -> None:
    """Pod Security's strictest level, enforced by the API server itself."""
    own = f"restricted-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own, "labels": labels}})
    given = {"controller_namespace": own, "controller_namespaces": [own], "controller_datastore_secrets": []}
    with controller_role.deployment_controller(ground.client, own):
        assert controller_role.run(tmp_path, ground.kubeconfig, **given).status == 0
        template = controller_role.deployment(ground.client, own)["spec"]["template"]
        template["spec"].pop("priorityClassName")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "controller", "namespace": own}, "spec": template["spec"]}
        ground.client.request("POST", f"/api/v1/namespaces/{own}/pods?dryRun=All", body=pod)
        assert controller_role.run(tmp_path, ground.kubeconfig, **given, controller_state="absent").status == 0
