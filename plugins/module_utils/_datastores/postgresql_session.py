# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with PostgreSQL: over TLS with any endpoint that takes writes, and what its errors mean."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import diagnose, errors, sql_driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.diagnose import Fault
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_psycopg import psycopg
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login, Target

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


class Sessions(sql_driver.Sessions):
    """Opens sessions with the servers of one store."""

    def open(self, login: Login, database: str = MAINTENANCE) -> Any:
        return self.first(lambda target: self.open_one(target, login, database, WRITABLE))

    def open_one(self, target: Target, login: Login, database: str, attributes: str) -> Any:
        """Open a session with one endpoint. attributes: libpq's target_session_attrs."""
        tls, dialled = self.way.tls, target.dialled
        try:
            with tls.files() as files:
                return psycopg.connect(
                    host=target.endpoint.host,
                    hostaddr=dialled.host if dialled else None,
                    port=target.address.port,
                    user=login.user,
                    password=login.password,
                    dbname=database,
                    sslmode="verify-full",
                    sslrootcert=str(files.ca),
                    sslcert=str(
                        files.certificate
                    ),  # named also when there is none, so that the person's own in ~/.postgresql is never sent
                    sslkey=str(files.key),
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


class Administration(sql_driver.Administration):
    """The administrator's session. Codes are SQL states."""

    def __init__(self, sessions: Sessions, login: Login) -> None:
        super().__init__(sessions, login, psycopg.Error)
        self._all = sessions

    def verifier(self, login: Login) -> str:
        """What the server stores of a password (SCRAM): the password itself is never sent, nor can it be in a log."""
        with self._lock:
            connection = self._open().pgconn
            return str(connection.encrypt_password(login.password.encode(), login.user.encode(), b"scram-sha-256").decode())

    @contextlib.contextmanager
    def elsewhere(self, database: str) -> Iterator[Administration]:
        """The same in another database."""
        other = Administration(self._all, self._login)
        other._session = self._all.open(self._login, database)
        try:
            yield other
        finally:
            other.close()

    def _execute(self, query: Any, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = self._open().execute(query, arguments or None)
        return list(cursor.fetchall()) if cursor.description else []

    def _code(self, error: Any) -> Any:
        return error.sqlstate

    def _is_closed(self) -> bool:
        return bool(self._session.closed)

    def _is_lost(self, error: Any) -> bool:
        return self._session is not None and (self._is_closed() or error.sqlstate == _READ_ONLY)
