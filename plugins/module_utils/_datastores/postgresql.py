# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL driver: one role and one database per tenant in a shared server.

A tenant's kine logs in with its role's password (SCRAM, over TLS) and owns exactly one database, which nobody else may connect
to. The administrator needs CREATEROLE and CREATEDB, not more: it makes itself a member of each tenant's role, which is what
PostgreSQL asks of whoever gives a database to that role, ends its sessions or drops it.

What belongs to a tenant is never read with the administrator's rights: the owner of a table can make a look at it run code of
its own (row security, expressions of indexes, views). Rows are counted with the tenant's login.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import driver, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_psycopg import psycopg
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library_psycopg import sql as compose
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql_session import (
    ANY,
    MAINTENANCE,
    PRODUCT,
    Administration,
    Sessions,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import ACCESS, DATABASE, USER, Login, Target, Way
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_driver import Counted, SqlDriver

RULES: Final = sql.NameRules(
    PRODUCT, 63, 63, frozenset({MAINTENANCE, "template0", "template1"}), frozenset({"none", "public", "postgres"}), "pg_"
)
OLDEST: Final = 13
_ROLE_EXISTS: Final = "42710"
_DATABASE_EXISTS: Final = ("42P04", "23505")
_NO_TABLE: Final = "42P01"

_ROLES: Final = """
SELECT r.rolname, r.rolcanlogin,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid)
  FROM pg_roles r WHERE r.rolname = ANY(%s)"""
_DATABASES: Final = """
SELECT d.datname, pg_get_userbyid(d.datdba), d.datallowconn, d.datistemplate,
       ARRAY(SELECT DISTINCT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END
               FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.grantee <> d.datdba)
  FROM pg_database d WHERE d.datname = ANY(%s)"""
_SERVER: Final = """
SELECT current_setting('server_version'), pg_is_in_recovery(),
       (SELECT coalesce(sum(pg_database_size(d.oid)), 0) FROM pg_database d
         WHERE has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))::bigint"""
_RIGHTS: Final = """
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolinherit FROM pg_roles WHERE rolname = current_user"""
_TENANTS: Final = """
SELECT count(*) FROM pg_database d
 WHERE NOT d.datistemplate AND EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = d.datdba AND m.member = current_user::regrole)"""
_OPEN_DATABASES: Final = """
SELECT d.datname FROM pg_database d
 WHERE d.datallowconn AND EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                                   WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT') ORDER BY 1"""
# The size of a database is that of its files: nothing of the tenant's is run, unlike with a look into its tables.
_SIZES: Final = """
SELECT d.datname, pg_database_size(d.oid)::bigint FROM pg_database d
 WHERE d.datname = ANY(%s) AND (has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))"""
_CONNECTIONS: Final = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"""
# Databases in which a role owns something or has rights, from the catalog that all databases share.
_HOLDINGS: Final = """
SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)"""


class _Role(NamedTuple):
    name: str
    can_login: bool
    has_power: bool
    memberships: list[str]


class _Database(NamedTuple):
    """others: roles besides the owner that have a right on it; "" is everybody."""

    name: str
    owner: str
    open: bool
    template: bool
    others: list[str]


class PostgresqlDriver(SqlDriver):
    """Implements driver.Driver for PostgreSQL 13 and newer. login: the administrator's."""

    purge_parts = (DATABASE, USER)
    a_read = "SELECT count(*) FROM pg_database"

    def __init__(self, way: Way, login: Login) -> None:
        self._sessions = Sessions(way)
        self._administration: Administration = Administration(self._sessions, login)
        super().__init__(way, login, self._administration)

    # Probing

    def _ask_member(self, target: Target) -> tuple[str, bool, int]:
        with self._sessions.open_one(target, self._login, MAINTENANCE, ANY) as session:
            version, standby, size = session.execute(_SERVER).fetchone()
        return version.split()[0], standby, size

    def _count_tenants(self) -> int:
        return int(self._run("be asked", _TENANTS)[0][0])

    def _problems(self, members: Sequence[driver.Member]) -> list[str]:
        user, power, roles, databases, inherits = self._run("be asked", _RIGHTS)[0]
        found = [
            f'the user "{user}" lacks {right}, so it cannot {what}; ALTER ROLE {user} {right}'
            for right, what, there in (
                ("CREATEROLE", "make users of tenants", roles or power),
                ("CREATEDB", "make databases of tenants", databases or power),
                ("INHERIT", "act for tenants' users", inherits or power),
            )
            if not there
        ]
        return found + [
            f"{item.endpoint} is {PRODUCT} {item.version}; {OLDEST} is the oldest that can drop a database in use: upgrade it"
            for item in members
            if sql.version_key(item.version) < (OLDEST, 0)
        ]

    def _warnings(self) -> list[str]:
        found = []
        if self._run("be asked", _RIGHTS)[0][1]:
            found.append(f'the user "{self._login.user}" is a superuser; CREATEROLE and CREATEDB are enough (docs/datastores.md)')
        everybody = [name for (name,) in self._run("be asked", _OPEN_DATABASES)]
        if everybody:
            found.append(
                f"every tenant may connect to database {', '.join(everybody)}; REVOKE CONNECT ON DATABASE … FROM PUBLIC (docs/datastores.md)"
            )
        return found + sql.nearly_full(*self._run("be asked", _CONNECTIONS)[0])

    # Shares of tenants

    def observe(self, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False) -> dict[str, IsolationState]:
        """Two calls; detailed is one login per share whose password is known. keys: a database is all that can hold any."""
        roles, databases = self._find(isolations)
        there = [item for item in isolations if item.user in roles]
        passwords = self._passwords(there, detailed)
        return {
            item.schema: self._state(item, roles.get(item.user), databases.get(item.schema), passwords.get(item.schema))
            for item in isolations
        }

    def _find(self, isolations: Sequence[Isolation]) -> tuple[dict[str, _Role], dict[str, _Database]]:
        roles = [_Role(*row) for row in self._run("list users", _ROLES, [[item.user for item in isolations]])]
        databases = [_Database(*row) for row in self._run("list databases", _DATABASES, [[item.schema for item in isolations]])]
        return {item.name: item for item in roles}, {item.name: item for item in databases}

    def _state(self, item: Isolation, role: _Role | None, database: _Database | None, password: bool | None) -> IsolationState:
        refusal = _refusal(item, role, database, self._login.user)
        if refusal:
            return sql.refused(self.name, refusal)
        return sql.state_of(
            {
                USER: role is not None and role.can_login,
                PASSWORD: role is not None and password,
                DATABASE: database is not None,
                ACCESS: role is not None and database is not None and _is_closed(item, role, database),
            }
        )

    def create_part(self, isolation: Isolation, part: str) -> None:
        self._check(isolation)
        user, schema = compose.Identifier(isolation.user), compose.Identifier(isolation.schema)
        if part == USER:
            self._run(f'make user "{isolation.user}"', compose.SQL("CREATE ROLE {} LOGIN").format(user), ignore=[_ROLE_EXISTS])
            self._run(f'let user "{isolation.user}" log in', compose.SQL("ALTER ROLE {} LOGIN").format(user))
        elif part == PASSWORD:
            login = Login(isolation.user, sql.password_of(self.name, isolation))
            verifier = compose.Literal(self._administration.verifier(login))
            self._run(f'set the password of user "{isolation.user}"', compose.SQL("ALTER ROLE {} PASSWORD {}").format(user, verifier))
        elif part == DATABASE:
            self._join(isolation.user)
            self._run(
                f'make database "{isolation.schema}"',
                # Nobody connects before ACCESS has shut out everybody else. The template and locale depend on nobody's choice.
                compose.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' ALLOW_CONNECTIONS false").format(
                    schema, user
                ),
                ignore=_DATABASE_EXISTS,
            )
        elif part == ACCESS:
            self._set_access(isolation)
        else:
            raise ValueError(part)

    def delete_part(self, isolation: Isolation, part: str) -> None:
        self._check(isolation)
        roles, databases = self._find([isolation])
        if part == DATABASE:
            if isolation.schema in databases:
                self._drop_database(isolation)
        elif part == USER:
            if isolation.user in roles:
                self._drop_user(isolation.user)
        else:
            raise ValueError(part)

    def count_keys(self, isolation: Isolation) -> int:
        """Rows of kine's table, counted with the tenant's own login."""
        if isolation.schema not in self._find([isolation])[1]:
            return 0
        with self.open_share(isolation) as session:
            try:
                return int(
                    session.execute(compose.SQL("SELECT count(*) FROM public.{}").format(compose.Identifier(sql.TABLE))).fetchone()[0]
                )
            except psycopg.Error as error:
                if error.sqlstate == _NO_TABLE:
                    return 0
                raise self._sessions.translate(error, f'count the rows of database "{isolation.schema}"') from error

    def has_database(self, isolation: Isolation) -> bool:
        return isolation.schema in self._find([isolation])[1]

    def open_share(self, isolation: Isolation) -> Any:
        return self._sessions.open(Login(isolation.user, sql.password_of(self.name, isolation)), isolation.schema)

    def translate(self, error: Any, doing: str) -> DatastoreError:
        return self._sessions.translate(error, doing)

    def _sizes(self, schemas: Sequence[str]) -> dict[str, int]:
        return dict(self._run("ask for sizes", _SIZES, [list(schemas)]))

    def _ask_share(self, isolation: Isolation, *, keys: bool) -> Counted:
        """With the tenant's own login, as with count_keys()."""
        if isolation.schema not in self._find([isolation])[1]:
            return Counted(0, None)
        table = compose.Identifier("public", sql.TABLE)
        with self.open_share(isolation) as session:
            try:
                count = session.execute(compose.SQL(sql.LIVE_KEYS).format(table=table)).fetchone()[0] if keys else None
                newest = session.execute(compose.SQL("SELECT coalesce(max(id), 0)::bigint FROM {}").format(table)).fetchone()[0]
            except psycopg.Error as error:
                if error.sqlstate == _NO_TABLE:
                    return Counted(0, None)
                raise self._sessions.translate(error, f'look into database "{isolation.schema}"') from error
        return Counted(count, newest)

    def _check(self, isolation: Isolation) -> None:
        """Raise InvalidError before anything that is not a tenant's is touched."""
        roles, databases = self._find([isolation])
        sql.refuse(self.name, _refusal(isolation, roles.get(isolation.user), databases.get(isolation.schema), self._login.user))

    def _join(self, user: str) -> None:
        self._run(f'become a member of user "{user}"', compose.SQL("GRANT {} TO CURRENT_USER").format(compose.Identifier(user)))

    def _set_access(self, isolation: Isolation) -> None:
        roles, databases = self._find([isolation])
        role, database = roles[isolation.user], databases[isolation.schema]
        schema = compose.Identifier(isolation.schema)
        self._join(isolation.user)
        for other in database.others:
            grantee = compose.Identifier(other) if other else compose.SQL("PUBLIC")
            self._run(
                f'shut "{other or "everybody"}" out of database "{isolation.schema}"',
                compose.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(schema, grantee),
            )
        for other in role.memberships:
            self._run(
                f'take role "{other}" from user "{isolation.user}"',
                compose.SQL("REVOKE {} FROM {}").format(compose.Identifier(other), compose.Identifier(isolation.user)),
            )
        self._run(f'open database "{isolation.schema}"', compose.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(schema))

    def _drop_database(self, isolation: Isolation) -> None:
        schema = compose.Identifier(isolation.schema)
        self._join(isolation.user)
        # Its owner can make it a template, which cannot be dropped.
        self._run(f'unmark database "{isolation.schema}"', compose.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(schema))
        self._run(f'drop database "{isolation.schema}"', compose.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(schema))

    def _drop_user(self, user: str) -> None:
        name = compose.Identifier(user)
        self._join(user)
        self._run(f'keep user "{user}" from logging in', compose.SQL("ALTER ROLE {} NOLOGIN").format(name))
        self._run(f'end the sessions of user "{user}"', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user])
        for (database,) in self._run("list what the user owns", _HOLDINGS, [user]):
            with self._administration.elsewhere(database) as other:
                other.run(f'drop what user "{user}" owns in database "{database}"', compose.SQL("DROP OWNED BY {}").format(name))
        self._run(f'drop user "{user}"', compose.SQL("DROP ROLE IF EXISTS {}").format(name))

    def _accepts(self, isolation: Isolation) -> bool | None:
        return self._sessions.accepts(Login(isolation.user, isolation.password or ""), isolation.schema)


def _refusal(item: Isolation, role: _Role | None, database: _Database | None, administrator: str) -> str:
    """Why a share cannot have these names; empty when it can. What is there and not a tenant's is never taken over. Pure."""
    problem = sql.name_refusal(item, RULES, administrator)
    if problem:
        return problem
    if role and role.has_power:
        return f'spec.dataStoreUsername "{item.user}" is a user with rights over the whole server; choose another name'
    if database and database.owner != item.user:
        return f'spec.dataStoreSchema "{item.schema}" is a database of user "{database.owner}"; choose another name'
    return ""


def _is_closed(item: Isolation, role: _Role, database: _Database) -> bool:
    """Whether the database is open to its owner and to nobody else, and its owner is nobody else."""
    return database.open and not database.others and not role.memberships
