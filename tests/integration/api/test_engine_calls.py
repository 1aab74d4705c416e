# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls of the engine cost, how many tenants share one call, and how two calls about one tenant get along."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import lease as lease_module
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import TenantLease
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Run, Tenant, later

MANY = 20


@pytest.fixture(scope="module")
def fleet(ground: Ground) -> list[Tenant]:
    """Many tenants that sleep in one namespace, made by one call."""
    first = ground.tenant("tenant-0")
    fleet = [ground.tenant(f"tenant-{number}", first.namespace) for number in range(MANY)]
    started = time.monotonic()
    run = first.run([tenant.definition() for tenant in fleet])
    print(f"{MANY} sleeping tenants made in {time.monotonic() - started:.1f} s with {len(run.calls)} calls")
    assert [item["phase"] for item in run.result["tenants"]] == ["Sleeping"] * MANY
    return fleet


def without_pages(run: Run, tenant: Tenant) -> list[str]:
    """The requests of a run, whatever they select; further pages of one list count as that list."""
    paths = [(call.method, call.path.partition("?")[0]) for call in run.calls if "continue=" not in call.path]
    return sorted(f"{method} {path}".replace(tenant.namespace, "…") for method, path in paths)


def test_looking_costs_the_same_for_one_and_for_many(ground: Ground, fleet: list[Tenant]) -> None:
    first, lonely = fleet[0], ground.tenant()
    lonely.run()
    one = lonely.run()
    started, processor = time.monotonic(), time.process_time()
    many = first.run([tenant.definition() for tenant in fleet])
    took, used = time.monotonic() - started, time.process_time() - processor
    print(
        f"no-op of {MANY} tenants: {took:.2f} s ({used:.2f} s of processor time), {len(many.calls)} calls; of one: {len(one.calls)} calls"
    )
    assert not one.changed
    assert not many.changed
    assert one.writes == []
    assert many.writes == []
    assert without_pages(many, first) == without_pages(one, lonely)
    # One for each of eleven kinds, all tenants (their networks may overlap), and the DataStore.
    assert len(one.calls) == 13


def test_one_that_differs_among_many_is_the_only_one_worked_on(fleet: list[Tenant]) -> None:
    victim = fleet[12]
    victim.delete("Service")
    run = victim.run([tenant.definition() for tenant in fleet])
    assert [item["tenant"] for item in run.result["tenants"] if item["changed"]] == [victim.key]
    assert run.summary == [("Service tenant-12", "create")]


def test_one_that_fails_does_not_hold_up_the_others(ground: Ground) -> None:
    bad = ground.tenant("bad")
    good = [ground.tenant(name, bad.namespace) for name in ("good-0", "good-1")]
    definitions = [good[0].definition(), bad.definition({"dataStore": "nowhere"}), good[1].definition()]
    with pytest.raises(HostedKubernetesError, match=f'^TenantControlPlane {bad.key}: spec.dataStore "nowhere" does not exist') as failure:
        bad.run(definitions)
    tenants = failure.value.result["tenants"]
    assert [(item["tenant"], item["phase"], bool(item["error"])) for item in tenants] == [
        (good[0].key, "Sleeping", False),
        (bad.key, "", True),
        (good[1].key, "Sleeping", False),
    ]
    assert failure.value.result["changed"]
    assert bad.left() == []


def test_many_are_removed_by_one_call(ground: Ground) -> None:
    stays = ground.tenant("stays")
    others = [ground.tenant(name, stays.namespace) for name in ("goes-0", "goes-1", "goes-2")]
    stays.run([tenant.definition() for tenant in (stays, *others)])
    stays.put_keys()
    run = stays.run([tenant.definition() for tenant in others], absent=True)
    assert [item["tenant"] for item in run.result["tenants"]] == [tenant.key for tenant in others]
    assert [tenant.left() for tenant in others] == [[], [], []]
    assert not stays.run().changed
    assert ground.driver.count_keys(stays.isolation) == 3


# Leases


def lease(tenant: Tenant, holder: str, **options: object) -> TenantLease:
    defaults: Json = {"now": lambda: datetime.now(UTC), "wait_s": 10, "say": lambda _text: None}
    return TenantLease(tenant.ground.client, tenant.namespace, tenant.name, holder=holder, **{**defaults, **options})


def lease_calls(run: Run) -> list[str]:
    return [call.method for call in run.calls if "/leases" in call.path]


def test_only_a_run_that_writes_takes_the_lease(tenant: Tenant) -> None:
    assert lease_calls(tenant.run(check=True)) == []
    assert lease_calls(tenant.run()) == ["POST", "DELETE"]
    assert lease_calls(tenant.run()) == []
    assert lease_calls(tenant.absent(check=True)) == []
    assert lease_calls(tenant.absent()) == ["POST", "DELETE"]


def test_two_runs_at_once_wait_for_each_other(ground: Ground, namespace: str) -> None:
    tenant = ground.tenant(namespace=namespace)
    said: list[str] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [
            pool.submit(tenant.run, settings={"holder": holder, "say": said.append, "after_change": lambda _count: time.sleep(0.02)})
            for holder in ("laptop", "controller")
        ]
        results = [run.result() for run in runs]
    assert said in ([f"waiting for {holder}, who is working on {tenant.key}"] for holder in ("laptop", "controller"))
    assert sorted(result.changed for result in results) == [False, True]
    assert not tenant.run().changed


def test_a_lease_that_is_held_is_waited_for_until_the_time_is_over(tenant: Tenant) -> None:
    tenant.run()
    tenant.delete("Service")
    with lease(tenant, "somebody-else"):
        with pytest.raises(HostedKubernetesError, match=r"somebody-else is working on it .* did not finish within 1 s; run again later"):
            tenant.run(settings={"timeout_s": 1})
        with pytest.raises(HostedKubernetesError, match="somebody-else is working on it"):
            tenant.absent(settings={"timeout_s": 1})
    assert tenant.run().changed


def test_a_lease_whose_holder_died_is_taken_over(tenant: Tenant) -> None:
    tenant.run()
    tenant.delete("Service")
    with abandoned(tenant, "dead"):
        run = tenant.run(settings={"now": later(80)})
    assert lease_calls(run) == ["POST", "GET", "PUT", "DELETE"]
    assert tenant.get("Lease", f"{tenant.name}.tenantcontrolplane") is None


@contextmanager
def abandoned(tenant: Tenant, holder: str) -> Iterator[None]:
    """A Lease as a killed holder leaves it: taken, and never renewed nor given back."""
    held = lease(tenant, holder)
    held._acquire()
    yield


def test_a_lease_is_renewed_while_work_goes_on(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_RENEW_S", 0.05)
    tenant.run()
    clock = [datetime.now(UTC)]
    with lease(tenant, "worker", now=lambda: clock[0]):
        taken = tenant.live("Lease", "acme.tenantcontrolplane")["spec"]["renewTime"]
        clock[0] += timedelta(seconds=30)
        renewed = threading.Event()
        deadline = time.monotonic() + 5
        while tenant.live("Lease", "acme.tenantcontrolplane")["spec"]["renewTime"] == taken:
            assert time.monotonic() < deadline, "the Lease was not renewed"
            renewed.wait(0.02)


def test_a_living_holder_whose_clock_is_behind_keeps_its_lease(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.run()
    monkeypatch.setattr(lease_module, "_RENEW_S", 0.05)
    monkeypatch.setattr(lease_module, "DURATION_S", 1)
    with lease(tenant, "behind", now=later(-40)):
        other = lease(tenant, "other")
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert other._try() == "behind"
            time.sleep(0.1)


def test_a_dead_holder_whose_clock_is_ahead_is_found_out(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.run()
    monkeypatch.setattr(lease_module, "DURATION_S", 1)
    lease(tenant, "ahead", now=later(40))._acquire()
    other = lease(tenant, "other", wait_s=5)
    assert other._try() == "ahead"
    with other:
        assert tenant.live("Lease", "acme.tenantcontrolplane")["spec"]["holderIdentity"] == "other"


def test_a_run_whose_lease_is_lost_stops_before_its_next_change(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_RENEW_S", 0.05)
    monkeypatch.setattr(lease_module, "DURATION_S", 1)
    tenant.run()
    tenant.delete("Service")
    tenant.delete("ConfigMap", "acme-kubeadmconfig")
    made: list[int] = []

    def lose(count: int) -> None:
        made.append(count)
        tenant.patch("Lease", {"spec": {"holderIdentity": "thief"}}, "acme.tenantcontrolplane")
        time.sleep(1.5)

    with pytest.raises(HostedKubernetesError, match=r"could not be renewed .* stopped before the next change, run again"):
        tenant.run(settings={"after_change": lose})
    assert made == [1]
    assert tenant.live("Lease", "acme.tenantcontrolplane")["spec"]["holderIdentity"] == "thief"
    assert tenant.run(settings={"now": later(80)}).changed


def test_two_who_find_an_ended_lease_do_not_both_take_it(tenant: Tenant) -> None:
    tenant.run()
    with abandoned(tenant, "dead"):
        barrier = threading.Barrier(4)

        def take(holder: str) -> str | None:
            barrier.wait()
            return lease(tenant, holder, now=later(80))._try()

        with ThreadPoolExecutor(max_workers=4) as pool:
            answers = list(pool.map(take, ["a", "b", "c", "d"]))
    assert answers.count(None) == 1


def test_giving_back_a_lease_that_somebody_else_took_leaves_it_to_them(tenant: Tenant) -> None:
    tenant.run()
    with lease(tenant, "slow"):
        tenant.delete("Lease", "acme.tenantcontrolplane")
        taken = lease(tenant, "quick")
        assert taken._try() is None
    assert tenant.live("Lease", "acme.tenantcontrolplane")["spec"]["holderIdentity"] == "quick"
