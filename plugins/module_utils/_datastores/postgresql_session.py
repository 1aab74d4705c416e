# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with PostgreSQL: over TLS with any endpoint that takes writes, and what its errors mean."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import diagnose, errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.diagnose import Fault
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_psycopg import psycopg
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login, Target, Way

PRODUCT: Final = "PostgreSQL"
MAINTENANCE: Final = "postgres"
WRITABLE: Final = "read-write"
ANY: Final = "any"

# Names are looked up in the system's schema only: a tenant may have put functions and operators of its own into another one.
_OPTIONS: Final = "-c search_path=pg_catalog -c statement_timeout=60000"
_SSL_REQUEST: Final = bytes((0, 0, 0, 8, 4, 210, 22, 47))
_LOST: Final = ("08", "57P0")
_READ_ONLY: Final = "25006"
_NO_CONNECT: Final = "permission denied for database"
_WRONG_PASSWORD: Final = "password authentication failed"
# What is said about a database only to whoever has given the right password.
_LET_IN: Final = (_NO_CONNECT, "not currently accepting connections", 'FATAL:  database "')


def start_tls(connection: socket.socket) -> Fault | None:
    """Ask for TLS as the protocol has it: the server answers S when it agrees."""
    connection.sendall(_SSL_REQUEST)
    answer = connection.recv(1)
    if not answer:
        return Fault(errors.DatastoreUnreachableError, "closes the connection at once", "check that it runs and is PostgreSQL")
    return None if answer == b"S" else diagnose.NO_TLS


def login_fault(text: str, user: str) -> Fault:
    """What a server that speaks TLS said when it let nobody in. text: libpq's, in the server's language. Pure."""
    said = " ".join(text.split())[-300:]
    for words, kind, reason, remedy in (
        (
            (_WRONG_PASSWORD,),
            errors.DatastorePermissionError,
            f'does not know user "{user}" with this password',
            "correct spec.basicAuth, or the user's password",
        ),
        (
            ("pg_hba.conf", "not permitted to log in"),
            errors.DatastorePermissionError,
            f'does not let user "{user}" in from here ({said})',
            "add a line hostssl with scram-sha-256 for it to pg_hba.conf",
        ),
        (
            (_NO_CONNECT,),
            errors.DatastorePermissionError,
            f'does not let user "{user}" connect ({said})',
            f"grant it CONNECT on database {MAINTENANCE}",
        ),
        (
            ("read-only", "hot standby"),
            errors.DatastoreUnreachableError,
            "takes no writes: it is a standby",
            "list the primary too in spec.endpoints",
        ),
        (("too many", "connection slots"), errors.DatastoreError, "has no connection left", "raise max_connections, or use fewer tenants"),
        (
            ("starting up", "shutting down", "recovery", "timeout expired"),
            errors.DatastoreTimeoutError,
            f"does not serve yet ({said})",
            "see its log when it stays so",
        ),
    ):
        if any(word in text for word in words):
            return Fault(kind, reason, remedy)
    if "certificate" in text:
        return diagnose.CLIENT_CERTIFICATE_REFUSED
    return Fault(errors.DatastoreError, f"does not let us in ({said})", "see its log")


class Sessions:
    """Opens sessions with the servers of one store."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._preferred = 0

    def open(self, login: Login, database: str = MAINTENANCE) -> Any:
        """Open a session with an endpoint that takes writes, trying all of them. Raises DatastoreError with the first one's reason."""
        targets, first, failures = self.way.targets, self._preferred, []
        for offset in range(len(targets)):
            index = (first + offset) % len(targets)
            try:
                session = self.open_one(targets[index], login, database, WRITABLE)
            except errors.DatastoreError as error:
                failures.append(error)
            else:
                self._preferred = index
                return session
        raise next((item for item in failures if not isinstance(item, errors.DatastoreUnreachableError)), failures[0])

    def open_one(self, target: Target, login: Login, database: str, attributes: str) -> Any:
        """Open a session with one endpoint. attributes: libpq's target_session_attrs."""
        tls, dialled = self.way.tls, target.dialled
        try:
            return psycopg.connect(
                host=target.endpoint.host,
                hostaddr=dialled.host if dialled else None,
                port=target.address.port,
                user=login.user,
                password=login.password,
                dbname=database,
                sslmode="verify-full",
                sslrootcert=str(tls.ca),
                sslcert=str(tls.certificate),  # absent unless the store has one; the person's own in ~/.postgresql is never sent
                sslkey=str(tls.key),
                gssencmode="disable",
                target_session_attrs=attributes,
                connect_timeout=max(2, round(self.way.timeout_s)),
                application_name="hosted-kubernetes",
                options=_OPTIONS,
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            address, name = str(target.address), target.endpoint.host if dialled else None
            fault = diagnose.diagnose(address, name, tls.ca_certificate, self.way.timeout_s, start_tls)
            raise self.way.error(PRODUCT, target, fault or login_fault(str(error), login.user)) from error

    def accepts(self, login: Login, database: str) -> bool | None:
        """Whether a user has this password; None when that was not found out."""
        try:
            self.open(login, database).close()
        except errors.DatastoreError as error:
            said = str(error.__cause__)
            if _WRONG_PASSWORD in said:
                return False
            return True if any(words in said for words in _LET_IN) else None
        return True

    def translate(self, error: Any, doing: str) -> errors.DatastoreError:
        """What an error of a statement means. doing: completes "cannot"."""
        state, said = error.sqlstate or "", " ".join(str(error).split())[:300]
        kind, remedy = errors.DatastoreError, "see its log"
        if state == "42501":
            kind, remedy = errors.DatastorePermissionError, "give the user of spec.basicAuth that right (docs/datastores.md)"
        elif state == "53100":
            kind, remedy = errors.DatastoreNoSpaceError, "its disk is full; make room"
        elif state == "57014":
            kind, remedy = errors.DatastoreTimeoutError, "see what holds it up (pg_stat_activity)"
        elif not state or state.startswith(_LOST):
            kind, remedy = errors.DatastoreUnreachableError, "run again; see its log when it happens again"
        return kind(self.way.name, f"{PRODUCT} cannot {doing} ({said}); {remedy}", where=PRODUCT)


class Administration:
    """One session of the administrator, opened again when it was lost or its server takes no writes any more. Thread-safe."""

    def __init__(self, sessions: Sessions, login: Login) -> None:
        self._sessions = sessions
        self._login = login
        self._session: Any = None
        self._lock = threading.RLock()

    def run(self, doing: str, query: Any, arguments: Sequence[Any] = (), *, ignore: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. doing: completes "cannot" in an error. ignore: states that mean: already so.

        Every statement can be repeated, so it is, once, when the session was lost.
        """
        with self._lock:
            try:
                return self._run_once(query, arguments, ignore)
            except psycopg.Error as error:
                if not self._is_lost(error):
                    raise self._sessions.translate(error, doing) from error
            try:
                return self._run_once(query, arguments, ignore)
            except psycopg.Error as error:
                raise self._sessions.translate(error, doing) from error

    def verifier(self, login: Login) -> str:
        """What the server stores of a password (SCRAM): the password itself is never sent, nor can it be in a log."""
        with self._lock:
            connection = self._open().pgconn
            return str(connection.encrypt_password(login.password.encode(), login.user.encode(), b"scram-sha-256").decode())

    @contextlib.contextmanager
    def elsewhere(self, database: str) -> Iterator[Administration]:
        """The same in another database."""
        other = Administration(self._sessions, self._login)
        other._session = self._sessions.open(self._login, database)
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _open(self) -> Any:
        if self._session is None:
            self._session = self._sessions.open(self._login)
        return self._session

    def _run_once(self, query: Any, arguments: Sequence[Any], ignore: Sequence[str]) -> list[tuple[Any, ...]]:
        try:
            cursor = self._open().execute(query, arguments or None)
            return list(cursor.fetchall()) if cursor.description else []
        except psycopg.Error as error:
            if error.sqlstate in ignore:
                return []
            raise

    def _is_lost(self, error: Any) -> bool:
        """Whether the session is of no use any more; the next statement opens another."""
        if not self._session.closed and error.sqlstate != _READ_ONLY:
            return False
        self.close()
        return True
