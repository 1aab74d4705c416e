# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of MySQL and MariaDB: one user and one database per tenant in a shared server.

A tenant's kine logs in with its user's password, over TLS only (REQUIRE SSL), and has rights on exactly one database. Grants name a
database by a pattern in which "_" stands for any character, so it is always escaped: default names of tenants hold one.
Tenants get no right to store code (views, triggers, routines, events), so that their rows can be counted by the administrator.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import driver, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_pymysql import pymysql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql_session import (
    PRODUCT,
    Administration,
    Sessions,
    rows,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import ACCESS, DATABASE, USER, Login, Target, Way
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_driver import Counted, SqlDriver

_SYSTEM: Final = frozenset({"information_schema", "mysql", "performance_schema", "sys", "test"})
_USERS: Final = frozenset({"mariadb.sys", "mysql", "mysql.infoschema", "mysql.session", "mysql.sys", "public"})
MYSQL_RULES: Final = sql.NameRules(PRODUCT, 64, 32, _SYSTEM, _USERS)
MARIADB_RULES: Final = sql.NameRules("MariaDB", 64, 80, _SYSTEM, _USERS)
GRANTS: Final = ("ALTER", "CREATE", "DELETE", "INDEX", "INSERT", "SELECT", "UPDATE")
"""What kine needs in its database."""

_SERVER_RIGHTS: Final = ("CREATE USER", "PROCESS")
_GRANTABLE: Final = (*GRANTS, "DROP")
_KILL: Final = ("CONNECTION_ADMIN", "CONNECTION ADMIN", "SUPER")
_OLDEST: Final = {"MySQL": (8, 0), "MariaDB": (10, 5)}
_SIZES: Final = """
SELECT TABLE_SCHEMA, SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN %s GROUP BY TABLE_SCHEMA"""
_NO_TABLE: Final = (1049, 1146)
_NO_THREAD: Final = 1094


class _User(NamedTuple):
    """rights: over the whole server. grants: (pattern of databases, right)."""

    tls: bool
    rights: frozenset[str]
    grants: frozenset[tuple[str, str]]


def pattern(schema: str) -> str:
    """The name of a database as a grant has it, where "_" and "%" would stand for others. Pure."""
    return re.sub(r"([_%\\])", r"\\\1", schema)


def identifier(name: str) -> str:
    """A name quoted for a statement. Pure."""
    return f"`{name.replace('`', '``')}`"


def _argument(name: str) -> str:
    """The same for a statement with arguments, where "%" begins one."""
    return identifier(name).replace("%", "%%")


class MysqlDriver(SqlDriver):
    """Implements driver.Driver for MySQL 8.0, MariaDB 10.5 and newer. login: the administrator's."""

    # A user with rights on its database could make it anew.
    purge_parts = (USER, DATABASE)
    a_read = "SELECT COUNT(*) FROM information_schema.SCHEMATA"

    def __init__(self, way: Way, login: Login) -> None:
        self._sessions = Sessions(way)
        super().__init__(way, login, Administration(self._sessions, login))
        self._rules: sql.NameRules | None = None

    # Probing

    def _ask_member(self, target: Target) -> tuple[str, bool, int]:
        with contextlib.closing(self._sessions.open_one(target, self._login)) as session:
            version, standby = rows(session, "SELECT VERSION(), @@global.read_only")[0]
            size = rows(session, "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES")[0][0]
        return version, bool(standby), size

    def _problems(self, members: Sequence[driver.Member]) -> list[str]:
        have = self._run(
            "be asked",
            "SELECT PRIVILEGE_TYPE, IS_GRANTABLE = 'YES' FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s",
            [self._own_grantee()],
        )
        rights, grantable = {name for name, _grantable in have}, {name for name, may_grant in have if may_grant}
        found = [
            f'the user "{self._login.user}" lacks {", ".join(lacking)} on *.*{how}, so it cannot {what}; GRANT that (docs/datastores.md)'
            for lacking, how, what in (
                ([item for item in _SERVER_RIGHTS if item not in rights], "", "make and end users of tenants"),
                ([item for item in _GRANTABLE if item not in grantable], " WITH GRANT OPTION", "give tenants their databases"),
                ([] if rights.intersection(_KILL) else ["CONNECTION_ADMIN"], "", "end sessions of removed tenants"),
            )
            if lacking
        ]
        if "SELECT" in rights:
            found += self._open_databases()
        return found + [
            f"{item.endpoint} is {_product(item.version)} {item.version}, which is too old; upgrade it to MySQL 8.0 or MariaDB 10.5 or newer"
            for item in members
            if sql.version_key(item.version) < _OLDEST[_product(item.version)]
        ]

    def _open_databases(self) -> list[str]:
        """Databases that everybody may use: a tenant whose name fits the pattern would share its data with all others."""
        everybody = self._run(
            "be asked",
            "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE %s OR GRANTEE LIKE %s ORDER BY 1",
            ["''@%", "'PUBLIC'@%"],
        )
        if not everybody:
            return []
        names = ", ".join(name for (name,) in everybody)
        return [f"everybody may use databases {names}, also those of tenants with such names; revoke it (mariadb-secure-installation)"]

    def _warnings(self) -> list[str]:
        used = int(self._run("be asked", "SHOW GLOBAL STATUS LIKE 'Threads_connected'")[0][1])
        return sql.nearly_full(used, int(self._run("be asked", "SELECT @@global.max_connections")[0][0]))

    def _count_tenants(self) -> int:
        """Databases besides the server's own."""
        names = self._run("be asked", "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
        return sum(name not in _SYSTEM for (name,) in names)

    # Shares of tenants

    def observe(self, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False) -> dict[str, IsolationState]:
        """Four calls; detailed is one login per share whose password is known. keys: a database is all that can hold any."""
        users, databases = self._find(isolations)
        there = [item for item in isolations if item.user in users]
        passwords = self._passwords(there, detailed)
        return {
            item.schema: self._state(item, users.get(item.user), item.schema in databases, passwords.get(item.schema))
            for item in isolations
        }

    def _find(self, isolations: Sequence[Isolation]) -> tuple[dict[str, _User], set[str]]:
        if not isolations:
            return {}, set()
        names = {_grantee(item.user): item.user for item in isolations}
        tls = dict(
            self._run(
                "list users", "SELECT User, ssl_type FROM mysql.user WHERE Host = '%%' AND User IN %s", [[item.user for item in isolations]]
            )
        )
        rights = self._run(
            "list rights", "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE IN %s", [list(names)]
        )
        grants = self._run(
            "list grants",
            "SELECT GRANTEE, TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE IN %s",
            [list(names)],
        )
        databases = self._run(
            "list databases",
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN %s",
            [[item.schema for item in isolations]],
        )
        return {
            user: _User(
                tls=bool(_text(tls[user])),
                rights=frozenset(right for name, right in rights if name == grantee) - {"USAGE"},
                grants=frozenset((schema, right) for name, schema, right in grants if name == grantee),
            )
            for grantee, user in names.items()
            if user in tls
        }, {name for (name,) in databases}

    def _state(self, item: Isolation, user: _User | None, database: bool, password: bool | None) -> IsolationState:
        refusal = self._refusal(item, user)
        if refusal:
            return sql.refused(self.name, refusal)
        return sql.state_of(
            {
                USER: user is not None and user.tls,
                PASSWORD: user is not None and password,
                DATABASE: database,
                ACCESS: user is not None and user.grants == {(pattern(item.schema), right) for right in GRANTS},
            }
        )

    def create_part(self, isolation: Isolation, part: str) -> None:
        self._check(isolation)
        user, account = isolation.user, [isolation.user]
        if part == USER:
            # Without a password anybody could log in until the next part; nobody knows this one.
            self._run(
                f'make user "{user}"',
                "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL",
                [user, secrets.token_urlsafe(24)],
            )
            self._run(f'demand TLS of user "{user}"', "ALTER USER %s@'%%' REQUIRE SSL", account)
        elif part == PASSWORD:
            password = sql.password_of(self.name, isolation)
            self._run(f'set the password of user "{user}"', "ALTER USER %s@'%%' IDENTIFIED BY %s", [user, password])
        elif part == DATABASE:
            self._run(f'make database "{isolation.schema}"', f"CREATE DATABASE IF NOT EXISTS {identifier(isolation.schema)}")
        elif part == ACCESS:
            self._set_access(isolation)
        else:
            raise ValueError(part)

    def delete_part(self, isolation: Isolation, part: str) -> None:
        self._check(isolation)
        if part == USER:
            self._run(f'drop user "{isolation.user}"', "DROP USER IF EXISTS %s@'%%'", [isolation.user])
            self._end_sessions(isolation)
        elif part == DATABASE:
            self._end_sessions(isolation)
            self._run(f'drop database "{isolation.schema}"', f"DROP DATABASE IF EXISTS {identifier(isolation.schema)}")
        else:
            raise ValueError(part)

    def count_keys(self, isolation: Isolation) -> int:
        found = self._run(
            f'count the rows of database "{isolation.schema}"',
            f"SELECT COUNT(*) FROM {identifier(isolation.schema)}.{identifier(sql.TABLE)}",
            ignore=_NO_TABLE,
        )
        return int(found[0][0]) if found else 0

    def has_database(self, isolation: Isolation) -> bool:
        return isolation.schema in self._find([isolation])[1]

    def open_share(self, isolation: Isolation) -> Any:
        session = self._sessions.open(Login(isolation.user, sql.password_of(self.name, isolation)))
        try:
            session.select_db(isolation.schema)
        except pymysql.err.Error as error:
            session.close()
            raise self.translate(error, f'open database "{isolation.schema}"') from error
        return session

    def translate(self, error: Any, doing: str) -> DatastoreError:
        return self._sessions.translate(error, doing)

    def _sizes(self, schemas: Sequence[str]) -> dict[str, int]:
        """As the server's statistics have them, which lag behind a little."""
        found = self._run("ask for sizes", _SIZES, [list(schemas)])
        return {_text(schema): int(size) for schema, size in found}

    def _ask_share(self, isolation: Isolation, *, keys: bool) -> Counted:
        table, doing = f"{identifier(isolation.schema)}.{identifier(sql.TABLE)}", f'look into database "{isolation.schema}"'
        newest = self._run(doing, f"SELECT COALESCE(MAX(id), 0) FROM {table}", ignore=_NO_TABLE)
        if not newest:
            return Counted(0, None)
        return Counted(int(self._run(doing, sql.LIVE_KEYS.format(table=table))[0][0]) if keys else None, int(newest[0][0]))

    def _set_access(self, isolation: Isolation) -> None:
        """Give what is missing first, so that a tenant that runs never lacks a right, then take what is too much."""
        user, wanted = isolation.user, pattern(isolation.schema)
        self._run(
            f'give user "{user}" its database',
            f"GRANT {', '.join(GRANTS)} ON {_argument(wanted)}.* TO %s@'%%'",
            [user],
        )
        granted = self._find([isolation])[0][user].grants
        for schema, right in sorted(granted - {(wanted, right) for right in GRANTS}):
            self._run(
                f'take {right} on databases "{schema}" from user "{user}"', f"REVOKE {right} ON {_argument(schema)}.* FROM %s@'%%'", [user]
            )

    def _end_sessions(self, isolation: Isolation) -> None:
        """A dropped user's sessions go on; one that has chosen its database keeps its rights on it."""
        for number, user, *_rest in self._run("list sessions", "SHOW PROCESSLIST"):
            if user == isolation.user:
                self._run(f'end a session of user "{user}"', "KILL %s", [number], ignore=[_NO_THREAD])

    def _check(self, isolation: Isolation) -> None:
        """Raise InvalidError before anything that is not a tenant's is touched."""
        sql.refuse(self.name, self._refusal(isolation, self._find([isolation])[0].get(isolation.user)))

    def _refusal(self, item: Isolation, user: _User | None) -> str:
        rules = self._name_rules()
        problem = sql.name_refusal(item, rules, self._login.user)
        if not problem and len(pattern(item.schema)) > rules.schema_length:
            return (
                f'spec.dataStoreSchema "{item.schema}" is longer than the {rules.schema_length} bytes {rules.product} takes in a grant, where each '
                '"_" counts twice; choose a shorter one'
            )
        if not problem and user and user.rights:
            return f'spec.dataStoreUsername "{item.user}" is a user with rights over the whole server; choose another name'
        return problem

    def _name_rules(self) -> sql.NameRules:
        """MySQL takes shorter names of users than MariaDB; asked once."""
        if self._rules is None:
            version = self._run("be asked", "SELECT VERSION()")[0][0]
            self._rules = MARIADB_RULES if _product(version) == MARIADB_RULES.product else MYSQL_RULES
        return self._rules

    def _own_grantee(self) -> str:
        user, _at, host = self._run("be asked", "SELECT CURRENT_USER()")[0][0].rpartition("@")
        return f"'{user}'@'{host}'"

    def _accepts(self, isolation: Isolation) -> bool | None:
        return self._sessions.accepts(Login(isolation.user, isolation.password or ""))


def _grantee(user: str) -> str:
    return f"'{user}'@'%'"


def _text(value: Any) -> str:
    """MySQL gives some columns of its own tables as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _product(version: str) -> str:
    return "MariaDB" if "mariadb" in version.lower() else "MySQL"
