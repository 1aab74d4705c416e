# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change for many tenants, in waves: who is in which wave, and after each wave whether the next one may begin. Pure.

Nothing here remembers an earlier run. Who has the change is observed, and the waves follow from all tenants of the roll-out, not from
those that are left: so one that was interrupted goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

_AMOUNT: Final = re.compile(r"(\d+)(%?)")
_COLUMNS: Final = ("tenant", "wave", "version", "installed_version", "phase", "pods", "outcome")
_NAMED: Final = 20


class State(str, Enum):
    """Where one tenant is. CURRENT had the change already, GONE was deleted by somebody while the roll-out went on.

    PAUSED is left alone because somebody said so of this tenant.
    """

    WAITING = "waiting"
    CURRENT = "current"
    DONE = "done"
    FAILED = "failed"
    GONE = "gone"
    PAUSED = "paused"


@dataclass(frozen=True)
class Pace:
    """How a roll-out goes on. canary: how many tenants, or which. wave_size, failure_budget: a number, or a percentage of all tenants."""

    canary: int | tuple[str, ...] = 1
    wave_size: str = "20%"
    failure_budget: str = "0"


@dataclass(frozen=True)
class Wave:
    """Tenants that get the change at the same time. number: from 1; the canaries are the first wave, and have the number 0."""

    number: int
    tenants: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.number) if self.number else "canary"

    @property
    def title(self) -> str:
        """For the beginning of a sentence."""
        return f"{f'wave {self.number}' if self.number else 'canary wave'} ({listed(self.tenants)})"


@dataclass(frozen=True)
class Course:
    """A whole roll-out. budget: how many tenants may fail."""

    waves: tuple[Wave, ...]
    budget: int

    @property
    def tenants(self) -> tuple[str, ...]:
        """All tenants in the order in which they get the change."""
        return tuple(key for wave in self.waves for key in wave.tenants)

    def wave_of(self, tenant: str) -> Wave:
        return next(wave for wave in self.waves if tenant in wave.tenants)


@dataclass(frozen=True)
class Step:
    """What comes next. wave: with the tenants that wait in it, None when nothing is to be done. stopped: why the rest is left alone."""

    wave: Wave | None = None
    stopped: str = ""


def course(tenants: Sequence[str], pace: Pace, paused: Container[str] = ()) -> Course:
    """Divide tenants (namespace/name, in their order) into waves. Raises InvalidError that names the option.

    paused: those that are left alone, which can be no canaries, since they try nothing.
    """
    canaries = _canaries(tenants, pace.canary, paused)
    others = [key for key in tenants if key not in canaries]
    size = _amount("wave_size", pace.wave_size, len(tenants), up=True)
    if size == 0:
        raise InvalidError(f'wave_size "{pace.wave_size}" lets no tenant begin; write at least 1')
    waves = [Wave(0, canaries)] if canaries else []
    for number, first in enumerate(range(0, len(others), size), start=1):
        waves.append(Wave(number, tuple(others[first : first + size])))
    return Course(tuple(waves), _amount("failure_budget", pace.failure_budget, len(tenants), up=False))


def canaries(given: Sequence[str], namespace: str) -> int | tuple[str, ...]:
    """What an option says of the canaries: their number, or their names, to which a namespace may be missing. Nothing is the default."""
    if len(given) == 1 and given[0].isdigit():
        return int(given[0])
    return tenant_keys(given, namespace) or Pace.canary


def tenant_keys(given: Sequence[str], namespace: str) -> tuple[str, ...]:
    """namespace/name of tenants given by these, or by their names alone. Empty texts are none."""
    return tuple(name if "/" in name else f"{namespace}/{name}" for name in given if name)


def next_step(whole: Course, states: Mapping[str, State]) -> Step:
    """Decide what comes next from where every tenant is.

    A canary that fails always stops the roll-out: that is what it is for. Of all tenants no more than the budget may fail.
    """
    failed = [key for key in whole.tenants if states[key] is State.FAILED]
    if any(whole.wave_of(key).number == 0 for key in failed):
        return Step(stopped="a canary failed")
    if len(failed) > whole.budget:
        return Step(stopped=f"{len(failed)} of {len(whole.tenants)} tenants failed, and failure_budget allows {whole.budget}")
    for wave in whole.waves:
        waiting = tuple(key for key in wave.tenants if states[key] is State.WAITING)
        if waiting:
            return Step(replace(wave, tenants=waiting))
    return Step()


def failure(name: str, whole: Course, states: Mapping[str, State], errors: Mapping[str, str], stopped: str) -> str:
    """Say what failed, why, and what was left alone; "" when nothing failed."""
    failed = [key for key in whole.tenants if states[key] is State.FAILED]
    if not failed:
        return ""
    waiting = [key for key in whole.tenants if states[key] is State.WAITING]
    reasons = "; ".join(errors[key] for key in failed)
    if not stopped:
        return f"roll-out {name}: went to its end, but {len(failed)} of {len(whole.tenants)} tenants failed: {reasons}; run it again to try these"
    untouched = f"not touched: {listed(waiting)}" if waiting else "no tenant was left"
    return f"roll-out {name}: stopped, {stopped}: {reasons}; {untouched}; mend what failed and run it again: it goes on from here"


def table(rows: Iterable[Json]) -> list[str]:
    """The rows as aligned lines with a heading, for people; what failed is told below them."""
    rows = list(rows)
    heading = {column: column.replace("_version", "").upper() for column in _COLUMNS}
    widths = {column: max(len(str(row[column])) for row in (heading, *rows)) for column in _COLUMNS}
    lines = ["  ".join(f"{row[column]!s:<{widths[column]}}" for column in _COLUMNS).rstrip() for row in (heading, *rows)]
    return [*lines, *(row["error"] for row in rows if row["error"])]


def soak_problem(before: Json, now: Json | None) -> str | None:
    """Why a tenant's Deployment did not stay ready, None when it did. Scaling up is no trouble, a lost pod is."""
    if now is None:
        return "its Deployment is gone"
    wanted = min(obj["spec"].get("replicas", 1) for obj in (before, now))
    available = (now.get("status") or {}).get("availableReplicas", 0)
    return f"{available} of {wanted} pods are available" if available < wanted else None


def _canaries(tenants: Sequence[str], canary: int | tuple[str, ...], paused: Container[str]) -> tuple[str, ...]:
    if isinstance(canary, int):
        return tuple([key for key in tenants if key not in paused][:canary])
    unknown = [key for key in canary if key not in tenants]
    if unknown:
        raise InvalidError(f"canary {listed(unknown)}: not among the tenants of this roll-out, which are {listed(tenants)}")
    if canary and all(key in paused for key in canary):
        raise InvalidError(f"canary {listed(canary)}: paused, so nothing would be tried; name others, or remove the annotation")
    return tuple(dict.fromkeys(canary))


def _amount(option: str, text: str, total: int, *, up: bool) -> int:
    """A number, or a percentage of all. up: what to do with a part of a tenant."""
    match = _AMOUNT.fullmatch(text)
    if match is None or (match[2] and int(match[1]) > 100):
        raise InvalidError(f'{option} "{text}" is neither a number nor a percentage of the tenants; write it as 5 or 20%')
    number = int(match[1])
    if not match[2]:
        return number
    return -(-number * total // 100) if up else number * total // 100


def listed(keys: Sequence[str]) -> str:
    """Tenants for a sentence; of many only the first."""
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
