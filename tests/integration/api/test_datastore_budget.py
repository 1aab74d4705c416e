# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data budgets: tenants in one etcd, with API servers of their own where they are awake, of which one uses up its budget."""

from __future__ import annotations

import contextlib
import http
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import BINDING, POLICY
from ansible_collections.hosted.kubernetes.plugins.modules import datastore_budget
from ansible_collections.hosted.kubernetes.tests.support.awake import administrator, own_address, pod_of
from ansible_collections.hosted.kubernetes.tests.support.budgets import run_budgets
from ansible_collections.hosted.kubernetes.tests.support.controllers import condition, eventually, options_of, phase, running_here
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    datastore_definition,
    delete_datastore,
    later,
    run_and_die,
    settings_of,
)

MIB: Final = 1 << 20
BUDGET: Final = 4 * MIB
# One step of the engine: nothing waits for pods, which nobody starts here.
STEP: Final = {"patient": False, "max_starting": 2}
RECORD: Final = ("TenantControlPlane", "patch")
SET: Final = [RECORD, (POLICY.kind, "create"), (BINDING.kind, "create")]
LIFTED: Final = [(BINDING.kind, "delete"), (POLICY.kind, "delete"), RECORD]


@pytest.fixture(scope="module")
def shared(ground: Ground) -> Iterator[Ground]:
    """A DataStore of its own over the etcd of all tests, with a budget for each tenant."""
    name = f"budgets-{secrets.token_hex(3)}"
    definition = datastore_definition(name, ground.etcd)
    definition["spec"]["capacity"] = {"tenantBudget": "4Mi"}
    ground.client.apply(definition, force=True)
    yield replace(ground, store=name)
    delete_datastore(ground.client, name)


@dataclass(frozen=True)
class Awake:
    """A tenant whose API server is a process of this host. inside: the engine's client; admin: one of its own administrators."""

    tenant: Tenant
    inside: Client
    admin: Client

    def fill(self, size: int) -> None:
        """Store at least so many bytes, as its administrator."""
        for number in range(-(-size // 900_000)):
            self.admin.create(config_map(f"large-{number}", "x" * 900_000))

    def empty(self) -> None:
        for item in self.admin.list(resource_of("ConfigMap"), namespace="default").items:
            if item["metadata"]["name"].startswith("large-"):
                self.admin.delete(resource_of("ConfigMap"), item["metadata"]["name"], "default")

    def refusal(self, write: Callable[[Client], Any]) -> str:
        """Why its administrator may not do that; "" when it was done."""
        try:
            write(self.admin)
        except ApiError as error:
            if error.status != http.HTTPStatus.FORBIDDEN:
                raise
            return error.message
        return ""

    def creates(self, namespace: str = "default") -> str:
        return self.refusal(lambda admin: admin.create(config_map(f"small-{secrets.token_hex(4)}", "x", namespace)))

    def changes(self, reference: ObjectRef) -> str:
        return self.refusal(lambda admin: admin.merge_patch(reference, {"metadata": {"labels": {"changed": secrets.token_hex(4)}}}))

    def live(self, reference: ObjectRef) -> Json | None:
        return self.inside.get(resource_of(reference.kind), reference.name, reference.namespace)


def config_map(name: str, text: str, namespace: str = "default", **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"text": text},
    }


@contextlib.contextmanager
def awake(tenant: Tenant, bundle: Path, folder: Path, **changes: Any) -> Iterator[Awake]:
    (port,) = free_ports(1)
    where = {"networkProfile.address": own_address(), "networkProfile.port": port}
    wanted = {"controlPlane.deployment.replicas": 1, "addons": None, **where, **changes}
    tenant.run(changes=wanted, settings=STEP)
    with pod_of(tenant, bundle, folder) as inside:
        tenant.run(name=tenant.name, settings=STEP)
        assert phase(tenant) == "Ready"
        with administrator(tenant) as admin:
            yield Awake(tenant, inside, admin)


@pytest.fixture(scope="module")
def pair(shared: Ground, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Awake, Awake]]:
    """One with the budget of its store, and its neighbour with a larger one of its own."""
    namespace = f"budget-{secrets.token_hex(4)}"
    first, second = shared.tenant("small", namespace), shared.tenant("large", namespace)
    with (
        awake(first, bundle, tmp_path_factory.mktemp("small")) as small,
        awake(second, bundle, tmp_path_factory.mktemp("large"), dataStoreBudget="1Gi") as large,
    ):
        yield small, large
    for each in (first, second):
        each.absent()


def keep(ground: Ground, *, check: bool = False, **options: Any) -> Json:
    arguments = {"kubeconfig": str(ground.kubeconfig), "name": ground.store, **options}
    return run_module(datastore_budget.main, arguments, check=check)


def settled(ground: Ground, *awake: Awake) -> None:
    """These hold little, also when a test before has failed, and all that is measured now is recorded."""
    for each in awake:
        each.empty()
    keep(ground)
    for each in awake:
        in_force(each, limited=False)
    assert not keep(ground)["changed"]


def steps(result: Json) -> list[tuple[str, str]]:
    return [(item["object"].split()[0], item["action"]) for item in result["plan"]]


def entry(result: Json, tenant: Tenant) -> Json:
    (found,) = [item for item in result["budgets"] if item["tenant"] == tenant.key]
    return dict(found)


def in_force(one: Awake, *, limited: bool) -> None:
    """A policy is in force some moments after it was written."""
    eventually("the policy is as wanted", lambda: bool(one.creates()) is limited)


def test_a_tenant_over_its_budget_is_limited(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, large = pair
    settled(shared, small, large)
    before = keep(shared)
    assert entry(before, small.tenant)["budget_bytes"] == BUDGET
    assert entry(before, large.tenant)["budget_bytes"] == 1024 * MIB
    assert 0 < entry(before, small.tenant)["size_bytes"] < BUDGET / 2, "an empty cluster is well within"
    assert condition(small.tenant, "WithinBudget")["status"] == "True"
    small.fill(BUDGET)
    large.fill(BUDGET)

    predicted = keep(shared, check=True)
    assert predicted["changed"]
    assert steps(predicted) == SET
    assert small.creates() == "", "check mode changes nothing"
    assert condition(small.tenant, "WithinBudget")["status"] == "True"

    applied = keep(shared)
    assert applied["plan"] == predicted["plan"]
    assert entry(applied, small.tenant)["state"] == "UsedUp"
    assert entry(applied, small.tenant)["write_limited"]
    assert "new objects and changes are refused inside the tenant" in str(applied["warnings"])
    in_force(small, limited=True)
    assert "refuses new objects, because the data budget of this cluster is used up; deletions are allowed" in small.creates()
    assert "refuses changes of objects, because the data budget" in small.changes(ObjectRef("v1", "ConfigMap", "default", "large-0"))
    assert small.creates("kube-system") == ""
    assert large.creates() == "", "its neighbour is not limited"
    assert large.live(POLICY) is None
    assert not keep(shared)["changed"]
    assert not keep(shared, check=True)["changed"]
    large.empty()
    small.empty()
    assert steps(keep(shared)) == LIFTED
    in_force(small, limited=False)


@contextlib.contextmanager
def used_up(shared: Ground, small: Awake) -> Iterator[None]:
    """Its budget is used up, and it is limited; neither afterwards."""
    settled(shared, small)
    small.fill(BUDGET)
    assert steps(keep(shared)) == SET
    in_force(small, limited=True)
    yield
    small.empty()
    assert steps(keep(shared)) == LIFTED
    in_force(small, limited=False)


def test_what_its_status_says(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, _large = pair
    spec = small.tenant.live("TenantControlPlane")["spec"]
    with used_up(shared, small):
        found = condition(small.tenant, "WithinBudget")
        assert (found["status"], found["reason"]) == ("False", "UsedUp")
        assert f"% of the budget of 4 MiB in DataStore {shared.store} is used" in found["message"]
        assert phase(small.tenant) == "WriteLimited"
        assert small.tenant.live("TenantControlPlane")["spec"] == spec, "what the user wrote is not touched"
        assert small.tenant.run(name=small.tenant.name, settings=STEP).plan == [], "the engine keeps the limit"
        assert phase(small.tenant) == "WriteLimited"
    assert condition(small.tenant, "WithinBudget")["status"] == "True"
    assert phase(small.tenant) == "Ready"


def test_its_administrators_cannot_take_the_limit_away_for_long(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, _large = pair
    with used_up(shared, small):
        assert small.admin.delete(resource_of(BINDING.kind), BINDING.name)
        in_force(small, limited=False)
        assert steps(keep(shared)) == [(BINDING.kind, "create")]
        in_force(small, limited=True)
        assert small.admin.delete(resource_of(POLICY.kind), POLICY.name)
        assert len(small.tenant.run(name=small.tenant.name, settings=STEP).plan) == 1, "the engine's own runs mend it, too"
        in_force(small, limited=True)


def test_what_it_deletes_makes_room(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, _large = pair
    held = ObjectRef("v1", "ConfigMap", "default", "held")
    small.admin.create(config_map("held", "x", finalizers=["example.com/hold"]))
    with used_up(shared, small):
        assert small.changes(held) != ""
        assert small.admin.delete(resource_of("ConfigMap"), "held", "default")
        assert small.refusal(lambda admin: admin.merge_patch(held, {"metadata": {"finalizers": None}})) == ""
        assert small.live(held) is None, "what holds something that is being deleted may let it go"
        small.empty()
        assert small.creates() != "", "until it is measured again"
        assert steps(keep(shared, check=True)) == LIFTED


def test_what_the_user_limits_stays_beside_it(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, _large = pair
    settled(shared, small)
    small.tenant.patch("TenantControlPlane", {"spec": {"writePermissions": {"blockDeletion": True}}})
    small.tenant.run(name=small.tenant.name, settings=STEP)
    small.fill(BUDGET)
    assert steps(keep(shared)) == [RECORD, (POLICY.kind, "patch")]
    in_force(small, limited=True)
    deleted = small.refusal(lambda admin: admin.delete(resource_of("ConfigMap"), "large-0", "default"))
    assert "refuses deletions for now (writePermissions.blockDeletion)" in deleted
    small.tenant.patch("TenantControlPlane", {"spec": {"writePermissions": None}})
    assert [item["action"] for item in small.tenant.run(name=small.tenant.name, settings=STEP).plan] == ["patch"]
    eventually("deletions are free", lambda: not small.refusal(lambda admin: admin.delete(resource_of("ConfigMap"), "large-0", "default")))
    assert small.creates() != "", "the budget's part stays"
    small.empty()
    assert steps(keep(shared)) == LIFTED
    in_force(small, limited=False)


@pytest.mark.long
def test_killed_anywhere_it_converges(shared: Ground, pair: tuple[Awake, Awake]) -> None:
    small, _large = pair
    settled(shared, small)
    for number in range(1, len(SET) + 1):
        small.fill(BUDGET)
        assert run_and_die(str(shared.kubeconfig), shared.store, number, work=run_budgets) == -signal.SIGKILL
        # Its Lease is left behind; the next one comes when that has run out.
        run_budgets(shared.client, shared.store, settings_of(now=later(60)))
        assert small.live(BINDING)
        assert condition(small.tenant, "WithinBudget")["reason"] == "UsedUp"
        small.empty()
        assert run_and_die(str(shared.kubeconfig), shared.store, number, work=run_budgets) == -signal.SIGKILL
        run_budgets(shared.client, shared.store, settings_of(now=later(60)))
        assert small.live(POLICY) is None
        assert condition(small.tenant, "WithinBudget")["status"] == "True"
        assert not keep(shared)["changed"]
        in_force(small, limited=False)


def overfill(tenant: Tenant) -> None:
    """Write so much where the API server of a tenant that sleeps would that its budget is used up."""
    for number in range(5):
        key = f"/{tenant.isolation.schema}/registry/large-{number}".encode()
        tenant.ground.driver._call("Put", key=key, value=b"x" * 900_000)


def test_a_tenant_that_sleeps_is_noted(shared: Ground) -> None:
    tenant = shared.tenant()
    tenant.run()
    overfill(tenant)
    assert steps(keep(shared)) == [RECORD]
    assert condition(tenant, "WithinBudget")["reason"] == "UsedUp"
    assert phase(tenant) == "Sleeping"
    assert tenant.run().plan == [], "the record stays"
    assert condition(tenant, "WithinBudget")["reason"] == "UsedUp"
    tenant.run(changes={"dataStoreBudget": "64Mi"})
    assert steps(keep(shared)) == [RECORD]
    assert condition(tenant, "WithinBudget")["status"] == "True"
    assert not keep(shared)["changed"]
    tenant.absent()


def test_a_budget_that_is_taken_away_leaves_nothing(ground: Ground) -> None:
    tenant = ground.tenant()
    tenant.run(changes={"dataStoreBudget": "2Mi"})
    overfill(tenant)
    assert steps(keep(ground)) == [RECORD]
    tenant.run()
    assert steps(keep(ground)) == [RECORD]
    status = tenant.live("TenantControlPlane")["status"]
    assert "dataStoreBudgets" not in status["hosted"]
    assert "WithinBudget" not in {item["type"] for item in status["conditions"]}
    tenant.absent()


def test_who_is_paused_is_left_alone(shared: Ground) -> None:
    tenant = shared.tenant()
    tenant.run()
    overfill(tenant)
    tenant.patch("TenantControlPlane", {"metadata": {"annotations": {"kamaji.clastix.io/paused": ""}}})
    result = keep(shared)
    assert entry(result, tenant)["state"] == "UsedUp"
    assert result["plan"] == []
    assert f"{tenant.key}: its write permissions are left as they are: it is paused" in str(result["warnings"])
    tenant.patch("TenantControlPlane", {"metadata": {"annotations": {"kamaji.clastix.io/paused": None}}})
    tenant.absent()


def test_a_store_that_does_not_answer_is_an_error_with_the_rest(ground: Ground, shared: Ground) -> None:
    lost, tenant = replace(ground, store=f"lost-{secrets.token_hex(3)}"), shared.tenant()
    definition = datastore_definition(lost.store, ground.etcd)
    ground.client.apply(definition, force=True)
    stranded = lost.tenant()
    stranded.run(changes={"dataStoreBudget": "2Mi"})
    tenant.run()
    overfill(tenant)
    (port,) = free_ports(1)
    ground.client.apply({**definition, "spec": {**definition["spec"], "endpoints": [f"127.0.0.1:{port}"]}}, force=True)
    with pytest.raises(ModuleFailedError) as failure:
        keep(ground, name=None)
    assert f"{stranded.key}: " in failure.value.result["msg"]
    assert entry(failure.value.result, tenant)["write_limited"], "others are kept all the same"
    assert entry(failure.value.result, stranded)["state"] == "Unknown"
    with pytest.raises(ModuleFailedError, match="DataStore nowhere does not exist; correct the name"):
        keep(ground, name="nowhere")
    ground.client.apply(definition, force=True)
    for each in (tenant, stranded):
        each.absent()
    delete_datastore(ground.client, lost.store)


def test_the_controller_does_it_by_itself(shared: Ground) -> None:
    tenant = shared.tenant()
    tenant.run()
    overfill(tenant)
    with running_here(shared.kubeconfig, options_of(tenant.namespace, resync=timedelta(seconds=2))):
        eventually("it is noted", lambda: "UsedUp" in str(tenant.live("TenantControlPlane")["status"]["conditions"]))
        shared.driver._call("DeleteRange", key=f"/{tenant.isolation.schema}/".encode(), range_end=f"/{tenant.isolation.schema}0".encode())
        eventually("and taken back", lambda: condition(tenant, "WithinBudget")["status"] == "True")
    tenant.absent()
