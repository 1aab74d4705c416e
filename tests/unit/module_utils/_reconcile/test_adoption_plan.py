# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around the tenants of the reference's operator: what it is known by, what is in the way, and the order of changes."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as store_api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import adoption_plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.adoption_plan import RECORD, Seen
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import ObservedStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import definition, live

VALIDATING: Final = "ValidatingWebhookConfiguration"


def deployment(name: str = "kamaji", namespace: str = "kamaji-system", replicas: int = 1, **container: Any) -> Json:
    runs = {"name": "manager", "image": "clastix/kamaji:v1", "command": ["/kamaji"], "args": ["manager", "--leader-elect"], **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [runs]}}},
    }


def webhooks(name: str = "kamaji-validating", path: str = "/validate-kamaji-clastix-io-v1alpha1-datastore") -> Json:
    service = {"name": "kamaji-webhook-service", "namespace": "kamaji-system", "path": path}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": VALIDATING,
        "metadata": {"name": name, "uid": "1", "resourceVersion": "2", "labels": {"a": "b"}},
        "webhooks": [{"name": "v.kb.io", "clientConfig": {"service": service}}],
    }


def tenant(name: str = "acme", **status: Any) -> Json:
    found = definition()
    found["metadata"] = {"name": name, "namespace": "tenants", "uid": name}
    found["spec"]["dataStoreSchema"] = name
    version = {"version": {"status": "Ready"}}
    found["status"] = {"storage": {"setup": {"schema": name, "user": name}}, "kubernetesResources": version, **status}
    return found


def pods(name: str = "acme") -> dict[tuple[str, str], Json]:
    """The reference's Deployment of a tenant."""
    return {("tenants", name): deployment(name, "tenants")}


def datastore(*, finalizers: list[str] | None = None, **fields: Any) -> ObservedStore:
    metadata = {"name": "default", "resourceVersion": "7", **({"finalizers": finalizers} if finalizers else {})}
    stored = {"apiVersion": KAMAJI_API_VERSION, "kind": "DataStore", "metadata": metadata, "spec": {"driver": "etcd", "endpoints": ["a:1"]}}
    return ObservedStore(store_api.parse(stored), stored, **{"used_by": (), **fields})


PROGRAMS: Final[dict[str, tuple[Json, bool]]] = {
    "its chart": ({}, True),
    "the image's own program": ({"command": None, "image": "registry.example.com:5000/clastix/kamaji:v1@sha256:0"}, True),
    "its generator of kubeconfigs": ({"args": ["kubeconfig-generator"]}, False),
    "another manager": ({"command": ["/manager"], "args": ["manager"]}, False),
    "another image": ({"command": None, "image": "example.com/other"}, False),
    "no arguments": ({"args": None}, False),
}


@pytest.mark.parametrize(("container", "is_it"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_operator_is_known_by_its_program(container: Json, is_it: bool) -> None:
    assert adoption_plan.is_operator(deployment("any", "where", **container)) is is_it


def test_webhooks_are_known_by_their_path() -> None:
    assert adoption_plan.asks_operator(webhooks("any"))
    assert not adoption_plan.asks_operator(webhooks("kamaji-other", "/validate"))
    assert not adoption_plan.asks_operator({"webhooks": [{"clientConfig": {"url": "https://example.com"}}]})
    assert not adoption_plan.asks_operator({})


PROBLEMS: Final[dict[str, tuple[Seen, list[str]]]] = {
    "nothing there": (Seen(), []),
    "all in order": (Seen(operators=(deployment(),), tenants=(tenant(),), deployments=pods()), []),
    "two operators": (
        Seen(operators=(deployment(), deployment("other"))),
        ["there is more than one operator (Deployment kamaji-system/kamaji, Deployment kamaji-system/other)"],
    ),
    "paused": (
        Seen(
            tenants=({**tenant(), "metadata": {**tenant()["metadata"], "annotations": {names.ANNOTATION_PAUSED: ""}}},), deployments=pods()
        ),
        ["TenantControlPlane tenants/acme: is paused"],
    ),
    "going": (
        Seen(
            tenants=({**tenant(), "metadata": {**tenant()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}},), deployments=pods()
        ),
        ["TenantControlPlane tenants/acme: is being deleted"],
    ),
    "upgrading": (
        Seen(tenants=(tenant(kubernetesResources={"version": {"status": "Upgrading"}}),), deployments=pods()),
        ["TenantControlPlane tenants/acme: is in state Upgrading: it is being upgraded"],
    ),
    "never made": (Seen(tenants=(tenant(),)), ["TenantControlPlane tenants/acme: has no Deployment yet"]),
    "data nowhere": (
        Seen(tenants=(tenant(storage={}),), deployments=pods()),
        ["TenantControlPlane tenants/acme: status.storage.setup does not say where its data is"],
    ),
    "ours": (Seen(tenants=(tenant(hosted={"engineVersion": "0.1.0"}, storage={}),)), []),
    "refused by our schema": (
        Seen(tenants=({**tenant(), "spec": {"kubernetes": {"version": "v1.36.3", "flavour": "x"}}},), deployments=pods()),
        ["TenantControlPlane tenants/acme: spec.kubernetes.flavour is not a known field"],
    ),
    "a store in use": (
        Seen(stores=(datastore(problems=("x is missing",), used_by=("tenants/acme",)),)),
        ["x is missing; its tenants are tenants/acme"],
    ),
    "a store nobody uses": (Seen(stores=(datastore(problems=("x is missing",)),)), []),
    "a store that is none": (Seen(store_problems=("DataStore y: spec.driver is missing",)), ["DataStore y: spec.driver is missing"]),
}


@pytest.mark.parametrize(("seen", "expected"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_is_in_the_way(seen: Seen, expected: list[str]) -> None:
    found = adoption_plan.problems(seen)
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_restart_of_pods_names_its_reason() -> None:
    secret, workload = ObjectRef("v1", "Secret", "tenants", "acme-x"), ObjectRef("apps/v1", "Deployment", "tenants", "acme")
    rollout = Change("tenants/acme", Cluster.MANAGEMENT, workload, Action.ROLLOUT, "spec.template.spec.x differs", 50)
    issue = Change("tenants/acme", Cluster.MANAGEMENT, secret, Action.ISSUE, "expires soon", 30)
    assert adoption_plan.restart_problem(Outcome("tenants/acme", [issue])) is None
    text = adoption_plan.restart_problem(Outcome("tenants/acme", [issue, rollout])) or ""
    assert text.startswith("TenantControlPlane tenants/acme: its pods would restart: Secret acme-x expires soon; ")
    assert "spec.template.spec.x differs" in (adoption_plan.restart_problem(Outcome("tenants/acme", [rollout])) or "")


def kinds(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.object.kind, change.action.value) for change in changes]


def written(changes: list[Change]) -> Json:
    """The record as it is stored."""
    body = next(change.body for change in changes if change.object.name == RECORD)
    assert body
    return {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}


def test_operator_is_recorded_first_and_its_webhooks_go_once_it_has_stopped() -> None:
    seen = Seen(
        operators=(deployment(replicas=2),), webhooks=(webhooks(),), stores=(datastore(finalizers=[names.STORE_FINALIZER, "other"]),)
    )
    changes = adoption_plan.plan(seen, [])
    assert kinds(changes) == [("ConfigMap", "create"), ("Deployment", "scale"), (VALIDATING, "delete"), ("DataStore", "patch")]
    assert changes[-1].body == {"metadata": {"finalizers": ["other"], "resourceVersion": "7"}}
    record = json.loads(written(changes)["data"]["operator.json"])
    assert record["replicas"] == 2
    assert record["webhooks"][0]["metadata"] == {"name": "kamaji-validating", "labels": {"a": "b"}}


def test_what_was_recorded_stays_when_it_is_gone() -> None:
    seen = Seen(operators=(deployment(replicas=3),), webhooks=(webhooks(),))
    record = written(adoption_plan.plan(seen, []))
    stopped = Seen(operators=(deployment(replicas=0),), webhooks=(), record=record)
    assert adoption_plan.plan(stopped, []) == []
    halfway = Seen(operators=(deployment(replicas=0),), webhooks=(webhooks(),), record=record)
    assert kinds(adoption_plan.plan(halfway, [])) == [(VALIDATING, "delete")]
    another = Seen(operators=(deployment(replicas=0),), webhooks=(webhooks("kamaji-new"),), record=record)
    changes = adoption_plan.plan(another, [])
    assert kinds(changes) == [("ConfigMap", "patch"), (VALIDATING, "delete")]
    assert len(json.loads(written(changes)["data"]["operator.json"])["webhooks"]) == 2


def test_a_record_that_cannot_be_read_is_written_anew() -> None:
    broken = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": RECORD, "namespace": "kamaji-system"},
        "data": {"operator.json": "["},
    }
    assert kinds(adoption_plan.plan(Seen(operators=(deployment(),), record=broken), [])) == [
        ("ConfigMap", "patch"),
        ("Deployment", "scale"),
    ]


def test_without_an_operator_there_is_nothing_to_come_back_to() -> None:
    assert kinds(adoption_plan.plan(Seen(webhooks=(webhooks(),)), [])) == [(VALIDATING, "delete")]
    assert adoption_plan.return_problems(Seen())[0].startswith("the operator's Deployment is gone")


def test_the_way_back() -> None:
    seen = Seen(operators=(deployment(replicas=2),), webhooks=(webhooks(),))
    stopped = Seen(operators=(deployment(replicas=0),), record=written(adoption_plan.plan(seen, [])))
    changes = adoption_plan.plan_return(stopped)
    assert kinds(changes) == [("Deployment", "scale"), (VALIDATING, "create"), ("ConfigMap", "delete")]
    assert changes[0].fields[0].after == 2
    assert adoption_plan.plan_return(Seen(operators=(deployment(),), webhooks=(webhooks(),))) == []


def test_no_way_back_for_pods_of_ours() -> None:
    ours = live(copy.deepcopy(deployment("acme", "tenants")))
    (problem,) = adoption_plan.return_problems(
        Seen(operators=(deployment(replicas=0),), tenants=(tenant(),), deployments={("tenants", "acme"): ours})
    )
    assert problem.startswith("the pods of tenants/acme are of this collection's making")
