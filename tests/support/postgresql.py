# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL on loopback for tests, from the packages of the system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql_session import ANY, MAINTENANCE, Sessions
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

PACKAGE = "postgresql"
ADMINISTRATOR = Login("hosted-admin", "admin's secret")
_ACCESS = """\
hostssl all demanding 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@contextlib.contextmanager
def running_postgresql(*settings: str, authority: Authority | None = None) -> Iterator[Server]:
    """Run a new server whose superuser is OPERATOR. settings: further ones, as name=value. authority: that of another server.

    Of role "demanding" it demands a client certificate.
    """
    with private_folder("postgresql") as folder:
        server = Server("PostgreSQL", free_ports(1)[0], authority or Authority(folder))
        pair = in_folder(server.authority.server(f"server-{server.port}"), server.authority, folder)
        secret, data = folder / "superuser", folder / "data"
        secret.write_text(OPERATOR.password, encoding="utf-8")
        own(folder)
        initdb = [_program("initdb"), f"--pgdata={data}", f"--username={OPERATOR.user}", f"--pwfile={secret}", "--auth=scram-sha-256"]
        run_once([*initdb, "--no-sync", "--locale=C.UTF-8"], folder)
        (data / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
        own(folder)
        options = (
            f"port={server.port}",
            f"listen_addresses={server.host}",
            f"unix_socket_directories={folder}",
            "fsync=off",
            "ssl=on",
            f"ssl_cert_file={pair.certificate}",
            f"ssl_key_file={pair.key}",
            f"ssl_ca_file={folder / 'trusted.crt'}",
            *settings,
        )
        argv = unprivileged([_program("postgres"), "-D", str(data), *(f"--{option}" for option in options)])
        with running(argv, folder / "log", lambda: _is_ready(server)):
            yield server


@contextlib.contextmanager
def session(server: Server, login: Login, database: str = MAINTENANCE) -> Iterator[Any]:
    """A session with a server, to test what a login can do."""
    with Sessions(server.way()).open(login, database) as found:
        yield found


def make_administrator(server: Server) -> None:
    """The administrator as docs/datastores.md has it."""
    with session(server, OPERATOR) as operator:
        operator.execute(
            psycopg.sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                psycopg.sql.Identifier(ADMINISTRATOR.user), psycopg.sql.Literal(ADMINISTRATOR.password)
            )
        )
        for database in ("postgres", "template1"):
            operator.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        operator.execute(f'GRANT CONNECT ON DATABASE postgres TO "{ADMINISTRATOR.user}"')


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return program(name, PACKAGE, *folders)


def _is_ready(server: Server) -> bool:
    try:
        way = server.way()
        with Sessions(way).open_one(way.targets[0], OPERATOR, MAINTENANCE, ANY):
            return True
    except errors.DatastoreError:
        return False
