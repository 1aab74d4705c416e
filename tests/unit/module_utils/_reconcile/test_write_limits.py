# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a tenant whose data was measured: record, policy, and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import (
    BINDING,
    POLICY,
    write_permissions,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import write_limits
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan as plan_tenant
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import NOW, complete, desired, live

WITHIN: Final = DataBudget("default", 1 << 20, 12, limited=False)
OVER: Final = DataBudget("default", 1 << 20, 104, limited=True)
RECORD: Final = ("management", "TenantControlPlane", "patch")


def seen(*budgets: DataBudget, inside: list[Json] | None = None, **spec: Any) -> tuple[Desired, Observed]:
    """A tenant that is Ready, with what its status says of budgets and these objects inside; None: it was not looked at."""
    wanted = desired(manage_resource=False, **spec)
    status = {
        "hosted": {"dataStoreBudgets": data_budget.to_status(budgets)},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "kubernetesResources": {"version": {"status": "WriteLimited" if data_budget.is_limited(budgets) else "Ready"}},
    }
    found = Observed(resource={**wanted.tenant.manifest(), "status": status})
    found = replace(found, resource={**(found.resource or {}), "status": noted(wanted, found, *budgets)})
    objects = None if inside is None else {ObjectRef.of(body): live(body) for body in inside}
    return wanted, replace(found, tenant=objects)


def noted(wanted: Desired, observed: Observed, *budgets: DataBudget) -> Json:
    """The status once its patch was applied; the patch holds whole values only."""
    patch = write_limits.status_patch(replace(wanted, budgets=budgets), observed.status, NOW)
    hosted = {**observed.status["hosted"], **patch.get("hosted", {})}
    result: Json = {**observed.status, **patch, "hosted": {key: value for key, value in hosted.items() if value is not None}}
    return result


def steps(wanted: Desired, observed: Observed, *budgets: DataBudget) -> list[tuple[str, str, str]]:
    changes = write_limits.plan(replace(wanted, budgets=budgets), observed, NOW + timedelta(hours=1))
    return [(item.cluster.value, item.object.kind, item.action.value) for item in changes]


def policies(action: str) -> list[tuple[str, str, str]]:
    return [("tenant", kind, action) for kind in (POLICY.kind, BINDING.kind)]


def over(wanted: Desired) -> list[Json]:
    return write_permissions(wanted.tenant, over_budget=True)


def test_nothing_to_do() -> None:
    assert steps(*seen(WITHIN, inside=[]), WITHIN) == []
    assert steps(*seen(OVER, inside=over(desired())), OVER) == []
    assert steps(*seen(inside=[])) == []


def test_a_limit_is_recorded_before_it_is_set() -> None:
    assert steps(*seen(WITHIN, inside=[]), OVER) == [RECORD, *policies("create")]


def test_and_lifted_before_that_is_recorded() -> None:
    lifted = steps(*seen(OVER, inside=over(desired())), WITHIN)
    assert lifted == [*reversed(policies("delete")), RECORD]


def test_a_run_that_was_killed_is_ended() -> None:
    assert steps(*seen(OVER, inside=[]), OVER) == policies("create")
    assert steps(*seen(OVER, inside=[]), WITHIN) == [RECORD]


def test_what_a_tenant_took_away_is_made_again() -> None:
    policy, _binding = over(desired())
    assert steps(*seen(OVER, inside=[policy]), OVER) == [("tenant", BINDING.kind, "create")]


def test_a_tenant_that_was_not_looked_at_has_its_record() -> None:
    assert steps(*seen(WITHIN), OVER) == [RECORD]


def test_a_limit_that_cannot_be_lifted_now_stays_recorded() -> None:
    assert steps(*seen(OVER), WITHIN) == []
    assert steps(*seen(OVER)) == []
    assert steps(*seen(OVER, controlPlane__deployment__replicas=0), WITHIN) == [RECORD]


def test_what_the_definition_limits_stays() -> None:
    spec: Json = {"writePermissions": {"blockDeletion": True}}
    own = write_permissions(desired(**spec).tenant)
    assert steps(*seen(WITHIN, inside=own, **spec), OVER) == [RECORD, ("tenant", POLICY.kind, "patch")]
    assert steps(*seen(OVER, inside=over(desired(**spec)), **spec), WITHIN) == [("tenant", POLICY.kind, "patch"), RECORD]
    (policy, _binding) = over(desired(**spec))
    operations = {item for rule in policy["spec"]["matchConstraints"]["resourceRules"] for item in rule["operations"]}
    assert operations == {"CREATE", "UPDATE", "DELETE"}


def test_a_budget_that_is_taken_away_takes_its_record_along() -> None:
    wanted, observed = seen(OVER, inside=over(desired()))
    assert steps(wanted, observed)[-1] == RECORD
    status = noted(wanted, observed)
    assert "dataStoreBudgets" not in status["hosted"]
    assert [item["type"] for item in status["conditions"]] == ["Ready"]
    assert status["kubernetesResources"]["version"]["status"] == "Ready"


@pytest.mark.parametrize(
    ("phase", "budget", "spec", "expected"),
    [
        ("Ready", OVER, {}, "WriteLimited"),
        ("WriteLimited", WITHIN, {}, "Ready"),
        ("WriteLimited", WITHIN, {"writePermissions": {"blockUpdate": True}}, "WriteLimited"),
        ("Sleeping", OVER, {}, "Sleeping"),
        ("NotReady", WITHIN, {}, "NotReady"),
    ],
)
def test_the_phase_follows(phase: str, budget: DataBudget, spec: Any, expected: str) -> None:
    status = {"kubernetesResources": {"version": {"status": phase}}}
    patch = write_limits.status_patch(replace(desired(**spec), budgets=(budget,)), status, NOW)
    assert patch.get("kubernetesResources", {}).get("version", {}).get("status", phase) == expected


def test_the_condition_keeps_its_time() -> None:
    wanted, observed = seen(OVER)
    again = write_limits.status_patch(replace(wanted, budgets=(replace(OVER, used_percent=130),)), observed.status, NOW + timedelta(days=1))
    (found,) = [item for item in again["conditions"] if item["type"] == data_budget.CONDITION]
    assert found["lastTransitionTime"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "130 %" in found["message"]


def test_the_engine_keeps_what_was_recorded() -> None:
    """Its own runs neither drop a limit nor need to measure: they plan from the record, and a policy that is gone comes back."""
    wanted, observed = complete()
    assert list(plan_tenant(wanted, observed, NOW)) == []
    resource = observed.resource or {}
    observed = replace(
        observed,
        resource={
            **resource,
            "status": {
                **resource["status"],
                "hosted": {**resource["status"]["hosted"], "dataStoreBudgets": data_budget.to_status((OVER,))},
            },
        },
    )
    changes = plan_tenant(wanted, observed, NOW)
    assert [(item.object, item.action.value) for item in changes] == [(POLICY, "create"), (BINDING, "create")]
