# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses grow to a bound, are of each key, and are spread."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread


def test_pauses_double_up_to_the_longest_one() -> None:
    backoff = Backoff(0.5, 3, chance=lambda: 0.5)
    assert [backoff.next_s("a") for _try in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.next_s("b") == 0.5
    assert (backoff.tries("a"), backoff.tries("b"), backoff.tries("c")) == (5, 1, 0)
    backoff.reset("a")
    assert backoff.next_s("a") == 0.5


def test_a_key_that_fails_for_ever_has_the_longest_pause_for_ever() -> None:
    backoff = Backoff(1, 60, chance=lambda: 0.5)
    assert max(backoff.next_s("a") for _try in range(3000)) == 60


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_chance_spreads_by_a_fifth(chance: float, seconds: float) -> None:
    assert spread(10.0, lambda: chance) == pytest.approx(seconds)
