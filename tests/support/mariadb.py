# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real MariaDB on loopback for tests, from the packages of the system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql_session import Sessions
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import (
    OPERATOR,
    Server,
    in_folder,
    own,
    private_folder,
    program,
    run_once,
    unprivileged,
)

PACKAGE = "mariadb-server"
ADMINISTRATOR = Login("hosted-admin", "admin's secret")
# As docs/datastores.md has them.
ADMINISTRATOR_GRANTS = (
    "CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO %s@'%%'",
    "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP ON *.* TO %s@'%%' WITH GRANT OPTION",
)


@contextlib.contextmanager
def running_mariadb(*, test_databases: bool = False, settings: tuple[str, ...] = ()) -> Iterator[Server]:
    """Run a new server where OPERATOR may do everything. test_databases: with those that everybody may use."""
    with private_folder("mariadb") as folder:
        server = Server("MySQL", free_ports(1)[0], Authority(folder))
        pair = in_folder(server.authority.server("server"), server.authority, folder)
        data, first = folder / "data", folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS {OPERATOR.user}@'%' IDENTIFIED BY '{OPERATOR.password.replace(chr(39), chr(39) * 2)}';\n"
            f"GRANT ALL ON *.* TO {OPERATOR.user}@'%' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )
        own(folder)
        install = [program("mariadb-install-db", PACKAGE), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        run_once([*install, *([] if test_databases else ["--skip-test-db"])], folder)
        argv = [
            program("mariadbd", PACKAGE),
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={server.port}",
            f"--bind-address={server.host}",
            f"--init-file={first}",
            # A name of this host would count as another one than its address for users of the server's own.
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=0",
            f"--ssl-ca={folder / 'trusted.crt'}",
            f"--ssl-cert={pair.certificate}",
            f"--ssl-key={pair.key}",
            *settings,
        ]
        with running(unprivileged(argv), folder / "log", lambda: _is_ready(server)):
            yield server


@contextlib.contextmanager
def session(server: Server, login: Login) -> Iterator[Any]:
    """A session with a server, to test what a login can do."""
    with contextlib.closing(Sessions(server.way()).open(login)) as found:
        yield found


def make_administrator(server: Server) -> None:
    """The administrator as docs/datastores.md has it."""
    with session(server, OPERATOR) as operator, operator.cursor() as cursor:
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL", [ADMINISTRATOR.user, ADMINISTRATOR.password])
        for grant in ADMINISTRATOR_GRANTS:
            cursor.execute(f"GRANT {grant}", [ADMINISTRATOR.user])


def _is_ready(server: Server) -> bool:
    try:
        with session(server, OPERATOR):
            return True
    except errors.DatastoreError:
        return False
