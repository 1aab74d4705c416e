# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module datastore_recovery with real etcds that were filled until they refused all writes."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.modules import datastore, datastore_recovery
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_members
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, datastore_definition, delete_datastore, open_driver

QUOTA = 24 << 20
# Small beside the quota: etcd rewrites a page with two values for each new one, and what that leaves free is not filled.
VALUE = b"x" * 50_000


@dataclass(frozen=True)
class Store:
    """An etcd of three members whose DataStore names one of them only, as a Service would be. reads: keys that are there."""

    ground: Ground
    name: str
    members: list[Etcd]
    driver: EtcdDriver

    def fill(self, *, history: bool) -> int:
        """Write until the quota is used up: one key again and again, or keys of their own. Returns the number of keys."""
        count = 0
        with contextlib.suppress(errors.DatastoreNoSpaceError):
            while count < 1000:
                self.driver._call("Put", key=b"/tenant/key" + (b"" if history else b"%d" % count), value=VALUE)
                count += 1
        assert count < 1000
        for member in self.members:
            self._wait_for_alarm(member)
        return 1 if history else count

    def _wait_for_alarm(self, member: Etcd) -> None:
        """Until a member knows that the store is full, which another one may have found out."""
        end = time.monotonic() + 20
        with contextlib.closing(open_driver(member)) as driver:
            while not driver.probe().alarms:
                assert time.monotonic() < end
                time.sleep(0.05)

    def keys(self) -> int:
        return int(self.driver._call("Range", key=b"/tenant/", range_end=b"/tenant0", count_only=True).count)

    def in_use_bytes(self) -> int:
        """The most that a member says is in use."""
        found = []
        for item in self.members:
            with contextlib.closing(open_driver(item)) as driver:
                found += [member.in_use_bytes or 0 for member in driver.probe().members]
        return max(found)

    def run(self, *, check: bool = False) -> dict[str, Any]:
        arguments = {"kubeconfig": str(self.ground.kubeconfig), "name": self.name}
        try:
            return run_module(datastore_recovery.main, arguments, check=check)
        except ModuleFailedError as error:
            return error.result


@pytest.fixture(params=[1, 3])
def store(request: pytest.FixtureRequest, ground: Ground, bundle: Path, tmp_path: Path) -> Iterator[Store]:
    name = f"full-{secrets.token_hex(4)}"
    with (
        running_members(bundle, tmp_path, request.param, f"--quota-backend-bytes={QUOTA}") as members,
        contextlib.closing(open_driver(members[0])) as driver,
    ):
        ground.client.apply(datastore_definition(name, members[0]), force=True)
        yield Store(ground, name, members, driver)
        delete_datastore(ground.client, name)


def actions(result: dict[str, Any]) -> list[str]:
    return [item["action"] for item in result["plan"]]


def test_a_store_full_of_history(store: Store) -> None:
    assert actions(store.run()) == []
    count = store.fill(history=True)
    assert store.keys() == count
    probed = run_module(
        datastore.main,
        {
            "kubeconfig": str(store.ground.kubeconfig),
            "definition": datastore_definition(store.name, store.members[0]),
            "require_ready": False,
            "wait_timeout": 0,
        },
    )
    conditions = {item["type"]: item["reason"] for item in probed["datastore"]["conditions"]}
    assert conditions["hosted-kubernetes.io/DataStoreCapacity"] == "Full"

    predicted = store.run(check=True)
    assert predicted["changed"]
    assert actions(predicted) == ["compact", *["defragment"] * len(store.members), "disarm"]
    assert store.driver.probe().alarms != (), "check mode changes nothing"

    done = store.run()
    assert done.get("msg") is None, done["msg"]
    assert done["plan"] == predicted["plan"]
    assert {item["endpoint"] for item in done["plan"]} - {""} == {f"{item.host}:{item.port}" for item in store.members}
    assert done["freed_bytes"] > QUOTA // 2
    assert done["probe"]["healthy"]
    assert all(item["db_size_bytes"] < QUOTA // 4 for item in done["probe"]["members"])
    assert store.keys() == count
    store.driver._call("Put", key=b"/tenant/again", value=VALUE)
    for check in (True, False):
        assert not store.run(check=check)["changed"]


def test_a_store_full_of_data_keeps_its_alarm_and_says_what_helps(store: Store) -> None:
    count = store.fill(history=False)
    result = store.run()
    assert result["failed"]
    assert "its data fills the quota" in result["msg"]
    assert "raise the quota (datastore_quota_bytes)" in result["msg"]
    assert store.driver.probe().alarms != ()
    # Less data: a delete is possible in a full store, and is all that is needed besides a second run.
    store.driver._call("DeleteRange", key=b"/tenant/", range_end=b"/tenant0")
    assert store.run().get("msg") is None
    assert store.driver.probe().healthy
    assert (count > 10, store.keys()) == (True, 0)


def test_fragments_of_a_store_that_is_not_full(store: Store) -> None:
    for number in range(200):
        store.driver._call("Put", key=f"/tenant/{number}".encode(), value=VALUE)
    store.driver._call("DeleteRange", key=b"/tenant/", range_end=b"/tenant0")
    store.driver.maintenance().compact()
    # etcd counts its free pages anew with each commit of a batch of writes, so that a store without any writes says what was.
    end = time.monotonic() + 20
    while store.in_use_bytes() > 2 << 20:
        assert time.monotonic() < end
        store.driver._call("Put", key=b"/tenant/small", value=b"x")
    assert actions(store.run()) == ["defragment"] * len(store.members)
    assert actions(store.run()) == []
