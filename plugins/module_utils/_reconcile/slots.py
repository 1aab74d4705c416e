# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns for the tenants of one call: only so many do the same costly thing at a time, and who waits learns whom for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Condition, Lock

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class NoTurn(HostedKubernetesError):
    """The time is over. limit: how many turns there are; holders: who had them."""

    def __init__(self, limit: int, holders: tuple[str, ...]) -> None:
        super().__init__(f"no turn of {limit} was free in time; they were taken by {', '.join(holders) or 'nobody'}")
        self.limit, self.holders = limit, holders


class Slots:
    """A limited number of turns, held by name. Safe to use from many threads.

    limit: how many; when it is a function, worked out when the first one is taken, and again when that is longer ago than hold_s.
    hold_s: a turn that nobody gave back ends after so many seconds. freed: is called when one was given back.
    """

    def __init__(self, limit: int | Callable[[], int], *, hold_s: float = math.inf, freed: Callable[[], None] = lambda: None) -> None:
        self._limit, self._hold_s, self._freed = limit, hold_s, freed
        self._counted: tuple[int, float] | None = None
        self._counting = Lock()
        self._changed = Condition()
        self._holders: dict[str, float] = {}

    def take(self, holder: str, deadline: float = math.inf) -> None:
        """Wait for a turn. deadline: on the clock of time.monotonic(). Raises NoTurn when it is over, also when a turn is free."""
        limit = self._count()
        with self._changed:
            while (left_s := deadline - time.monotonic()) > 0 and len(self._holders) >= limit:
                self._changed.wait(None if math.isinf(left_s) else left_s)
            if left_s <= 0:
                raise NoTurn(limit, tuple(self._holders))
            self._holders[holder] = time.monotonic()

    def try_take(self, holder: str) -> None:
        """Take a turn that is free, without waiting; one that the holder has already is its own. Raises NoTurn when all are taken."""
        limit = self._count()
        with self._changed:
            ended = time.monotonic() - self._hold_s
            self._holders = {name: since for name, since in self._holders.items() if since > ended}
            if holder not in self._holders and len(self._holders) >= limit:
                raise NoTurn(limit, tuple(self._holders))
            self._holders.setdefault(holder, time.monotonic())

    def give_back(self, holder: str) -> None:
        """Let the next one begin; nothing when the holder has no turn."""
        with self._changed:
            was_held = self._holders.pop(holder, None) is not None
            self._changed.notify_all()
        if was_held:
            self._freed()

    def is_held_by(self, holder: str) -> bool:
        with self._changed:
            return holder in self._holders

    def _count(self) -> int:
        with self._counting:
            if isinstance(self._limit, int):
                return self._limit
            if self._counted is None or time.monotonic() > self._counted[1] + self._hold_s:
                self._counted = self._limit(), time.monotonic()
            return self._counted[0]
