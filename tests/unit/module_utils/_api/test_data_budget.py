# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Budgets: whose counts, what follows from a measurement, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget

MIB = 1 << 20


def found(percent: int, *, limited: bool = False, budget: int = 100 * MIB) -> DataBudget:
    return DataBudget("default", budget, percent, limited)


@pytest.mark.parametrize(
    ("tenant", "store", "expected"),
    [
        ({}, {}, None),
        ({}, {"capacity": {"tenants": 3}}, None),
        ({}, {"capacity": {"tenantBudget": "2Mi"}}, 2 * MIB),
        ({"dataStoreBudget": "1Gi"}, {"capacity": {"tenantBudget": "2Mi"}}, 1024 * MIB),
        ({"dataStoreBudget": 3_000_000}, {}, 3_000_000),
    ],
)
def test_whose_budget(tenant: Any, store: Any, expected: int | None) -> None:
    assert data_budget.budget_bytes(tenant, store) == expected


@pytest.mark.parametrize("value", ["1Mi", "512Mi", "1e9", 1 << 20])
def test_budgets(value: Any) -> None:
    assert data_budget.problem(value) is None


@pytest.mark.parametrize("value", ["1000k", "0", "-1Gi", "much", "", True, 5, "2000000000000m"])
def test_no_budgets(value: Any) -> None:
    assert data_budget.problem(value) == "is no budget; write a size of 1Mi or more, for example 512Mi"


@pytest.mark.parametrize(
    ("before", "used", "state"),
    [
        (None, 0, "WithinBudget"),
        (None, 79.9, "WithinBudget"),
        (None, 80, "NearlyUsedUp"),
        (None, 99.9, "NearlyUsedUp"),
        (None, 100, "UsedUp"),
        (None, 250, "UsedUp"),
        # Not lifted before it is clearly below.
        (found(104, limited=True), 99, "UsedUp"),
        (found(104, limited=True), 90, "UsedUp"),
        (found(104, limited=True), 89.9, "NearlyUsedUp"),
        (found(104, limited=True), 3, "WithinBudget"),
        (found(95), 97, "NearlyUsedUp"),
        # A larger budget counts at once.
        (found(104, limited=True, budget=50 * MIB), 52, "WithinBudget"),
    ],
)
def test_what_follows_from_a_measurement(before: DataBudget | None, used: float, state: str) -> None:
    judged = data_budget.judge("default", 100 * MIB, int(used * MIB), before)
    assert judged.state == state
    assert judged.limited is (state == "UsedUp")
    assert judged.budget_bytes == 100 * MIB


@pytest.mark.parametrize(
    ("before", "used", "news"),
    [
        (found(40), 44, False),
        (found(40), 45, True),
        (found(40), 35, True),
        (found(79), 80, True),
        (found(104, limited=True), 101, False),
        (found(40, budget=99 * MIB), 40, True),
    ],
)
def test_little_differences_are_no_news(before: DataBudget, used: int, news: bool) -> None:
    assert (data_budget.judge("default", 100 * MIB, used * MIB, before) != before) is news


def test_the_record_comes_back() -> None:
    budgets = (found(104, limited=True), DataBudget("events", 2 * MIB, 3, limited=False))
    assert data_budget.recorded({"hosted": {"dataStoreBudgets": data_budget.to_status(budgets)}}) == budgets
    assert data_budget.recorded({}) == ()
    assert data_budget.to_status(()) is None


def test_the_condition_says_usage_budget_and_what_to_do() -> None:
    assert data_budget.condition(()) is None
    assert data_budget.condition([found(12)]) == (
        True,
        "WithinBudget",
        "12 % of the budget of 100 MiB in DataStore default is used",
    )
    assert data_budget.condition([found(83)]) == (
        False,
        "NearlyUsedUp",
        "83 % of the budget of 100 MiB in DataStore default is used; delete what is not needed, or raise spec.dataStoreBudget",
    )
    assert data_budget.condition([DataBudget("events", MIB, 95, limited=False), found(91, limited=True)]) == (
        False,
        "UsedUp",
        (
            "95 % of the budget of 1 MiB in DataStore events is used; delete what is not needed, or raise spec.dataStoreBudget; "
            "91 % of the budget of 100 MiB in DataStore default is used: new objects and changes are refused inside the tenant until it is less than "
            "90 %; delete what is not needed, or raise spec.dataStoreBudget"
        ),
    )
