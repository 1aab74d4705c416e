# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants that choose their DataStore by labels, among two real etcds: the choice is predicted, recorded, and stays."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import placement
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_control_plane_info
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    assert_predicted,
    datastore_definition,
    delete_datastore,
    later,
    open_driver,
)

LABEL = "example.com/pool"


@dataclass(frozen=True)
class Pool:
    """Two DataStores with one label: "<name>-a" over the shared etcd, "<name>-b" over one of its own."""

    ground: Ground
    name: str
    etcds: dict[str, Etcd]
    drivers: dict[str, EtcdDriver]

    @property
    def changes(self) -> dict[str, Any]:
        """What makes a tenant choose among them."""
        return {"dataStore": None, "dataStoreSelector": {"matchLabels": {LABEL: self.name}}}

    def apply(self, which: str, **capacity: Any) -> None:
        """Record one of them with a capacity."""
        body = datastore_definition(f"{self.name}-{which}", self.etcds[which])
        body["metadata"]["labels"] = {LABEL: self.name}
        if capacity:
            body["spec"]["capacity"] = capacity
        self.ground.client.apply(body, force=True)

    def store(self, which: str) -> str:
        return f"{self.name}-{which}"

    def holders(self, tenant: Tenant) -> list[str]:
        """The stores in which anything of a tenant is."""
        found = []
        for which, driver in self.drivers.items():
            share = driver.observe([tenant.isolation], keys=True)[tenant.isolation.schema]
            if not share.absent:
                found.append(self.store(which))
        return found

    def used_by(self, which: str) -> list[str]:
        live = self.ground.client.get(resource_of("DataStore"), self.store(which))
        found: list[str] = ((live or {}).get("status") or {}).get("usedBy") or []
        return found


@pytest.fixture(scope="module")
def other_etcd(ground: Ground, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Etcd, EtcdDriver]]:
    directory = tmp_path_factory.mktemp("other-etcd")
    with (
        running_etcd(bundle, directory, tls=True, authority=ground.etcd.authority) as etcd,
        contextlib.closing(open_driver(etcd)) as driver,
    ):
        yield etcd, driver


@pytest.fixture
def pool(ground: Ground, other_etcd: tuple[Etcd, EtcdDriver]) -> Iterator[Pool]:
    etcd, driver = other_etcd
    found = Pool(ground, f"pool-{secrets.token_hex(4)}", {"a": ground.etcd, "b": etcd}, {"a": ground.driver, "b": driver})
    for which in ("a", "b"):
        found.apply(which)
    yield found
    for which in ("a", "b"):
        delete_datastore(ground.client, found.store(which))


def chosen(tenant: Tenant) -> str:
    name: str = tenant.live("TenantControlPlane")["status"]["storage"]["dataStoreName"]
    return name


def stores_in(plan: list[Json]) -> set[str]:
    return {item["object"].split("DataStore ")[-1].split("/")[0] for item in plan if item["cluster"] == "datastore"}


def test_ladder(tenant: Tenant, pool: Pool) -> None:
    """The larger etcd is passed over; the choice stays when it becomes the worse one."""
    pool.apply("a", tenants=0)
    predicted = tenant.run(changes=pool.changes, check=True)
    assert predicted.writes == []
    assert pool.store("b") in str(predicted.plan)
    assert pool.store("a") not in str(predicted.plan)
    applied = tenant.run(changes=pool.changes)
    assert_predicted(predicted, applied)
    assert chosen(tenant) == pool.store("b")
    assert pool.holders(tenant) == [pool.store("b")]
    assert pool.used_by("b") == [tenant.key]
    assert "dataStore" not in tenant.live("TenantControlPlane")["spec"], "the choice is in the status, not in the spec"

    pool.apply("a")
    pool.apply("b", tenants=0)
    for check in (True, False):
        again = tenant.run(changes=pool.changes, check=check)
        assert not again.changed
        assert again.writes == []
    assert not tenant.run(name=tenant.name).changed
    elsewhere = {"dataStore": None, "dataStoreSelector": {"matchLabels": {LABEL: "another"}}}
    tenant.run(changes=elsewhere)
    assert chosen(tenant) == pool.store("b")
    assert not tenant.run(changes={"dataStore": pool.store("b")}, check=True).result.get("failed")

    tenant.absent(changes=pool.changes)
    assert pool.holders(tenant) == []
    assert tenant.left() == []
    assert pool.used_by("b") == []


def test_tenants_of_one_call_see_each_other(pool: Pool) -> None:
    tenants = [pool.ground.tenant() for _number in range(4)]
    for which in ("a", "b"):
        pool.apply(which, tenants=2)
    definitions = [tenant.definition(pool.changes) for tenant in tenants]
    predicted = tenants[0].run(definitions, check=True)
    applied = tenants[0].run(definitions)
    assert_predicted(predicted, applied)
    assert sorted(map(chosen, tenants)) == [pool.store(which) for which in "aabb"]

    extra = pool.ground.tenant()
    with pytest.raises(HostedKubernetesError) as error:
        extra.run(changes=pool.changes)
    assert f"TenantControlPlane {extra.key}: no DataStore that spec.dataStoreSelector picks can take it" in error.value.msg
    rows = [[line.split()[0], line.split()[1:4]] for line in error.value.msg.splitlines()[2:]]
    assert rows == [[pool.store(which), ["2", "of", "2"]] for which in "ab"]
    assert extra.left() == []

    tenants[0].absent(changes=pool.changes)
    extra.run(changes=pool.changes)
    assert chosen(extra) == pool.store("a" if pool.used_by("a") and extra.key in pool.used_by("a") else "b")
    for tenant in [*tenants[1:], extra]:
        tenant.absent(changes=pool.changes)


def test_one_that_finds_no_room_does_not_hold_up_the_others(pool: Pool) -> None:
    pool.apply("a", tenants=1)
    pool.apply("b", tenants=0)
    first, second = pool.ground.tenant(), pool.ground.tenant()
    with pytest.raises(HostedKubernetesError) as error:
        first.run([first.definition(pool.changes), second.definition(pool.changes)])
    assert [bool(item["error"]) for item in error.value.result["tenants"]] == [False, True]
    assert chosen(first) == pool.store("a")
    assert second.left() == []
    first.absent(changes=pool.changes)


def test_labels_that_nothing_has(tenant: Tenant, pool: Pool) -> None:
    with pytest.raises(HostedKubernetesError, match=rf"picks no DataStore; label one \(there are: .*{pool.store('a')}"):
        tenant.run(changes={"dataStore": None, "dataStoreSelector": {"matchLabels": {LABEL: "none"}}})


def test_a_store_that_does_not_answer_is_passed_over(tenant: Tenant, pool: Pool) -> None:
    body = datastore_definition(pool.store("a"), pool.etcds["a"])
    body["metadata"]["labels"] = {LABEL: pool.name}
    body["spec"]["endpoints"] = ["127.0.0.1:1"]
    pool.ground.client.apply(body, force=True)
    tenant.run(changes=pool.changes)
    assert chosen(tenant) == pool.store("b")
    tenant.absent(changes=pool.changes)


def test_info_says_why_a_tenant_has_no_store(tenant: Tenant, namespace: str, pool: Pool) -> None:
    for which in ("a", "b"):
        pool.apply(which, tenants=0)
    waiting = replace(tenant, namespace=namespace)
    waiting.ground.client.create(waiting.definition(pool.changes))
    try:
        arguments = {"kubeconfig": str(tenant.ground.kubeconfig), "name": waiting.name, "namespace": namespace}
        (found,) = run_module(tenant_control_plane_info.main, arguments)["tenants"]
        assert found["failing_phase"] == "datastore"
        assert "NOT POSSIBLE BECAUSE" in found["reason"]
        with pytest.raises(HostedKubernetesError):
            waiting.run(name=waiting.name)
        condition = waiting.live("TenantControlPlane")["status"]["conditions"][0]
        assert (condition["reason"], condition["status"]) == ("Refused", "False")
    finally:
        waiting.absent()
    assert waiting.get("TenantControlPlane") is None


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
def test_a_run_that_was_killed_is_continued_where_it_chose(pool: Pool, number: int) -> None:
    """After each of the first changes: nothing is left in a store that was not chosen in the end."""
    tenant = pool.ground.tenant()
    pool.apply("b", tenants=0)
    tenant.die_after(number, changes=pool.changes)
    # What was chosen is full now, and the other one has room.
    pool.apply("a", tenants=0)
    pool.apply("b")
    tenant.run(changes=pool.changes, settings={"now": later(80)})
    assert pool.holders(tenant) == [chosen(tenant)]
    tenant.absent(changes=pool.changes)
    assert pool.holders(tenant) == []


def test_two_runs_that_choose_the_last_place(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run records its choice between our look and our record: whoever sees both gives way."""
    pool.apply("a", tenants=1)
    pool.apply("b", tenants=0)
    first, second = pool.ground.tenant(), pool.ground.tenant()
    confirm = placement.confirm

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(placement, "confirm", lambda *_arguments: None)
        first.run(changes={"dataStore": pool.store("a")})
        confirm(*arguments)

    monkeypatch.setattr(placement, "confirm", meanwhile)
    with pytest.raises(HostedKubernetesError, match=r"the last place in DataStore .* was taken by another run at the same time; run again"):
        second.run(changes=pool.changes)
    monkeypatch.setattr(placement, "confirm", confirm)
    assert "storage" not in second.live("TenantControlPlane")["status"]
    assert pool.holders(second) == []
    pool.apply("b")
    second.run(changes=pool.changes)
    assert chosen(second) == pool.store("b")
    for tenant in (first, second):
        tenant.absent()


def test_a_lost_resource_does_not_lose_the_data_silently(tenant: Tenant, pool: Pool) -> None:
    tenant.run(changes=pool.changes)
    store = chosen(tenant)
    tenant.patch("TenantControlPlane", {"metadata": {"finalizers": None}})
    tenant.delete("TenantControlPlane")
    with pytest.raises(HostedKubernetesError, match="nothing says any more which DataStore it chose; name the one"):
        tenant.absent(changes=pool.changes)
    tenant.absent(changes={"dataStore": store})
    assert pool.holders(tenant) == []
    assert tenant.left() == []
