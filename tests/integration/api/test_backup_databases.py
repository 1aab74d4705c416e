# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore of tenants in real databases, and from a store of one driver into one of another."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup import read_pki
from ansible_collections.hosted.kubernetes.tests.support.backups import (
    content,
    do_backup,
    do_restore,
    files,
    fill,
    restore_request,
    run_restore,
)
from ansible_collections.hosted.kubernetes.tests.support.control_plane import prepared_on
from ansible_collections.hosted.kubernetes.tests.support.databases import KINDS, Database, running_database
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, delete_datastore, later, run_and_die

MARK = names.ANNOTATION_RESTORE
AFTER_THE_LEASE = {"now": later(80), "wait": False}


@dataclass(frozen=True)
class Place:
    """A database with a DataStore over it. ground: what tenants in it stand on."""

    database: Database
    ground: Ground

    def content(self, tenant: Tenant) -> list[Record]:
        return content(self.ground.driver, share_of(tenant))

    def fill(self, tenant: Tenant, count: int, **options: int) -> None:
        fill(self.ground.driver, share_of(tenant), count, **options)


def share_of(tenant: Tenant) -> Isolation:
    """A tenant's share, with the password that its Secret holds."""
    secret = tenant.get("Secret", tenant.name + names.DATASTORE_CONFIG)
    return replace(tenant.isolation, password=decoded(secret)["DB_PASSWORD"].decode() if secret else None)


@contextlib.contextmanager
def a_place(kind: str, ground: Ground) -> Iterator[Place]:
    name = f"backup-{kind.lower()}"
    with running_database(kind) as database, database.driver() as driver:
        ground.client.apply(database.definition(name), force=True)
        try:
            yield Place(database, Ground(ground.client, ground.kubeconfig, ground.etcd, driver, name))
        finally:
            delete_datastore(ground.client, name)


@pytest.fixture(scope="module", params=[*KINDS])
def place(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Place]:
    with a_place(request.param, ground) as found:
        yield found


@pytest.fixture
def made(place: Place) -> Iterator[Tenant]:
    """A tenant that sleeps and has data."""
    tenant = place.ground.tenant()
    tenant.run()
    place.fill(tenant, 450)
    yield tenant
    if tenant.get("TenantControlPlane"):
        tenant.absent(settings=AFTER_THE_LEASE)


def summary(result: Any) -> list[tuple[str, str]]:
    """(object, action) of each change of a restore itself; objects without their namespace."""
    texts = [(item["object"].split(" "), item["action"]) for item in result["plan"]]
    return [(f"{kind} {name.rpartition('/')[2]}", action) for (kind, name), action in texts]


def test_back_to_what_it_was(place: Place, made: Tenant, tmp_path: Path) -> None:
    """Check, run, run again; a neighbour notices nothing."""
    neighbour = place.ground.tenant("neighbour")
    neighbour.run()
    place.fill(neighbour, 100, seed=3)
    there = place.content(neighbour)
    predicted = do_backup(made, tmp_path / "backups", check=True)["backup"]
    assert not (tmp_path / "backups").exists()
    told = do_backup(made, tmp_path / "backups")["backup"]
    assert (told["keys"], predicted["keys"]) == (450, 450)
    assert told["revision"] >= 450
    before = place.content(made)
    place.fill(made, 400, seed=2)
    damaged = place.content(made)
    planned = do_restore(made, restore_request(made, tmp_path / "backups"), check=True)
    assert place.content(made) == damaged
    applied = do_restore(made, restore_request(made, tmp_path / "backups"))
    assert planned["plan"] == applied["plan"]
    assert summary(applied) == [
        ("TenantControlPlane acme", "patch"),
        (f"keys {made.isolation.schema}", "restore"),
        ("TenantControlPlane acme", "patch"),
    ]
    assert applied["plan"][1]["reason"] == "450 keys are written, 0 removed, 0 are as in the backup"
    assert place.content(made) == before
    for check in (False, True):
        assert not do_restore(made, restore_request(made, tmp_path / "backups"), check=check)["changed"]
    assert made.run(check=True).plan == []
    assert place.content(neighbour) == there
    neighbour.absent()


def test_made_again_after_it_was_deleted(place: Place, made: Tenant, tmp_path: Path) -> None:
    before, pki = place.content(made), read_pki(made.ground.client, made.namespace, made.name)
    do_backup(made, tmp_path)
    made.absent()
    request = restore_request(made, tmp_path, in_place=False)
    predicted = do_restore(made, request, check=True)
    assert made.left() == []
    applied = do_restore(made, request)
    assert summary(predicted) == summary(applied)
    assert summary(predicted["tenant"]) == summary(applied["tenant"])
    assert not do_restore(made, request)["changed"]
    assert place.content(made) == before
    assert read_pki(made.ground.client, made.namespace, made.name) == pki
    assert made.run(check=True).plan == []


def test_a_database_of_nobody_is_refused(place: Place, made: Tenant, tmp_path: Path) -> None:
    """Nobody knows its password any more, so that nobody can look into it."""
    do_backup(made, tmp_path)
    made.absent()
    driver, share = place.ground.driver, replace(made.isolation, password="somebody's")
    for part in driver.parts:
        driver.create_part(share, part)
    for check in (True, False):
        with pytest.raises(
            HostedKubernetesError, match=r"has a database .* that belongs to no tenant known here; give the spec another dataStoreSchema"
        ):
            do_restore(made, restore_request(made, tmp_path, in_place=False), check=check)
    for part in driver.purge_parts:
        driver.delete_part(share, part)


def test_another_password(place: Place, made: Tenant, tmp_path: Path) -> None:
    """Somebody changed it in the server: the message says who mends it, and then it works."""
    do_backup(made, tmp_path)
    place.ground.driver.create_part(replace(share_of(made), password="another one"), PASSWORD)
    with pytest.raises(DatastoreError, match=r"with this password.*run module tenant_control_plane for that tenant"):
        do_backup(made, tmp_path)
    assert len(files(tmp_path)) == 1
    works: list[Callable[[], Any]] = [
        lambda: do_backup(made, tmp_path, check=True),
        lambda: do_restore(made, restore_request(made, tmp_path), check=True),
        lambda: do_restore(made, restore_request(made, tmp_path)),
    ]
    for work in works:
        with pytest.raises(HostedKubernetesError, match=f"the password of Secret {made.key}-datastore-config is missing or another one"):
            work()
    assert MARK not in (made.live("TenantControlPlane")["metadata"].get("annotations") or {})
    place.ground.driver.create_part(share_of(made), PASSWORD)
    assert not do_restore(made, restore_request(made, tmp_path))["changed"]


def test_a_password_is_nowhere(place: Place, made: Tenant, tmp_path: Path) -> None:
    password = share_of(made).password or ""
    told = do_backup(made, tmp_path)
    place.fill(made, 10, seed=2)
    restored = do_restore(made, restore_request(made, tmp_path))
    assert password
    assert password not in json.dumps([told, restored])


@pytest.mark.long
def test_restore_in_place_killed_anywhere(place: Place, made: Tenant, tmp_path: Path) -> None:
    """The tenant cannot be woken with half of its data, and the next restore finishes it."""
    before = place.content(made)
    do_backup(made, tmp_path)
    request, number = restore_request(made, tmp_path), 0
    while True:
        number += 1
        place.fill(made, 440, seed=2)
        status = run_and_die(str(made.ground.kubeconfig), request, number, work=run_restore, timeout_s=5.0)
        if status != -signal.SIGKILL:
            break
        do_restore(made, request, **AFTER_THE_LEASE)
        assert place.content(made) == before, f"killed after change {number}"
        assert MARK not in (made.live("TenantControlPlane")["metadata"].get("annotations") or {})
    assert number > 5


@pytest.mark.long
def test_restore_as_new_killed_anywhere(place: Place, made: Tenant, tmp_path: Path) -> None:
    """Between user, password, database and rights, too."""
    before = place.content(made)
    file = do_backup(made, tmp_path)["backup"]["name"]
    number, step = 0, 3
    while True:
        number += step
        copy = made.ground.tenant("copy")
        request = restore_request(copy, tmp_path, file=file, in_place=False)
        status = run_and_die(str(made.ground.kubeconfig), request, number, work=run_restore)
        do_restore(copy, request, **AFTER_THE_LEASE)
        assert place.content(copy) == before, f"killed after change {number}"
        assert copy.run(name=copy.name, check=True, settings={"now": later(80)}).plan == []
        copy.absent(settings=AFTER_THE_LEASE)
        assert copy.left() == []
        if status != -signal.SIGKILL:
            assert status == 0
            break
    assert number > 20


def test_from_driver_to_driver(ground: Ground, tmp_path: Path) -> None:
    """etcd → PostgreSQL → MariaDB → etcd, each time as a new tenant; the first one stays as it was."""
    with ExitStack() as stack:
        places = [stack.enter_context(a_place(kind, ground)) for kind in KINDS]
        stores = [item.ground.store for item in places]
        tenants = [ground.tenant("first"), *(item.ground.tenant(f"on-{item.ground.store[7:]}") for item in places), ground.tenant("last")]
        tenants[0].run()
        fill(ground.driver, tenants[0].isolation, 700)
        before = content(ground.driver, tenants[0].isolation)
        for source, target in itertools.pairwise(tenants):
            file = do_backup(source, tmp_path)["backup"]["name"]
            spec = {"dataStore": target.ground.store}
            request = restore_request(target, tmp_path, file=file, in_place=False, spec=spec)
            said: dict[bool, list[str]] = {True: [], False: []}
            predicted, applied = (do_restore(target, request, check=check, say=said[check].append) for check in (True, False))
            # A shared etcd counts revisions for all of its tenants, and does not leap.
            warned = [] if target.ground.store in stores else ["may wait for changes that have been"]
            assert [[text for text in warned if text in item] for item in said[True]] == [[text] for text in warned]
            assert said[True] == said[False]
            assert summary(predicted) == summary(applied)
            assert summary(predicted["tenant"]) == summary(applied["tenant"])
            assert not do_restore(target, request)["changed"]
            assert content(target.ground.driver, share_of(target)) == before
            assert target.run(name=target.name, check=True).plan == []
            assert target.live("TenantControlPlane")["status"]["storage"]["dataStoreName"] == target.ground.store
        assert content(ground.driver, tenants[0].isolation) == before
        for tenant in reversed(tenants):
            tenant.absent()


@pytest.mark.long
def test_a_real_api_server_serves_what_came_from_elsewhere(place: Place, ground: Ground, bundle: Path, tmp_path: Path) -> None:
    """What one API server wrote into a database, another one serves from it after a restore, and its clients of before list again."""
    tenant = place.ground.tenant()
    tenant.run()
    path = "/api/v1/namespaces/default/configmaps"
    with ExitStack() as stack:
        control_plane = prepared_on(place.database.store(share_of(tenant)), bundle, tmp_path, {})
        stack.enter_context(control_plane.run_kine())
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        client = stack.enter_context(client_from_kubeconfig(control_plane.kubeconfig.read_bytes()))
        for name in ("kept", "deleted"):
            client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"}})
        do_backup(tenant, tmp_path / "backups")
        client.request("DELETE", f"{path}/deleted")
        client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later", "namespace": "default"}})
        changed = client.request("PATCH", f"{path}/kept", body={"data": {"a": "2"}}, content_type="application/merge-patch+json")
    since = int(changed["metadata"]["resourceVersion"])
    do_restore(tenant, restore_request(tenant, tmp_path / "backups"))
    file = files(tmp_path / "backups")[0]
    copy = place.ground.tenant("copy")
    do_restore(copy, restore_request(copy, tmp_path / "backups", file=file, in_place=False))
    for item in (tenant, copy):
        directory = tmp_path / item.name
        directory.mkdir()
        control_plane = prepared_on(place.database.store(share_of(item)), bundle, directory, {})
        with (
            control_plane.run_kine(),
            control_plane.run("kube-apiserver", "/readyz"),
            client_from_kubeconfig(control_plane.kubeconfig.read_bytes()) as client,
        ):
            found = {item["metadata"]["name"]: item for item in client.request("GET", path)["items"]}
            assert {"kept", "deleted"} <= found.keys()
            assert "later" not in found
            assert found["kept"]["data"] == {"a": "1"}
            assert int(found["kept"]["metadata"]["resourceVersion"]) > since
            (line,) = client.get_raw(f"{path}?watch=true&resourceVersion={since}&timeoutSeconds=1").splitlines()
            assert (json.loads(line)["type"], json.loads(line)["object"]["code"]) == ("ERROR", 410)
            again = client.request("PATCH", f"{path}/kept", body={"data": {"a": "3"}}, content_type="application/merge-patch+json")
            assert int(again["metadata"]["resourceVersion"]) > int(found["kept"]["metadata"]["resourceVersion"])
        item.absent()
