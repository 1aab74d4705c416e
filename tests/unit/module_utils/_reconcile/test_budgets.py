# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tenant has a budget, before anything is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.budgets import accounts_of

MIB: Final = 1 << 20
STORES: Final[Mapping[str, Json]] = {
    "plain": {"spec": {"driver": "etcd"}},
    "bounded": {"spec": {"driver": "etcd", "capacity": {"tenantBudget": "2Mi"}}},
    "database": {"spec": {"driver": "PostgreSQL"}},
}


def tenant(store: str, *overrides: str, has_share: bool = True, **spec: Any) -> Json:
    others = [{"resource": f"/r{number}", "dataStore": name} for number, name in enumerate(overrides)]
    status: Json = {"storage": {"dataStoreName": store}} if has_share else {}
    body: Json = {"dataStore": store, "dataStoreOverrides": others, **spec}
    return {"metadata": {"namespace": "tenants", "name": "acme"}, "spec": body, "status": status}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (tenant("plain"), []),
        (tenant("plain", dataStoreBudget="4Mi"), [("plain", 4 * MIB, "")]),
        (tenant("bounded"), [("bounded", 2 * MIB, "")]),
        (tenant("bounded", dataStoreBudget="4Mi"), [("bounded", 4 * MIB, "")]),
        (tenant("bounded", has_share=False), []),
        (tenant("plain", "bounded"), [("bounded", 2 * MIB, "")]),
        (tenant("plain", "bounded", dataStoreBudget="4Mi"), [("plain", 4 * MIB, ""), ("bounded", 4 * MIB, "")]),
        (tenant("database"), []),
        (tenant("database", "plain", dataStoreBudget="4Mi"), [("plain", 4 * MIB, "")]),
        (
            tenant("database", dataStoreBudget="4Mi"),
            [
                (
                    "database",
                    4 * MIB,
                    "DataStore database is of driver PostgreSQL, and budgets are counted in etcd only; remove spec.dataStoreBudget",
                )
            ],
        ),
        (tenant("gone", dataStoreBudget="4Mi"), [("gone", 4 * MIB, "DataStore gone does not exist")]),
        (
            tenant("plain", dataStoreBudget="much"),
            [("plain", None, "its budget is no size; correct spec.dataStoreBudget, or capacity.tenantBudget of its DataStore")],
        ),
    ],
)
def test_where_it_has_a_budget(resource: Json, expected: list[tuple[str, int | None, str]]) -> None:
    found = accounts_of(resource, STORES)
    assert [(item.store, item.budget_bytes, item.error) for item in found] == expected
    assert {item.tenant for item in found} <= {"tenants/acme"}
