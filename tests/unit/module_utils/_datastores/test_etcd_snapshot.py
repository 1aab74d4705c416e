# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which member gives a snapshot, and how it is proven to be whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE, Alarm, Member, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_snapshot import BrokenSnapshotError, candidates, checked

CONTENT: Final = bytes(range(256)) * 40
WHOLE: Final = CONTENT + hashlib.sha256(CONTENT).digest()


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 31, 32, 33, 4096, len(WHOLE) - 1, len(WHOLE)])
def test_a_whole_one_is_passed_on_as_it_is(size: int) -> None:
    assert b"".join(checked(pieces(WHOLE, size))) == WHOLE
    assert b"".join(checked([b"", *pieces(WHOLE, size), b""])) == WHOLE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ended before its checksum"),
        (WHOLE[:31], "ended before its checksum"),
        (CONTENT, "does not match its checksum"),
        (WHOLE[:-1], "does not match its checksum"),
        (WHOLE[1:], "does not match its checksum"),
        (b"x" + WHOLE[1:], "does not match its checksum"),
        (WHOLE[:-1] + b"x", "does not match its checksum"),
    ],
)
@pytest.mark.parametrize("size", [7, 4096])
def test_a_broken_one_is_an_error_at_its_end(content: bytes, message: str, size: int) -> None:
    with pytest.raises(BrokenSnapshotError, match=message):
        list(checked(pieces(content, size)))


def probe(members: Sequence[Member], *alarms: Alarm) -> Probe:
    return Probe("3.6.8", 1.0, 1, None, tuple(members), alarms=alarms)


def member(name: str, *, leader: bool = False, error: str | None = None) -> Member:
    return Member(f"{name}:2379", name, "3.6.8", leader, 1, error)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (probe([member("a", leader=True)]), ["a"]),
        (probe([member("a", leader=True), member("b"), member("c")]), ["b", "c", "a"]),
        (probe([member("a", leader=True), member("b", error="is away"), member("c")]), ["c", "a"]),
        (probe([member("a", leader=True), member("b")], Alarm(CORRUPT, "b")), ["a"]),
        (probe([member("a", leader=True), member("b")], Alarm(NOSPACE, "b")), ["b", "a"]),
        (probe([member("a", leader=True)], Alarm(CORRUPT, "a")), []),
    ],
)
def test_who_gives_it(found: Probe, expected: list[str]) -> None:
    assert [endpoint.partition(":")[0] for endpoint in candidates(found)] == expected
