# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of tenants in an etcd (tenant_data.TenantData): the keys under a prefix, read at one revision."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step, differences
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver, key_range
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_pages import PageReader, following
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import message
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Batch, Page, Replaced, Work, tally

_LEASE_NOT_FOUND: Final = "etcdserver: requested lease not found"
_OVERHEAD_BYTES: Final = 32


class EtcdData:
    """Implements tenant_data.TenantData, as the store's administrator.

    guard: told before each batch of writes; raises to stop. after_batch: told the number of each batch that was written.
    """

    def __init__(
        self,
        driver: EtcdDriver,
        *,
        guard: Callable[[], None] = lambda: None,
        after_batch: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._driver, self._guard, self._after_batch = driver, guard, after_batch

    def count(self, isolation: Isolation) -> int | None:
        return self._driver.count_keys(isolation)

    def read(self, isolation: Isolation) -> Iterator[Page]:
        """Keys under a lease get the time that it has left now."""
        leases = _Leases(self._driver)
        start = len(key_range(isolation.schema)[0])
        revision = 0
        for page in self._pages(isolation, pinned=True):
            revision = revision or page.header.revision
            yield Page(revision, _records(page, start, leases))

    def start(self, isolation: Isolation, beyond: int) -> int:
        key, end = key_range(isolation.schema)
        revision: int = self._driver.call("Range", key=key, range_end=end, count_only=True).header.revision
        return revision

    def compare(self, isolation: Isolation, records: Iterable[Record]) -> Replaced:
        return tally(differences(records, self._present(isolation)))

    def replace(self, isolation: Isolation, records: Iterable[Record], *, beyond: int = 0) -> Replaced:
        """beyond means nothing here: the store counts revisions for all shares together, and never anew."""
        prefix = key_range(isolation.schema)[0]
        writer = _Writer(self._driver, prefix)
        batch = Batch(writer.write, len(prefix) + _OVERHEAD_BYTES, self._guard, self._after_batch)
        return tally(differences(records, self._present(isolation)), batch)

    def _present(self, isolation: Isolation) -> Iterator[Record]:
        """What is there now. Only what lies behind is written to meanwhile, so that no revision has to be kept for it."""
        start = len(key_range(isolation.schema)[0])
        for page in self._pages(isolation, pinned=False):
            yield from (Record(item.key[start:], item.value, 1 if item.lease else 0) for item in page.kvs)

    def _pages(self, isolation: Isolation, *, pinned: bool) -> Iterator[Any]:
        key, end = key_range(isolation.schema)
        reader, revision = PageReader(self._driver.call, end), 0
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = pool.submit(reader.read, key, revision)
            while True:
                page = coming.result()
                if pinned and not revision:
                    revision = page.header.revision
                if page.more:
                    coming = pool.submit(reader.read, following(page), revision)
                yield page
                if not page.more:
                    return


def _records(page: Any, start: int, leases: _Leases) -> Iterator[Record]:
    for item in page.kvs:
        yield Record(item.key[start:], item.value, item.lease and leases.ttl_s(item.lease))


class _Leases:
    """What is left of leases, each asked for once."""

    def __init__(self, driver: EtcdDriver) -> None:
        self._driver = driver
        self._known: dict[int, int] = {}

    def ttl_s(self, lease: int) -> int:
        """At least a second: the key was there at the revision that is read."""
        if lease not in self._known:
            self._known[lease] = max(1, self._driver.call("LeaseTimeToLive", ID=lease).TTL)
        return self._known[lease]


class _Writer:
    """Writes batches, each in one transaction. Keys with the same time to live share a lease."""

    def __init__(self, driver: EtcdDriver, prefix: bytes) -> None:
        self._driver, self._prefix = driver, prefix
        self._leases: dict[int, tuple[int, float]] = {}

    def write(self, work: Work) -> None:
        if not self._write(work):
            # A lease ran out between its making and this use.
            self._leases.clear()
            self._write(work)

    def _write(self, work: Work) -> bool:
        operations = [self._operation(step, record) for step, record in work]
        return self._driver.call("Txn", ignore=(_LEASE_NOT_FOUND,), success=operations) is not None

    def _operation(self, step: Step, record: Record) -> Any:
        key = self._prefix + record.key
        if step is Step.DELETE:
            return message("RequestOp")(request_delete_range=message("DeleteRangeRequest")(key=key))
        lease = self._lease(record.ttl_s) if record.ttl_s else 0
        return message("RequestOp")(request_put=message("PutRequest")(key=key, value=record.value, lease=lease))

    def _lease(self, ttl_s: int) -> int:
        lease, until = self._leases.get(ttl_s, (0, 0.0))
        if time.monotonic() >= until:
            lease = self._driver.call("LeaseGrant", TTL=ttl_s).ID
            self._leases[ttl_s] = lease, time.monotonic() + ttl_s / 4
        return lease
