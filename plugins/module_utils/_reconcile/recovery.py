# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give an etcd its space back, also one that is full and refuses all writes: compact, defragment member by member, disarm.

Each step is idempotent and the next one follows from what is observed, so that a killed run is continued by the next one. Tenants
read on meanwhile, but for the moments in which the member that serves them has its turn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DataStore, Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import bytes_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE, Member, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError, DatastoreNoSpaceError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import find_datastore, open_store, probe_result

COMPACT: Final = "compact"
DEFRAGMENT: Final = "defragment"
DISARM: Final = "disarm"

# A member is worth its turn when this share of its file, and so many bytes, are free.
_FREE_SHARE: Final = 0.25
_FREE_BYTES: Final = 4 << 20
# An alarm that is disarmed while so much of the quota is used would be back at once: data that fills it leaves a few percent, since pages are not
# filled to the end.
_STILL_FULL: Final = 0.9


@dataclass(frozen=True)
class Step:
    """action: COMPACT, DEFRAGMENT or DISARM. endpoint: of the member that is defragmented, else ""."""

    action: str
    endpoint: str
    reason: str

    def to_result(self) -> Json:
        return {"action": self.action, "endpoint": self.endpoint, "reason": self.reason}


def plan(found: Probe) -> tuple[Step, ...]:
    """The steps that give a store its space back, in order; none when it is neither full nor fragmented. Pure.

    Of a full store every member has its turn, for nobody knows before the compaction what it frees. The leader comes last.
    """
    full = bool(found.alarmed(NOSPACE))
    members = sorted(found.members, key=lambda item: (item.leader, item.name, item.endpoint))
    steps = [Step(COMPACT, "", "the quota is used up (alarm NOSPACE)")] if full else []
    for item in members:
        if full or _is_fragmented(item):
            steps.append(Step(DEFRAGMENT, item.endpoint, _free_text(item)))
    return (*steps, Step(DISARM, "", "writes are refused until the alarm is disarmed")) if full else tuple(steps)


def refuse(name: str, found: Probe) -> None:
    """Raise DatastoreError when a store must not be touched: a member that is defragmented is away, and others have to serve. Pure."""
    if found.silent:
        raise DatastoreError(
            name,
            f"not all members answer ({'; '.join(found.silent)}), and one more would be away while it is defragmented; bring them back first",
        )
    if found.alarmed(CORRUPT):
        raise DatastoreError(name, "a member has the alarm CORRUPT; replace that member first")


def _is_fragmented(item: Member) -> bool:
    free = item.db_size_bytes - (item.in_use_bytes if item.in_use_bytes is not None else item.db_size_bytes)
    return free >= _FREE_BYTES and free >= _FREE_SHARE * item.db_size_bytes


def _free_text(item: Member) -> str:
    used = item.in_use_bytes if item.in_use_bytes is not None else item.db_size_bytes
    return f"{bytes_text(max(0, item.db_size_bytes - used))} of its {bytes_text(item.db_size_bytes)} are free pages"


def recover(client: Client, name: str, *, check: bool, timeout_s: float, say: Callable[[str], None]) -> Json:
    """Give the store behind a DataStore its space back and return a module's result. check: only say what would be done.

    timeout_s: of one member's defragmentation. Raises InvalidError, DatastoreError; DatastoreNoSpaceError when the data itself fills
    the quota, so that only a larger quota or less data helps.
    """
    datastore = find_datastore(client, name)
    if datastore.driver != api.ETCD:
        raise InvalidError(f"DataStore {name} is of driver {datastore.driver}; only {api.ETCD} has a quota and can be recovered here")
    with _all_members(client, datastore) as driver:
        before = driver.probe()
        refuse(name, before)
        steps = plan(before)
        after = before
        if not check:
            for step in steps:
                say(f"{step.action} {step.endpoint}".rstrip())
                after = _make(driver, step, after, timeout_s)
    return {
        "changed": bool(steps),
        "plan": [step.to_result() for step in steps],
        "probe": probe_result(after),
        "freed_bytes": max(0, before.db_size_bytes - after.db_size_bytes),
    }


def _make(driver: EtcdDriver, step: Step, before: Probe, timeout_s: float) -> Probe:
    """Make one step and look what is then: the next member has its turn only when this one is back."""
    maintenance = driver.maintenance()
    if step.action == COMPACT:
        maintenance.compact()
    elif step.action == DEFRAGMENT:
        maintenance.defragment(step.endpoint, timeout_s=timeout_s)
    else:
        _refuse_still_full(driver.name, before)
        maintenance.disarm()
    found = driver.probe()
    refuse(driver.name, found)
    return found


def _refuse_still_full(name: str, found: Probe) -> None:
    if found.quota_bytes and found.db_size_bytes >= _STILL_FULL * found.quota_bytes:
        raise DatastoreNoSpaceError(
            name,
            f"its data fills the quota ({bytes_text(found.db_size_bytes)} of {bytes_text(found.quota_bytes)}) without any history, so the alarm would be "
            "back at once; raise the quota (datastore_quota_bytes) and run again, or delete tenants: datastore_info says which are large",
        )


@contextlib.contextmanager
def _all_members(client: Client, datastore: DataStore) -> Iterator[EtcdDriver]:
    """Connect to every member by the address it gives clients: an endpoint may be a Service with several of them behind it."""
    with open_store(client, datastore) as store:
        endpoints = _etcd(store.driver).maintenance().client_endpoints()
    every = replace(datastore, endpoints=tuple(map(Endpoint.parse, endpoints))) if endpoints else datastore
    with open_store(client, every) as store:
        yield _etcd(store.driver)


def _etcd(driver: object) -> EtcdDriver:
    if not isinstance(driver, EtcdDriver):
        raise TypeError(driver)
    return driver
