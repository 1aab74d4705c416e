# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller with a real API server and a real etcd: what kubectl writes is carried out, kept, and taken away again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.controller import Controller
from ansible_collections.hosted.kubernetes.tests.support.controllers import eventually, options_of, running_here
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, later


@pytest.fixture(scope="module")
def served(ground: Ground) -> str:
    """The namespace that the controller of this file serves."""
    name = ground.tenant().namespace
    ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture(scope="module")
def controller(ground: Ground, served: str) -> Iterator[Controller]:
    with running_here(ground.kubeconfig, options_of(served)) as controller:
        yield controller


def create(tenant: Tenant, **changes: object) -> Tenant:
    """As kubectl does."""
    tenant.ground.client.create(tenant.definition(changes), field_manager="kubectl")
    return tenant


def phase(tenant: Tenant) -> str:
    status = (tenant.get("TenantControlPlane") or {}).get("status") or {}
    return str(((status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""))


def asleep(tenant: Tenant) -> Tenant:
    """Wait until a tenant is complete."""
    eventually(f"{tenant.key} sleeps", lambda: phase(tenant) == "Sleeping" and condition(tenant, "Ready")["status"] == "True")
    return tenant


def condition(tenant: Tenant, kind: str) -> Json:
    status = tenant.live("TenantControlPlane").get("status") or {}
    return next((item for item in status.get("conditions") or [] if item["type"] == kind), {"status": "", "message": ""})


def reasons(tenant: Tenant) -> list[str]:
    """Of the events about a tenant."""
    found = tenant.ground.client.request("GET", f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events")["items"]
    return [item["reason"] for item in found if item["regarding"]["name"] == tenant.name]


def test_what_is_created_is_carried_out(ground: Ground, served: str, controller: Controller) -> None:
    tenant = asleep(create(ground.tenant("made", served)))
    eventually("its event", lambda: "CertificatesIssued" in reasons(tenant))
    # A module finds nothing left to do.
    assert not tenant.run(name="made").changed
