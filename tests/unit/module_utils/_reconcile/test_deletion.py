# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done, in which order, until nothing of a tenant is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.deletion import Absent, plan_absent
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Barrier, Cluster
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import complete, store, summary

ABSENT: Final = Absent({"metadata": {"name": "acme", "namespace": "tenants"}}, share=Share("default", "tenants_acme", "tenants_acme"))
ORDER: Final = ("user", "role", "keys")
ALL: Final = IsolationState((), ("user", "role", "permission", "membership", "keys"))
NONE: Final = IsolationState(("user", "role", "permission", "membership"), ())
ASLEEP: Final[Json] = {"controlPlane__deployment__replicas": 0}


def standing() -> Observed:
    return replace(complete(**ASLEEP)[1], datastore=store(ALL))


def marked(observed: Observed, *finalizers: str) -> Observed:
    assert observed.resource
    metadata = {**observed.resource["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": list(finalizers)}
    return replace(observed, resource={**observed.resource, "metadata": metadata})


def test_order() -> None:
    changes = plan_absent(ABSENT, standing(), ORDER)
    steps = summary(changes)
    assert steps[:5] == [
        ("TenantControlPlane acme", "delete"),
        ("Deployment acme", "delete"),
        ("user tenants_acme", "purge"),
        ("role tenants_acme", "purge"),
        ("keys tenants_acme", "purge"),
    ]
    assert steps[-1] == ("TenantControlPlane acme", "patch")
    assert {action for _object, action in steps[5:-1]} == {"delete"}
    observed = standing()
    assert len(steps) == 1 + len(observed.objects) + 3 + len(observed.secrets) + 1
    assert [change.stage for change in changes] == sorted(change.stage for change in changes)


def test_data_is_purged_when_nobody_writes_any_more() -> None:
    observed = standing()
    for running in (observed, replace(observed, objects={}, pods=({"metadata": {"name": "acme-1"}},))):
        changes = plan_absent(ABSENT, running, ORDER)
        assert {change.barrier for change in changes if change.cluster is Cluster.DATASTORE} == {Barrier.GONE}
    still = plan_absent(ABSENT, replace(observed, objects={}), ORDER)
    assert {change.barrier for change in still} == {Barrier.NONE}


@pytest.mark.parametrize(
    ("state", "purged"),
    [
        (ALL, ["user", "role", "keys"]),
        (NONE, []),
        (IsolationState(("user", "membership"), ("role", "permission")), ["role"]),
        (IsolationState(NONE.missing, ("keys",)), ["keys"]),
        (IsolationState((), ("user",), ("role",)), ["user", "role"]),
    ],
)
def test_only_what_is_there_is_purged(state: IsolationState, purged: list[str]) -> None:
    changes = plan_absent(ABSENT, Observed(datastore=store(state)), ORDER)
    assert [change.object.kind for change in changes] == purged


def test_nothing_left_is_nothing_to_do() -> None:
    assert not plan_absent(ABSENT, Observed(), ORDER)
    assert not plan_absent(ABSENT, Observed(namespace_exists=False, datastore=store(NONE)), ORDER)


def test_goes_on_where_a_killed_run_stopped() -> None:
    observed = marked(replace(standing(), objects={}, datastore=store(NONE)), names.FINALIZER)
    steps = summary(plan_absent(ABSENT, observed, ORDER))
    assert steps[-1] == ("TenantControlPlane acme", "patch")
    assert {item[0].split()[0] for item in steps[:-1]} == {"Secret"}


@pytest.mark.parametrize(
    ("finalizers", "left"),
    [((names.FINALIZER,), None), ((names.FINALIZER, "example.com/hold"), ["example.com/hold"])],
)
def test_only_our_finalizer_is_taken_away(finalizers: tuple[str, ...], left: list[str] | None) -> None:
    observed = marked(Observed(resource=standing().resource, datastore=store(NONE)), *finalizers)
    (change,) = plan_absent(ABSENT, observed, ORDER)
    assert change.action is Action.PATCH
    assert observed.resource
    assert change.body == {"metadata": {"finalizers": left, "resourceVersion": observed.resource["metadata"]["resourceVersion"]}}
    assert [(item.path, item.before, item.after) for item in change.fields] == [("metadata.finalizers", list(finalizers), left)]


def test_what_only_others_hold_is_done() -> None:
    assert not plan_absent(ABSENT, marked(Observed(resource=standing().resource), "example.com/hold"), ORDER)


def test_unreachable_datastore() -> None:
    observed = replace(standing(), datastore=store(state=None, error="DataStore default: no answer"))
    observed = replace(observed, datastore=replace(observed.datastore, state=None) if observed.datastore else None)
    with pytest.raises(HostedKubernetesError) as failure:
        plan_absent(ABSENT, observed, ORDER)
    assert failure.value.msg == (
        "TenantControlPlane tenants/acme: its data cannot be purged: DataStore default: no answer; bring the datastore back and "
        "run again, or set force (variable tenant_control_plane_force) to leave the data behind"
    )
    changes = plan_absent(replace(ABSENT, keep_data=True), observed, ORDER)
    assert changes
    assert not [change for change in changes if change.cluster is Cluster.DATASTORE]


@pytest.mark.parametrize("status", [{}, {"storage": {"dataStoreName": "default"}}])
def test_a_datastore_that_is_gone_is_told_when_the_tenant_was_made_with_it(status: Json) -> None:
    resource = {"metadata": {"name": "acme", "namespace": "tenants", "resourceVersion": "1", "finalizers": [names.FINALIZER]}}
    observed = Observed(resource={**resource, "status": status})
    if not status:
        assert plan_absent(ABSENT, observed, ORDER)
        return
    with pytest.raises(HostedKubernetesError, match="DataStore default does not exist any more; bring the datastore back"):
        plan_absent(ABSENT, observed, ORDER)
    assert plan_absent(replace(ABSENT, keep_data=True), observed, ORDER)


@pytest.mark.parametrize("theirs", [Share("default", "tenants_acme", "other"), Share("default", "other", "tenants_acme")])
def test_data_that_is_that_of_another_tenant_is_not_purged(theirs: Share) -> None:
    shared = replace(ABSENT, neighbours={"tenants/alive": theirs})
    with pytest.raises(HostedKubernetesError, match="is that of TenantControlPlane tenants/alive, which exists"):
        plan_absent(shared, standing(), ORDER)
    forced = plan_absent(replace(shared, keep_data=True), standing(), ORDER)
    assert not [change for change in forced if change.cluster is Cluster.DATASTORE]
    elsewhere = replace(ABSENT, neighbours={"tenants/alive": replace(theirs, store="second")})
    assert [change for change in plan_absent(elsewhere, standing(), ORDER) if change.cluster is Cluster.DATASTORE]


def test_forced_still_purges_what_can_be_purged() -> None:
    forced = plan_absent(replace(ABSENT, keep_data=True), standing(), ORDER)
    assert len([change for change in forced if change.cluster is Cluster.DATASTORE]) == len(ORDER)


def test_where_the_data_is_is_taken_from_what_was_recorded() -> None:
    setup = {"setup": {"schema": "old_schema", "user": "old_user"}, "dataStoreName": "second"}
    resource = {"metadata": {"name": "acme", "namespace": "tenants"}, "status": {"storage": setup}}
    by_name = Absent({"metadata": {"name": "acme", "namespace": "tenants"}})
    assert by_name.located(Observed(resource=resource)).share == Share("second", "old_schema", "old_user")
    assert by_name.located(Observed()).share is None
    assert by_name.located(replace(standing(), resource=None)).share == Share("default", "tenants_acme", "tenants_acme")
