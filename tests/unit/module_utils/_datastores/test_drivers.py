# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the datastore drivers needs no store: names, key ranges, the committed descriptor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, mysql, mysql_session, postgresql_session, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import key_range
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import methods

COLLECTION = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(("schema", "user"), [("", "u"), ("s", ""), ("a/b", "u"), ("root", "u"), ("s", "root"), ("s\0", "u")])
def test_names_that_cannot_isolate_are_refused(schema: str, user: str) -> None:
    with pytest.raises(InvalidError, match="cannot keep tenants apart"):
        Isolation(schema, user)


def test_key_range_ends_with_the_prefix() -> None:
    key, end = key_range("acme")
    assert key <= b"/acme/registry/x" < end
    assert not key <= b"/acme-2/registry/x" < end
    assert not key <= b"/acme" < end


def test_every_call_uses_etcds_own_path() -> None:
    assert methods()["Range"].path == "/etcdserverpb.KV/Range"
    assert methods()["RoleGrantPermission"].path == "/etcdserverpb.Auth/RoleGrantPermission"


def test_the_committed_descriptor_is_that_of_the_proto_file() -> None:
    generate = COLLECTION / "tools/proto/generate.py"
    assert subprocess.run([sys.executable, generate, "--check"], check=False).returncode == 0


def test_a_driver_that_does_not_exist_is_named() -> None:
    basic = {"content": "eA=="}
    spec = {"driver": "NATS", "endpoints": ["nats:4222"], "basicAuth": {"username": basic, "password": basic}}
    store = api.check({"metadata": {"name": "queue"}, "spec": spec})
    with pytest.raises(errors.DatastoreError, match=r'DataStore queue: spec\.driver "NATS" is not available: .* use etcd, PostgreSQL'):
        connect(store, api.resolve(store, {}))


def test_only_who_needs_a_database_loads_its_client() -> None:
    engine = "ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call"
    script = f"import sys; sys.path[:] = {sys.path!r}; import {engine}; print(sorted({{'psycopg', 'pymysql'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [("acme", "acme"), ("team-a_acme", r"team-a\_acme"), ("50%", r"50\%"), ("a\\b", r"a\\b"), ("__", r"\_\_")],
)
def test_a_grant_names_one_database_only(schema: str, expected: str) -> None:
    assert mysql.pattern(schema) == expected


def test_an_identifier_is_quoted() -> None:
    assert mysql.identifier("a`; DROP DATABASE b") == "`a``; DROP DATABASE b`"


@pytest.mark.parametrize(
    ("schema", "user", "expected"),
    [
        ("team_acme", "team_acme", ""),
        ("s" * 64, "u" * 32, ""),
        ("s" * 65, "u", "longer than the 64 bytes MySQL takes"),
        ("s", "u" * 33, "longer than the 32 bytes MySQL takes"),
        ("s", "ü" * 17, "longer than the 32 bytes MySQL takes"),
        ("Team", "u", "has capitals"),
        ("mysql", "u", "is a database of MySQL itself"),
        ("s", "mysql.sys", "is a user of MySQL itself"),
        ("s", "hosted", "is the administration user of the datastore"),
    ],
)
def test_names_that_mysql_cannot_take_are_refused(schema: str, user: str, expected: str) -> None:
    """Its limits are shorter than those of MariaDB, against which the driver is tested."""
    refusal = sql.name_refusal(Isolation(schema, user), mysql.MYSQL_RULES, "hosted")
    assert expected in refusal
    assert bool(refusal) == bool(expected)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            'FATAL:  password authentication failed for user "u"',
            errors.DatastorePermissionError,
            'does not know user "u" with this password',
        ),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", SSL encryption',
            errors.DatastorePermissionError,
            'does not let user "u" in from here',
        ),
        ('FATAL:  permission denied for database "postgres"', errors.DatastorePermissionError, 'does not let user "u" connect'),
        ("session is read-only", errors.DatastoreUnreachableError, "takes no writes: it is a standby"),
        ("server is in hot standby mode", errors.DatastoreUnreachableError, "takes no writes: it is a standby"),
        ("FATAL:  sorry, too many clients already", errors.DatastoreError, "has no connection left"),
        ("FATAL:  the database system is starting up", errors.DatastoreTimeoutError, "does not serve yet"),
        ("FATAL:  connection requires a valid client certificate", errors.DatastoreTlsError, "refuses the client certificate"),
        ("SSL error: tlsv13 alert certificate required", errors.DatastoreTlsError, "refuses the client certificate"),
        ("FATAL:  something else", errors.DatastoreError, "does not let us in (FATAL: something else)"),
    ],
)
def test_what_postgresql_says_at_the_door(text: str, error: type[errors.DatastoreError], message: str) -> None:
    fault = postgresql_session.login_fault(text, "u")
    assert fault.error is error
    assert message in fault.reason


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (1045, errors.DatastorePermissionError, 'does not know user "u" with this password from here'),
        (1040, errors.DatastoreError, "has no connection left"),
        (1130, errors.DatastorePermissionError, "does not let this host in (text)"),
        (1053, errors.DatastoreTimeoutError, "does not serve yet (text)"),
        (2026, errors.DatastoreTlsError, "does not offer TLS"),
        (1234, errors.DatastoreError, "does not let us in (text)"),
    ],
)
def test_what_mysql_says_at_the_door(number: int, error: type[errors.DatastoreError], message: str) -> None:
    fault = mysql_session.login_fault(Exception(number, "text"), "u")
    assert fault.error is error
    assert message in fault.reason
