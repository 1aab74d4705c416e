# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All data of one share of an etcd: read at one revision, and replaced by other data.

Both work in pages and batches, so that neither the number nor the size of the keys decides how much memory is used, and so that the
requests of other tenants get their turn in between. Nothing outside of the share's prefix is ever read or written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step, differences
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver, key_range
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_pages import PageReader, following
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import message

# etcd takes 128 operations and 1.5 MiB in one request (--max-txn-ops, --max-request-bytes).
BATCH_KEYS: Final = 100
_BATCH_BYTES: Final = 1 << 20
_LEASE_NOT_FOUND: Final = "etcdserver: requested lease not found"


class Page(NamedTuple):
    """Some records in the order of their keys. revision: that of the store at which all pages of one reading are.

    records can be gone through once; one at a time is copied out of the answer, so that memory is not cut into pieces.
    """

    revision: int
    records: Iterator[Record]


@dataclass(frozen=True)
class Replaced:
    """How many keys were, or are to be, written, removed, and are already as they should be."""

    put: int = 0
    deleted: int = 0
    kept: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.put or self.deleted)


class EtcdData:
    """The data of shares in the store of a driver, as its administrator.

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

    def read(self, isolation: Isolation) -> Iterator[Page]:
        """Yield all records of a share at one revision; at least one page. The next page is fetched while one is worked on.

        Keys under a lease get the time that it has left now.
        Raises DatastoreCompactedError when the store drops that revision meanwhile: begin again. Raises DatastoreError.
        """
        leases = _Leases(self._driver)
        start = len(key_range(isolation.schema)[0])
        revision = 0
        for page in self._pages(isolation, pinned=True):
            revision = revision or page.header.revision
            yield Page(revision, _records(page, start, leases))

    def compare(self, isolation: Isolation, records: Iterable[Record]) -> Replaced:
        """Say what replace() would do now. records: in the order of their keys."""
        counts = dict.fromkeys(Step, 0)
        for step, _record in differences(records, self._present(isolation)):
            counts[step] += 1
        return Replaced(counts[Step.PUT], counts[Step.DELETE], counts[Step.KEEP])

    def replace(self, isolation: Isolation, records: Iterable[Record]) -> Replaced:
        """Make the data of a share these records, which come in the order of their keys. Nobody else may write to it meanwhile.

        Only what differs is written, from the first key to the last, so that a call that was interrupted anywhere is finished by the
        next one. A key that vanishes by itself gets the whole time of its record again.
        Raises DatastoreError, DatastoreTooLargeError naming what was too large.
        """
        batch = _Batch(self._driver, key_range(isolation.schema)[0], self._guard, self._after_batch)
        counts = dict.fromkeys(Step, 0)
        for step, record in differences(records, self._present(isolation)):
            counts[step] += 1
            if step is not Step.KEEP:
                batch.add(step, record)
        batch.flush()
        return Replaced(counts[Step.PUT], counts[Step.DELETE], counts[Step.KEEP])

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


class _Batch:
    """Writes, many in one transaction. Keys with the same time to live share a lease."""

    def __init__(self, driver: EtcdDriver, prefix: bytes, guard: Callable[[], None], after: Callable[[int], None]) -> None:
        self._driver, self._prefix, self._guard, self._after = driver, prefix, guard, after
        self._steps: list[tuple[Step, Record]] = []
        self._size, self._number = 0, 0
        self._leases: dict[int, tuple[int, float]] = {}

    def add(self, step: Step, record: Record) -> None:
        size = len(self._prefix) + len(record.key) + (len(record.value) if step is Step.PUT else 0) + 32
        if self._steps and (len(self._steps) == BATCH_KEYS or self._size + size > _BATCH_BYTES):
            self.flush()
        self._steps.append((step, record))
        self._size += size

    def flush(self) -> None:
        if not self._steps:
            return
        self._guard()
        if not self._write():
            # A lease ran out between its making and this use.
            self._leases.clear()
            self._write()
        self._steps, self._size, self._number = [], 0, self._number + 1
        self._after(self._number)

    def _write(self) -> bool:
        operations = [self._operation(step, record) for step, record in self._steps]
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
