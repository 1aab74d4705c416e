# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of MySQL and MariaDB against a real MariaDB with TLS: two tenants in one server, partial failures, and what it says when refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql import GRANTS, MysqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql_session import rows
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import ACCESS, DATABASE, USER, Login
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.mariadb import ADMINISTRATOR, make_administrator, running_mariadb, session
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import OPERATOR, Server

# In a grant "_" stands for any character, so that the one could be the other.
ACME = Isolation("team_a_acme", "team_a_acme-user", 'acme\'s %s "secret" ü')
EVIL = Isolation("teamxa_acme", "teamxa_acme", "evil secret")
# Those that only try to reach each other.
OWNER = Isolation("team_b_shop", "team_b_shop-user", "owner's secret")
THIEF = Isolation("teamxb_shop", "teamxb_shop", "thief's secret")
WIDE = Isolation("team_b%", "team_b%", "wide secret")
NOTHING = IsolationState(missing=MysqlDriver.parts, present=())
ALL = IsolationState(missing=(), present=MysqlDriver.parts)
ALL_BUT_PASSWORD = IsolationState((), (USER, DATABASE, ACCESS), unchecked=(PASSWORD,))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_mariadb() as server:
        make_administrator(server)
        yield server


def opened(server: Server, login: Login = ADMINISTRATOR, *endpoints: str, **options: Any) -> MysqlDriver:
    credentials = options.pop("credentials", None) or server.credentials(login)
    driver = connect(server.datastore(*endpoints), credentials, **options)
    assert isinstance(driver, MysqlDriver)
    return driver


@pytest.fixture
def driver(server: Server) -> Iterator[MysqlDriver]:
    with opened(server) as driver:
        yield driver
        for tenant in (ACME, EVIL):
            purge(driver, tenant)


def create(driver: MysqlDriver, tenant: Isolation) -> None:
    for part in driver.parts:
        driver.create_part(tenant, part)


def purge(driver: MysqlDriver, tenant: Isolation) -> None:
    for part in driver.purge_parts:
        driver.delete_part(tenant, part)


def look(driver: MysqlDriver, tenant: Isolation, **options: bool) -> IsolationState:
    return driver.observe([tenant], detailed=True, **options)[tenant.schema]


def login_of(tenant: Isolation) -> Login:
    return Login(tenant.user, tenant.password or "")


def fill(server: Server, tenant: Isolation, count: int = 3) -> None:
    """What kine makes, and what its compaction and upgrades do."""
    with session(server, login_of(tenant)) as kine:
        kine.select_db(tenant.schema)
        rows(kine, "CREATE TABLE IF NOT EXISTS kine (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(630), value MEDIUMBLOB)")
        rows(kine, "CREATE INDEX IF NOT EXISTS kine_name_index ON kine (name)")
        rows(kine, "ALTER TABLE kine MODIFY COLUMN id BIGINT UNSIGNED AUTO_INCREMENT")
        for number in range(count):
            rows(kine, "INSERT INTO kine (name, value) VALUES (%s, 'secret')", [f"/registry/{number}"])
        rows(kine, "UPDATE kine SET value = 'secret'")
        rows(kine, "DELETE FROM kine WHERE id < 0")


# Making and removing


def test_a_new_share_lacks_everything(driver: MysqlDriver) -> None:
    assert look(driver, ACME, keys=True) == NOTHING
    assert look(driver, ACME, keys=True).absent


@pytest.mark.parametrize("done", range(len(MysqlDriver.parts) + 1))
def test_creation_converges_after_a_failure_at_any_step(driver: MysqlDriver, done: int) -> None:
    for part in MysqlDriver.parts[:done]:
        driver.create_part(ACME, part)

    state = look(driver, ACME)
    assert state == IsolationState(missing=MysqlDriver.parts[done:], present=MysqlDriver.parts[:done])
    for part in state.missing:
        driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL


@pytest.mark.parametrize("done", range(len(MysqlDriver.purge_parts) + 1))
def test_deletion_converges_after_a_failure_at_any_step(driver: MysqlDriver, server: Server, done: int) -> None:
    create(driver, ACME)
    fill(server, ACME)
    for part in MysqlDriver.purge_parts[:done]:
        driver.delete_part(ACME, part)

    state = look(driver, ACME, keys=True)
    assert not [part for part in MysqlDriver.purge_parts[:done] if part in state.present]
    for part in MysqlDriver.purge_parts:
        if part in state.present:
            driver.delete_part(ACME, part)
    assert look(driver, ACME, keys=True) == NOTHING
    assert driver.count_keys(ACME) == 0


def test_every_step_can_be_repeated(driver: MysqlDriver) -> None:
    for part in (*MysqlDriver.parts, *MysqlDriver.parts):
        driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL
    for part in (*MysqlDriver.purge_parts, *MysqlDriver.purge_parts):
        driver.delete_part(ACME, part)
    assert look(driver, ACME, keys=True) == NOTHING


def test_nobody_logs_in_before_there_is_a_password(driver: MysqlDriver, server: Server) -> None:
    driver.create_part(ACME, USER)
    with pytest.raises(errors.DatastorePermissionError), session(server, Login(ACME.user, "")):
        pass


def test_a_purge_ends_sessions(driver: MysqlDriver, server: Server) -> None:
    """A dropped user's sessions go on, and could make the database anew."""
    create(driver, ACME)
    fill(server, ACME)
    with session(server, login_of(ACME)) as kine:
        kine.select_db(ACME.schema)
        purge(driver, ACME)
        with pytest.raises(pymysql.err.OperationalError):
            rows(kine, f"CREATE DATABASE `{ACME.schema}`")
    assert look(driver, ACME, keys=True) == NOTHING


def test_a_session_that_outlived_its_user_ends_with_the_database(driver: MysqlDriver, server: Server) -> None:
    """A run that was killed between dropping the user and ending its sessions."""
    create(driver, ACME)
    with session(server, login_of(ACME)) as kine, session(server, OPERATOR) as operator:
        kine.select_db(ACME.schema)
        rows(operator, "DROP USER %s@'%%'", [ACME.user])
        driver.delete_part(ACME, DATABASE)
        with pytest.raises(pymysql.err.OperationalError):
            rows(kine, "SELECT 1")


def test_deleting_one_tenant_leaves_the_other(driver: MysqlDriver, server: Server) -> None:
    create(driver, ACME)
    create(driver, EVIL)
    fill(server, ACME)
    with session(server, login_of(ACME)) as acme:
        purge(driver, EVIL)
        assert rows(acme, f"SELECT COUNT(*) FROM `{ACME.schema}`.kine") == [(3,)]
    assert look(driver, EVIL, keys=True) == NOTHING
    assert look(driver, ACME, keys=True) == ALL


# Passwords


def test_a_new_password_replaces_the_old_one(driver: MysqlDriver, server: Server) -> None:
    create(driver, ACME)
    rotated = dataclasses.replace(ACME, password="another one")
    assert look(driver, rotated).missing == (PASSWORD,)

    driver.create_part(rotated, PASSWORD)

    assert look(driver, rotated) == ALL
    assert look(driver, ACME).missing == (PASSWORD,)
    with session(server, login_of(rotated)):
        pass


def test_a_password_that_is_not_known_is_not_checked(driver: MysqlDriver) -> None:
    create(driver, ACME)
    assert look(driver, dataclasses.replace(ACME, password=None)) == ALL_BUT_PASSWORD
    assert driver.observe([ACME])[ACME.schema] == ALL_BUT_PASSWORD
    with pytest.raises(InvalidError, match=r'password of user "team_a_acme-user" is not known; it is in the Secret'):
        driver.create_part(dataclasses.replace(ACME, password=None), PASSWORD)


# Isolation, each tenant with its own login

Attack = Callable[[Any], object]

STATEMENTS = {
    "reads": f"SELECT * FROM `{OWNER.schema}`.kine",
    "lists": f"SHOW TABLES FROM `{OWNER.schema}`",
    "writes": f"INSERT INTO `{OWNER.schema}`.kine (name) VALUES ('x')",
    "changes": f"UPDATE `{OWNER.schema}`.kine SET value = 'x'",
    "deletes": f"DELETE FROM `{OWNER.schema}`.kine",
    "empties the table": f"TRUNCATE `{OWNER.schema}`.kine",
    "drops the table": f"DROP TABLE `{OWNER.schema}`.kine",
    "alters the table": f"ALTER TABLE `{OWNER.schema}`.kine ADD COLUMN x INT",
    "makes a table": f"CREATE TABLE `{OWNER.schema}`.mine (x INT)",
    "copies the table": f"CREATE TABLE `{THIEF.schema}`.copy AS SELECT * FROM `{OWNER.schema}`.kine",
    "looks through a view": f"CREATE VIEW `{THIEF.schema}`.look AS SELECT * FROM `{OWNER.schema}`.kine",
    "drops the database": f"DROP DATABASE `{OWNER.schema}`",
    "alters the database": f"ALTER DATABASE `{OWNER.schema}` CHARACTER SET latin1",
    "makes another database": "CREATE DATABASE mine",
    "makes a database that its name would fit as a pattern": "CREATE DATABASE team_b_more",
    "changes the other's password": f"SET PASSWORD FOR `{OWNER.user}`@`%` = PASSWORD('x')",
    "changes the other's user": f"ALTER USER `{OWNER.user}`@`%` IDENTIFIED BY 'x'",
    "drops the other's user": f"DROP USER `{OWNER.user}`@`%`",
    "makes a user": "CREATE USER helper",
    "gives itself everything": f"GRANT ALL ON *.* TO `{THIEF.user}`@`%`",
    "gives itself the other's database": f"GRANT SELECT ON `{OWNER.schema}`.* TO `{THIEF.user}`@`%`",
    "gives its database away": f"GRANT SELECT ON `{THIEF.schema}`.* TO `{OWNER.user}`@`%`",
    "reads passwords": "SELECT * FROM mysql.global_priv",
    "reads users": "SELECT * FROM mysql.user",
    "reads files": "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/never'",
    "stores code": f"CREATE TRIGGER `{THIEF.schema}`.t BEFORE INSERT ON `{THIEF.schema}`.kine FOR EACH ROW SET NEW.name = 'x'",
    "stores a routine": f"CREATE PROCEDURE `{THIEF.schema}`.p() SELECT 1",
    "schedules": f"CREATE EVENT `{THIEF.schema}`.e ON SCHEDULE EVERY 1 HOUR DO SELECT 1",
    "changes the server": "SET GLOBAL require_secure_transport = OFF",
    "loads code": "INSTALL SONAME 'ha_example'",
    "stops the server": "SHUTDOWN",
}


@pytest.fixture(scope="module")
def both(server: Server) -> Iterator[Server]:
    """A server with tenants that have data; the name of one would be a pattern that fits the others."""
    with opened(server) as driver:
        for tenant in (OWNER, THIEF, WIDE):
            create(driver, tenant)
            fill(server, tenant)
        yield server
        for tenant in (OWNER, THIEF, WIDE):
            purge(driver, tenant)


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.parametrize("tenant", [THIEF, WIDE], ids=["evil", "wide"])
def test_a_tenant_cannot_do_more_than_use_its_database(both: Server, tenant: Isolation, statement: str) -> None:
    mine = statement.replace(THIEF.schema, tenant.schema).replace(THIEF.user, tenant.user)
    with session(both, login_of(tenant)) as evil, pytest.raises(pymysql.err.Error) as failure:
        rows(evil, mine)
    # Access denied in its forms: to a database, table, routine, privilege, SET PASSWORD, user.
    assert failure.value.args[0] in {1044, 1045, 1142, 1227, 1370, 1396, 1410, 1419}, failure.value


def test_a_tenant_sees_neither_databases_nor_sessions_nor_users_of_others(both: Server) -> None:
    with session(both, login_of(OWNER)) as acme, session(both, login_of(THIEF)) as evil:
        assert {name for (name,) in rows(evil, "SHOW DATABASES")} == {"information_schema", THIEF.schema}
        assert {row[1] for row in rows(evil, "SHOW PROCESSLIST")} == {THIEF.user}
        assert {name for (name,) in rows(evil, "SELECT DISTINCT GRANTEE FROM information_schema.USER_PRIVILEGES")} == {
            f"'{THIEF.user}'@'%'"
        }
        number = rows(acme, "SELECT CONNECTION_ID()")[0][0]
        with pytest.raises(pymysql.err.OperationalError, match="not owner of thread"):
            rows(evil, "KILL %s", [number])


def test_a_tenant_needs_tls_and_its_password(both: Server) -> None:
    where: dict[str, Any] = {"host": both.host, "port": both.port, "user": THIEF.user, "connect_timeout": 5}
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pymysql.connect(**where, password=THIEF.password, ssl_disabled=True)
    with (
        pytest.raises(errors.DatastorePermissionError, match=f'does not know user "{THIEF.user}" with this password'),
        session(both, Login(THIEF.user, "guessed")),
    ):
        pass


def test_rows_are_counted(driver: MysqlDriver, server: Server) -> None:
    assert driver.count_keys(ACME) == 0
    create(driver, ACME)
    assert driver.count_keys(ACME) == 0
    fill(server, ACME, 7)
    assert driver.count_keys(ACME) == 7


# What is there and differs


def no_tls(operator: Any) -> None:
    rows(operator, "ALTER USER %s@'%%' REQUIRE NONE", [ACME.user])


def too_few_rights(operator: Any) -> None:
    rows(operator, f"REVOKE DELETE ON `team\\_a\\_acme`.* FROM `{ACME.user}`@`%`")


def too_many_rights(operator: Any) -> None:
    rows(operator, f"GRANT DROP ON `team\\_a\\_acme`.* TO `{ACME.user}`@`%`")


def another_database(operator: Any) -> None:
    rows(operator, f"GRANT SELECT ON `{EVIL.schema}`.* TO `{ACME.user}`@`%`")


def a_pattern(operator: Any) -> None:
    """As grants look that nobody escaped."""
    rows(operator, f"GRANT {', '.join(GRANTS)} ON `{ACME.schema}`.* TO `{ACME.user}`@`%`")


@pytest.mark.parametrize(
    ("damage", "part"),
    [(no_tls, USER), (too_few_rights, ACCESS), (too_many_rights, ACCESS), (another_database, ACCESS), (a_pattern, ACCESS)],
)
def test_drift_is_found_and_mended(driver: MysqlDriver, server: Server, damage: Attack, part: str) -> None:
    create(driver, ACME)
    with session(server, OPERATOR) as operator:
        damage(operator)
    assert look(driver, ACME).missing == (part,)
    driver.create_part(ACME, part)
    assert look(driver, ACME) == ALL


@pytest.mark.parametrize(
    ("schema", "user", "message"),
    [
        ("mysql", "u", r'dataStoreSchema "mysql" is a database of MariaDB itself; choose another name'),
        ("s", "mariadb.sys", r'dataStoreUsername "mariadb\.sys" is a user of MariaDB itself'),
        ("s", ADMINISTRATOR.user, r'dataStoreUsername "hosted-admin" is the administration user'),
        ("s", OPERATOR.user, r'dataStoreUsername "operator" is a user with rights over the whole server'),
        ("S", "u", r'dataStoreSchema "S" has capitals'),
        ("s" * 65, "u", r"is longer than the 64 bytes MariaDB takes; choose a shorter one"),
        ("s", "u" * 81, r"is longer than the 80 bytes MariaDB takes; choose a shorter one"),
    ],
)
def test_what_is_no_tenants_is_neither_taken_nor_dropped(driver: MysqlDriver, schema: str, user: str, message: str) -> None:
    share = Isolation(schema, user, "x")
    state = driver.observe([share], detailed=True)[schema]
    assert state.absent
    assert state.refusal.startswith("DataStore shared: spec.")
    attempts = [*((driver.create_part, part) for part in driver.parts), *((driver.delete_part, part) for part in driver.purge_parts)]
    for attempt, part in attempts:
        with pytest.raises(InvalidError, match=rf"^DataStore shared: .*{message}"):
            attempt(share, part)


@pytest.mark.parametrize("schema", ["ba`ck", "quo'te", 'dou"ble', "per%cent", "under_score", "ümlaut", "a b", "back\\slash", "{0}", "%s"])
def test_names_are_quoted(driver: MysqlDriver, server: Server, schema: str) -> None:
    share = Isolation(schema, schema, "x")
    create(driver, share)
    assert look(driver, share) == ALL
    fill(server, share, 1)
    assert driver.count_keys(share) == 1
    purge(driver, share)
    assert look(driver, share, keys=True) == NOTHING


# Calls


@pytest.mark.parametrize("number", [1, 50])
def test_observing_costs_four_calls_for_any_number_of_tenants(driver: MysqlDriver, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    create(driver, ACME)
    tenants = [ACME, *(Isolation(f"tenant-{index}", f"tenant-{index}") for index in range(number - 1))]
    calls: list[str] = []
    run = driver._administration.run

    def count(doing: str, *rest: Any, **options: Any) -> Any:
        calls.append(doing)
        return run(doing, *rest, **options)

    monkeypatch.setattr(driver._administration, "run", count)
    states = driver.observe(tenants)

    assert calls == ["list users", "list rights", "list grants", "list databases"]
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


def test_a_lost_session_is_opened_again(driver: MysqlDriver, server: Server) -> None:
    assert look(driver, ACME) == NOTHING
    with session(server, OPERATOR) as operator:
        for (number,) in rows(operator, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", [ADMINISTRATOR.user]):
            rows(operator, "KILL %s", [number])
    assert look(driver, ACME) == NOTHING


# Probing, and what is wrong


def test_probe_tells_what_the_server_is(driver: MysqlDriver, server: Server) -> None:
    before = driver.probe().tenants
    create(driver, ACME)
    fill(server, ACME)
    probe = driver.probe()
    assert probe.healthy, probe.problems
    assert probe.warnings == ()
    assert "MariaDB" in probe.version
    assert probe.db_size_bytes > 0
    assert probe.latency_ms > 0
    assert probe.tenants == before + 1
    assert [(item.endpoint, item.leader, item.error) for item in probe.members] == [(server.endpoint, True, None)]


def test_probe_names_missing_rights(server: Server) -> None:
    with session(server, OPERATOR) as operator:
        rows(operator, "CREATE USER weak IDENTIFIED BY 'weak secret' REQUIRE SSL")
    with opened(server, Login("weak", "weak secret")) as driver:
        assert driver.probe().problems == (
            'the user "weak" lacks CREATE USER, PROCESS on *.*, so it cannot make and end users of tenants; GRANT that (docs/datastores.md)',
            (
                'the user "weak" lacks ALTER, CREATE, DELETE, INDEX, INSERT, SELECT, UPDATE, DROP on *.* WITH GRANT OPTION, so it cannot give '
                "tenants their databases; GRANT that (docs/datastores.md)"
            ),
            'the user "weak" lacks CONNECTION_ADMIN on *.*, so it cannot end sessions of removed tenants; GRANT that (docs/datastores.md)',
        )
        with pytest.raises(errors.DatastorePermissionError, match=r"MySQL cannot list users \(.*denied.*; give the user of spec.basicAuth"):
            driver.observe([ACME])


def test_databases_that_everybody_may_use_are_a_problem(tmp_path: Path) -> None:
    """A tenant whose default name begins with test_ would be open to all: that is what an installation leaves behind."""
    with running_mariadb(test_databases=True) as server:
        make_administrator(server)
        with opened(server) as driver:
            (problem,) = driver.probe().problems
    assert "everybody may use databases test, test\\_%" in problem


def test_other_endpoints_are_used_when_one_is_down(server: Server) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with opened(server, ADMINISTRATOR, dead, server.endpoint) as driver:
        probe = driver.probe()
    assert probe.healthy
    assert "does not accept a connection" in probe.warnings[0]


def test_a_server_that_takes_no_writes_is_refused(server: Server) -> None:
    with session(server, OPERATOR) as operator, opened(server) as driver:
        rows(operator, "SET GLOBAL read_only = ON")
        try:
            with pytest.raises(errors.DatastoreUnreachableError, match=r"takes no writes \(read_only is on\); list the primary too"):
                driver.probe()
        finally:
            rows(operator, "SET GLOBAL read_only = OFF")


def test_a_login_that_is_refused(server: Server) -> None:
    with (
        opened(server, Login(ADMINISTRATOR.user, "wrong")) as driver,
        pytest.raises(
            errors.DatastorePermissionError, match=r'does not know user "hosted-admin" with this password from here; correct spec'
        ),
    ):
        driver.probe()


def test_nothing_listens(server: Server) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        opened(server, ADMINISTRATOR, dead) as driver,
        pytest.raises(errors.DatastoreUnreachableError, match=rf"{dead} does not accept a connection \(Connection refused\); check"),
    ):
        driver.probe()


def test_a_name_that_does_not_resolve(server: Server) -> None:
    with (
        opened(server, ADMINISTRATOR, "no-such-host.invalid:3306") as driver,
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
        opened(server, ADMINISTRATOR, "other.example.com:3306", forward=lambda _endpoint: target) as driver,
        pytest.raises(errors.DatastoreTlsError, match=r"Hostname mismatch.*other\.example\.com"),
    ):
        driver.probe()
