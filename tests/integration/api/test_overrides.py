# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of a tenant in a second real etcd: granted, used by the flag, and purged with the tenant whatever happened before."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    assert_predicted,
    datastore_definition,
    delete_datastore,
    later,
    open_driver,
)


@dataclass(frozen=True)
class Second:
    """The other store."""

    name: str
    etcd: Etcd
    driver: EtcdDriver
    ground: Ground

    def overrides(self) -> dict[str, Any]:
        return {"dataStoreOverrides": [{"resource": "/events", "dataStore": self.name}]}

    def parts(self, tenant: Tenant) -> set[str]:
        """What of a tenant is in this store."""
        share = self.driver.observe([tenant.isolation], detailed=True, keys=True)[tenant.isolation.schema]
        return {*share.present, *share.unchecked}

    def put_key(self, tenant: Tenant) -> None:
        self.driver._call("Put", key=f"/{tenant.isolation.schema}/events/a".encode(), value=b"event")

    def users(self) -> list[str]:
        live = self.ground.client.get(resource_of("DataStore"), self.name)
        assert live
        found: list[str] = (live.get("status") or {}).get("usedBy") or []
        return found


@pytest.fixture(scope="module")
def second(ground: Ground, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    directory, name = tmp_path_factory.mktemp("second-etcd"), f"second-{secrets.token_hex(4)}"
    with (
        running_etcd(bundle, directory, tls=True, authority=ground.etcd.authority) as etcd,
        contextlib.closing(open_driver(etcd)) as driver,
    ):
        ground.client.apply(datastore_definition(name, etcd), force=True)
        yield Second(name, etcd, driver, ground)
        delete_datastore(ground.client, name)


def flags(tenant: Tenant) -> list[str]:
    containers = tenant.live("Deployment")["spec"]["template"]["spec"]["containers"]
    found: list[str] = next(item["args"] for item in containers if item["name"] == "kube-apiserver")
    return [flag for flag in found if "overrides" in flag]


def test_ladder(tenant: Tenant, second: Second) -> None:
    changes = second.overrides()
    predicted = tenant.run(changes=changes, check=True)
    assert second.parts(tenant) == set()
    applied = tenant.run(changes=changes)
    assert_predicted(predicted, applied)
    assert not tenant.run(changes=changes).changed
    assert not tenant.run(changes=changes, check=True).changed
    assert flags(tenant) == [f"--etcd-servers-overrides=/events#https://{second.etcd.host}:{second.etcd.port}"]
    assert second.parts(tenant) == set(EtcdDriver.parts)
    assert second.users() == [tenant.key]

    second.put_key(tenant)
    tenant.put_keys()
    predicted = tenant.absent(changes=changes, check=True)
    applied = tenant.absent(changes=changes)
    assert applied.identities == predicted.identities
    assert tenant.left() == []
    assert second.parts(tenant) == set()
    assert second.users() == []


def test_a_lost_part_is_mended(tenant: Tenant, second: Second) -> None:
    tenant.run(changes=second.overrides())
    second.driver.delete_part(tenant.isolation, "user")
    run = tenant.run(changes=second.overrides())
    assert [(item["object"], item["action"]) for item in run.plan] == [
        (f"user {second.name}/{tenant.isolation.schema}", "grant"),
        (f"membership {second.name}/{tenant.isolation.schema}", "grant"),
    ]
    assert second.parts(tenant) == set(EtcdDriver.parts)
    tenant.absent()


def test_a_removed_override_leaves_nothing_behind(tenant: Tenant, second: Second) -> None:
    """Its data stays until the tenant goes, and goes with it, named by nobody any more."""
    tenant.run(changes=second.overrides())
    second.put_key(tenant)
    assert tenant.run().changed
    assert flags(tenant) == []
    assert not tenant.run().changed
    assert second.parts(tenant) == {*EtcdDriver.parts, "keys"}
    assert second.users() == [tenant.key]
    assert tenant.absent(name=tenant.name).changed
    assert (tenant.left(), second.parts(tenant), second.users()) == ([], set(), [])


def test_a_run_that_was_killed_before_it_could_note_the_store(tenant: Tenant, second: Second) -> None:
    tenant.die_after(12, changes=second.overrides())
    assert second.parts(tenant)
    assert "status" not in tenant.live("TenantControlPlane")
    tenant.run(settings={"now": later(16)})
    assert flags(tenant) == []
    tenant.absent(name=tenant.name)
    assert (tenant.left(), second.parts(tenant)) == ([], set())


def test_removed_by_its_definition_when_its_resource_is_gone(tenant: Tenant, second: Second) -> None:
    tenant.run(changes=second.overrides())
    tenant.patch("TenantControlPlane", {"metadata": {"finalizers": None}})
    tenant.delete("TenantControlPlane")
    assert second.parts(tenant)
    tenant.absent(changes=second.overrides())
    assert (tenant.left(), second.parts(tenant)) == ([], set())


def test_refused(tenant: Tenant, bundle: Path, tmp_path: Path) -> None:
    name = f"stranger-{secrets.token_hex(4)}"
    changes = {"dataStoreOverrides": [{"resource": "/events", "dataStore": name}]}
    for check in (True, False):
        with pytest.raises(HostedKubernetesError, match=rf'spec.dataStoreOverrides\[0\].dataStore "{name}" does not exist'):
            tenant.run(changes=changes, check=check)
    with running_etcd(bundle, tmp_path, tls=True) as etcd:
        open_driver(etcd).close()
        tenant.ground.client.apply(datastore_definition(name, etcd), force=True)
        with pytest.raises(HostedKubernetesError, match="has another certificate authority than engine"):
            tenant.run(changes=changes)
    with pytest.raises(HostedKubernetesError, match=rf'"{name}" cannot be used: DataStore {name}: '):
        tenant.run(changes=changes)
    assert tenant.left() == []
    delete_datastore(tenant.ground.client, name)
