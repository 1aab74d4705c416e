# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The etcd driver against a real etcd with TLS: two tenants in one store, partial failures, and what it says when refused."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Credentials
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import (
    AUTHENTICATION,
    KEYS,
    MEMBERSHIP,
    PERMISSION,
    ROLE,
    ROOT_MEMBERSHIP,
    ROOT_ROLE,
    ROOT_USER,
    USER,
    EtcdDriver,
    key_range,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import Member, message
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports

ACME = Isolation("team-a_acme", "team-a_acme-user")
EVIL = Isolation("team-a_ac", "team-a_ac")
NOTHING = IsolationState(missing=EtcdDriver.parts, present=())
ALL = IsolationState(missing=(), present=EtcdDriver.parts)


def store(*endpoints: str) -> api.DataStore:
    pem = base64.b64encode(b"pem").decode()
    pair = {"certificate": {"content": pem}, "privateKey": {"content": pem}}
    spec = {"driver": "etcd", "endpoints": list(endpoints), "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair}}
    return api.check({"metadata": {"name": "shared"}, "spec": spec})


def credentials(etcd: Etcd, client: Pair | None = None) -> Credentials:
    assert etcd.authority
    client = client or etcd.root
    assert client
    return Credentials(
        ca_certificate=etcd.authority.pair.certificate.read_bytes(),
        ca_key=None,
        client_certificate=client.certificate.read_bytes(),
        client_key=client.key.read_bytes(),
        username=None,
        password=None,
    )


def endpoint(etcd: Etcd) -> str:
    return f"{etcd.host}:{etcd.port}"


def member(etcd: Etcd, user: str) -> Member:
    """A connection with a tenant's certificate, as its API server has one."""
    assert etcd.authority
    driver = connect_etcd(store(endpoint(etcd)), credentials(etcd, etcd.authority.client(user)))
    return driver._members[0]


def put(connection: Member, key: bytes) -> None:
    connection.call("Put", 5.0, key=key, value=b"value")


@pytest.fixture(scope="module")
def etcd(tls_etcd: Etcd) -> Etcd:
    with connect_etcd(store(endpoint(tls_etcd)), credentials(tls_etcd)) as driver:
        for part in driver.missing_authentication():
            driver.create_authentication_part(part)
    return tls_etcd


@pytest.fixture
def root(etcd: Etcd) -> Iterator[EtcdDriver]:
    with connect_etcd(store(endpoint(etcd)), credentials(etcd)) as driver:
        yield driver
        for tenant in (ACME, EVIL):
            purge(driver, tenant)


def create(driver: EtcdDriver, tenant: Isolation) -> None:
    for part in driver.parts:
        driver.create_part(tenant, part)


def purge(driver: EtcdDriver, tenant: Isolation) -> None:
    for part in driver.purge_parts:
        driver.delete_part(tenant, part)


def look(driver: EtcdDriver, tenant: Isolation, **options: bool) -> IsolationState:
    return driver.observe([tenant], detailed=True, **options)[tenant.schema]


def count_calls(driver: EtcdDriver, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    calls: Counter[str] = Counter()
    for item in driver._members:

        def call(method: str, timeout_s: float, *, _real: Any = item.call, **fields: Any) -> Any:
            calls[method] += 1
            return _real(method, timeout_s, **fields)

        monkeypatch.setattr(item, "call", call)
    return calls


def test_authentication_is_switched_on_from_any_half_way_point(bundle: Path, tmp_path: Path) -> None:
    with running_etcd(bundle, tmp_path, tls=True) as etcd, connect_etcd(store(endpoint(etcd)), credentials(etcd)) as driver:
        probe = driver.probe()
        assert not probe.healthy
        assert "authentication is off" in probe.problems[0]
        expected = [ROOT_USER, ROOT_ROLE, ROOT_MEMBERSHIP, AUTHENTICATION]
        while expected:
            assert driver.missing_authentication() == tuple(expected)
            driver.create_authentication_part(expected.pop(0))
        assert driver.missing_authentication() == ()
        assert driver.probe().healthy


def test_a_new_share_lacks_everything(root: EtcdDriver) -> None:
    assert look(root, ACME, keys=True) == NOTHING
    assert look(root, ACME, keys=True).absent


@pytest.mark.parametrize("done", range(len(EtcdDriver.parts) + 1))
def test_creation_converges_after_a_failure_at_any_step(root: EtcdDriver, done: int) -> None:
    for part in EtcdDriver.parts[:done]:
        root.create_part(ACME, part)

    state = look(root, ACME)
    assert state == IsolationState(missing=EtcdDriver.parts[done:], present=EtcdDriver.parts[:done])
    for part in state.missing:
        root.create_part(ACME, part)
    assert look(root, ACME) == ALL


@pytest.mark.parametrize("done", range(len(EtcdDriver.purge_parts) + 1))
def test_deletion_converges_after_a_failure_at_any_step(root: EtcdDriver, etcd: Etcd, done: int) -> None:
    create(root, ACME)
    put(member(etcd, ACME.user), b"/team-a_acme/registry/one")
    for part in EtcdDriver.purge_parts[:done]:
        root.delete_part(ACME, part)

    state = look(root, ACME, keys=True)
    assert not [part for part in EtcdDriver.purge_parts[:done] if part in state.present]
    for part in EtcdDriver.purge_parts:
        if part in state.present:
            root.delete_part(ACME, part)
    assert look(root, ACME, keys=True) == NOTHING
    assert root.count_keys(ACME) == 0


def test_every_step_can_be_repeated(root: EtcdDriver) -> None:
    for part in (*EtcdDriver.parts, *EtcdDriver.parts):
        root.create_part(ACME, part)
    assert look(root, ACME) == ALL
    for part in (*EtcdDriver.purge_parts, *EtcdDriver.purge_parts):
        root.delete_part(ACME, part)
    assert look(root, ACME, keys=True) == NOTHING


def test_tenants_cannot_reach_each_other(root: EtcdDriver, etcd: Etcd) -> None:
    create(root, ACME)
    create(root, EVIL)
    acme, evil = member(etcd, ACME.user), member(etcd, EVIL.user)
    put(acme, b"/team-a_acme/registry/secret")
    put(evil, b"/team-a_ac/registry/own")

    # The schema of one is the beginning of the other's: only the slash keeps them apart.
    for attempt in (
        lambda: evil.call("Range", 5.0, key=b"/team-a_acme/registry/secret"),
        lambda: evil.call("Range", 5.0, key=b"/team-a_ac", range_end=b"/team-a_ad"),
        lambda: evil.call("Range", 5.0, key=b"\0", range_end=b"\0"),
        lambda: evil.call("DeleteRange", 5.0, key=b"/team-a_acme/", range_end=b"/team-a_acme0"),
        lambda: put(evil, b"/team-a_acme/registry/secret"),
        lambda: put(evil, b"/elsewhere"),
        lambda: evil.call("UserGrantRole", 5.0, user=EVIL.user, role="root"),
        lambda: evil.call("UserList", 5.0),
    ):
        with pytest.raises(Exception, match="permission denied"):
            attempt()
    assert evil.call("Range", 5.0, key=key_range(EVIL.schema)[0], range_end=key_range(EVIL.schema)[1]).count == 1


def test_deleting_one_tenant_leaves_the_other(root: EtcdDriver, etcd: Etcd) -> None:
    create(root, ACME)
    create(root, EVIL)
    put(member(etcd, ACME.user), b"/team-a_acme/registry/one")
    evil = member(etcd, EVIL.user)
    put(evil, b"/team-a_ac/registry/own")

    for part in root.purge_parts:
        root.delete_part(EVIL, part)

    assert look(root, EVIL, keys=True) == NOTHING
    assert look(root, ACME, keys=True) == IsolationState((), (*EtcdDriver.parts, KEYS))
    with pytest.raises(Exception, match=r"permission denied|user name not found"):
        put(evil, b"/team-a_ac/registry/own")


def test_purging_works_in_chunks(root: EtcdDriver, etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd.DELETE_CHUNK", 10)
    create(root, ACME)
    acme = member(etcd, ACME.user)
    for number in range(25):
        put(acme, b"/team-a_acme/registry/%d" % number)
    assert root.count_keys(ACME) == 25
    calls = count_calls(root, monkeypatch)

    root.delete_part(ACME, KEYS)

    assert calls["DeleteRange"] == 3
    assert root.count_keys(ACME) == 0


@pytest.mark.parametrize("number", [1, 50])
def test_observing_costs_two_calls_for_any_number_of_tenants(root: EtcdDriver, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    create(root, ACME)
    calls = count_calls(root, monkeypatch)
    tenants = [ACME, *(Isolation(f"tenant-{index}", f"tenant-{index}") for index in range(number - 1))]

    states = root.observe(tenants)

    assert calls == {"UserList": 1, "RoleList": 1}
    assert len(states) == number
    assert states[ACME.schema] == IsolationState((), (USER, ROLE), unchecked=(PERMISSION, MEMBERSHIP))


def foreign_permission(root: EtcdDriver) -> None:
    wide = message("Permission")(permType=2, key=b"\0", range_end=b"\0")
    root._call("RoleGrantPermission", name=ACME.schema, perm=wide)


def weak_permission(root: EtcdDriver) -> None:
    key, end = key_range(ACME.schema)
    root._call("RoleGrantPermission", name=ACME.schema, perm=message("Permission")(permType=0, key=key, range_end=end))


def foreign_role(root: EtcdDriver) -> None:
    create(root, EVIL)
    root._call("UserGrantRole", user=ACME.user, role=EVIL.schema)


def no_role(root: EtcdDriver) -> None:
    root._call("UserRevokeRole", name=ACME.user, role=ACME.schema)


@pytest.mark.parametrize(
    ("damage", "part"),
    [(foreign_permission, PERMISSION), (weak_permission, PERMISSION), (foreign_role, MEMBERSHIP), (no_role, MEMBERSHIP)],
)
def test_drift_is_found_and_mended(root: EtcdDriver, damage: Any, part: str) -> None:
    create(root, ACME)
    damage(root)
    assert look(root, ACME).missing == (part,)
    root.create_part(ACME, part)
    assert look(root, ACME) == ALL


def test_probe_tells_what_the_store_is(root: EtcdDriver, etcd: Etcd) -> None:
    # The store is shared with other tests' tenants.
    before = root.probe().tenants
    assert before is not None
    create(root, ACME)
    probe = root.probe()
    assert probe.healthy
    assert probe.version.startswith("3.")
    assert probe.db_size_bytes > 0
    assert probe.quota_bytes == 2 * 1024**3
    assert probe.latency_ms > 0
    assert probe.tenants == before + 1
    assert [(item.endpoint, item.leader, item.error) for item in probe.members] == [(endpoint(etcd), True, None)]


def test_other_endpoints_are_used_when_one_is_down(etcd: Etcd) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with connect_etcd(store(dead, endpoint(etcd)), credentials(etcd)) as driver:
        probe = driver.probe()
    assert probe.healthy
    assert probe.members[0].error
    assert "does not accept a connection" in probe.warnings[0]


def test_a_full_store_says_so(bundle: Path, tmp_path: Path) -> None:
    with running_etcd(bundle, tmp_path, tls=True) as etcd, connect_etcd(store(endpoint(etcd)), credentials(etcd)) as driver:
        member_id = driver._call("MemberList").members[0].ID
        driver._call("Alarm", action=1, memberID=member_id, alarm=1)
        assert any("NOSPACE on member test" in problem and "quota" in problem for problem in driver.probe().problems)
        with pytest.raises(errors.DatastoreNoSpaceError, match="full"):
            driver._call("Put", key=b"/key", value=b"value")


def test_a_store_with_authentication_off_cannot_isolate(bundle: Path, tmp_path: Path) -> None:
    with running_etcd(bundle, tmp_path, tls=True) as etcd, connect_etcd(store(endpoint(etcd)), credentials(etcd)) as driver:
        create(driver, ACME)
        assert look(driver, ACME) == ALL
        assert not driver.probe().healthy


def test_a_user_without_the_root_role_is_told_so(etcd: Etcd, root: EtcdDriver) -> None:
    create(root, ACME)
    assert etcd.authority
    with (
        connect_etcd(store(endpoint(etcd)), credentials(etcd, etcd.authority.client(ACME.user))) as driver,
        pytest.raises(errors.DatastorePermissionError, match=r"DataStore shared: .*role root"),
    ):
        driver.observe([ACME])


def test_nothing_listens(etcd: Etcd) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        connect_etcd(store(dead), credentials(etcd)) as driver,
        pytest.raises(errors.DatastoreUnreachableError, match=rf"{dead} does not accept a connection \(Connection refused\); check"),
    ):
        driver.probe()


def test_a_name_that_does_not_resolve(etcd: Etcd) -> None:
    with (
        connect_etcd(store("no-such-host.invalid:2379"), credentials(etcd)) as driver,
        pytest.raises(errors.DatastoreUnreachableError, match="cannot be resolved"),
    ):
        driver.probe()


def test_the_store_shows_a_certificate_of_another_authority(etcd: Etcd, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").pair.certificate.read_bytes()
    with (
        connect_etcd(store(endpoint(etcd)), dataclasses.replace(credentials(etcd), ca_certificate=other)) as driver,
        pytest.raises(errors.DatastoreTlsError, match=r"not accepted \(.*\); give the CA that signed it"),
    ):
        driver.probe()


def test_the_store_shows_a_certificate_for_another_name(etcd: Etcd) -> None:
    target = (etcd.host, etcd.port)
    with (
        connect_etcd(store("other.example.com:2379"), credentials(etcd), forward=lambda _endpoint: target) as driver,
        pytest.raises(errors.DatastoreTlsError, match=r"Hostname mismatch.*other\.example\.com"),
    ):
        driver.probe()


def test_a_forwarded_endpoint_is_checked_for_its_own_name(etcd: Etcd) -> None:
    target = (etcd.host, etcd.port)
    with connect_etcd(store("localhost:1"), credentials(etcd), forward=lambda _endpoint: target) as driver:
        assert driver.probe().healthy


def test_the_store_refuses_a_client_certificate_of_another_authority(etcd: Etcd, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "other").client("root")
    with (
        connect_etcd(store(endpoint(etcd)), credentials(etcd, stranger)) as driver,
        pytest.raises(errors.DatastoreTlsError, match="refuses the client certificate"),
    ):
        driver.probe()


def test_a_key_of_another_certificate_is_refused_before_any_call(etcd: Etcd) -> None:
    assert etcd.authority
    other = etcd.authority.client("other").key.read_bytes()
    with pytest.raises(errors.DatastoreTlsError, match=r"spec\.tlsConfig\.clientCertificate\.privateKey"):
        connect_etcd(store(endpoint(etcd)), dataclasses.replace(credentials(etcd), client_key=other))


def test_concurrent_tenants_do_not_disturb_each_other(etcd: Etcd, root: EtcdDriver) -> None:
    """Each change of users makes etcd refuse requests under way ("revision of auth store is old"): they are repeated."""
    from concurrent.futures import ThreadPoolExecutor

    tenants = [Isolation(f"many-{index}", f"many-{index}") for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tenant: create(root, tenant), tenants))
        states = root.observe(tenants, detailed=True)
        list(pool.map(lambda tenant: purge(root, tenant), tenants))
    assert set(states.values()) == {ALL}
    assert all(state.absent for state in root.observe(tenants, keys=True).values())
