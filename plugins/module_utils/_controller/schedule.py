# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be looked at, and when. Pure: the time is an argument.

A key stands in it once: of two times the earlier counts. Whoever takes a key has it alone until it is done; what becomes due meanwhile waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Schedule(Generic[Key]):
    """Not safe to use from several threads; see WorkQueue. Times are seconds on any clock that does not go back."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._busy: set[Key] = set()
        self._order = itertools.count()

    def add(self, key: Key, at: float) -> None:
        """Note when a key is due; nothing when it is due earlier already."""
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        if key not in self._busy:
            self._push(key)

    def take(self, now: float) -> Key | None:
        """The key that has been due for longest, for the caller alone; None when none is due."""
        while self._heap and self._heap[0][0] <= now:
            at, _order, key = heapq.heappop(self._heap)
            if self._is_current(at, key):
                del self._due[key]
                self._busy.add(key)
                return key
        return None

    def done(self, key: Key) -> None:
        """Give a key back that was taken."""
        self._busy.discard(key)
        if key in self._due:
            self._push(key)

    def next_at(self) -> float | None:
        """When the next key that nobody has is due; None when there is none."""
        while self._heap and not self._is_current(self._heap[0][0], self._heap[0][2]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def depth(self, now: float) -> int:
        """How many keys are due and wait to be taken."""
        return sum(at <= now for at in self._due.values())

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a key."""
        return not self._busy

    def _push(self, key: Key) -> None:
        heapq.heappush(self._heap, (self._due[key], next(self._order), key))

    def _is_current(self, at: float, key: Key) -> bool:
        return key not in self._busy and self._due.get(key) == at
