# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.slots import NoTurn, Slots


def test_who_waits_in_vain_learns_whom_for() -> None:
    slots = Slots(2)
    slots.take("a")
    slots.take("b")
    with pytest.raises(NoTurn) as failure:
        slots.take("c", time.monotonic() + 0.01)
    assert (failure.value.limit, failure.value.holders) == (2, ("a", "b"))
    assert not slots.is_held_by("c")


def test_a_turn_given_back_goes_to_who_waits() -> None:
    slots = Slots(1)
    slots.take("a")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slots.take, "b", time.monotonic() + 30)
        slots.give_back("a")
        waiting.result(timeout=30)
    assert slots.is_held_by("b")
    slots.give_back("a")
    assert slots.is_held_by("b")


def test_no_turn_begins_after_the_deadline() -> None:
    slots = Slots(1)
    with pytest.raises(NoTurn):
        slots.take("a", time.monotonic())


def test_the_number_is_worked_out_once_and_when_it_is_needed() -> None:
    asked: list[int] = []

    def limit() -> int:
        asked.append(1)
        return 2

    slots = Slots(limit)
    assert asked == []
    slots.take("a")
    slots.take("b")
    assert asked == [1]


def test_a_turn_is_tried_for_without_waiting() -> None:
    slots = Slots(1)
    slots.try_take("a")
    slots.try_take("a")
    with pytest.raises(NoTurn) as failure:
        slots.try_take("b")
    assert failure.value.holders == ("a",)
    slots.give_back("a")
    slots.try_take("b")
    assert slots.is_held_by("b")


def test_who_gives_a_turn_back_is_told_of() -> None:
    freed: list[int] = []
    slots = Slots(1, freed=lambda: freed.append(1))
    slots.try_take("a")
    slots.give_back("b")
    assert freed == []
    slots.give_back("a")
    slots.give_back("a")
    assert freed == [1]


def test_turns_that_nobody_gives_back_end_and_their_number_is_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now, limits = [100.0], [1, 2]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    slots = Slots(lambda: limits.pop(0), hold_s=60)
    slots.try_take("a")
    now[0] += 59
    with pytest.raises(NoTurn):
        slots.try_take("b")
    now[0] += 2
    slots.try_take("b")
    slots.try_take("c")
    assert [slots.is_held_by(name) for name in "abc"] == [False, True, True]
    assert limits == []
