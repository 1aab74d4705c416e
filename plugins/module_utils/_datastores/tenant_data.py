# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of one tenant, whatever store it is in: read at one moment, compared with other data, and replaced by it.

Everything goes in pages and batches in the order of keys, so that neither the number nor the size of the keys decides how much memory is
used, and so that the requests of other tenants get their turn in between. Nothing outside of the share is ever read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation

# etcd takes 128 operations and 1.5 MiB in one request (--max-txn-ops, --max-request-bytes); more at a time would not be faster elsewhere.
BATCH_KEYS: Final = 100
_BATCH_BYTES: Final = 1 << 20

PAGE_BYTES: Final = 2 << 20
FIRST_PAGE_KEYS: Final = 32
MOST_PAGE_KEYS: Final = 10_000

Work = Sequence[tuple[Step, Record]]
"""Keys to write or to remove, in order."""
_Item = TypeVar("_Item")


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


class TenantData(Protocol):
    """The data of shares in one store."""

    def count(self, isolation: Isolation) -> int | None:
        """Return how many keys there are now; 0 also when nothing of the share exists.

        None when there is something that cannot be looked into, since the share lacks a part (a right, or the password that is known).
        """

    def read(self, isolation: Isolation) -> Iterator[Page]:
        """Yield all records of a share as they were at one moment; at least one page. The next page is fetched while one is worked on.

        Raises DatastoreCompactedError when the store drops that moment meanwhile: begin again. Raises DatastoreError.
        """

    def start(self, isolation: Isolation, beyond: int) -> int:
        """Return the revision after which replace() would write now. beyond: as given to that."""

    def compare(self, isolation: Isolation, records: Iterable[Record]) -> Replaced:
        """Say what replace() would do now. records: in the order of their keys.

        Raises InvalidError, naming it, when the store cannot hold one of the keys.
        """

    def replace(self, isolation: Isolation, records: Iterable[Record], *, beyond: int = 0) -> Replaced:
        """Make the data of a share these records, which come in the order of their keys. Nobody else may write to it meanwhile.

        Only what differs is written, from the first key to the last, so that a call that was interrupted anywhere is finished by the
        next one. A key that vanishes by itself gets the whole time of its record again.
        beyond: revision of the store the records come from. Where a share counts revisions for itself and has none yet, they begin after that.
        Raises DatastoreError, DatastoreTooLargeError naming what was too large, InvalidError as compare() does.
        """


class Batch:
    """Collects work, and has it written in portions. guard: told before each of them; raises to stop. after: told the number of each."""

    def __init__(self, write: Callable[[Work], None], overhead: int, guard: Callable[[], None], after: Callable[[int], None]) -> None:
        """overhead: bytes that each key takes beside itself and its value."""
        self._write, self._overhead, self._guard, self._after = write, overhead, guard, after
        self._work: list[tuple[Step, Record]] = []
        self._size, self._number = 0, 0

    def add(self, step: Step, record: Record) -> None:
        size = self._overhead + len(record.key) + (len(record.value) if step is Step.PUT else 0)
        if self._work and (len(self._work) == BATCH_KEYS or self._size + size > _BATCH_BYTES):
            self.flush()
        self._work.append((step, record))
        self._size += size

    def flush(self) -> None:
        if not self._work:
            return
        self._guard()
        self._write(self._work)
        self._work, self._size, self._number = [], 0, self._number + 1
        self._after(self._number)


def tally(steps: Iterable[tuple[Step, Record]], batch: Batch | None = None) -> Replaced:
    """Count what has to happen, and have it done by a batch if there is one."""
    counts = dict.fromkeys(Step, 0)
    for step, record in steps:
        counts[step] += 1
        if batch and step is not Step.KEEP:
            batch.add(step, record)
    if batch:
        batch.flush()
    return Replaced(counts[Step.PUT], counts[Step.DELETE], counts[Step.KEEP])


def read_ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """The same items, each fetched by a thread while the one before is worked on. Closed, it waits for the one that is fetched."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def next_limit(count: int, size_bytes: int) -> int:
    """How many keys to ask for after a page of so many keys and bytes. It grows by steps, since the next values may be larger. Pure."""
    return min(MOST_PAGE_KEYS, max(1, PAGE_BYTES * count // max(1, size_bytes)), 4 * count)
