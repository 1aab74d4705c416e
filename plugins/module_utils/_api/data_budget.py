# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a shared etcd one tenant may fill, and what follows from how much it does. Pure.

Counted are the keys and values that exist now. Their history and free pages are the store's own matter: compaction and defragmentation
give them back, whoever made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import bytes_text, parse_bytes
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

CONDITION: Final = "WithinBudget"
"""The condition of a TenantControlPlane that has a budget; false from NEARLY on."""
NEARLY: Final = 80
"""The percentage of a budget from which on it is called nearly used up."""
USED_UP: Final = 100
"""The percentage from which on writing is limited."""
LIFTED: Final = 90
"""The percentage below which writing is free again: who frees a little is not locked out again by the next few objects."""
SMALLEST: Final = 1 << 20
"""Bytes. What an empty cluster holds is about half of that, so a smaller budget could never be kept."""

# A difference of so many points is no news, so that a tenant at work does not get a new status with each look.
_NEWS: Final = 5


@dataclass(frozen=True)
class DataBudget:
    """What was found of one tenant in one DataStore. limited: whether writing is refused inside the tenant because of it."""

    store: str
    budget_bytes: int
    used_percent: int
    limited: bool

    @property
    def state(self) -> str:
        """WithinBudget, NearlyUsedUp or UsedUp."""
        if self.limited:
            return "UsedUp"
        return "NearlyUsedUp" if self.used_percent >= NEARLY else CONDITION

    def to_status(self) -> Json:
        return {
            "dataStore": self.store,
            "budgetBytes": self.budget_bytes,
            "usedPercent": self.used_percent,
            "writeLimited": self.limited,
        }


def budget_bytes(tenant_spec: Json, store_spec: Json) -> int | None:
    """The budget of a tenant in one DataStore: its own, else that of the store; None when there is none. Both specs are valid ones."""
    own, default = tenant_spec.get("dataStoreBudget"), (store_spec.get("capacity") or {}).get("tenantBudget")
    wanted = own if own is not None else default
    return None if wanted is None else parse_bytes(wanted)


def problem(value: Any) -> str | None:
    """Why a value is no budget, as the end of a sentence that begins with its field; None when it is one."""
    try:
        if not isinstance(value, bool) and parse_bytes(value) >= SMALLEST:
            return None
    except ValueError:
        pass
    return "is no budget; write a size of 1Mi or more, for example 512Mi"


def judge(store: str, budget: int, size_bytes: int, before: DataBudget | None) -> DataBudget:
    """What follows from a measurement. before: what was found last."""
    percent = 100 * size_bytes // budget
    was_limited = before is not None and before.limited
    found = DataBudget(store, budget, percent, percent >= USED_UP or (was_limited and percent >= LIFTED))
    return before if before is not None and _is_no_news(before, found) else found


def _is_no_news(before: DataBudget, found: DataBudget) -> bool:
    same = (before.budget_bytes, before.state) == (found.budget_bytes, found.state)
    return same and abs(before.used_percent - found.used_percent) < _NEWS


def recorded(status: Json) -> tuple[DataBudget, ...]:
    """What the status of a TenantControlPlane says was found last."""
    entries = (status.get("hosted") or {}).get("dataStoreBudgets") or ()
    return tuple(DataBudget(item["dataStore"], item["budgetBytes"], item["usedPercent"], item["writeLimited"]) for item in entries)


def to_status(budgets: Iterable[DataBudget]) -> list[Json] | None:
    """The record in the status; None when there is no budget."""
    return [item.to_status() for item in budgets] or None


def is_limited(budgets: Iterable[DataBudget]) -> bool:
    """Whether writing is refused inside the tenant."""
    return any(item.limited for item in budgets)


def condition(budgets: Sequence[DataBudget]) -> tuple[bool, str, str] | None:
    """Whether all budgets are kept, the reason in one word, and a message that says what to do; None when there is no budget."""
    if not budgets:
        return None
    worst = max(budgets, key=lambda item: (item.limited, item.used_percent))
    return worst.state == CONDITION, worst.state, "; ".join(_text(item) for item in budgets)


def _text(item: DataBudget) -> str:
    used = f"{item.used_percent} % of the budget of {bytes_text(item.budget_bytes)} in DataStore {item.store} is used"
    remedy = "delete what is not needed, or raise spec.dataStoreBudget"
    if item.limited:
        return f"{used}: new objects and changes are refused inside the tenant until it is less than {LIFTED} %; {remedy}"
    return f"{used}; {remedy}" if item.used_percent >= NEARLY else used
