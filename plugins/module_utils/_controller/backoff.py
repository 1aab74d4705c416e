# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to wait before the next try: longer each time, never the same for all. Pure but for chance, which is given."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

_JITTER: Final = 0.2
_MOST_DOUBLINGS: Final = 30


class Backoff:
    """Tries of each key. base_s: the first pause; cap_s: the longest, before chance makes it up to a fifth shorter or longer.

    chance: returns numbers from 0 to 1.
    """

    def __init__(self, base_s: float, cap_s: float, chance: Callable[[], float] = random.random) -> None:
        self._base_s, self._cap_s, self._chance = base_s, cap_s, chance
        self._tries: Counter[Hashable] = Counter()

    def next_s(self, key: Hashable) -> float:
        """Count one more try and return the pause after it, seconds."""
        self._tries[key] += 1
        return spread(min(self._cap_s, self._base_s * 2.0 ** min(self._tries[key] - 1, _MOST_DOUBLINGS)), self._chance)

    def tries(self, key: Hashable) -> int:
        return self._tries[key]

    def reset(self, key: Hashable) -> None:
        self._tries.pop(key, None)


def spread(seconds: float, chance: Callable[[], float] = random.random) -> float:
    """About as many seconds, so that what began at the same time does not go on so."""
    return seconds * (1 - _JITTER + 2 * _JITTER * chance())
