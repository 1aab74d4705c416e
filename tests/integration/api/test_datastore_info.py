# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module datastore_info and the accounts of the drivers, against real stores that are written to meanwhile."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import etcd_usage, tenant_data
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver, Isolation, Usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import MOST_BYTES
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastore_info import Question, stores_info
from ansible_collections.hosted.kubernetes.plugins.modules import datastore_info
from ansible_collections.hosted.kubernetes.tests.support import mariadb, postgresql
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import Server
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, datastore_definition, delete_datastore

INTERVAL_S = 1.0


def entry_of(ground: Ground, name: str, **options: Any) -> Json:
    arguments = {"kubeconfig": str(ground.kubeconfig), "name": name, "interval": 0, **options}
    (found,) = run_module(datastore_info.main, arguments)["datastores"]
    result: Json = found
    return result


def usage_of(entry: Json, tenant: Tenant) -> Json:
    (found,) = [item for item in entry["tenants"] if item["tenant"] == tenant.key]
    result: Json = found
    return result


@contextlib.contextmanager
def writing(write: Callable[[int], None], pause_s: float = 0.05) -> Iterator[None]:
    """Write until the block ends."""
    done = threading.Event()

    def run() -> None:
        number = 0
        while not done.wait(pause_s):
            number += 1
            write(number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_store_and_its_tenants(ground: Ground, tenant: Tenant) -> None:
    other = ground.tenant()
    for each in (tenant, other):
        each.run()
    tenant.put_keys(5)
    key = f"/{tenant.isolation.schema}/registry/key-0"

    entry = entry_of(ground, ground.store)
    assert entry["ready"]
    assert entry["problem"] == ""
    assert entry["probe"]["free_bytes"] == entry["probe"]["quota_bytes"] - entry["probe"]["db_size_bytes"]
    assert entry["probe"]["members"][0]["latency_ms"] > 0
    assert 0 < entry["probe"]["members"][0]["in_use_bytes"] <= entry["probe"]["db_size_bytes"]
    assert entry["probe"]["alarms"] == []
    assert {tenant.key, other.key} <= {*entry["used_by"]}
    assert usage_of(entry, tenant) == {
        "tenant": tenant.key,
        "schema": tenant.isolation.schema,
        "user": tenant.isolation.user,
        "keys": 5,
        "size_bytes": 5 * (len(key) + len("value")),
        "writes_per_second": None,
        "error": "",
    }
    assert usage_of(entry, other)["keys"] == 0
    without = entry_of(ground, ground.store, usage=False)
    assert usage_of(without, tenant)["keys"] is None
    for each in (tenant, other):
        each.absent()


def test_it_writes_nothing(ground: Ground, tenant: Tenant) -> None:
    tenant.run()
    before = ground.client.get(resource_of("DataStore"), ground.store)
    revision = ground.driver._call("Range", key=b"/", count_only=True).header.revision
    calls = {id(item) for item in ground.client.calls}
    stores_info(ground.client, Question(None, usage=True, interval_s=0.1), datetime.now(UTC))
    made = [item for item in ground.client.calls if id(item) not in calls]
    assert made
    assert {item.method for item in made} == {"GET"}
    assert ground.client.get(resource_of("DataStore"), ground.store) == before
    assert ground.driver._call("Range", key=b"/", count_only=True).header.revision == revision
    tenant.absent()


def test_writes_of_each_tenant_are_counted(ground: Ground, tenant: Tenant) -> None:
    quiet = ground.tenant()
    for each in (tenant, quiet):
        each.run()
    written: list[float] = []

    def write(number: int) -> None:
        # One key, again and again, and its deletion: revisions count, not keys.
        key = f"/{tenant.isolation.schema}/registry/lease".encode()
        if number % 4:
            ground.driver._call("Put", key=key, value=b"value")
        else:
            ground.driver._call("DeleteRange", key=key)
        written.append(time.monotonic())

    with writing(write):
        entry = entry_of(ground, ground.store, interval=INTERVAL_S)
    pace = (len(written) - 1) / (written[-1] - written[0])
    assert usage_of(entry, tenant)["writes_per_second"] == pytest.approx(pace, rel=0.4)
    assert usage_of(entry, quiet)["writes_per_second"] == 0
    for each in (tenant, quiet):
        each.absent()


def test_large_values_are_read_in_small_pages(ground: Ground, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_data, "MOST_PAGE_KEYS", 100)
    schema, value = tenant.isolation.schema, b"x" * 1_000_000
    for number in range(332):
        ground.driver._call("Put", key=f"/{schema}/a{number:04}".encode(), value=b"small")
    # Many small ones make pages long; then come so many large ones that the next page is more than an answer may be.
    for number in range(80):
        ground.driver._call("Put", key=f"/{schema}/b{number:04}".encode(), value=value)
    pages: list[int] = []
    call = ground.driver._call

    def counted(method: str, **fields: Any) -> Any:
        answer = call(method, **fields)
        pages.append(sum(len(item.value) for item in answer.kvs))
        return answer

    key, end = f"/{schema}/".encode(), f"/{schema}0".encode()
    try:
        found = etcd_usage.measure(counted, key, end)
        assert found.keys == 412
        assert found.size_bytes == 80 * (len(value) + len(key) + 5) + 332 * (5 + len(key) + 5)
        assert max(pages) < MOST_BYTES
        assert sum(page > 8 << 20 for page in pages) <= 1
    finally:
        call("DeleteRange", key=key, range_end=end)


def test_a_store_that_does_not_answer_is_an_entry_too(ground: Ground) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    body = datastore_definition("info-dead", ground.etcd)
    body["spec"]["endpoints"] = [dead]
    ground.client.apply(body, force=True)
    try:
        found = stores_info(ground.client, Question(None, usage=True, interval_s=0), datetime.now(UTC))
        entries = {item["name"]: item for item in found}
        assert not entries["info-dead"]["ready"]
        assert f"etcd at {dead} does not accept a connection" in entries["info-dead"]["problem"]
        assert entries["info-dead"]["probe"] is None
        assert entries[ground.store]["ready"]
    finally:
        delete_datastore(ground.client, "info-dead")


def test_a_full_store_says_so(ground: Ground) -> None:
    member = ground.driver._call("MemberList").members[0].ID
    ground.driver._call("Alarm", action=1, memberID=member, alarm=1)
    try:
        entry = entry_of(ground, ground.store, usage=False)
        assert entry["probe"]["alarms"] == [{"kind": "NOSPACE", "member": "test"}]
        conditions = {item["type"]: item["reason"] for item in entry["conditions"]}
        assert conditions["hosted-kubernetes.io/DataStoreCapacity"] == "Full"
        assert not entry["ready"]
    finally:
        ground.driver._call("Alarm", action=2, memberID=member, alarm=1)


# Databases

ACME = Isolation("acme", "acme", "acme's secret")
EMPTY = Isolation("empty", "empty", "empty's secret")
GONE = Isolation("gone", "gone", "x")
KINE = """
CREATE TABLE kine (id INTEGER PRIMARY KEY, name VARCHAR(630), created INTEGER, deleted INTEGER, create_revision INTEGER,
  prev_revision INTEGER, lease INTEGER, value {blob}, old_value {blob})"""


@pytest.fixture(scope="module", params=["PostgreSQL", "MySQL"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind = postgresql if request.param == "PostgreSQL" else mariadb
    start = postgresql.running_postgresql if kind is postgresql else mariadb.running_mariadb
    with start() as found:
        kind.make_administrator(found)
        yield found


@pytest.fixture(scope="module")
def database(server: Server) -> Iterator[Driver]:
    driver = connect(server.datastore(), server.credentials(postgresql.ADMINISTRATOR))
    for isolation in (ACME, EMPTY):
        for part in driver.parts:
            driver.create_part(isolation, part)
    yield driver
    driver.close()


def execute(server: Server, *statements: str) -> None:
    """As the tenant, as kine does."""
    login = Login(ACME.user, ACME.password or "")
    if server.driver == "PostgreSQL":
        with postgresql.session(server, login, ACME.schema) as session:
            session.execute("SET search_path = public")
            for statement in statements:
                session.execute(statement)
        return
    with mariadb.session(server, login) as session, session.cursor() as cursor:
        cursor.execute(f"USE {ACME.schema}")
        for statement in statements:
            cursor.execute(statement)


def row(number: int, name: str, *, deleted: bool = False) -> str:
    return f"INSERT INTO kine (id, name, created, deleted) VALUES ({number}, '{name}', 0, {int(deleted)})"


def test_account_of_databases(server: Server, database: Driver) -> None:
    assert database.account([]) == {}
    assert database.account([EMPTY, GONE])["empty"].keys == 0
    blob = "BYTEA" if server.driver == "PostgreSQL" else "MEDIUMBLOB"
    execute(server, KINE.format(blob=blob), row(1, "/a"), row(2, "/b"), row(3, "/a"), row(4, "/b", deleted=True), row(5, "/c"))

    found = database.account([ACME, EMPTY, GONE])
    assert found["acme"].keys == 2
    assert (found["acme"].size_bytes or 0) > 1000
    assert found["acme"].writes_per_s is None
    assert found["acme"].error == ""
    assert found["gone"] == Usage(keys=0)

    numbers = iter(range(6, 10_000))
    with writing(lambda _number: execute(server, row(next(numbers), "/c")), 0.02):
        found = database.account([ACME, EMPTY], interval_s=INTERVAL_S)
    assert (found["acme"].writes_per_s or 0) > 1
    assert found["empty"].writes_per_s is None


def test_a_share_that_cannot_be_looked_into_does_not_fail_the_others(server: Server, database: Driver) -> None:
    if server.driver == "PostgreSQL":
        wrong = Isolation("acme", "acme", "not its password")
        found = database.account([wrong, EMPTY])
        assert "does not know user" in found["acme"].error
        assert found["empty"].error == ""
    else:
        found = database.account([Isolation("acme`x", "acme"), EMPTY])
        assert found["acme`x"].keys == 0
        assert found["empty"].error == ""


def test_the_tenants_of_a_database(ground: Ground, namespace: str, server: Server) -> None:
    """With the password of each tenant from its Secret; one that has none says so."""
    definition = server.datastore().manifest()
    del definition["metadata"]["name"]
    name = f"info-{namespace}"
    login = postgresql.ADMINISTRATOR
    texts = {"username": login.user, "password": login.password}
    basic = {key: {"content": base64.b64encode(text.encode()).decode()} for key, text in texts.items()}
    certificate = {"content": base64.b64encode(server.authority.pair.certificate.read_bytes()).decode()}
    spec = {**definition["spec"], "basicAuth": basic, "tlsConfig": {"certificateAuthority": {"certificate": certificate}}}
    ground.client.apply({**definition, "metadata": {"name": name}, "spec": spec}, force=True)
    known, unknown = ground.tenant("known", namespace), ground.tenant("unknown", namespace)
    resources = {"dataStore": name}
    known.run(changes=resources)
    ground.client.create(unknown.definition({"dataStore": name}))
    try:
        entry = entry_of(ground, name, interval=0.2)
        assert entry["ready"], entry["problem"]
        assert entry["probe"]["quota_bytes"] is None
        assert entry["probe"]["free_bytes"] is None
        assert usage_of(entry, known)["error"] == ""
        assert usage_of(entry, known)["keys"] == 0
        without = usage_of(entry, unknown)
        assert without["keys"] is None
        assert "its password is not known" in without["error"]
    finally:
        known.absent(changes=resources)
        ground.client.delete(resource_of("TenantControlPlane"), "unknown", namespace)
        delete_datastore(ground.client, name)
