# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller with a real API server and a real etcd: what kubectl writes is carried out, kept, and taken away again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.controller import Controller
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.leader import LEASE
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.triggers import everything
from ansible_collections.hosted.kubernetes.tests.support.controllers import asleep, condition, create, eventually, options_of, running_here
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, datastore_definition, delete_datastore, later


@pytest.fixture(scope="module")
def served(ground: Ground) -> tuple[str, str]:
    """The namespaces that the controller of this file serves; the second one is deleted by a test."""
    names_ = ground.tenant().namespace, ground.tenant().namespace
    for name in names_:
        ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return names_


@pytest.fixture(scope="module")
def controller(ground: Ground, served: tuple[str, str]) -> Iterator[Controller]:
    with running_here(ground.kubeconfig, options_of(served[0], namespaces=served)) as controller:
        yield controller


@pytest.fixture(scope="module")
def kept(ground: Ground, served: tuple[str, str], controller: Controller) -> Tenant:
    """A tenant that is complete; each test leaves it so."""
    return asleep(create(ground.tenant("kept", served[0])))


def events(tenant: Tenant) -> dict[str, str]:
    """Reason → note of the events about a tenant."""
    found = tenant.ground.client.request("GET", f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events")["items"]
    return {item["reason"]: item["note"] for item in found if item["regarding"]["name"] == tenant.name}


def used_by(tenant: Tenant) -> list[str]:
    store = tenant.ground.client.get(resource_of("DataStore"), tenant.ground.store) or {}
    return list((store.get("status") or {}).get("usedBy") or [])


def gone(tenant: Tenant) -> None:
    """The resource is the last to go."""
    eventually(f"{tenant.key} is gone", lambda: tenant.get("TenantControlPlane") is None)
    assert tenant.left() == []


def settled(controller: Controller) -> None:
    """Wait until nothing is left to look at, nor comes any more."""
    eventually("the queue is empty", lambda: all(map(is_idle, [controller] * 10)))


def is_idle(controller: Controller) -> bool:
    time.sleep(0.05)
    return controller.queue.is_idle


def test_what_is_created_is_carried_out(kept: Tenant) -> None:
    eventually("its event", lambda: "CertificatesIssued" in events(kept))
    eventually("its DataStore knows", lambda: kept.key in used_by(kept))
    # A module finds nothing left to do.
    assert not kept.run(name="kept").changed


@pytest.mark.parametrize(("kind", "suffix"), [("Service", ""), ("Deployment", ""), ("Secret", names.API_SERVER)])
def test_what_is_deleted_comes_back(kept: Tenant, kind: str, suffix: str) -> None:
    name = kept.name + suffix
    uid = kept.live(kind, name)["metadata"]["uid"]
    kept.delete(kind, name)
    eventually(f"{kind} {name}", lambda: (kept.get(kind, name) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)
    asleep(kept)


def test_what_is_changed_is_mended_and_what_is_wanted_is_done(kept: Tenant) -> None:
    kept.patch("Service", {"spec": {"selector": {"more": "x"}}})
    eventually("the selector", lambda: "more" not in kept.live("Service")["spec"]["selector"])
    wanted = {"spec": {"controlPlane": {"service": {"additionalMetadata": {"labels": {"team": "blue"}}}}}}
    kept.patch("TenantControlPlane", wanted, manager="kubectl")
    eventually("the label", lambda: kept.live("Service")["metadata"]["labels"].get("team") == "blue")
    asleep(kept)


def test_no_change_costs_no_call(ground: Ground, served: tuple[str, str], controller: Controller, kept: Tenant) -> None:
    others = [create(ground.tenant(f"more-{number}", served[0])) for number in range(3)]
    for tenant in others:
        asleep(tenant)
    settled(controller)
    # A Lease shows the replicas who works; it is renewed every few seconds.
    before, looks = len(calls(controller)), looks_without_change(controller)
    for key in everything(controller.cache):
        controller.queue.add(key)
    settled(controller)
    assert looks_without_change(controller) == looks + len(others) + 1
    # DataStores that tests before have left refer to Secrets elsewhere, which are looked for again and again.
    assert [call for call in calls(controller)[before:] if "/secrets/" not in call or served[0] in call] == []


def calls(controller: Controller) -> list[str]:
    return [f"{call.method} {call.path}" for call in controller.client.calls if LEASE not in call.path]


def looks_without_change(controller: Controller) -> float:
    return controller.metrics.registry.get_sample_value("hosted_kubernetes_reconcile_total", {"result": "none"}) or 0.0


def test_a_tenant_that_is_paused_is_left_alone(kept: Tenant) -> None:
    kept.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: ""}}})
    eventually("its event", lambda: "Paused" in events(kept))
    kept.delete("Service")
    time.sleep(1)
    assert kept.get("Service") is None
    kept.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: None}}})
    eventually("its Service", lambda: kept.get("Service"))
    asleep(kept)


def test_a_module_and_the_controller_at_the_same_time(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    """Both make the same tenant; who comes second waits, or looks again."""
    tenant = ground.tenant("both", served[0])
    run = tenant.run(settings={"holder": "laptop", "after_change": lambda _count: time.sleep(0.05)})
    assert run.changed
    asleep(tenant)
    settled(controller)
    assert not tenant.run().changed
    assert {item["metadata"]["name"] for item in ground.client.list(resource_of("Lease"), namespace=served[0]).items} == {LEASE}


def test_deleted_with_everything_it_had(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    tenant = asleep(create(ground.tenant("gone", served[0])))
    tenant.put_keys()
    tenant.delete("TenantControlPlane")
    gone(tenant)
    eventually("its event", lambda: "Deleted" in events(tenant))
    eventually("its DataStore knows", lambda: tenant.key not in used_by(tenant))


def test_a_datastore_that_is_deleted_first(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    """The data is not forgotten: the deletion goes on once somebody can be asked about it."""
    store = datastore_definition(f"first-{served[0]}", ground.etcd)
    ground.client.create(store)
    tenant = asleep(create(ground.tenant("orphan", served[0]), dataStore=store["metadata"]["name"]))
    delete_datastore(ground.client, store["metadata"]["name"])
    tenant.delete("TenantControlPlane")
    eventually("why it stays", lambda: "bring the datastore back" in events(tenant).get("ReconcileFailed", ""))
    assert "datastore user" in tenant.left()
    ground.client.create(store)
    gone(tenant)
    delete_datastore(ground.client, store["metadata"]["name"])


def test_a_namespace_that_is_deleted_first(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    tenant = asleep(create(ground.tenant("inside", served[1])))
    ground.client.delete(resource_of("Namespace"), served[1])
    # As the namespace controller does; it is not a part of this management cluster.
    tenant.delete("TenantControlPlane")
    gone(tenant)


def test_who_came_later_is_refused_and_told_why(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    names_ = {"dataStoreSchema": f"{served[0]}-x", "dataStoreUsername": f"{served[0]}-x"}
    first = asleep(create(ground.tenant("first", served[0]), **names_))
    second = create(ground.tenant("second", served[0]), **names_)
    message = eventually("its condition", lambda: condition(second, "Ready")["message"])
    assert "dataStoreSchema" in message
    eventually("its event", lambda: events(second).get("DefinitionRefused") == message)
    assert second.get("Service") is None
    # Once the other one is gone there is room for it.
    first.delete("TenantControlPlane")
    eventually("the first one is gone", lambda: first.get("TenantControlPlane") is None)
    asleep(second)


def test_broken_tenants_delay_no_other(ground: Ground, served: tuple[str, str], controller: Controller) -> None:
    """More of them than there are workers, each of which would be held up for seconds by a datastore that is silent."""
    store = datastore_definition(f"silent-{served[0]}", ground.etcd)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store["spec"]["endpoints"] = [f"127.0.0.1:{silent.getsockname()[1]}"]
        ground.client.create(store)
        broken = [create(ground.tenant(f"broken-{number}", served[0]), dataStore=store["metadata"]["name"]) for number in range(8)]
        eventually("they are tried", lambda: controller.queue.depth() == 0)
        started = time.monotonic()
        asleep(create(ground.tenant("fine", served[0])))
        took = time.monotonic() - started
        print(f"beside {len(broken)} tenants whose datastore is silent: made in {took:.1f} s")
        assert took < 5
        eventually("their event", lambda: any("DataStore" in note for note in events(broken[0]).values()))
    for tenant in broken:
        tenant.delete("TenantControlPlane")
    delete_datastore(ground.client, store["metadata"]["name"])


def test_certificates_are_renewed_before_they_end(ground: Ground) -> None:
    """On a day when those that live for a year are due, and new ones are not."""
    tenant = ground.tenant("old")
    tenant.run()
    name = tenant.name + names.API_SERVER
    before = tenant.live("Secret", name)["data"]
    options = options_of(tenant.namespace, renew_before=timedelta(days=364))
    with running_here(ground.kubeconfig, options, now=later(36 * 3600.0)):
        eventually("a new certificate", lambda: tenant.live("Secret", name)["data"] != before)
        asleep(tenant)
