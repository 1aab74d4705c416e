# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps give an etcd its space back, and when it must not be touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE, Alarm, Member, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.recovery import plan, refuse

MIB = 1 << 20
FULL = (Alarm(NOSPACE, "a"),)


def member(name: str, size_mib: int, in_use_mib: int | None, *, leader: bool = False) -> Member:
    return Member(f"{name}:2379", name, "3.6.8", leader, size_mib * MIB, None, 1.0, None if in_use_mib is None else in_use_mib * MIB)


def probe(*members: Member, alarms: tuple[Alarm, ...] = ()) -> Probe:
    return Probe("3.6.8", 1.0, max(item.db_size_bytes for item in members), 2048 * MIB, members, alarms=alarms)


def steps(found: Probe) -> list[str]:
    return [f"{step.action} {step.endpoint}".rstrip() for step in plan(found)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([member("a", 100, 99, leader=True)], []),
        ([member("a", 100, 76)], []),
        ([member("a", 100, 75)], ["defragment a:2379"]),
        # A small file is not worth it, whatever is free in it.
        ([member("a", 4, 1)], []),
        ([member("a", 100, None)], []),
        ([member("a", 100, 10, leader=True), member("b", 100, 10), member("c", 100, 90)], ["defragment b:2379", "defragment a:2379"]),
    ],
)
def test_of_a_store_that_is_not_full_only_fragmented_members_have_their_turn(members: list[Member], expected: list[str]) -> None:
    assert steps(probe(*members)) == expected


def test_of_a_full_store_all_members_have_their_turn_the_leader_last() -> None:
    found = probe(member("a", 100, 100, leader=True), member("c", 100, 100), member("b", 100, 100), alarms=FULL)
    assert steps(found) == ["compact", "defragment b:2379", "defragment c:2379", "defragment a:2379", "disarm"]


def test_a_reason_says_what_is_free() -> None:
    (step,) = plan(probe(member("a", 100, 25)))
    assert step.reason == "75 MiB of its 100 MiB are free pages"


def test_a_store_with_a_member_away_is_not_touched() -> None:
    found = probe(member("a", 100, 10), replace(member("b", 100, 10), error="does not accept a connection"))
    with pytest.raises(
        DatastoreError, match=r"DataStore s: not all members answer \(b:2379 does not accept a connection\).*bring them back"
    ):
        refuse("s", found)


def test_a_store_with_a_corrupt_member_is_not_touched() -> None:
    with pytest.raises(DatastoreError, match="a member has the alarm CORRUPT; replace that member first"):
        refuse("s", probe(member("a", 100, 10), alarms=(Alarm(CORRUPT, "a"),)))
    refuse("s", probe(member("a", 100, 10), alarms=FULL))
