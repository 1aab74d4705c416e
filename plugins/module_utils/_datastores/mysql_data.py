# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kine's table in MySQL and MariaDB, as sql_data needs it.

Names there are ASCII, and two that differ by capitals only are one to the server's comparisons, so also to kine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_pymysql import pymysql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql import MysqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql_session import abandon, rows, unbuffered
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_data import (
    COMPACTED,
    END,
    GAP,
    HEALTH,
    LONGEST_LIFE_S,
    OWN,
    PREFIX,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import PAGE_BYTES, Work

_LONGEST_NAME: Final = 630
_LARGEST_VALUE: Final = 2**24 - 1
# As kine makes it (pkg/drivers/mysql of v0.17.5), in one statement: where the table exists kine makes no index.
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS kine (
  id BIGINT UNSIGNED AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii, created INTEGER, deleted INTEGER,
  create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INTEGER, value MEDIUMBLOB, old_value MEDIUMBLOB,
  PRIMARY KEY (id), INDEX kine_name_index (name), INDEX kine_name_id_index (name, id), INDEX kine_id_deleted_index (id, deleted),
  INDEX kine_prev_revision_index (prev_revision), UNIQUE INDEX kine_name_prev_revision_uindex (name, prev_revision))"""
_MARK: Final = f"""
INSERT INTO kine (name, created, deleted, prev_revision, lease, value) SELECT '{COMPACTED}', 1, 0, %s, 0, ''
 WHERE NOT EXISTS (SELECT 1 FROM (SELECT id FROM kine LIMIT 1) AS any_row)"""
_NEWEST: Final = f"""
  FROM (SELECT MAX(id) AS id FROM kine WHERE name >= '{PREFIX}' AND name < '{END}' AND name <> '{HEALTH}' GROUP BY name) AS newest
  JOIN kine AS k ON k.id = newest.id WHERE k.deleted = 0"""
# Sorted by bytes: the order of the column itself is another one.
_LIVE: Final = f"SELECT k.name, COALESCE(k.lease, 0), COALESCE(k.value, '') {_NEWEST} ORDER BY CAST(k.name AS BINARY)"
_COUNT: Final = f"SELECT COUNT(*) {_NEWEST}"
_STRANGER: Final = f"""
SELECT name FROM kine WHERE (name < '{PREFIX}' OR name >= '{END}') AND name NOT IN %s AND LEFT(name, {len(GAP)}) <> '{GAP}' LIMIT 1"""
# What kine writes of one key (insertSQL in pkg/drivers/generic), for many of them. A name that differs by capitals from the one to be removed is
# that of a key that has taken its place just before.
_WRITE: Final = """
INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value, old_value)
SELECT w.name,
       w.gone = 0 AND (p.id IS NULL OR p.deleted <> 0),
       w.gone,
       CASE WHEN p.deleted = 0 THEN COALESCE(NULLIF(p.create_revision, 0), p.id) END,
       COALESCE(p.id, 0),
       w.lease,
       w.value,
       CASE WHEN p.deleted = 0 THEN p.value END
  FROM ({wanted}) AS w LEFT JOIN kine AS p ON p.id = (SELECT MAX(k.id) FROM kine AS k WHERE k.name = w.name)
 WHERE w.gone = 0 OR p.deleted = 0 AND CAST(p.name AS BINARY) = CAST(w.name AS BINARY) ORDER BY w.place"""
_WANTED: Final = "SELECT CONVERT(%s USING ascii) AS name, %s AS gone, %s AS lease, %s AS value, %s AS place"


class MysqlDialect:
    """Implements sql_data.Dialect."""

    def __init__(self, driver: MysqlDriver) -> None:
        self._driver = driver

    def open(self, isolation: Isolation) -> MysqlTable:
        return MysqlTable(self._driver, isolation)

    def problem(self, name: str, value: bytes) -> str | None:
        if not name.isascii():
            return "is not ASCII"
        if len(name) > _LONGEST_NAME:
            return f"is longer than {_LONGEST_NAME} bytes"
        if name.endswith(" "):
            return "ends with a space"
        return f"has a value of {len(value)} bytes, more than {_LARGEST_VALUE}" if len(value) > _LARGEST_VALUE else None

    def same(self, name: str) -> str:
        return name.lower()


class MysqlTable:
    """Implements sql_data.Table."""

    def __init__(self, driver: MysqlDriver, isolation: Isolation) -> None:
        self._driver = driver
        self._doing = f'database "{isolation.schema}"'
        self._session = driver.open_share(isolation)
        self._cursor: Any = None

    def exists(self) -> bool:
        query = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'kine'"
        return bool(self._run("look into", query))

    def begin(self) -> int:
        self._run("look into", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("look into", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return int(self._run("look into", "SELECT COALESCE(MAX(id), 0) FROM kine")[0][0])

    def stranger(self) -> str | None:
        found = self._run("look into", _STRANGER, [list(OWN)])
        return str(found[0][0]) if found else None

    def count(self) -> int:
        return int(self._run("count the keys of", _COUNT)[0][0])

    def pages(self) -> Iterator[list[Record]]:
        with self._told("read"):
            self._cursor = unbuffered(self._session, _LIVE)
            page, size = [], 0
            while (row := self._cursor.fetchone()) is not None:
                name, lease, value = row
                page.append(Record(name.encode()[len(PREFIX) :], value, lease))
                size += len(name) + len(value)
                if size >= PAGE_BYTES:
                    yield page
                    page, size = [], 0
            self._cursor = None
        if page:
            yield page

    def prepare(self, beyond: int) -> None:
        self._run("make the table of", _CREATE)
        if beyond and not self._run("look into", "SELECT 1 FROM kine LIMIT 1"):
            self._run("prepare", "ALTER TABLE kine AUTO_INCREMENT = %s", [beyond + 1])
            self._run("prepare", _MARK, [beyond])

    def write(self, work: Work) -> None:
        for part in _apart(work):
            arguments: list[Any] = []
            for place, (step, record) in enumerate(part):
                gone = step is Step.DELETE
                lease, value = (0, None) if gone else (min(record.ttl_s, LONGEST_LIFE_S), record.value)
                arguments += [PREFIX + record.key.decode(), int(gone), lease, value, place]
            self._run("write to", _WRITE.format(wanted=" UNION ALL ".join([_WANTED] * len(part))), arguments)

    def finish(self) -> None:
        """A statement that writes many rows takes more numbers than it needs; the next one is to follow the last row again."""
        self._run("finish", "ALTER TABLE kine AUTO_INCREMENT = 1")

    def close(self) -> None:
        if self._cursor is not None:
            abandon(self._cursor)
        if self._session.open:
            self._session.close()

    def _run(self, doing: str, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._told(doing):
            return rows(self._session, query, arguments)

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except pymysql.err.Error as error:
            raise self._driver.translate(error, f"{doing} {self._doing}") from error


def _apart(work: Work) -> Iterator[Work]:
    """The same work in parts, so that names which are the same one to the server are written one after the other. Pure."""
    part: list[tuple[Step, Record]] = []
    names: set[bytes] = set()
    for step, record in work:
        if record.key.lower() in names:
            yield part
            part, names = [], set()
        part.append((step, record))
        names.add(record.key.lower())
    yield part
