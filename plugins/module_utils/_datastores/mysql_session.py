# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with MySQL and MariaDB: over TLS with any endpoint that takes writes, and what their errors mean."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import diagnose, errors, sql_driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.diagnose import Fault
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_pymysql import pymysql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login, Target, Way

PRODUCT: Final = "MySQL"

# A statement (DROP DATABASE of a large tenant) may take longer than a connection.
_STATEMENT_S: Final = 60.0
_NO_TLS: Final = 2026
_ACCESS_DENIED: Final = (1044, 1045, 1142, 1227, 1410)
_BAD_LOGIN: Final = 1045
_DISK_FULL: Final = (1021, 1114, 3675)
_TIMEOUT: Final = (1205, 1969, 3024)
_TOO_LARGE: Final = 1153
_LOST: Final = (0, 1053, 2006, 2013)
_READ_ONLY: Final = (1290, 1836)


def login_fault(error: Any, user: str) -> Fault:
    """What a server that speaks TLS said when it let nobody in. error: PyMySQL's, with the server's number. Pure."""
    number, said = _said(error)
    if number == _NO_TLS:
        return diagnose.NO_TLS
    if number == _BAD_LOGIN:
        return Fault(
            errors.DatastorePermissionError,
            f'does not know user "{user}" with this password from here',
            "correct spec.basicAuth, or the user's password and host",
        )
    if number in (1040, 1203):
        return Fault(errors.DatastoreError, "has no connection left", "raise max_connections, or use fewer tenants")
    if number in (1129, 1130):
        return Fault(errors.DatastorePermissionError, f"does not let this host in ({said})", "let it in, or unblock it (FLUSH HOSTS)")
    if number in (1053, 2013):
        return Fault(errors.DatastoreTimeoutError, f"does not serve yet ({said})", "see its log when it stays so")
    return Fault(errors.DatastoreError, f"does not let us in ({said})", "see its log")


class Sessions(sql_driver.Sessions):
    """Opens sessions with the servers of one store."""

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self._context = ssl.create_default_context(cadata=way.tls.ca_certificate.decode())
        if way.tls.client_certificate is not None:
            with way.tls.files() as files:
                self._context.load_cert_chain(files.certificate, files.key)

    def open(self, login: Login) -> Any:
        return self.first(lambda target: self._refuse_standby(target, self.open_one(target, login)))

    def open_one(self, target: Target, login: Login) -> Any:
        """Open a session with one endpoint, whether it takes writes or not."""
        session = pymysql.connections.Connection(
            host=target.endpoint.host,
            port=target.endpoint.port,
            user=login.user,
            # PyMySQL would take Latin-1 for the bytes of a text.
            password=login.password.encode(),
            ssl=self._context,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=self.way.timeout_s,
            read_timeout=_STATEMENT_S,
            write_timeout=_STATEMENT_S,
            defer_connect=True,
        )
        try:
            session.connect(self._dial(target))
        except OSError as error:
            raise self.way.error(PRODUCT, target, self._fault(error)) from error
        except pymysql.err.Error as error:
            cause = getattr(error, "original_exception", None)
            fault = self._fault(cause) if isinstance(cause, OSError) else login_fault(error, login.user)
            raise self.way.error(PRODUCT, target, fault) from error
        return session

    def accepts(self, login: Login) -> bool | None:
        """Whether a login is let in; None when that was not found out."""
        try:
            self.open(login).close()
        except errors.DatastorePermissionError as error:
            return False if "with this password" in error.msg else None
        except errors.DatastoreError:
            return None
        return True

    def translate(self, error: Any, doing: str) -> errors.DatastoreError:
        """What an error of a statement means. doing: completes "cannot"."""
        number, said = _said(error)
        kind, remedy = errors.DatastoreError, "see its log"
        if number in _ACCESS_DENIED:
            kind, remedy = errors.DatastorePermissionError, "give the user of spec.basicAuth that right (docs/datastores.md)"
        elif number in _DISK_FULL:
            kind, remedy = errors.DatastoreNoSpaceError, "its disk is full; make room"
        elif number == _TOO_LARGE:
            kind, remedy = errors.DatastoreTooLargeError, "raise max_allowed_packet"
        elif number in _TIMEOUT:
            kind, remedy = errors.DatastoreTimeoutError, "see what holds it up (SHOW PROCESSLIST)"
        elif number in _LOST:
            kind, remedy = errors.DatastoreUnreachableError, "run again; see its log when it happens again"
        return kind(self.way.name, f"{PRODUCT} cannot {doing} ({said}); {remedy}", where=PRODUCT)

    def _fault(self, error: OSError) -> Fault:
        return diagnose.fault_of(error, self.way.timeout_s) or diagnose.CLIENT_CERTIFICATE_REFUSED

    def _dial(self, target: Target) -> socket.socket:
        """The connection itself, so that the certificate is checked for the endpoint's name when a port-forward is dialled."""
        connection = socket.create_connection((target.address.host, target.address.port), self.way.timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _refuse_standby(self, target: Target, session: Any) -> Any:
        if rows(session, "SELECT @@global.read_only")[0][0]:
            session.close()
            fault = Fault(errors.DatastoreUnreachableError, "takes no writes (read_only is on)", "list the primary too in spec.endpoints")
            raise self.way.error(PRODUCT, target, fault)
        return session


def rows(session: Any, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with session.cursor() as cursor:
        cursor.execute(query, arguments or None)
        return list(cursor.fetchall())


def unbuffered(session: Any, query: str) -> Any:
    """Run one statement whose rows are fetched one at a time from the server. Either all are fetched, or abandon() the cursor."""
    cursor = session.cursor(pymysql.cursors.SSCursor)
    cursor.execute(query)
    return cursor


def abandon(cursor: Any) -> None:
    """Forget the rows that were not fetched, before the session is closed: PyMySQL would read all of them first."""
    result = cursor._result
    if result is not None:
        result.unbuffered_active = False


class Administration(sql_driver.Administration):
    """The administrator's session. Codes are the server's numbers."""

    def __init__(self, sessions: Sessions, login: Login) -> None:
        super().__init__(sessions, login, pymysql.err.Error)

    def _execute(self, query: Any, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        return rows(self._open(), query, arguments)

    def _code(self, error: Any) -> Any:
        return _said(error)[0]

    def _is_closed(self) -> bool:
        return not self._session.open

    def _is_lost(self, error: Any) -> bool:
        return self._code(error) in (*_LOST, *_READ_ONLY)


def _said(error: Any) -> tuple[int, str]:
    """Number and text of an error; 0 when it is one of the connection's state."""
    arguments = error.args or (0, str(error))
    number = arguments[0] if isinstance(arguments[0], int) else 0
    return number, " ".join(str(arguments[-1]).split())[:300]
