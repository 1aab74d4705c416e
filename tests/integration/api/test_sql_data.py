# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All data of one tenant in a real database: read at one moment, replaced, and served by the real kine before and after."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, tenant_data
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.data import data_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_data import EtcdData
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql import MysqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql import PostgresqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_data import AHEAD
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Replaced
from ansible_collections.hosted.kubernetes.tests.support.backups import content, fill, records
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.databases import KINDS, Database, running_database
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd
from ansible_collections.hosted.kubernetes.tests.support.kine import running_kine
from ansible_collections.hosted.kubernetes.tests.support.tenants import open_driver

AnyDriver = PostgresqlDriver | MysqlDriver
BOTH = (PostgresqlDriver, MysqlDriver)


@pytest.fixture(scope="module", params=[*KINDS])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with running_database(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def driver(database: Database) -> Iterator[AnyDriver]:
    with database.driver() as found:
        assert isinstance(found, BOTH)
        yield found


def new_share(driver: AnyDriver) -> Isolation:
    name = f"tenants_{secrets.token_hex(4)}"
    found = Isolation(name, name, secrets.token_urlsafe(24))
    for part in driver.parts:
        driver.create_part(found, part)
    return found


@contextlib.contextmanager
def some_share(driver: AnyDriver) -> Iterator[Isolation]:
    found = new_share(driver)
    try:
        yield found
    finally:
        for part in driver.purge_parts:
            driver.delete_part(found, part)


@pytest.fixture
def share(driver: AnyDriver) -> Iterator[Isolation]:
    """A share as the engine makes it: no kine has been there yet."""
    with some_share(driver) as found:
        yield found


def ask(driver: AnyDriver, share: Isolation, query: str) -> list[Any]:
    """Rows, seen by the tenant's user."""
    with contextlib.closing(driver.open_share(share)) as session, session.cursor() as cursor:
        cursor.execute(query.replace("kine", "public.kine" if isinstance(driver, PostgresqlDriver) else "kine"))
        return list(cursor.fetchall()) if cursor.description else []


def newest(driver: AnyDriver, share: Isolation) -> int:
    return int(ask(driver, share, "SELECT MAX(id) FROM kine")[0][0])


def names(found: list[Record]) -> list[tuple[str, bytes]]:
    return [(f"/registry/{item.key.decode()}", item.value) for item in found]


def test_nothing(driver: AnyDriver, share: Isolation) -> None:
    assert content(driver, share) == []
    assert data_of(driver).count(share) == 0
    assert data_of(driver).compare(share, records(3)) == Replaced(put=3)
    assert data_of(driver).replace(share, []) == Replaced()
    assert content(driver, share) == []


def test_a_share_that_does_not_exist(driver: AnyDriver) -> None:
    missing = Isolation("tenants_missing", "tenants_missing")
    assert data_of(driver).count(missing) == 0
    assert data_of(driver).compare(missing, records(3)) == Replaced(put=3)


def test_what_kine_wrote_is_read(database: Database, driver: AnyDriver, share: Isolation, bundle: Path) -> None:
    """Its newest value of each key, not what it has for itself, in the order of bytes."""
    with running_kine(database, share, bundle) as kine:
        for name in ("b", "a-b", "a", "a_b", "C/d", "a/c"):
            kine.put(f"/registry/{name}", "first")
        kine.put("/registry/a", "second")
        kine.put("/registry/event", "soon gone", lease_s=3600)
        (gone,) = [key for key in kine.keys()[1] if key.name == "/registry/b"]
        assert kine.transaction(gone.name, gone.revision, None)
        wanted = [
            Record(b"C/d", b"first"),
            Record(b"a", b"second"),
            Record(b"a-b", b"first"),
            Record(b"a/c", b"first"),
            Record(b"a_b", b"first"),
            Record(b"event", b"soon gone", 3600),
        ]
        pages = list(data_of(driver).read(share))
        assert [item for page in pages for item in page.records] == wanted
        assert {page.revision for page in pages} == {kine.keys()[0]}
    assert data_of(driver).count(share) == len(wanted)
    assert data_of(driver).replace(share, wanted) == Replaced(kept=len(wanted)), "as it sleeps, too"


def test_all_pages_are_of_one_moment(database: Database, driver: AnyDriver, share: Isolation, bundle: Path) -> None:
    """While kine writes, and drops what it replaced."""
    before = fill(driver, share, 1200, size=6000)
    with running_kine(database, share, bundle) as kine:
        pages = data_of(driver).read(share)
        next(pages)
        first = next(pages)
        found = list(first.records)
        kine.put(f"/registry/{before[-1].key.decode()}", "changed")
        kine.put("/registry/zzz", "new")
        _revision, keys = kine.keys()
        assert kine.transaction(keys[-3].name, keys[-3].revision, None)
        number = newest(driver, share)
        ask(
            driver,
            share,
            f"DELETE FROM kine WHERE id IN (SELECT prev_revision FROM (SELECT prev_revision FROM kine WHERE id > {number - 3}) AS old)",
        )
        rest = list(pages)
        assert 0 < len(found) < 1200
        assert [*found, *(item for page in rest for item in page.records)] == before
        assert {page.revision for page in rest} == {first.revision}
        assert len(content(driver, share)) == 1200


def test_a_reading_that_is_given_up(driver: AnyDriver, share: Isolation) -> None:
    fill(driver, share, 1200, size=6000)
    pages = data_of(driver).read(share)
    for _page in range(2):
        next(pages)
    started = time.monotonic()
    pages.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 5
    assert len(content(driver, share)) == 1200


def test_kine_serves_what_was_restored(database: Database, driver: AnyDriver, share: Isolation, bundle: Path) -> None:
    wanted = [*records(250), Record(b"registry/zz-event", b"soon gone", 6)]
    assert data_of(driver).replace(share, wanted, beyond=5000) == Replaced(put=251)
    with running_kine(database, share, bundle) as kine:
        revision, keys = kine.keys()
        assert [(key.name, key.value) for key in keys] == names(wanted)
        assert all(5000 + AHEAD < key.created == key.revision <= revision for key in keys)
        assert "compacted" in kine.refused_watch(4000), "clients of then are told to list again"
        first, second = keys[0], keys[1]
        assert not kine.transaction(first.name, 0, "made twice")
        assert kine.transaction(first.name, first.revision, "changed")
        assert not kine.transaction(second.name, second.revision - 1, "too late")
        assert kine.transaction(second.name, second.revision, None)
        assert kine.transaction(second.name, 0, "again")
        changes = [(first.name, b"changed", False), (second.name, b"", True), (second.name, b"again", False)]
        events = kine.watch(revision + 1, len(changes) + 1)
        assert [item.revision for item in events] == [*range(events[0].revision, events[0].revision + 4)]
        (by_itself,) = [item for item in events if item.name.endswith("zz-event")]
        assert by_itself.gone
        events.remove(by_itself)
        assert [item[:3] for item in events] == changes
        assert [item.before for item in events[:2]] == [first.value, second.value]


def test_back_to_what_it_was(database: Database, driver: AnyDriver, share: Isolation, bundle: Path) -> None:
    """Rows as kine would have written them, so that a watch that missed the restore is told of it."""
    with running_kine(database, share, bundle) as kine:
        for name in "abc":
            kine.put(f"/registry/{name}", "first")
        kine.put("/registry/b", "second")
        before = content(driver, share)
        kine.put("/registry/d", "later")
        kine.put("/registry/a", "later")
        (gone,) = [key for key in kine.keys()[1] if key.name == "/registry/c"]
        assert kine.transaction(gone.name, gone.revision, None)
        revision, _keys = kine.keys()
    expected = Replaced(put=2, deleted=1, kept=1)
    assert data_of(driver).compare(share, before) == expected
    assert data_of(driver).replace(share, before, beyond=77) == expected
    after = newest(driver, share)
    assert data_of(driver).replace(share, before, beyond=77) == Replaced(kept=3)
    assert newest(driver, share) == after == revision + 3
    with running_kine(database, share, bundle) as kine:
        found, keys = kine.keys()
        assert [(key.name, key.value) for key in keys] == names(before)
        a, b, c = keys
        assert found >= after
        assert a.created < a.revision
        assert b.created < b.revision <= revision, "it was not touched"
        assert c.created == c.revision > revision
        events = kine.watch(revision + 1, 3)
        assert [item[:3] for item in events] == [
            ("/registry/a", b"first", False),
            ("/registry/c", b"first", False),
            ("/registry/d", b"", True),
        ]
        assert [item.before for item in events] == [b"later", b"", b"later"]
        assert kine.transaction("/registry/d", 0, "again")
        assert kine.watch(after + 1, 1)[-1].revision == after + 1, "no revision is left out"


def test_large_values(driver: AnyDriver, share: Isolation) -> None:
    """Each larger than a batch is; together more than a page holds."""
    given = [Record(b"registry/%03d" % number, secrets.token_bytes(1_400_000)) for number in range(12)]
    assert data_of(driver).replace(share, given).put == 12
    assert content(driver, share) == given


def test_neighbours_are_not_touched(driver: AnyDriver, share: Isolation) -> None:
    with some_share(driver) as neighbour:
        fill(driver, neighbour, 300, seed=2)
        before = ask(driver, neighbour, "SELECT * FROM kine ORDER BY id")
        fill(driver, share, 300)
        data_of(driver).replace(share, [])
        assert content(driver, share) == []
        assert ask(driver, neighbour, "SELECT * FROM kine ORDER BY id") == before


def test_names_that_one_server_tells_apart(driver: AnyDriver, share: Isolation) -> None:
    """PostgreSQL does, MySQL does not: there nothing is written."""
    cases = (
        (
            [Record(b"roles/Admin", b"1"), Record(b"roles/admin", b"2")],
            'the key "/registry/roles/admin" of the backup, which differs .* by capitals only',
        ),
        ([Record("roles/\xfc".encode(), b"1")], "which is not ASCII"),
        ([Record(b"roles/" + b"x" * 700, b"1")], "which is longer than 630 bytes"),
    )
    for given, problem in cases:
        if isinstance(driver, MysqlDriver):
            for work in (data_of(driver).compare, data_of(driver).replace):
                with pytest.raises(InvalidError, match=problem):
                    work(share, given)
            assert content(driver, share) == []
        else:
            data_of(driver).replace(share, given)
            assert content(driver, share) == given
    with pytest.raises(InvalidError, match=r"is not ASCII|is no text in UTF-8"):
        data_of(driver).compare(share, [Record(b"roles/\xff", b"1")])


@pytest.mark.parametrize(("before", "after"), [(b"roles/Admin", b"roles/admin"), (b"roles/admin", b"roles/Admin")])
def test_other_capitals_than_before(
    database: Database, driver: AnyDriver, share: Isolation, bundle: Path, before: bytes, after: bytes
) -> None:
    data_of(driver).replace(share, [Record(before, b"1")])
    data_of(driver).replace(share, [Record(after, b"2")])
    assert content(driver, share) == [Record(after, b"2")]
    with running_kine(database, share, bundle) as kine:
        assert [(key.name, key.value) for key in kine.keys()[1]] == [(f"/registry/{after.decode()}", b"2")]


def test_keys_elsewhere_are_told(database: Database, driver: AnyDriver, share: Isolation, bundle: Path) -> None:
    with running_kine(database, share, bundle) as kine:
        kine.put("/other/pods/web", "value")
    for work in (lambda: list(data_of(driver).read(share)), lambda: data_of(driver).replace(share, [])):
        with pytest.raises(InvalidError, match='holds the key "/other/pods/web", and only keys under /registry/ can be backed up'):
            work()


def test_stopped_before_the_next_batch(driver: AnyDriver, share: Isolation) -> None:
    def guard() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        data_of(driver, guard=guard).replace(share, records(500))
    assert content(driver, share) == []


@pytest.mark.parametrize("batches", [1, 4])
def test_killed_in_the_middle(database: Database, driver: AnyDriver, share: Isolation, batches: int) -> None:
    """The next call writes what is missing, and no more."""
    fill(driver, share, 600, seed=2)
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = str(COLLECTION.parents[2])
    context.set_forkserver_preload([__name__])
    process = context.Process(target=replace_and_die, args=(database.definition("shared"), share, batches))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    wanted, done = list(records(600)), batches * tenant_data.BATCH_KEYS
    assert data_of(driver).replace(share, wanted) == Replaced(put=600 - done, kept=done)
    assert content(driver, share) == wanted


def replace_and_die(definition: Json, share: Isolation, batches: int) -> None:
    store = api.check(definition)
    with contextlib.closing(connect(store, api.resolve(store, {}))) as driver:
        data_of(driver, after_batch=partial(die, batches)).replace(share, records(600))


def die(batches: int, number: int) -> None:
    if number == batches:
        os.kill(os.getpid(), signal.SIGKILL)


def test_another_password(driver: AnyDriver, share: Isolation) -> None:
    other = replace(share, password="another one")
    assert data_of(driver).count(other) is None
    for work in (lambda: list(data_of(driver).read(other)), lambda: data_of(driver).replace(other, [])):
        with pytest.raises(
            errors.DatastorePermissionError, match=r"with this password.*run module tenant_control_plane for that tenant, which mends"
        ):
            work()
    with pytest.raises(InvalidError, match=r"the password of user .* is not known"):
        data_of(driver).compare(replace(share, password=None), [])
    driver.create_part(share, PASSWORD)
    assert data_of(driver).count(share) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_ends_in_the_middle(kind: str) -> None:
    with running_database(kind) as database, database.driver() as driver:
        assert isinstance(driver, BOTH)
        share = new_share(driver)
        fill(driver, share, 1200, size=8000)
        pages = data_of(driver).read(share)
        for _page in range(2):
            next(pages)

        def end(number: int) -> None:
            if number == 2:
                end_now(database)

        with pytest.raises(errors.DatastoreUnreachableError, match=r"cannot (read|write to) database"):
            data_of(driver, after_batch=end).replace(share, records(1200, size=8000, seed=2))
        with pytest.raises(errors.DatastoreUnreachableError, match="cannot read database"):
            list(pages)
        with pytest.raises(errors.DatastoreUnreachableError, match="check that it runs"):
            list(data_of(driver).read(share))


def end_now(database: Database) -> None:
    """Without waiting for its sessions."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--port={database.server.port}".encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGQUIT if database.server.driver == api.POSTGRESQL else signal.SIGKILL)


def test_from_store_to_store(tls_etcd: Etcd) -> None:
    """etcd → PostgreSQL → MariaDB → etcd: every key and value is the same, and what vanishes by itself still does."""
    wanted = sorted([*records(700), Record(b"events/1", b"event", 1800), Record(b"a b/\x01", b"\x00\xff"), Record(b"empty", b"")])
    first, last = Isolation("data_first", "data_first"), Isolation("data_last", "data_last")
    with ExitStack() as stack:
        etcd = stack.enter_context(contextlib.closing(open_driver(tls_etcd)))
        EtcdData(etcd).replace(first, wanted)
        places: list[tuple[Any, Isolation]] = [(etcd, first)]
        for kind in KINDS:
            driver = stack.enter_context(stack.enter_context(running_database(kind)).driver())
            assert isinstance(driver, BOTH)
            places.append((driver, new_share(driver)))
        places.append((etcd, last))
        before = content(etcd, first)
        for (source, there), (target, here) in itertools.pairwise(places):
            found = [item for page in data_of(source).read(there) for item in page.records]
            assert data_of(target).replace(here, found, beyond=10) == Replaced(put=len(wanted))
            assert content(target, here) == before
        assert [item.ttl_s for item in found if item.ttl_s] == [pytest.approx(1800, abs=30)]
        for share in (first, last):
            EtcdData(etcd).replace(share, [])


def test_a_sequence_that_lags_behind() -> None:
    """As the migration of the reference leaves it: the rows were copied, the sequence was not."""
    with running_database("PostgreSQL") as database, database.driver() as driver:
        assert isinstance(driver, BOTH)
        share = new_share(driver)
        fill(driver, share, 50)
        ask(driver, share, "SELECT setval('kine_id_seq', 3)")
        before = newest(driver, share)
        assert data_of(driver).replace(share, records(50, seed=2)) == Replaced(put=50)
        assert newest(driver, share) == before + 50
