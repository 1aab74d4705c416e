# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waves of a roll-out, and what comes next from where every tenant is."""

from __future__ import annotations

from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fleet
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fleet import Course, Pace, State, Step, Wave

TEN: Final = tuple("abcdefghij")
LETTERS: Final = {"w": State.WAITING, "c": State.CURRENT, "d": State.DONE, "f": State.FAILED, "g": State.GONE, "p": State.PAUSED}


@pytest.mark.parametrize(
    ("tenants", "pace", "waves", "budget"),
    [
        (TEN, Pace(), ["canary a", "1 bc", "2 de", "3 fg", "4 hi", "5 j"], 0),
        (TEN, Pace(canary=0, wave_size="50%"), ["1 abcde", "2 fghij"], 0),
        (TEN, Pace(canary=2, wave_size="100%", failure_budget="10%"), ["canary ab", "1 cdefghij"], 1),
        (TEN, Pace(canary=("j", "c"), wave_size="4"), ["canary jc", "1 abde", "2 fghi"], 0),
        (TEN, Pace(canary=("a", "a"), wave_size="9"), ["canary a", "1 bcdefghij"], 0),
        (TEN, Pace(canary=99), ["canary abcdefghij"], 0),
        # A part of a tenant: waves never come to nothing, a budget never allows more than was said.
        (TEN[:3], Pace(canary=0, wave_size="1%", failure_budget="99%"), ["1 a", "2 b", "3 c"], 2),
        (TEN[:1], Pace(failure_budget="5"), ["canary a"], 5),
    ],
)
def test_waves(tenants: tuple[str, ...], pace: Pace, waves: list[str], budget: int) -> None:
    course = fleet.course(tenants, pace)
    assert [f"{wave.name} {''.join(wave.tenants)}" for wave in course.waves] == waves
    assert course.budget == budget
    assert sorted(course.tenants) == sorted(tenants)


@pytest.mark.parametrize(
    ("pace", "message"),
    [
        (Pace(wave_size="0"), 'wave_size "0" lets no tenant begin; write at least 1'),
        (Pace(wave_size="a few"), 'wave_size "a few" is neither a number nor a percentage of the tenants; write it as 5 or 20%'),
        (Pace(wave_size="101%"), 'wave_size "101%" is neither a number nor a percentage of the tenants; write it as 5 or 20%'),
        (Pace(failure_budget="-1"), 'failure_budget "-1" is neither a number nor a percentage of the tenants; write it as 5 or 20%'),
        (Pace(canary=("x", "a", "y")), "canary x, y: not among the tenants of this roll-out, which are a, b, c, d, e, f, g, h, i, j"),
    ],
)
def test_refused(pace: Pace, message: str) -> None:
    with pytest.raises(InvalidError) as failure:
        fleet.course(TEN, pace)
    assert failure.value.msg == message


def test_who_is_left_alone_is_no_canary() -> None:
    assert fleet.course(TEN, Pace(canary=2), {"a", "c"}).waves[0].tenants == ("b", "d")
    assert fleet.course(TEN, Pace(canary=("a", "j")), {"a"}).waves[0].tenants == ("a", "j")
    with pytest.raises(InvalidError, match=r"^canary a, c: paused, so nothing would be tried; name others, or remove the annotation$"):
        fleet.course(TEN, Pace(canary=("a", "c")), {"a", "b", "c"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["3"], 3),
        (["0"], 0),
        ([], 1),
        ([""], 1),
        (["acme"], ("here/acme",)),
        (["acme", "there/blue"], ("here/acme", "there/blue")),
    ],
)
def test_canaries_as_given(given: list[str], expected: int | tuple[str, ...]) -> None:
    assert fleet.canaries(given, "here") == expected


def states(course: Course, letters: str) -> dict[str, State]:
    return dict(zip(course.tenants, (LETTERS[letter] for letter in letters), strict=True))


@pytest.mark.parametrize(
    ("letters", "budget", "expected"),
    [
        # canary ab, waves cd, ef
        ("wwwwww", 0, "ab"),
        ("dwwwww", 0, "b"),
        ("ccwwww", 0, "cd"),
        ("cccccc", 0, ""),
        ("ddddww", 0, "ef"),
        ("dddwdd", 0, "d"),
        ("gdgdcw", 0, "f"),
        ("gggggg", 0, ""),
        # A canary has no budget.
        ("fdwwww", 6, "a canary failed"),
        ("ddfdww", 0, "1 of 6 tenants failed, and failure_budget allows 0"),
        ("ddfdww", 1, "ef"),
        ("ddffww", 1, "2 of 6 tenants failed, and failure_budget allows 1"),
        ("ddffdd", 2, ""),
        ("dddddf", 0, "1 of 6 tenants failed, and failure_budget allows 0"),
    ],
)
def test_next_step(letters: str, budget: int, expected: str) -> None:
    course = fleet.course(TEN[:6], Pace(canary=2, wave_size="2", failure_budget=str(budget)))
    step = fleet.next_step(course, states(course, letters))
    assert ("".join(step.wave.tenants) if step.wave else step.stopped) == expected
    assert not (step.wave and step.stopped)


def test_a_roll_out_that_is_killed_anywhere_goes_on_in_the_same_waves() -> None:
    course = fleet.course(TEN, Pace(wave_size="30%"))
    seen: list[Wave] = []
    now = dict.fromkeys(course.tenants, State.WAITING)
    while wave := fleet.next_step(course, now).wave:
        # One tenant at a time is made, and everything but what can be observed is forgotten.
        seen.append(wave)
        now = {**now, wave.tenants[0]: State.CURRENT}
    assert [(wave.number, wave.tenants[0]) for wave in seen] == [
        (0, "a"), (1, "b"), (1, "c"), (1, "d"), (2, "e"), (2, "f"), (2, "g"), (3, "h"), (3, "i"), (3, "j"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("dddw", ""),
        ("dfww", "roll-out v2: stopped, X: b is broken; not touched: c, d; mend what failed and run it again: it goes on from here"),
        ("dddf", "roll-out v2: stopped, X: d is broken; no tenant was left; mend what failed and run it again: it goes on from here"),
    ],
)
def test_failure(letters: str, expected: str) -> None:
    course = fleet.course(TEN[:4], Pace())
    errors = {key: f"{key} is broken" for key in course.tenants}
    assert fleet.failure("v2", course, states(course, letters), errors, "X") == expected


def test_failure_within_the_budget() -> None:
    course = fleet.course(TEN[:3], Pace(failure_budget="1"))
    text = fleet.failure("v2", course, states(course, "dfd"), {"b": "b is broken"}, "")
    assert text == "roll-out v2: went to its end, but 1 of 3 tenants failed: b is broken; run it again to try these"


def test_many_names_are_cut() -> None:
    assert fleet.listed([str(number) for number in range(22)]).endswith("18, 19 and 2 more")


def test_table() -> None:
    row = {"tenant": "team/a", "wave": "canary", "version": "v1.36.4", "installed_version": "v1.36.3", "phase": "Upgrading"}
    rows = [{**row, "pods": "pending", "outcome": "failed", "error": "why"}, {**row, "pods": "current", "outcome": "waiting", "error": ""}]
    assert fleet.table(rows) == [
        "TENANT  WAVE    VERSION  INSTALLED  PHASE      PODS     OUTCOME",
        "team/a  canary  v1.36.4  v1.36.3    Upgrading  pending  failed",
        "team/a  canary  v1.36.4  v1.36.3    Upgrading  current  waiting",
        "why",
    ]


def deployment(replicas: int, available: int) -> Json:
    return {"spec": {"replicas": replicas}, "status": {"availableReplicas": available}}


@pytest.mark.parametrize(
    ("before", "now", "problem"),
    [
        (deployment(2, 2), deployment(2, 2), None),
        (deployment(2, 2), deployment(2, 1), "1 of 2 pods are available"),
        (deployment(2, 2), {"spec": {"replicas": 2}, "status": {}}, "0 of 2 pods are available"),
        (deployment(2, 2), deployment(3, 2), None),
        (deployment(2, 2), deployment(3, 1), "1 of 2 pods are available"),
        (deployment(2, 2), deployment(1, 1), None),
        (deployment(2, 2), deployment(0, 0), None),
        (deployment(2, 2), None, "its Deployment is gone"),
    ],
)
def test_soak(before: Json, now: Json | None, problem: str | None) -> None:
    assert fleet.soak_problem(before, now) == problem


def test_a_wave_is_named() -> None:
    assert [Wave(0, ("a", "b")).title, Wave(3, ("c",)).title] == ["canary wave (a, b)", "wave 3 (c)"]
    assert fleet.next_step(Course((), 0), {}) == Step()
