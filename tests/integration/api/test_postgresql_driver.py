# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL driver against a real server with TLS: two tenants in one server, partial failures, and what it says when refused."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Credentials
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, postgresql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql import PostgresqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import ACCESS, DATABASE, USER, Login
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.postgresql import (
    ADMINISTRATOR,
    make_administrator,
    running_postgresql,
    session,
)
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import OPERATOR, Server

ACME = Isolation("team-a_acme", "team-a_acme-user", 'acme\'s %s "secret" ü')
EVIL = Isolation("teamxa_acme", "teamxa_acme", "evil secret")
# Those that only try to reach each other.
OWNER = Isolation("team-b_shop", "team-b_shop-user", "owner's secret")
THIEF = Isolation("teamxb_shop", "teamxb_shop", "thief's secret")
NOTHING = IsolationState(missing=PostgresqlDriver.parts, present=())
ALL = IsolationState(missing=(), present=PostgresqlDriver.parts)
ALL_BUT_PASSWORD = IsolationState((), (USER, DATABASE, ACCESS), unchecked=(PASSWORD,))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_postgresql() as server:
        make_administrator(server)
        yield server


def opened(server: Server, login: Login = ADMINISTRATOR, *endpoints: str, **options: Any) -> PostgresqlDriver:
    credentials = options.pop("credentials", None) or server.credentials(login)
    driver = connect(server.datastore(*endpoints), credentials, **options)
    assert isinstance(driver, PostgresqlDriver)
    return driver


@pytest.fixture
def driver(server: Server) -> Iterator[PostgresqlDriver]:
    with opened(server) as driver:
        yield driver
        for tenant in (ACME, EVIL):
            purge(driver, tenant)


def create(driver: PostgresqlDriver, tenant: Isolation) -> None:
    for part in driver.parts:
        driver.create_part(tenant, part)


def purge(driver: PostgresqlDriver, tenant: Isolation) -> None:
    for part in driver.purge_parts:
        driver.delete_part(tenant, part)


def look(driver: PostgresqlDriver, tenant: Isolation, **options: bool) -> IsolationState:
    return driver.observe([tenant], detailed=True, **options)[tenant.schema]


@contextlib.contextmanager
def tenant_session(server: Server, tenant: Isolation, database: str | None = None) -> Iterator[Any]:
    """As its kine has it, with the search path kine has."""
    with session(server, Login(tenant.user, tenant.password or ""), database or tenant.schema) as found:
        found.execute("SET search_path TO public, pg_catalog")
        yield found


def fill(server: Server, tenant: Isolation, rows: int = 3) -> None:
    """What kine makes."""
    with tenant_session(server, tenant) as kine:
        kine.execute('CREATE TABLE IF NOT EXISTS kine (id BIGSERIAL PRIMARY KEY, name text COLLATE "C", value bytea)')
        kine.execute("INSERT INTO kine (name, value) SELECT '/registry/' || n, 'secret' FROM generate_series(1, %s) n", [rows])


# Making and removing


def test_a_new_share_lacks_everything(driver: PostgresqlDriver) -> None:
    assert look(driver, ACME, keys=True) == NOTHING
    assert look(driver, ACME, keys=True).absent


@pytest.mark.parametrize("done", range(len(PostgresqlDriver.parts) + 1))
def test_creation_converges_after_a_failure_at_any_step(driver: PostgresqlDriver, done: int) -> None:
    for part in PostgresqlDriver.parts[:done]:
        driver.create_part(ACME, part)

    state = look(driver, ACME)
    assert state == IsolationState(missing=PostgresqlDriver.parts[done:], present=PostgresqlDriver.parts[:done])
    for part in state.missing:
        driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL


@pytest.mark.parametrize("done", range(len(PostgresqlDriver.purge_parts) + 1))
def test_deletion_converges_after_a_failure_at_any_step(driver: PostgresqlDriver, server: Server, done: int) -> None:
    create(driver, ACME)
    fill(server, ACME)
    for part in PostgresqlDriver.purge_parts[:done]:
        driver.delete_part(ACME, part)

    state = look(driver, ACME, keys=True)
    assert not [part for part in PostgresqlDriver.purge_parts[:done] if part in state.present]
    for part in PostgresqlDriver.purge_parts:
        if part in state.present:
            driver.delete_part(ACME, part)
    assert look(driver, ACME, keys=True) == NOTHING
    assert driver.count_keys(ACME) == 0


def test_every_step_can_be_repeated(driver: PostgresqlDriver) -> None:
    for part in (*PostgresqlDriver.parts, *PostgresqlDriver.parts):
        driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL
    for part in (*PostgresqlDriver.purge_parts, *PostgresqlDriver.purge_parts):
        driver.delete_part(ACME, part)
    assert look(driver, ACME, keys=True) == NOTHING


def test_nobody_connects_to_a_database_that_is_half_made(driver: PostgresqlDriver, server: Server) -> None:
    create(driver, EVIL)
    for part in (USER, PASSWORD, DATABASE):
        driver.create_part(ACME, part)
    with pytest.raises(errors.DatastoreError), tenant_session(server, EVIL, ACME.schema):
        pass


def test_a_purge_ends_sessions_and_takes_what_the_tenant_put_elsewhere(driver: PostgresqlDriver, server: Server) -> None:
    """A tenant can keep its own purge from working: as a template, by an open session, or by what it owns in other databases."""
    create(driver, ACME)
    with session(server, OPERATOR) as operator:
        operator.execute("CREATE DATABASE meeting")  # with CONNECT for everybody, as a new database has it
    try:
        with tenant_session(server, ACME, "meeting") as elsewhere, tenant_session(server, ACME) as inside:
            elsewhere.execute("SELECT lo_create(0)")
            inside.execute(f'ALTER DATABASE "{ACME.schema}" IS_TEMPLATE true')

            with session(server, OPERATOR) as operator:
                operator.execute(f'GRANT CONNECT ON DATABASE meeting TO "{ADMINISTRATOR.user}"')
            purge(driver, ACME)

            for connection in (elsewhere, inside):
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
    finally:
        with session(server, OPERATOR) as operator:
            operator.execute("DROP DATABASE meeting WITH (FORCE)")
    assert look(driver, ACME, keys=True) == NOTHING


def test_deleting_one_tenant_leaves_the_other(driver: PostgresqlDriver, server: Server) -> None:
    create(driver, ACME)
    create(driver, EVIL)
    fill(server, ACME)
    with tenant_session(server, ACME) as acme:
        purge(driver, EVIL)
        assert acme.execute("SELECT count(*) FROM kine").fetchone() == (3,)
    assert look(driver, EVIL, keys=True) == NOTHING
    assert look(driver, ACME, keys=True) == ALL


# Passwords


def test_a_new_password_replaces_the_old_one(driver: PostgresqlDriver, server: Server) -> None:
    create(driver, ACME)
    rotated = dataclasses.replace(ACME, password="another one")
    assert look(driver, rotated).missing == (PASSWORD,)

    driver.create_part(rotated, PASSWORD)

    assert look(driver, rotated) == ALL
    assert look(driver, ACME).missing == (PASSWORD,)
    with tenant_session(server, rotated):
        pass


def test_a_password_that_is_not_known_is_not_checked(driver: PostgresqlDriver) -> None:
    create(driver, ACME)
    assert look(driver, dataclasses.replace(ACME, password=None)) == ALL_BUT_PASSWORD
    assert driver.observe([ACME])[ACME.schema] == ALL_BUT_PASSWORD
    with pytest.raises(InvalidError, match=r'password of user "team-a_acme-user" is not known; it is in the Secret'):
        driver.create_part(dataclasses.replace(ACME, password=None), PASSWORD)


def test_a_password_is_never_sent_nor_shown(driver: PostgresqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.create_part(ACME, USER)
    seen: list[str] = []
    run = driver._administration._run_once

    def record(query: Any, *rest: Any) -> Any:
        seen.append(query if isinstance(query, str) else query.as_string(None))
        return run(query, *rest)

    monkeypatch.setattr(driver._administration, "_run_once", record)
    driver.create_part(ACME, PASSWORD)
    assert any("SCRAM-SHA-256" in text for text in seen)
    assert not [text for text in seen if "acme's" in text or "acme''s" in text]
    assert "secret" not in repr(ACME)
    assert ADMINISTRATOR.password not in repr(driver._login)


# Isolation, each tenant with its own login

Attack = Callable[[Any], object]

INSIDE_ITS_OWN_DATABASE: dict[str, Attack] = {
    "makes a role": lambda evil: evil.execute("CREATE ROLE helper"),
    "makes itself an administrator": lambda evil: evil.execute(f'ALTER ROLE "{THIEF.user}" CREATEROLE CREATEDB'),
    "becomes a superuser": lambda evil: evil.execute(f'ALTER ROLE "{THIEF.user}" SUPERUSER'),
    "becomes the other tenant": lambda evil: evil.execute(f'SET ROLE "{OWNER.user}"'),
    "becomes the administrator": lambda evil: evil.execute(f'SET ROLE "{ADMINISTRATOR.user}"'),
    "logs on as the other tenant": lambda evil: evil.execute(f'SET SESSION AUTHORIZATION "{OWNER.user}"'),
    "joins the other tenant": lambda evil: evil.execute(f'GRANT "{OWNER.user}" TO "{THIEF.user}"'),
    "joins the administrator": lambda evil: evil.execute(f'GRANT "{ADMINISTRATOR.user}" TO "{THIEF.user}"'),
    "joins a role of the server": lambda evil: evil.execute(f'GRANT pg_read_all_data TO "{THIEF.user}"'),
    "changes the other's password": lambda evil: evil.execute(f"ALTER ROLE \"{OWNER.user}\" PASSWORD 'x'"),
    "changes the administrator's settings": lambda evil: evil.execute(f'ALTER ROLE "{ADMINISTRATOR.user}" SET search_path TO public'),
    "drops the other tenant": lambda evil: evil.execute(f'DROP ROLE "{OWNER.user}"'),
    "drops the other's database": lambda evil: evil.execute(f'DROP DATABASE "{OWNER.schema}"'),
    "renames the other's database": lambda evil: evil.execute(f'ALTER DATABASE "{OWNER.schema}" RENAME TO mine'),
    "takes the other's database over": lambda evil: evil.execute(f'ALTER DATABASE "{OWNER.schema}" OWNER TO "{THIEF.user}"'),
    "opens the other's database": lambda evil: evil.execute(f'GRANT CONNECT ON DATABASE "{OWNER.schema}" TO PUBLIC'),
    "copies the other's database": lambda evil: evil.execute(f'CREATE DATABASE copy TEMPLATE "{OWNER.schema}"'),
    "makes a database": lambda evil: evil.execute("CREATE DATABASE mine"),
    "reads passwords": lambda evil: evil.execute("SELECT rolpassword FROM pg_authid"),
    "reads files": lambda evil: evil.execute("SELECT pg_read_file('pg_hba.conf')"),
    "runs programs": lambda evil: evil.execute("COPY (SELECT 1) TO PROGRAM 'true'"),
    "loads code": lambda evil: evil.execute("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'"),
    "reaches other databases": lambda evil: evil.execute("CREATE EXTENSION dblink"),
    "changes the server": lambda evil: evil.execute("ALTER SYSTEM SET ssl = off"),
    "measures the other's database": lambda evil: evil.execute("SELECT pg_database_size(%s)", [OWNER.schema]),
    "reads the other's table by its name": lambda evil: evil.execute(f'SELECT * FROM "{OWNER.schema}".public.kine'),
}


@pytest.fixture(scope="module")
def both(server: Server) -> Iterator[Server]:
    """A server with both tenants, of which one has data."""
    with opened(server) as driver:
        for tenant in (OWNER, THIEF):
            create(driver, tenant)
        fill(server, OWNER)
        yield server
        for tenant in (OWNER, THIEF):
            purge(driver, tenant)


@pytest.mark.parametrize("attack", INSIDE_ITS_OWN_DATABASE.values(), ids=INSIDE_ITS_OWN_DATABASE)
def test_a_tenant_cannot_do_more_than_use_its_database(both: Server, attack: Attack) -> None:
    with tenant_session(both, THIEF) as evil, pytest.raises(psycopg.Error) as failure:
        attack(evil)
    # Permission denied, may not set, must be superuser; references to other databases are not implemented.
    assert failure.value.sqlstate in {"42501", "0A000", "42P17"}, failure.value


@pytest.mark.parametrize("database", [OWNER.schema, "postgres", "template1"])
def test_a_tenant_cannot_connect_elsewhere(both: Server, database: str) -> None:
    with pytest.raises(errors.DatastorePermissionError, match="permission denied for database"), tenant_session(both, THIEF, database):
        pass


def test_a_tenant_cannot_touch_or_read_the_others_sessions(both: Server) -> None:
    """The catalogs of all databases are one: names of databases and roles, and that sessions exist, are open by PostgreSQL's design."""
    with tenant_session(both, OWNER) as acme, tenant_session(both, THIEF) as evil:
        acme.execute("SELECT 'a secret query'")
        number = acme.info.backend_pid
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                evil.execute(f"SELECT {function}(%s)", [number])
        name, query, address = evil.execute("SELECT usename, query, client_addr FROM pg_stat_activity WHERE pid = %s", [number]).fetchone()
        assert (name, query, address) == (OWNER.user, "<insufficient privilege>", None)
        names = {row[0] for row in evil.execute("SELECT datname FROM pg_database").fetchall()}
        assert OWNER.schema in names


def test_a_tenant_needs_tls_and_its_password(both: Server) -> None:
    where: dict[str, Any] = {"host": both.host, "port": both.port, "user": THIEF.user, "dbname": THIEF.schema, "connect_timeout": 5}
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**where, password=THIEF.password, sslmode="disable")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**where, password="guessed", sslmode="require")


def test_counting_runs_no_code_of_the_tenant_with_the_administrators_rights(driver: PostgresqlDriver, server: Server) -> None:
    """The owner of a table decides what a look at it does; here the look makes a superuser of nobody."""
    create(driver, EVIL)
    with tenant_session(server, EVIL) as evil:
        evil.execute("CREATE TABLE public.witness (who text)")
        evil.execute(
            "CREATE FUNCTION public.spy() RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.witness VALUES (session_user); RETURN 1; END$$"
        )
        evil.execute("CREATE VIEW kine AS SELECT public.spy() AS id FROM generate_series(1, 2)")
    assert driver.count_keys(EVIL) == 2
    with tenant_session(server, EVIL) as evil:
        assert {row[0] for row in evil.execute("SELECT who FROM witness").fetchall()} <= {EVIL.user}


def test_rows_are_counted(driver: PostgresqlDriver, server: Server) -> None:
    assert driver.count_keys(ACME) == 0
    create(driver, ACME)
    assert driver.count_keys(ACME) == 0
    fill(server, ACME, 7)
    assert driver.count_keys(ACME) == 7


# What is there and differs


def everybody_may_connect(operator: Any) -> None:
    operator.execute(f'GRANT CONNECT ON DATABASE "{ACME.schema}" TO PUBLIC')


def another_may_connect(operator: Any) -> None:
    operator.execute(f'GRANT ALL ON DATABASE "{ACME.schema}" TO "{EVIL.user}"')


def closed(operator: Any) -> None:
    operator.execute(f'ALTER DATABASE "{ACME.schema}" ALLOW_CONNECTIONS false')


def member_of_the_other(operator: Any) -> None:
    operator.execute(f'GRANT "{EVIL.user}" TO "{ACME.user}"')


def no_login(operator: Any) -> None:
    operator.execute(f'ALTER ROLE "{ACME.user}" NOLOGIN')


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (everybody_may_connect, ACCESS),
        (another_may_connect, ACCESS),
        (closed, ACCESS),
        (member_of_the_other, ACCESS),
        (no_login, USER),
    ],
)
def test_drift_is_found_and_mended(driver: PostgresqlDriver, server: Server, damage: Attack, part: str) -> None:
    create(driver, ACME)
    create(driver, EVIL)
    with session(server, OPERATOR) as operator:
        damage(operator)
    assert part in look(driver, ACME).missing
    driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL


@pytest.mark.parametrize(
    ("schema", "user", "message"),
    [
        ("postgres", "u", r'dataStoreSchema "postgres" is a database of PostgreSQL itself; choose another name'),
        ("s", "postgres", r'dataStoreUsername "postgres" is a user of PostgreSQL itself'),
        ("s", "pg_monitor", r'dataStoreUsername "pg_monitor" is a user of PostgreSQL itself'),
        ("s", ADMINISTRATOR.user, r'dataStoreUsername "hosted-admin" is the administration user'),
        ("s", OPERATOR.user, r'dataStoreUsername "operator" is a user with rights over the whole server'),
        ("meeting", "u", r'dataStoreSchema "meeting" is a database of user "operator"'),
        ("S", "u", r'dataStoreSchema "S" has capitals'),
        ("s" * 64, "u", r"is longer than the 63 bytes PostgreSQL takes; choose a shorter one"),
        ("s", "ü" * 32, r"is longer than the 63 bytes PostgreSQL takes; choose a shorter one"),
    ],
)
def test_what_is_no_tenants_is_neither_taken_nor_dropped(
    driver: PostgresqlDriver, server: Server, schema: str, user: str, message: str
) -> None:
    share = Isolation(schema, user, "x")
    with session(server, OPERATOR) as operator:
        operator.execute("DROP DATABASE IF EXISTS meeting")
        operator.execute("CREATE DATABASE meeting")
    state = driver.observe([share], detailed=True)[schema]
    assert state.absent
    attempts = [*((driver.create_part, part) for part in driver.parts), *((driver.delete_part, part) for part in driver.purge_parts)]
    for attempt, part in attempts:
        with pytest.raises(InvalidError, match=rf"^DataStore shared: .*{message}"):
            attempt(share, part)
    assert state.refusal.startswith("DataStore shared: spec.")
    with session(server, OPERATOR) as operator:
        operator.execute("DROP DATABASE meeting")


@pytest.mark.parametrize("schema", ['quo"te', "semi;colon", "per%cent", "ümlaut", "a b", "back\\slash", "dollar$1", "{0}"])
def test_names_are_quoted(driver: PostgresqlDriver, server: Server, schema: str) -> None:
    share = Isolation(schema, schema, "x")
    create(driver, share)
    assert look(driver, share) == ALL
    fill(server, share, 1)
    assert driver.count_keys(share) == 1
    purge(driver, share)
    assert look(driver, share, keys=True) == NOTHING


# Calls


@pytest.mark.parametrize("number", [1, 50])
def test_observing_costs_two_calls_for_any_number_of_tenants(
    driver: PostgresqlDriver, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(driver, ACME)
    tenants = [ACME, *(Isolation(f"tenant-{index}", f"tenant-{index}") for index in range(number - 1))]
    calls: list[str] = []
    run = driver._administration.run

    def count(doing: str, *rest: Any, **options: Any) -> Any:
        calls.append(doing)
        return run(doing, *rest, **options)

    monkeypatch.setattr(driver._administration, "run", count)
    states = driver.observe(tenants)

    assert calls == ["list users", "list databases"]
    assert len(states) == number
    assert states[ACME.schema] == ALL_BUT_PASSWORD


def test_concurrent_tenants_do_not_disturb_each_other(server: Server) -> None:
    tenants = [Isolation(f"many-{index}", f"many-{index}", f"secret {index}") for index in range(8)]
    with opened(server) as driver, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tenant: create(driver, tenant), tenants))
        states = driver.observe(tenants, detailed=True)
        list(pool.map(lambda tenant: purge(driver, tenant), tenants))
        assert set(states.values()) == {ALL}
        assert all(state.absent for state in driver.observe(tenants, keys=True).values())


def test_a_lost_session_is_opened_again(driver: PostgresqlDriver, server: Server) -> None:
    assert look(driver, ACME) == NOTHING
    with session(server, OPERATOR) as operator:
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [ADMINISTRATOR.user])
    assert look(driver, ACME) == NOTHING


# Probing, and what is wrong


def test_probe_tells_what_the_server_is(driver: PostgresqlDriver, server: Server) -> None:
    before = driver.probe().tenants
    create(driver, ACME)
    probe = driver.probe()
    assert probe.healthy
    assert probe.warnings == ()
    assert int(probe.version.split(".")[0]) >= postgresql.OLDEST
    assert probe.db_size_bytes > 0
    assert probe.latency_ms > 0
    assert probe.tenants == before + 1
    assert [(item.endpoint, item.leader, item.error) for item in probe.members] == [(server.endpoint, True, None)]


def test_probe_names_missing_rights(server: Server) -> None:
    weak = Login("weak", "weak secret")
    with session(server, OPERATOR) as operator:
        operator.execute("CREATE ROLE weak LOGIN NOINHERIT PASSWORD 'weak secret'")
        operator.execute("GRANT CONNECT ON DATABASE postgres TO weak")
    with opened(server, weak) as driver:
        assert driver.probe().problems == (
            'the user "weak" lacks CREATEROLE, so it cannot make users of tenants; ALTER ROLE weak CREATEROLE',
            'the user "weak" lacks CREATEDB, so it cannot make databases of tenants; ALTER ROLE weak CREATEDB',
            'the user "weak" lacks INHERIT, so it cannot act for tenants\' users; ALTER ROLE weak INHERIT',
        )
        with pytest.raises(
            errors.DatastorePermissionError, match=r'cannot make user "team-a_acme-user" \(permission denied.*; give the user'
        ):
            driver.create_part(ACME, USER)


def test_probe_warns_of_a_superuser_and_of_databases_for_everybody(server: Server) -> None:
    with session(server, OPERATOR) as operator:
        operator.execute("CREATE DATABASE meeting")
    with opened(server, OPERATOR) as driver:
        probe = driver.probe()
    with session(server, OPERATOR) as operator:
        operator.execute("DROP DATABASE meeting")
    assert probe.healthy
    assert probe.warnings == (
        'the user "operator" is a superuser; CREATEROLE and CREATEDB are enough (docs/datastores.md)',
        "every tenant may connect to database meeting; REVOKE CONNECT ON DATABASE … FROM PUBLIC (docs/datastores.md)",
    )


def test_other_endpoints_are_used_when_one_is_down(server: Server) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with opened(server, ADMINISTRATOR, dead, server.endpoint) as driver:
        probe = driver.probe()
    assert probe.healthy
    assert probe.members[0].error
    assert "does not accept a connection" in probe.warnings[0]


def test_a_server_that_takes_no_writes_is_passed_over(server: Server) -> None:
    """As a standby: its sessions are read-only."""
    with running_postgresql("default_transaction_read_only=on", authority=server.authority) as standby:
        with (
            opened(standby, OPERATOR) as driver,
            pytest.raises(
                errors.DatastoreUnreachableError, match=r"takes no writes: it is a standby; list the primary too in spec\.endpoints"
            ),
        ):
            driver.probe()
        with opened(server, OPERATOR, standby.endpoint, server.endpoint) as driver:
            create(driver, ACME)
            assert look(driver, ACME) == ALL
            purge(driver, ACME)


def test_a_full_server_says_so(server: Server) -> None:
    with session(server, OPERATOR) as operator, opened(server) as driver:
        operator.execute(f'ALTER ROLE "{ADMINISTRATOR.user}" CONNECTION LIMIT 0')
        try:
            with pytest.raises(errors.DatastoreError, match="has no connection left; raise max_connections"):
                driver.probe()
        finally:
            operator.execute(f'ALTER ROLE "{ADMINISTRATOR.user}" CONNECTION LIMIT -1')


@pytest.mark.parametrize(
    ("login", "message"),
    [
        (Login("nobody-known", "x"), r'does not know user "nobody-known" with this password; correct spec\.basicAuth'),
        (Login(ADMINISTRATOR.user, "wrong"), r'does not know user "hosted-admin" with this password; correct spec\.basicAuth'),
    ],
)
def test_a_login_that_is_refused(server: Server, login: Login, message: str) -> None:
    with opened(server, login) as driver, pytest.raises(errors.DatastorePermissionError, match=message):
        driver.probe()


def test_a_server_without_tls() -> None:
    with (
        plain_server() as server,
        opened(server) as driver,
        pytest.raises(errors.DatastoreTlsError, match="does not offer TLS; give the server a certificate"),
    ):
        driver.probe()


@contextlib.contextmanager
def plain_server() -> Iterator[Server]:
    """What a server without a certificate answers when asked for TLS."""
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = listener.accept()
                    with connection:
                        connection.recv(8)
                        connection.sendall(b"N")

        threading.Thread(target=serve, daemon=True).start()
        with contextlib.ExitStack() as stack:
            from tempfile import TemporaryDirectory

            folder = Path(stack.enter_context(TemporaryDirectory()))
            yield Server("PostgreSQL", listener.getsockname()[1], Authority(folder))
            listener.shutdown(socket.SHUT_RDWR)


def test_nothing_listens(server: Server) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        opened(server, ADMINISTRATOR, dead) as driver,
        pytest.raises(errors.DatastoreUnreachableError, match=rf"{dead} does not accept a connection \(Connection refused\); check"),
    ):
        driver.probe()


def test_a_name_that_does_not_resolve(server: Server) -> None:
    with (
        opened(server, ADMINISTRATOR, "no-such-host.invalid:5432") as driver,
        pytest.raises(errors.DatastoreUnreachableError, match="cannot be resolved"),
    ):
        driver.probe()


def test_the_server_shows_a_certificate_of_another_authority(server: Server, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").pair.certificate.read_bytes()
    credentials = dataclasses.replace(server.credentials(ADMINISTRATOR), ca_certificate=other)
    with (
        opened(server, credentials=credentials) as driver,
        pytest.raises(errors.DatastoreTlsError, match=r"not accepted \(.*\); give the CA that signed it"),
    ):
        driver.probe()


def test_a_forwarded_endpoint_is_checked_for_its_own_name(server: Server) -> None:
    target = (server.host, server.port)
    with opened(server, ADMINISTRATOR, "localhost:1", forward=lambda _endpoint: target) as driver:
        assert driver.probe().healthy
    with (
        opened(server, ADMINISTRATOR, "other.example.com:5432", forward=lambda _endpoint: target) as driver,
        pytest.raises(errors.DatastoreTlsError, match=r"Hostname mismatch.*other\.example\.com"),
    ):
        driver.probe()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"username": None}, errors.DatastorePermissionError, r"spec\.basicAuth is missing; driver PostgreSQL logs in"),
        ({"ca_certificate": None}, errors.DatastoreTlsError, r"spec\.tlsConfig\.certificateAuthority\.certificate"),
        ({"client_certificate": b"x", "client_key": b"x"}, errors.DatastoreTlsError, r"spec\.tlsConfig\.clientCertificate\.certificate"),
    ],
)
def test_credentials_that_cannot_work_are_refused_before_any_call(
    server: Server, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    credentials: Credentials = dataclasses.replace(server.credentials(ADMINISTRATOR), **change)
    with pytest.raises(error, match=message):
        opened(server, credentials=credentials)


def test_a_client_certificate_that_the_server_demands(server: Server) -> None:
    with session(server, OPERATOR) as operator:
        operator.execute("CREATE ROLE demanding LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
        operator.execute("GRANT CONNECT ON DATABASE postgres TO demanding")
    login, pair = Login("demanding", "x"), server.authority.client("demanding")
    given = dataclasses.replace(
        server.credentials(login), client_certificate=pair.certificate.read_bytes(), client_key=pair.key.read_bytes()
    )
    with opened(server, credentials=given) as driver:
        assert driver.probe().healthy
    with opened(server, login) as driver, pytest.raises(errors.DatastoreTlsError, match="refuses the client certificate"):
        driver.probe()
