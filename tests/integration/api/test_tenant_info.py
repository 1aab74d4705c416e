# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_control_plane_info over real tenants that sleep: how they are, and what fails first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_control_plane_info
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

RUN_AGAIN = "run the module tenant_control_plane again (or let the controller do it)"


@pytest.fixture
def acme(tenant: Tenant) -> Iterator[Tenant]:
    """A tenant that is complete and sleeps."""
    tenant.run()
    yield tenant
    tenant.absent()


def look(tenant: Tenant, **options: Any) -> list[Json]:
    where = {"kubeconfig": str(tenant.ground.kubeconfig), "namespace": tenant.namespace}
    for check in (True, False):
        result = run_module(tenant_control_plane_info.main, {**where, **options}, check=check)
        assert not result["changed"]
    found: list[Json] = result["tenants"]
    return found


def failing(tenant: Tenant) -> tuple[str, str, str]:
    """(phase, reason, next step) of the only tenant in its namespace."""
    (found,) = look(tenant)
    assert not found["ready"]
    return found["failing_phase"], found["reason"], found["next_step"]


def test_asleep(acme: Tenant) -> None:
    before = acme.live("TenantControlPlane")
    (found,) = look(acme, name=acme.name)
    assert datetime.fromisoformat(found.pop("certificates_expire")) > datetime.now(UTC)
    assert found == {
        "tenant": acme.key,
        "ready": False,
        "asleep": True,
        "phase": "Sleeping",
        "version": "v1.36.3",
        "installed_version": before["status"]["kubernetesResources"]["version"].get("version", ""),
        "endpoint": before["status"]["controlPlaneEndpoint"],
        "exposure": {
            "service_type": "ClusterIP",
            "route": "",
            "address": acme.live("Service")["spec"]["clusterIP"],
            "port": 6443,
            "has_address": True,
            "answers": None,
            "reason": "not tried, the tenant sleeps",
            "next_step": "",
        },
        "failing_phase": "",
        "reason": "",
        "next_step": "",
        "datastore": acme.ground.store,
        "drift": [],
        "deferred": [],
    }
    assert acme.live("TenantControlPlane") == before, "looking writes nothing"


def test_only_those_asked_for(ground: Ground, acme: Tenant) -> None:
    other = ground.tenant("other", acme.namespace)
    other.run()
    assert [item["tenant"] for item in look(acme)] == [acme.key, other.key]
    assert [item["tenant"] for item in look(acme, name="other")] == [other.key]
    assert look(acme, name="never-was") == []
    assert look(acme, namespace="no-such-namespace") == []
    assert {acme.key, other.key} <= {item["tenant"] for item in look(acme, namespace="")}
    other.absent()


def test_an_object_is_gone(acme: Tenant) -> None:
    acme.delete("NetworkPolicy")
    assert failing(acme) == ("management_objects", f"NetworkPolicy {acme.key}: does not exist", RUN_AGAIN)
    (found,) = look(acme)
    assert [(change["object"], change["action"]) for change in found["drift"]] == [(f"NetworkPolicy {acme.key}", "create")]


def test_an_authority_is_lost(acme: Tenant) -> None:
    acme.delete("Secret", acme.name + names.CA)
    phase, reason, next_step = failing(acme)
    assert phase == "definition"
    assert f"{acme.name}{names.CA}" in reason
    assert next_step == "correct what the message names"


def test_paused(acme: Tenant) -> None:
    acme.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: ""}}})
    assert failing(acme) == ("paused", f"annotation {names.ANNOTATION_PAUSED} is set", "remove the annotation")
    acme.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: None}}})


def test_being_deleted(acme: Tenant) -> None:
    acme.ground.client.delete(resource_of("TenantControlPlane"), acme.name, acme.namespace)
    expected = ("deletion", "the resource is being deleted", "finish it: module tenant_control_plane with state absent")
    assert failing(acme) == expected


def test_nobody_has_worked_on_it_yet(tenant: Tenant) -> None:
    """Resources written by kubectl or GitOps."""
    client = tenant.ground.client
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    client.create(tenant.definition())
    assert failing(tenant) == ("management_objects", f"TenantControlPlane {tenant.key}: metadata.finalizers differs", RUN_AGAIN)
    client.delete(resource_of("TenantControlPlane"), tenant.name, tenant.namespace)

    client.create(tenant.definition({"dataStore": "nowhere"}))
    expected = ("datastore", "DataStore nowhere does not exist", "mend or create the datastore; module datastore probes it")
    assert failing(tenant) == expected
    client.delete(resource_of("TenantControlPlane"), tenant.name, tenant.namespace)
