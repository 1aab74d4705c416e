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

    limit: how many; when it is a function, worked out when the first one is taken.
    """

    def __init__(self, limit: int | Callable[[], int]) -> None:
        self._limit = limit
        self._counting = Lock()
        self._changed = Condition()
        self._holders: dict[str, None] = {}

    def take(self, holder: str, deadline: float = math.inf) -> None:
        """Wait for a turn. deadline: on the clock of time.monotonic(). Raises NoTurn when it is over, also when a turn is free."""
        limit = self._counted()
        with self._changed:
            while (left_s := deadline - time.monotonic()) > 0 and len(self._holders) >= limit:
                self._changed.wait(None if math.isinf(left_s) else left_s)
            if left_s <= 0:
                raise NoTurn(limit, tuple(self._holders))
            self._holders[holder] = None

    def give_back(self, holder: str) -> None:
        """Let the next one begin; nothing when the holder has no turn."""
        with self._changed:
            self._holders.pop(holder, None)
            self._changed.notify_all()

    def is_held_by(self, holder: str) -> bool:
        with self._changed:
            return holder in self._holders

    def _counted(self) -> int:
        with self._counting:
            if not isinstance(self._limit, int):
                self._limit = self._limit()
            return self._limit
