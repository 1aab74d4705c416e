# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of tenants in a database (tenant_data.TenantData): rows of kine's table, read and written as kine itself would.

kine is not asked, since it runs in the tenant's pods only, and backups and restores are made of tenants that sleep; nor could it be: it
writes one key in a request and does not tell one moment of all keys from another while it compacts. Its table is a log: each change of a key is
a row whose id is the revision, and the newest row of a name says what it is now (pkg/logstructured and pkg/drivers of github.com/k3s-io/kine
v0.17.5). So a transaction sees one moment, and what is restored are new rows with new, higher revisions.

All of it is done with the tenant's own login, for which it suffices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Final, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import MYSQL, key_prefix
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, differences
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_driver import SqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import (
    Batch,
    Page,
    Replaced,
    Work,
    read_ahead,
    tally,
)

PREFIX: Final = key_prefix(MYSQL, "")
"""What the name of each of a tenant's rows begins with, whatever the server."""
END: Final = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
"""The first name after all of those."""
HEALTH: Final = f"{PREFIX}health"
"""A row under that prefix that is kine's own: it makes it when it starts."""
COMPACTED: Final = "compact_rev_key"
"""The row whose prev_revision says up to which revision history was dropped."""
OWN: Final = (HEALTH, COMPACTED, "compact_rev_key_apiserver")
GAP: Final = "gap-"
"""What names of rows begin with that stand for revisions nobody wrote."""
LONGEST_LIFE_S: Final = 2**31 - 1
"""The column of leases has seconds as 32 bits."""
AHEAD: Final = 1_000_000_000
"""How far beyond the backup's revision those of a new table begin. What a tenant did between its backup and its end is not known, and none of its
clients may have seen a revision that is yet to come. etcd's documentation of `etcdutl snapshot restore --bump-revision` has this number."""
_OVERHEAD_BYTES: Final = 64


class Table(Protocol):
    """One session of a tenant's user with the table of its kine. Raises DatastoreError everywhere."""

    def exists(self) -> bool:
        """Whether kine, or a restore, has made it."""

    def begin(self) -> int:
        """See from here on one moment; return its revision, 0 when there is none."""

    def stranger(self) -> str | None:
        """A name that is neither under PREFIX nor kine's own."""

    def count(self) -> int:
        """How many keys there are."""

    def pages(self) -> Iterator[list[Record]]:
        """All keys in their order, some mebibytes at a time."""

    def prepare(self, beyond: int) -> None:
        """Make the table as kine does when it is not there, and let the next revision be higher than any before.

        beyond: what the revisions of a table that is empty begin after, and what counts as dropped history there.
        """

    def write(self, work: Work) -> None:
        """Write keys and remove keys; a call that is interrupted may have done a part of it."""

    def finish(self) -> None:
        """Leave the table as kine would."""

    def close(self) -> None: ...


class Dialect(Protocol):
    """What differs between servers beside their statements."""

    def open(self, isolation: Isolation) -> Table:
        """Open a session as the tenant's user. Raises DatastoreError."""

    def problem(self, name: str, value: bytes) -> str | None:
        """Why a row cannot have this name or value, None when it can. Completes "…, which". Pure."""

    def same(self, name: str) -> str:
        """What all names have in common that are the same one to the server. Pure."""


class SqlData:
    """Implements tenant_data.TenantData.

    guard: told before each batch of writes; raises to stop. after_batch: told the number of each batch that was written.
    """

    def __init__(
        self,
        driver: SqlDriver,
        dialect: Dialect,
        *,
        guard: Callable[[], None] = lambda: None,
        after_batch: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._driver, self._dialect, self._guard, self._after_batch = driver, dialect, guard, after_batch

    def count(self, isolation: Isolation) -> int | None:
        """One login, and one to see whether it can be done."""
        if not self._driver.has_database(isolation):
            return 0
        if not isolation.password or self._driver.observe([isolation], detailed=True)[isolation.schema].missing:
            return None
        with self._open(isolation) as table:
            return table.count() if table.exists() else 0

    def read(self, isolation: Isolation) -> Iterator[Page]:
        """Keys that vanish by themselves get all the time they were given: kine does not record when that was."""
        with self._open(isolation) as table:
            if not table.exists():
                yield Page(0, iter(()))
                return
            revision = self._begin(table, isolation)
            yield Page(revision, iter(()))
            with closing(read_ahead(table.pages())) as pages:
                yield from (Page(revision, iter(page)) for page in pages)

    def start(self, isolation: Isolation, beyond: int) -> int:
        newest = 0
        if self._driver.has_database(isolation):
            with self._open(isolation) as table:
                newest = table.begin() if table.exists() else 0
        return newest or _ahead(beyond)

    def compare(self, isolation: Isolation, records: Iterable[Record]) -> Replaced:
        wanted = self._checked(records)
        if not self._driver.has_database(isolation):
            return tally(differences(wanted, ()))
        with self._open(isolation) as table, closing(self._present(table, isolation)) as present:
            return tally(differences(wanted, present))

    def replace(self, isolation: Isolation, records: Iterable[Record], *, beyond: int = 0) -> Replaced:
        with self._open(isolation) as table:
            table.prepare(_ahead(beyond))
            batch = Batch(table.write, len(PREFIX) + _OVERHEAD_BYTES, self._guard, self._after_batch)
            with self._open(isolation) as other, closing(self._present(other, isolation)) as present:
                done = tally(differences(self._checked(records), present), batch)
            table.finish()
            return done

    def _present(self, table: Table, isolation: Isolation) -> Generator[Record, None, None]:
        """What is there now, seen by a session of its own: it does not notice what is written meanwhile."""
        if table.exists():
            self._begin(table, isolation)
            with closing(read_ahead(table.pages())) as pages:
                for page in pages:
                    yield from page

    def _begin(self, table: Table, isolation: Isolation) -> int:
        revision, stranger = table.begin(), table.stranger()
        if stranger is not None:
            raise InvalidError(
                f'DataStore {self._driver.name}: database "{isolation.schema}" holds the key "{stranger}", and only keys under {PREFIX} can be backed '
                "up and restored; let kube-apiserver have its default --etcd-prefix"
            )
        return revision

    def _checked(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records without what is kine's own. Raises InvalidError for the first that cannot be a row of its own."""
        folded = set()
        for record in records:
            name = PREFIX + record.key.decode(errors="surrogateescape")
            if name == HEALTH:
                continue
            same = self._dialect.same(name)
            problem = self._dialect.problem(name, record.value)
            if same in folded:
                problem = "differs from another one by capitals only, and is the same key there"
            if problem:
                shown = name.encode(errors="surrogateescape").decode(errors="replace")[:200]
                raise InvalidError(
                    f'DataStore {self._driver.name}: cannot hold the key "{shown}" of the backup, which {problem}; restore into a DataStore of another driver'
                )
            if same != name:
                # Of names that are the same the one with capitals comes first: only those need be remembered.
                folded.add(same)
            yield record

    @contextlib.contextmanager
    def _open(self, isolation: Isolation) -> Iterator[Table]:
        sql.password_of(self._driver.name, isolation)
        try:
            table = self._dialect.open(isolation)
        except errors.DatastorePermissionError as error:
            raise errors.DatastorePermissionError(
                self._driver.name,
                f'cannot open database "{isolation.schema}" as its tenant ({error.result.get("reason", error.msg)}); run module '
                "tenant_control_plane for that tenant, which mends its user, password and rights",
                where=isolation.schema,
            ) from error
        with closing(table):
            yield table


def _ahead(beyond: int) -> int:
    """What the revisions of a new table begin after. Pure."""
    return beyond + AHEAD if beyond else 0
