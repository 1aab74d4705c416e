# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe of a datastore means for its conditions, and what its deletion takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE, Alarm, Member, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import datastores

MEMBER = Member("a:2379", "a", "3.6.8", True, 10)
PROBE = Probe("3.6.8", 2.0, 10, 100, (MEMBER,))
VALUE = {"content": "eA=="}


def store(driver: str = "etcd", probe: Probe | None = PROBE) -> datastores.ObservedStore:
    pair = {"certificate": VALUE, "privateKey": VALUE}
    spec = {"driver": driver, "endpoints": ["a:2379"], "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair}}
    return datastores.ObservedStore(api.check({"metadata": {"name": "s"}, "spec": spec}), None, (), probe=probe)


def found(observed: datastores.ObservedStore) -> dict[str, tuple[bool | None, str]]:
    return {item.type: (item.holds, item.reason) for item in datastores.conditions(observed)}


def test_a_store_in_order() -> None:
    assert found(store()) == {
        api.VALIDATION: (True, "Valid"),
        api.REACHABLE: (True, "Probed"),
        api.ENDPOINTS: (True, "AllAnswer"),
        api.LATENCY: (True, "Fast"),
        api.CAPACITY: (True, "Enough"),
        api.INTACT: (True, "NoAlarm"),
        api.ALLOWED_DELETION: (True, "Unused"),
    }


@pytest.mark.parametrize(
    ("change", "condition", "expected"),
    [
        ({"latency_ms": 249.9}, api.LATENCY, (True, "Fast")),
        ({"latency_ms": 250.0}, api.LATENCY, (False, "Slow")),
        ({"db_size_bytes": 79}, api.CAPACITY, (True, "Enough")),
        ({"db_size_bytes": 80}, api.CAPACITY, (False, "NearlyFull")),
        ({"alarms": (Alarm(NOSPACE, "a"),)}, api.CAPACITY, (False, "Full")),
        ({"alarms": (Alarm(NOSPACE, "a"),)}, api.INTACT, (True, "NoAlarm")),
        ({"alarms": (Alarm(CORRUPT, "a"),)}, api.INTACT, (False, "Corrupt")),
        ({"alarms": (Alarm(CORRUPT, "a"),)}, api.CAPACITY, (True, "Enough")),
        ({"members": (MEMBER, replace(MEMBER, endpoint="b:2379", error="is silent"))}, api.ENDPOINTS, (False, "SomeSilent")),
        ({"problems": ("authentication is off",)}, api.REACHABLE, (False, "Unusable")),
    ],
)
def test_each_finding_has_its_condition(change: dict[str, object], condition: str, expected: tuple[bool, str]) -> None:
    assert found(store(probe=replace(PROBE, **change)))[condition] == expected  # type: ignore[arg-type]


def test_what_nobody_can_know_has_no_condition() -> None:
    without_quota = replace(PROBE, quota_bytes=None)
    assert without_quota.free_bytes is None
    assert api.CAPACITY not in found(store(probe=without_quota))
    assert api.INTACT not in found(store("MySQL", without_quota))
    assert set(found(store(probe=None))) == {api.VALIDATION, api.REACHABLE, api.ALLOWED_DELETION}


def test_free_quota() -> None:
    assert PROBE.free_bytes == 90
    assert replace(PROBE, db_size_bytes=200).free_bytes == 0


def test_messages_do_not_change_from_one_look_to_the_next() -> None:
    other = replace(PROBE, latency_ms=3.0, db_size_bytes=11)
    assert datastores.conditions(store()) == datastores.conditions(store(probe=other))


def test_deletion() -> None:
    assert not datastores.plan_absent(None, "s", ())
    with pytest.raises(InvalidError, match="is used by a/b; delete these"):
        datastores.plan_absent({}, "s", ["a/b"])
    assert [change.action.value for change in datastores.plan_absent({}, "s", ())] == ["delete"]
    stale = {"status": {"usedBy": ["gone/away"]}}
    assert [change.action.value for change in datastores.plan_absent(stale, "s", ())] == ["patch", "delete"]
