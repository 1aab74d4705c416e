# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources in another etcd: the share there, the flag, and that nothing of it is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, overrides_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.deletion import Absent, plan_absent
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    PARTS,
    complete,
    definition,
    desired,
    follow,
    later,
    live,
    nothing,
    store,
    with_overrides,
)

EVENTS: Final = {"resource": "/events", "dataStore": "fast"}
LEASES: Final = {"resource": "coordination.k8s.io/leases", "dataStore": "near"}
EVERYTHING: Final = IsolationState((), (*PARTS, "keys"))


def arguments(observed: Observed) -> list[str]:
    deployment = observed.find("Deployment", "acme")
    assert deployment
    containers = deployment["spec"]["template"]["spec"]["containers"]
    found: list[str] = next(item["args"] for item in containers if item["name"] == "kube-apiserver")
    return [argument for argument in found if argument.startswith("--etcd-servers-overrides")]


def test_a_share_in_each_store_and_the_flag() -> None:
    wanted = desired(dataStoreOverrides=[LEASES, EVENTS])
    changes = plan(wanted, with_overrides(wanted, nothing()), NOW)
    parts = [(change.object.namespace, change.object.kind) for change in changes if change.cluster is Cluster.DATASTORE]
    assert sorted(parts) == sorted((name, part) for name in ("default", "fast", "near") for part in PARTS)
    _wanted, observed = complete(dataStoreOverrides=[LEASES, EVENTS])
    assert arguments(observed) == [
        "--etcd-servers-overrides=/events#https://fast-0.etcd:2379,coordination.k8s.io/leases#https://near-0.etcd:2379"
    ]
    assert observed.status["hosted"]["dataStores"] == ["near", "fast"]


def test_the_order_of_overrides_says_nothing() -> None:
    _wanted, observed = complete(dataStoreOverrides=[LEASES, EVENTS])
    wanted = desired(dataStoreOverrides=[EVENTS, LEASES])
    changes = [change for change in plan(wanted, later(observed), NOW) if change.object.kind == "Deployment"]
    assert [change.action for change in changes if change.action is Action.ROLLOUT] == []


def test_a_removed_override_leaves_the_flags_and_stays_known() -> None:
    _wanted, before = complete(dataStoreOverrides=[EVENTS])
    wanted = desired()
    after = follow(wanted, with_overrides(wanted, later(before)))
    assert arguments(after) == []
    assert after.status["hosted"]["dataStores"] == ["fast"]
    assert not plan(wanted, later(after), NOW)


def test_no_word_of_other_stores_without_them() -> None:
    _wanted, observed = complete()
    assert "dataStores" not in observed.status["hosted"]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (None, "does not exist; create that DataStore first (role hosted.kubernetes.datastore), or name another"),
        (store(name="fast", error="DataStore fast: no answer"), "cannot be used: DataStore fast: no answer"),
        (store(name="fast", driver="PostgreSQL"), "and spec.dataStore must both be of driver etcd; they are PostgreSQL and etcd"),
        (
            store(name="fast", ca_certificate=b"another"),
            (
                "has another certificate authority than default, but API servers have one client certificate for both; give both etcds the "
                "same authority"
            ),
        ),
    ],
)
def test_refused(view: DatastoreView | None, message: str) -> None:
    with pytest.raises(HostedKubernetesError) as failure:
        plan(desired(dataStoreOverrides=[EVENTS]), replace(nothing(), overrides={"fast": view}), NOW)
    assert failure.value.msg == f'TenantControlPlane tenants/acme: spec.dataStoreOverrides[0].dataStore "fast" {message}'


# Deletion


def absent(**changes: Any) -> Absent:
    """A tenant with data in two other stores."""
    return replace(Absent(definition(), share=Share("default", "tenants_acme", "tenants_acme", ("fast", "gone"))), **changes)


def purged(observed: Observed, wanted: Absent | None = None) -> list[tuple[str, str]]:
    changes = plan_absent(wanted or absent(), observed, ("user", "role", "keys"))
    return sorted((change.object.namespace, change.object.kind) for change in changes if change.cluster is Cluster.DATASTORE)


def test_every_store_is_purged() -> None:
    """One that never was there holds nothing of a tenant that was not made."""
    observed = Observed(datastore=store(EVERYTHING), overrides={"fast": store(EVERYTHING, name="fast"), "gone": None})
    assert purged(observed) == [(name, part) for name in ("default", "fast") for part in ("keys", "role", "user")]
    assert purged(replace(observed, datastore=None)) == [("fast", part) for part in ("keys", "role", "user")]


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        (replace(store(name="fast", error="DataStore fast: no answer"), state=None), "DataStore fast: no answer"),
        (None, "DataStore fast does not exist any more"),
    ],
)
def test_a_store_that_cannot_be_asked_holds_the_deletion_up(silent: DatastoreView | None, reason: str) -> None:
    _wanted, made = complete()
    observed = replace(made, datastore=store(EVERYTHING), overrides={"fast": silent, "gone": store(IsolationState(PARTS, ()), name="gone")})
    with pytest.raises(HostedKubernetesError, match=f"its data cannot be purged: {reason}; bring the datastore back"):
        purged(observed)
    assert purged(observed, absent(keep_data=True)) == [("default", part) for part in ("keys", "role", "user")]


def test_data_of_a_neighbour_in_another_store_is_left_alone() -> None:
    neighbours = {"tenants/blue": Share("fast", "tenants_acme", "blue")}
    observed = Observed(datastore=store(EVERYTHING), overrides={"fast": store(EVERYTHING, name="fast"), "gone": None})
    with pytest.raises(HostedKubernetesError, match=r"in DataStore fast\) is that of TenantControlPlane tenants/blue, which exists"):
        purged(observed, absent(neighbours=neighbours))
    assert {name for name, _part in purged(observed, absent(neighbours=neighbours, keep_data=True))} == {"default"}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, ()),
        ({"dataStoreOverrides": [EVENTS]}, {}, ("fast",)),
        ({}, {"hosted": {"dataStores": ["fast"]}}, ("fast",)),
        ({"dataStoreOverrides": [EVENTS, LEASES]}, {"hosted": {"dataStores": ["old", "fast"]}}, ("old", "fast", "near")),
    ],
)
def test_where_the_data_is(spec: Json, status: Json, expected: tuple[str, ...]) -> None:
    found = Absent(definition()).located(Observed(resource={**live(definition(**spec)), "status": status}))
    assert found.share == Share("default", "tenants_acme", "tenants_acme", expected)
    assert found.located(Observed()) == found, "what was known is not forgotten when the resource is gone"


def test_where_the_data_is_when_only_the_definition_says_so() -> None:
    found = Absent(definition(dataStoreOverrides=[EVENTS])).located(Observed())
    assert found.share == Share("default", "tenants_acme", "tenants_acme", ("fast",))


def test_tenants_with_the_same_names_meet_in_any_store() -> None:
    mine = Share("one", "s", "s", ("two",))
    assert mine.overlaps(Share("two", "s", "other"))
    assert mine.overlaps(Share("three", "other", "s", ("two",)))
    assert not mine.overlaps(Share("three", "s", "s"))
    assert not mine.overlaps(Share("two", "other", "other"))


@pytest.mark.parametrize("given", [None, {}, {"spec": {}}, {"spec": {"dataStoreOverrides": ["fast", {"resource": "/events"}]}}])
def test_definitions_without_overrides(given: Any) -> None:
    assert overrides_of(given) == ()
