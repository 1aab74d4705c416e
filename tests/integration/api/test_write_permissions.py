# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write permissions on a real API server: what is refused to an administrator of the tenant, and what stays free."""

from __future__ import annotations

import http
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import (
    BINDING,
    POLICY,
    write_permissions,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import diff
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, RequestError
from ansible_collections.hosted.kubernetes.tests.support.node_requests import serving_request
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import definition
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground

MERGE: Final = "application/merge-patch+json"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
CREATION, UPDATE, DELETION = "blockCreation", "blockUpdate", "blockDeletion"


@pytest.fixture(scope="module")
def administrator(api_server: ApiServer) -> ApiServer:
    """The server as seen by one who may do everything, but is not of system:masters."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "test-administrators"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "test-administrators"}],
    }
    api_server.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    return replace(api_server, admin=api_server.authority.client("alice", ("test-administrators",)))


@dataclass(frozen=True)
class World:
    """A namespace with a ConfigMap, a Deployment and a pod, a node and its lease, and the same in kube-system."""

    server: ApiServer
    namespace: str
    node: str

    def allows(self, method: str, path: str, body: Json | None = None, content_type: str = "application/json") -> bool:
        """Whether a request is admitted; nothing is changed. Raises RequestError when it is refused by anything but the policy."""
        try:
            self.server.request(method, f"{path}?dryRun=All", body, content_type)
        except RequestError as error:
            if error.status != http.HTTPStatus.FORBIDDEN or "the operator of this cluster's control plane refuses" not in error.body:
                raise
            return False
        return True

    def creates(self, path: str, **body: Any) -> bool:
        return self.allows("POST", path, {"metadata": {"name": f"new-{secrets.token_hex(4)}"}, **body})

    def changes(self, path: str, body: Json | None = None) -> bool:
        return self.allows("PATCH", path, body or {"metadata": {"labels": {"changed": secrets.token_hex(4)}}}, MERGE)

    def deletes(self, path: str) -> bool:
        return self.allows("DELETE", path)

    @property
    def maps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def deployment(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/work"

    @property
    def pod(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/work"


@pytest.fixture(scope="module")
def world(api_server: ApiServer, administrator: ApiServer) -> World:
    world = World(administrator, f"test-{secrets.token_hex(4)}", f"node-{secrets.token_hex(4)}")
    api_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": world.namespace}})
    if "kube-node-lease" not in {item["metadata"]["name"] for item in api_server.request("GET", "/api/v1/namespaces")["items"]}:
        api_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
    container = {"name": "work", "image": "example.com/work:1"}
    template = {"metadata": {"labels": {"app": "work"}}, "spec": {"containers": [container]}}
    for path, body in (
        (world.maps, {"metadata": {"name": "there"}}),
        ("/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": world.node}}),
        ("/api/v1/nodes", {"metadata": {"name": world.node}}),
        (LEASES.format("kube-node-lease"), {"metadata": {"name": world.node}, "spec": {"holderIdentity": world.node}}),
        (LEASES.format(world.namespace), {"metadata": {"name": "there"}}),
        (world.pod.removesuffix("/work"), {"metadata": {"name": "work"}, "spec": {"containers": [container]}}),
        (
            world.deployment.removesuffix("/work"),
            {"metadata": {"name": "work"}, "spec": {"selector": {"matchLabels": {"app": "work"}}, "template": template}},
        ),
    ):
        api_server.request("POST", path, body)
    return world


@contextmanager
def limited(ground: Ground, world: World, *fields: str, over_budget: bool = False) -> Iterator[None]:
    """The policy for these fields of spec.writePermissions, or of a data budget that is used up, in force; gone afterwards."""
    bodies = write_permissions(parse(definition({f"writePermissions.{field}": True for field in fields})), over_budget=over_budget)
    for body in bodies:
        ground.client.apply(body, field_manager=names.FIELD_MANAGER, force=True)
    probes: dict[str, Callable[[], bool]] = {
        CREATION: lambda: world.creates(world.maps),
        UPDATE: lambda: world.changes(f"{world.maps}/there"),
        DELETION: lambda: world.deletes(f"{world.maps}/there"),
    }
    try:
        refused = (CREATION, UPDATE) if over_budget else fields
        _until(lambda: not any(probes[field]() for field in refused), "the policy is in force")
        yield
    finally:
        for ref in (BINDING, POLICY):
            ground.client.delete(resource_of(ref.kind), ref.name)
        _until(lambda: all(probe() for probe in probes.values()), "the policy is gone")


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_what_is_applied_is_kept_as_it_is(ground: Ground) -> None:
    """Otherwise every run would find a difference."""
    for body in write_permissions(
        parse(definition({"writePermissions": {CREATION: True, UPDATE: True, DELETION: True}})), over_budget=True
    ):
        live = ground.client.apply(body, field_manager=names.FIELD_MANAGER, force=True)
        assert list(diff(body, live, names.FIELD_MANAGER)) == []
        assert ground.client.delete(resource_of(ObjectRef.of(body).kind), ObjectRef.of(body).name)


@pytest.mark.parametrize("fields", [(CREATION,), (UPDATE,), (DELETION,), (CREATION, UPDATE, DELETION)], ids="+".join)
def test_refused_and_allowed(ground: Ground, world: World, fields: tuple[str, ...]) -> None:
    create, update, delete = (field not in fields for field in (CREATION, UPDATE, DELETION))
    node = f"/api/v1/nodes/{world.node}"
    with limited(ground, world, *fields):
        assert world.creates(world.maps) is create
        assert world.creates("/api/v1/namespaces") is create
        assert world.creates(LEASES.format(world.namespace)) is create

        assert world.changes(f"{world.maps}/there") is update
        assert world.changes(node) is update
        assert world.changes(f"{world.deployment}/scale", {"spec": {"replicas": 3}}) is update

        assert world.deletes(f"{world.maps}/there") is delete
        assert world.deletes(node) is delete
        assert world.deletes(f"/api/v1/namespaces/{world.namespace}") is delete
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "work", "namespace": world.namespace}}
        assert world.allows("POST", f"{world.pod}/eviction", eviction) is delete


def test_what_stays_free(ground: Ground, world: World, api_server: ApiServer) -> None:
    with limited(ground, world, CREATION, UPDATE, DELETION):
        for path in ("/api/v1/namespaces/kube-system/configmaps", LEASES.format("kube-node-lease")):
            assert world.creates(path)
            assert world.changes(f"{path}/{world.node}")
            assert world.deletes(f"{path}/{world.node}")
        condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
        assert world.changes(f"/api/v1/nodes/{world.node}/status", {"status": {"conditions": [condition]}}), "nodes report how they are"
        assert world.changes(f"{world.pod}/status", {"status": {"phase": "Running"}})
        review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
        assert world.allows("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert not world.creates("/api/v1/namespaces/kube-node-lease/configmaps"), "only leases are free there"
        masters = replace(world, server=api_server)
        assert masters.creates(world.maps), "the engine keeps what belongs to the control plane"
        assert masters.changes(f"{world.maps}/there")
        assert masters.deletes(f"{world.maps}/there")


def test_a_tenant_over_its_budget_goes_on_running(ground: Ground, world: World, api_server: ApiServer) -> None:
    """People write nothing new; controllers, kubelets and holders of leases do what keeps it alive, and everybody may delete."""

    def as_user(name: str, *groups: str) -> World:
        # The server's RBAC is not what is tested: these groups may do everything here.
        return replace(world, server=replace(api_server, admin=api_server.authority.client(name, ("test-administrators", *groups))))

    controller = as_user("system:serviceaccount:kube-system:replicaset-controller", "system:serviceaccounts:kube-system")
    kubelet = as_user(f"system:node:{world.node}", "system:nodes")
    request = {"spec": serving_request(world.node, [world.node])["spec"]}
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    with limited(ground, world, over_budget=True):
        assert not world.creates(world.maps)
        assert not world.changes(f"{world.maps}/there")
        assert not world.changes(f"{world.deployment}/scale", {"spec": {"replicas": 3}})
        assert not world.creates(LEASES.format(world.namespace))
        assert not world.creates(requests, **request)
        assert world.changes(f"{LEASES.format(world.namespace)}/there")
        assert world.deletes(f"{world.maps}/there")
        assert world.deletes(f"/api/v1/namespaces/{world.namespace}")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "work", "namespace": world.namespace}}
        assert world.allows("POST", f"{world.pod}/eviction", eviction)
        assert world.creates("/api/v1/namespaces/kube-system/configmaps")
        assert controller.creates(world.maps)
        assert controller.changes(f"{world.maps}/there")
        assert kubelet.creates(requests, **request)
        assert not kubelet.creates(world.maps)
