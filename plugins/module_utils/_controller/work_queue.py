# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of what changed, for a number of workers: each key once, one worker at a time, now or later."""

from __future__ import annotations

import time
from threading import Condition
from typing import Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.schedule import Schedule

GENERATORS: Final = "KubeconfigGenerator"


class Key(NamedTuple):
    """What is reconciled at a time: one tenant, one DataStore, or (without a name) all KubeconfigGenerators."""

    kind: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.namespace, self.name) if part) or "all"


class WorkQueue:
    """Safe to use from many threads. Closed at first."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._schedule: Schedule[Key] = Schedule()
        self._closed = True

    def open(self) -> None:
        """Take keys from now on. There must be no worker left from before."""
        with self._changed:
            self._schedule, self._closed = Schedule(), False

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Have a key looked at after so many seconds at the latest; nothing while it is closed."""
        with self._changed:
            if not self._closed:
                self._schedule.add(key, time.monotonic() + after_s)
                self._changed.notify_all()

    def take(self, *, slow: bool = False) -> Key | None:
        """Wait for a key, one of those that took long last time or of the others; None when the queue was closed. Give it back with done()."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                key = self._schedule.take(now, slow=slow)
                if key is not None:
                    return key
                due = self._schedule.next_at(slow=slow)
                self._changed.wait(None if due is None else due - now)
            return None

    def done(self, key: Key, again_after_s: float | None = None, *, slow: bool = False) -> None:
        """A key was dealt with; look at it again after so many seconds, or as soon as something changed meanwhile. slow: it took long."""
        with self._changed:
            if again_after_s is not None:
                self._schedule.add(key, time.monotonic() + again_after_s)
            self._schedule.done(key, slow=slow)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody gets a key any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        with self._changed:
            return self._schedule.depth(time.monotonic())

    @property
    def is_idle(self) -> bool:
        """Whether no key is due and nobody has one."""
        with self._changed:
            return self._schedule.is_idle and not self._schedule.depth(time.monotonic())
