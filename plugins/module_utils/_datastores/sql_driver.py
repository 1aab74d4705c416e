# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drivers of SQL servers do alike: keep the administrator's session, choose among endpoints, probe."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import driver, errors, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation, Usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login, Target, Way

_READS: Final = 3


class Sessions(ABC):
    """Opens sessions with the servers of one store."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._preferred = 0

    def first(self, open_one: Callable[[Target], Any]) -> Any:
        """Open a session with the first endpoint that gives one, the last good one first. Raises DatastoreError with the first reason."""
        targets, first, failures = self.way.targets, self._preferred, []
        for offset in range(len(targets)):
            index = (first + offset) % len(targets)
            try:
                session = open_one(targets[index])
            except errors.DatastoreError as error:
                failures.append(error)
            else:
                self._preferred = index
                return session
        raise next((item for item in failures if not isinstance(item, errors.DatastoreUnreachableError)), failures[0])

    @abstractmethod
    def open(self, login: Login) -> Any:
        """Open a session with an endpoint that takes writes, trying all of them."""

    @abstractmethod
    def translate(self, error: Any, doing: str) -> errors.DatastoreError:
        """What an error of a statement means. doing: completes "cannot"."""


class Administration(ABC):
    """One session of the administrator, opened again when it was lost or its server takes no writes any more. Thread-safe."""

    def __init__(self, sessions: Sessions, login: Login, failure: type[Exception]) -> None:
        self._sessions = sessions
        self._login = login
        self._failure = failure
        self._session: Any = None
        self._lock = threading.RLock()

    def run(self, doing: str, query: Any, arguments: Sequence[Any] = (), *, ignore: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. doing: completes "cannot" in an error. ignore: codes that mean: already so.

        Every statement can be repeated, so it is, once, when the session was lost.
        """
        with self._lock:
            try:
                return self._run_once(query, arguments, ignore)
            except self._failure as error:
                if not self._is_lost(error):
                    raise self._sessions.translate(error, doing) from error
                self.close()
            try:
                return self._run_once(query, arguments, ignore)
            except self._failure as error:
                raise self._sessions.translate(error, doing) from error

    def close(self) -> None:
        with self._lock:
            if self._session is not None and not self._is_closed():
                self._session.close()
            self._session = None

    def _open(self) -> Any:
        if self._session is None:
            self._session = self._sessions.open(self._login)
        return self._session

    def _run_once(self, query: Any, arguments: Sequence[Any], ignore: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._execute(query, arguments)
        except self._failure as error:
            if self._code(error) in ignore:
                return []
            raise

    @abstractmethod
    def _execute(self, query: Any, arguments: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _code(self, error: Any) -> Any:
        """The server's code of an error."""

    @abstractmethod
    def _is_closed(self) -> bool: ...

    @abstractmethod
    def _is_lost(self, error: Any) -> bool:
        """Whether the session is of no use any more."""


@dataclass(frozen=True)
class Counted:
    """What was found in a share's table. keys: None when not asked for. revision: the newest, None when the table is not there."""

    keys: int | None
    revision: int | None
    error: str = ""


def _rate(before: tuple[float, int | None], after: tuple[float, int | None] | None) -> float | None:
    """Revisions per second between two looks; None when one of them is missing. Pure."""
    if after is None or before[1] is None or after[1] is None:
        return None
    return round((after[1] - before[1]) / max(after[0] - before[0], 0.001), 2)


class SqlDriver(ABC):
    """The half of driver.Driver that is the same for all. login: the administrator's."""

    parts = sql.PARTS
    a_read: ClassVar[str]

    def __init__(self, way: Way, login: Login, administration: Administration) -> None:
        self.name = way.name
        self._way = way
        self._login = login
        self._administration = administration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._administration.close()

    def probe(self) -> driver.Probe:
        self._run("be asked", "SELECT 1")
        latency_ms = min(self._read_ms() for _read in range(_READS))
        with ThreadPoolExecutor(len(self._way.targets)) as pool:
            members = tuple(pool.map(self._member, self._way.targets))
        answering = [item for item in members if item.error is None]
        silent = [f"{item.endpoint} does not answer: {item.error}" for item in members if item.error]
        return driver.Probe(
            version=min((item.version for item in answering), key=sql.version_key, default=""),
            latency_ms=round(latency_ms, 1),
            db_size_bytes=max((item.db_size_bytes for item in answering), default=0),
            quota_bytes=None,
            members=members,
            problems=tuple(self._problems(answering)),
            warnings=(*silent, *self._warnings()),
            tenants=self._count_tenants(),
        )

    def _read_ms(self) -> float:
        started = time.monotonic()
        self._run("be asked", self.a_read)
        return (time.monotonic() - started) * 1000

    def _member(self, target: Target) -> driver.Member:
        started = time.monotonic()
        try:
            version, standby, size = self._ask_member(target)
        except errors.DatastoreError as error:
            return driver.Member(str(target.endpoint), "", "", False, 0, error.result.get("reason", error.msg))
        latency_ms = round((time.monotonic() - started) * 1000, 1)
        return driver.Member(str(target.endpoint), "", version, not standby, int(size), None, latency_ms)

    def account(self, isolations: Sequence[Isolation], *, interval_s: float = 0.0) -> dict[str, Usage]:
        sizes = self._sizes([item.schema for item in isolations]) if isolations else {}
        with ThreadPoolExecutor(min(sql.LOGINS_AT_ONCE, len(isolations) or 1)) as pool:
            found = dict(zip((item.schema for item in isolations), pool.map(self._count, isolations), strict=True))
            before = {schema: (time.monotonic(), counted.revision) for schema, counted in found.items()}
            if interval_s and isolations:
                time.sleep(interval_s)
            again = isolations if interval_s else ()
            after = {
                item.schema: (time.monotonic(), counted.revision) for item, counted in zip(again, pool.map(self._look, again), strict=True)
            }
        return {
            schema: Usage(counted.keys, sizes.get(schema), _rate(before[schema], after.get(schema)), counted.error)
            for schema, counted in found.items()
        }

    def _count(self, isolation: Isolation) -> Counted:
        return self._counted(isolation, keys=True)

    def _look(self, isolation: Isolation) -> Counted:
        return self._counted(isolation, keys=False)

    def _counted(self, isolation: Isolation, *, keys: bool) -> Counted:
        try:
            return self._ask_share(isolation, keys=keys)
        except HostedKubernetesError as error:
            return Counted(None, None, error.msg)

    def _passwords(self, isolations: Sequence[Isolation], detailed: bool) -> dict[str, bool | None]:
        """Schema → whether the user has the password that is known; nothing about shares of which none is."""
        return sql.check_passwords(isolations, self._accepts) if detailed else {}

    def _run(self, doing: str, query: Any, arguments: Sequence[Any] = (), *, ignore: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._administration.run(doing, query, arguments, ignore=ignore)

    @abstractmethod
    def observe(self, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False) -> dict[str, driver.IsolationState]:
        """As driver.Driver has it."""

    @abstractmethod
    def has_database(self, isolation: Isolation) -> bool:
        """Whether the database of a share exists, whoever made it; the server's catalog is asked, not the database."""

    @abstractmethod
    def open_share(self, isolation: Isolation) -> Any:
        """Open a session in the database of a share as its own user. Raises InvalidError without a password, DatastoreError."""

    @abstractmethod
    def translate(self, error: Any, doing: str) -> errors.DatastoreError:
        """What an error of a statement in such a session means. doing: completes "cannot"."""

    @abstractmethod
    def _ask_member(self, target: Target) -> tuple[str, bool, int]:
        """Version, whether it takes no writes, and size in bytes of one endpoint."""

    @abstractmethod
    def _problems(self, members: Sequence[driver.Member]) -> list[str]:
        """What makes the store unusable. members: those that answer."""

    @abstractmethod
    def _warnings(self) -> list[str]: ...

    @abstractmethod
    def _sizes(self, schemas: Sequence[str]) -> dict[str, int]:
        """Bytes on disk of databases; those that do not exist are left out."""

    @abstractmethod
    def _ask_share(self, isolation: Isolation, *, keys: bool) -> Counted:
        """Look into the table of a share. keys: whether to count them too."""

    @abstractmethod
    def _count_tenants(self) -> int: ...

    @abstractmethod
    def _accepts(self, isolation: Isolation) -> bool | None:
        """Whether its user is let in with its password; None when that was not found out."""
