# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which store a tenant goes to, and what is said when none has room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Capacity
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.placement import Candidate, NoRoomError, choose
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of

NEW = Share("", "team_new", "team_new")
GIB = 1024**3


def shares(count: int) -> tuple[Share, ...]:
    return tuple(Share("s", f"t{number}", f"t{number}") for number in range(count))


def store(name: str, tenants: int = 0, bound: int | None = None, **changes: object) -> Candidate:
    found = Candidate(name, "etcd", Capacity(bound), shares(tenants), size_bytes=100, quota_bytes=2 * GIB, latency_ms=2.0)
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([store("b"), store("a")], "a"),
        ([store("a", 2), store("b", 1)], "b"),
        # In proportion where every store has a bound, else in numbers.
        ([store("a", 2, 10), store("b", 1, 2)], "a"),
        ([store("a", 2, 10), store("b", 1)], "b"),
        ([store("a", 1, 10), store("b", 2, 20), store("c", 3, 20)], "a"),
        # The smaller one of equals, in proportion where every store has a bound.
        ([store("a", size_bytes=200), store("b")], "b"),
        ([store("a", size_bytes=200, quota_bytes=8 * GIB), store("b", size_bytes=199)], "a"),
        ([store("a", size_bytes=200, quota_bytes=8 * GIB), store("b", size_bytes=199, quota_bytes=None)], "b"),
        # Then the faster one; a few milliseconds say nothing.
        ([store("a", latency_ms=30.0), store("b", latency_ms=8.0)], "b"),
        ([store("a", latency_ms=9.0), store("b", latency_ms=1.0)], "a"),
        # Full, slow and broken ones are passed over.
        ([store("a", 1, 1), store("b", 5)], "b"),
        ([store("a", size_bytes=int(1.7 * GIB)), store("b", 5)], "b"),
        ([store("a", latency_ms=251.0), store("b", 5)], "b"),
        ([store("a", capacity=Capacity(latency_ms=300), latency_ms=251.0), store("b", 5)], "a"),
        ([store("a", capacity=Capacity(latency_ms=1)), store("b", 5)], "b"),
        ([store("a", capacity=Capacity(size_bytes=100)), store("b", 5)], "b"),
        ([store("a", fault="does not answer"), store("b", 5)], "b"),
        ([store("a", shares=(Share("a", "team_new", "other"),)), store("b", 5)], "b"),
        ([store("a", shares=(Share("a", "other", "team_new"),)), store("b", 5)], "b"),
    ],
)
def test_the_store_with_most_room(candidates: list[Candidate], expected: str) -> None:
    assert choose(NEW, candidates) == expected
    assert choose(NEW, candidates[::-1]) == expected


def test_a_share_in_several_etcds_takes_an_etcd() -> None:
    events = replace(NEW, overrides=("events",))
    assert choose(events, [store("a", driver="MySQL"), store("b", 5), store("events")]) == "b"


def test_names_that_kine_cannot_take() -> None:
    odd = Share("", "odd.name", "odd")
    assert choose(odd, [store("a", driver="MySQL"), store("b", 5)]) == "b"


def test_a_store_per_tenant_is_one_setting() -> None:
    pool = [store(name, 0, 1) for name in ("a", "b")]
    taken = []
    for number in range(2):
        share = Share("", f"n{number}", f"n{number}")
        name = choose(share, pool)
        taken.append(name)
        pool = [replace(item, shares=(*item.shares, share)) if item.name == name else item for item in pool]
    assert taken == ["a", "b"]
    with pytest.raises(NoRoomError):
        choose(NEW, pool)


def test_a_pool_without_room_is_a_table() -> None:
    pool = [
        store("slow-1", latency_ms=400.0, quota_bytes=None),
        store("full-1", 10, 10),
        store("down", size_bytes=None, latency_ms=None, quota_bytes=None, fault="DataStore down: does not answer"),
        store("large", capacity=Capacity(size_bytes=50)),
    ]
    with pytest.raises(NoRoomError) as error:
        choose(NEW, pool)
    first, *lines = error.value.msg.splitlines()
    assert first == (
        "no DataStore that spec.dataStoreSelector picks can take it; add one, raise spec.capacity of one, or name one in spec.dataStore:"
    )
    assert lines == [
        "DATASTORE  TENANTS   SIZE              LATENCY        NOT POSSIBLE BECAUSE",
        "down       0         ?                 ?              DataStore down: does not answer",
        "full-1     10 of 10  100 B of 1.6 GiB  2 of 250 ms    has as many tenants as it may (spec.capacity.tenants)",
        "large      0         100 B of 50 B     2 of 250 ms    is as large as it may be (spec.capacity.size, or four fifths of its quota)",
        "slow-1     0         100 B             400 of 250 ms  is too slow (spec.capacity.latencyMilliseconds)",
    ]


def test_a_tenant_that_has_not_chosen_has_no_store() -> None:
    definition = {"metadata": {"name": "new", "namespace": "team"}, "spec": {"dataStoreSelector": {}}}
    assert share_of(definition).stores == ()
    assert share_of(definition, {"storage": {"dataStoreName": "fast"}}).stores == ("fast",)
    assert share_of({"metadata": {"name": "new"}}).stores == ("default",)
    assert not share_of(definition).overlaps(share_of(definition))
