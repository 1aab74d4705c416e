# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kine's table in PostgreSQL, as sql_data needs it. Statements name everything with its schema, see postgresql_session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_psycopg import psycopg
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql import PostgresqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_data import (
    COMPACTED,
    END,
    GAP,
    HEALTH,
    LONGEST_LIFE_S,
    OWN,
    PREFIX,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import FIRST_PAGE_KEYS, Work, next_limit

# As kine makes it (pkg/drivers/pgsql of v0.17.5).
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS public.kine (
  id BIGSERIAL PRIMARY KEY, name text COLLATE "C", created INTEGER, deleted INTEGER, create_revision BIGINT, prev_revision BIGINT,
  lease INTEGER, value bytea, old_value bytea);
CREATE INDEX IF NOT EXISTS kine_name_index ON public.kine (name);
CREATE INDEX IF NOT EXISTS kine_name_id_index ON public.kine (name, id);
CREATE INDEX IF NOT EXISTS kine_id_deleted_index ON public.kine (id, deleted);
CREATE INDEX IF NOT EXISTS kine_prev_revision_index ON public.kine (prev_revision);
CREATE UNIQUE INDEX IF NOT EXISTS kine_name_prev_revision_uindex ON public.kine (name, prev_revision);
CREATE INDEX IF NOT EXISTS kine_list_query_index ON public.kine (name, id DESC, deleted)"""
# A sequence that lags behind the rows would hand out revisions that were there already.
_ADVANCE: Final = """
SELECT setval(pg_get_serial_sequence('public.kine', 'id')::regclass, %s)
 WHERE %s > (SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('public.kine', 'id')::regclass), 0))"""
_MARK: Final = f"""
INSERT INTO public.kine (name, created, deleted, prev_revision, lease, value)
SELECT '{COMPACTED}', 1, 0, %s, 0, ''::bytea WHERE NOT EXISTS (SELECT FROM public.kine)"""
_NEWEST: Final = f"""
SELECT DISTINCT ON (name COLLATE "C") name, lease, value, deleted FROM public.kine
 WHERE name >= '{PREFIX}' COLLATE "C" AND name < '{END}' COLLATE "C" AND name <> '{HEALTH}' ORDER BY name COLLATE "C", id DESC"""
_LIVE: Final = f"""
SELECT name, coalesce(lease, 0), coalesce(value, ''::bytea) FROM ({_NEWEST}) AS newest
 WHERE deleted = 0 ORDER BY name COLLATE "C" ASC"""
_COUNT: Final = f"SELECT count(*) FROM ({_NEWEST}) AS newest WHERE deleted = 0"
_STRANGER: Final = f"""
SELECT name FROM public.kine
 WHERE (name < '{PREFIX}' COLLATE "C" OR name >= '{END}' COLLATE "C") AND name <> ALL (%s) AND NOT starts_with(name, '{GAP}') LIMIT 1"""
# What kine writes of one key (insertSQL in pkg/drivers/generic), for many of them.
_WRITE: Final = """
INSERT INTO public.kine (name, created, deleted, create_revision, prev_revision, lease, value, old_value)
SELECT w.name,
       (NOT w.gone AND (p.id IS NULL OR p.deleted <> 0))::integer,
       w.gone::integer,
       CASE WHEN p.deleted = 0 THEN coalesce(nullif(p.create_revision, 0), p.id) END,
       coalesce(p.id, 0),
       w.lease,
       CASE WHEN NOT w.gone THEN w.value END,
       CASE WHEN p.deleted = 0 THEN p.value END
  FROM unnest(%b::text[], %b::boolean[], %b::bigint[], %b::bytea[]) WITH ORDINALITY AS w (name, gone, lease, value, place)
  LEFT JOIN LATERAL (SELECT k.id, k.deleted, k.create_revision, k.value FROM public.kine k
                      WHERE k.name = w.name COLLATE "C" ORDER BY k.id DESC LIMIT 1) AS p ON true
 WHERE NOT w.gone OR p.deleted = 0 ORDER BY w.place"""


class PostgresqlDialect:
    """Implements sql_data.Dialect."""

    def __init__(self, driver: PostgresqlDriver) -> None:
        self._driver = driver

    def open(self, isolation: Isolation) -> PostgresqlTable:
        return PostgresqlTable(self._driver, isolation)

    def problem(self, name: str, value: bytes) -> str | None:
        return "is no text in UTF-8" if "\0" in name or not _is_text(name) else None

    def same(self, name: str) -> str:
        return name


class PostgresqlTable:
    """Implements sql_data.Table."""

    def __init__(self, driver: PostgresqlDriver, isolation: Isolation) -> None:
        self._driver = driver
        self._doing = f'database "{isolation.schema}"'
        self._session = driver.open_share(isolation)

    def exists(self) -> bool:
        return bool(self._run("look into", "SELECT to_regclass('public.kine') IS NOT NULL")[0][0])

    def begin(self) -> int:
        self._run("look into", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return int(self._run("look into", "SELECT coalesce(max(id), 0)::bigint FROM public.kine")[0][0])

    def stranger(self) -> str | None:
        found = self._run("look into", _STRANGER, [list(OWN)])
        return str(found[0][0]) if found else None

    def count(self) -> int:
        return int(self._run("count the keys of", _COUNT)[0][0])

    def pages(self) -> Iterator[list[Record]]:
        self._run("read", f"DECLARE live NO SCROLL CURSOR FOR {_LIVE}")
        limit = FIRST_PAGE_KEYS
        while found := self._run("read", f"FETCH FORWARD {limit} FROM live"):
            page = [Record(name.encode()[len(PREFIX) :], value, lease) for name, lease, value in found]
            limit = next_limit(len(page), sum(len(item.key) + len(item.value) for item in page))
            yield page

    def prepare(self, beyond: int) -> None:
        self._run("make the table of", "BEGIN")
        for statement in _CREATE.split(";"):
            self._run("make the table of", statement)
        newest = int(self._run("look into", "SELECT coalesce(max(id), 0)::bigint FROM public.kine")[0][0])
        if newest or beyond:
            self._run("prepare", _ADVANCE, [newest or beyond, newest or beyond])
        if beyond:
            self._run("prepare", _MARK, [beyond])
        self._run("prepare", "COMMIT")

    def write(self, work: Work) -> None:
        names = [PREFIX + record.key.decode() for _step, record in work]
        gone = [step is Step.DELETE for step, _record in work]
        leases = [0 if step is Step.DELETE else min(record.ttl_s, LONGEST_LIFE_S) for step, record in work]
        values = [b"" if step is Step.DELETE else record.value for step, record in work]
        self._run("write to", _WRITE, [names, gone, leases, values])

    def finish(self) -> None:
        """Nothing is left over here."""

    def close(self) -> None:
        self._session.close()

    def _run(self, doing: str, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._session.cursor(binary=True).execute(query, arguments or None)
            return list(cursor.fetchall()) if cursor.description else []
        except psycopg.Error as error:
            raise self._driver.translate(error, f"{doing} {self._doing}") from error


def _is_text(name: str) -> bool:
    """Whether all bytes of a name were UTF-8. Pure."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)
