# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key is there once, the earlier time counts, and one worker has it at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.schedule import Schedule


@pytest.mark.parametrize(
    ("added", "now", "taken"),
    [
        ([("a", 5)], 4, None),
        ([("a", 5)], 5, "a"),
        ([("a", 5), ("a", 9)], 5, "a"),
        ([("a", 9), ("a", 5)], 5, "a"),
        ([("a", 2), ("b", 1)], 5, "b"),
        # As long due as each other: in the order in which they came.
        ([("b", 1), ("a", 1)], 5, "b"),
        ([], 5, None),
    ],
)
def test_what_is_taken_first(added: Sequence[tuple[str, float]], now: float, taken: str | None) -> None:
    schedule: Schedule[str] = Schedule()
    for key, at in added:
        schedule.add(key, at)
    assert schedule.take(now) == taken


def test_a_key_that_is_added_often_is_taken_once() -> None:
    schedule: Schedule[str] = Schedule()
    for at in (3, 1, 2):
        schedule.add("a", at)
    assert [schedule.take(9), schedule.take(9)] == ["a", None]


def test_who_has_a_key_has_it_alone() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    assert schedule.take(1) == "a"
    schedule.add("a", 2)
    schedule.add("b", 3)
    assert schedule.next_at() == 3
    assert [schedule.take(9), schedule.take(9)] == ["b", None]
    schedule.done("a")
    assert schedule.take(9) == "a"


def test_a_later_time_that_was_overtaken_does_not_count_any_more() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 100)
    schedule.add("a", 1)
    assert schedule.take(1) == "a"
    schedule.done("a")
    assert schedule.next_at() is None
    assert schedule.take(200) is None


def test_what_is_due_and_who_is_busy() -> None:
    schedule: Schedule[str] = Schedule()
    for number, key in enumerate("abc"):
        schedule.add(key, number)
    assert schedule.depth(1) == 2
    assert schedule.take(1) == "a"
    assert schedule.depth(1) == 1
    idle = [schedule.is_idle]
    schedule.done("a")
    assert [*idle, schedule.is_idle] == [False, True]


def test_who_was_slow_stands_in_a_line_of_its_own_until_it_is_quick_again() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    assert schedule.take(1) == "a"
    schedule.add("a", 2)
    schedule.done("a", slow=True)
    schedule.add("b", 3)
    assert (schedule.next_at(), schedule.next_at(slow=True)) == (3, 2)
    assert (schedule.take(9), schedule.take(9)) == ("b", None)
    assert schedule.take(9, slow=True) == "a"
    schedule.done("a")
    schedule.add("a", 4)
    assert schedule.take(9, slow=True) is None
    assert schedule.take(9) == "a"
