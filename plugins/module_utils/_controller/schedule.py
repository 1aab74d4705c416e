# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be looked at, and when. Pure: the time is an argument.

A key stands in it once: of two times the earlier counts. Whoever takes a key has it alone until it is done; what becomes due meanwhile waits.
Keys whose turns have proven slow stand in a line of their own, so that those who serve the others never wait for them.
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
        # By whether they are slow.
        self._heaps: dict[bool, list[tuple[float, int, Key]]] = {False: [], True: []}
        self._slow: set[Key] = set()
        self._busy: set[Key] = set()
        self._order = itertools.count()

    def add(self, key: Key, at: float) -> None:
        """Note when a key is due; nothing when it is due earlier already."""
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        if key not in self._busy:
            self._push(key)

    def take(self, now: float, *, slow: bool = False) -> Key | None:
        """The key of one line that has been due for longest, for the caller alone; None when none is due."""
        heap = self._heaps[slow]
        while heap and heap[0][0] <= now:
            at, _order, key = heapq.heappop(heap)
            if self._is_current(at, key):
                del self._due[key]
                self._busy.add(key)
                return key
        return None

    def done(self, key: Key, *, slow: bool = False) -> None:
        """Give a key back that was taken. slow: in which line it stands from now on."""
        self._busy.discard(key)
        (self._slow.add if slow else self._slow.discard)(key)
        if key in self._due:
            self._push(key)

    def next_at(self, *, slow: bool = False) -> float | None:
        """When the next key of one line that nobody has is due; None when there is none."""
        heap = self._heaps[slow]
        while heap and not self._is_current(heap[0][0], heap[0][2]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def depth(self, now: float) -> int:
        """How many keys are due and wait to be taken."""
        return sum(at <= now for at in self._due.values())

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a key."""
        return not self._busy

    def _push(self, key: Key) -> None:
        heapq.heappush(self._heaps[key in self._slow], (self._due[key], next(self._order), key))

    def _is_current(self, at: float, key: Key) -> bool:
        return key not in self._busy and self._due.get(key) == at
