# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of whole stores: what etcd's own tools make of them, and that nothing half written stays."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.directory import DirectoryTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.snapshot import Request
from ansible_collections.hosted.kubernetes.plugins.modules import datastore_snapshot
from ansible_collections.hosted.kubernetes.tests.support.backups import run_snapshot
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.certificates import Pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook
from ansible_collections.hosted.kubernetes.tests.support.relay import relay_to
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    datastore_definition,
    delete_datastore,
    open_driver,
    run_and_die,
)

BUMP: Final = 1_000_000_000


@dataclass(frozen=True)
class Store:
    """An etcd of a test, known as a DataStore, with two tenants in it."""

    ground: Ground
    tenants: tuple[Tenant, Tenant]

    def options(self, directory: Path, **changes: Any) -> Json:
        return {"kubeconfig": str(self.ground.kubeconfig), "name": self.ground.store, "directory": str(directory), **changes}

    def take(self, directory: Path, *, check: bool = False, **changes: Any) -> Json:
        return run_module(datastore_snapshot.main, self.options(directory, **changes), check=check)


@pytest.fixture(scope="module")
def store(ground: Ground, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    name = f"whole-{secrets.token_hex(3)}"
    with running_etcd(bundle, tmp_path_factory.mktemp("whole"), tls=True) as etcd, contextlib.closing(open_driver(etcd)) as driver:
        ground.client.apply(datastore_definition(name, etcd), force=True)
        own = replace(ground, etcd=etcd, driver=driver, store=name)
        tenants = own.tenant("one"), own.tenant("two")
        for tenant in tenants:
            tenant.run()
            tenant.put_keys(20)
        for number in range(40):
            driver._call("Put", key=f"/{tenants[0].isolation.schema}/large-{number}".encode(), value=secrets.token_bytes(50_000))
        yield Store(own, tenants)
        for tenant in tenants:
            tenant.absent()
        delete_datastore(ground.client, name)


def keys_of(driver: EtcdDriver, tenant: Tenant) -> list[tuple[bytes, bytes]]:
    prefix = f"/{tenant.isolation.schema}".encode()
    return [(item.key, item.value) for item in driver._call("Range", key=prefix + b"/", range_end=prefix + b"0").kvs]


def names(directory: Path) -> list[str]:
    return sorted(item.name for item in directory.iterdir()) if directory.exists() else []


@contextlib.contextmanager
def restored(bundle: Path, file: str, directory: Path, source: Etcd) -> Iterator[Etcd]:
    """An etcd that began with what a snapshot holds, restored as docs/backup.md says."""
    etcdutl = str(binary(bundle, "etcdutl"))
    data = directory / "etcd"
    peer, revisions = "http://127.0.0.1:2380", ["--bump-revision", str(BUMP), "--mark-compacted"]
    member = ["--name", "test", "--initial-cluster", f"test={peer}", "--initial-advertise-peer-urls", peer]
    command = [etcdutl, "snapshot", "restore", file, "--data-dir", str(data), *member, *revisions]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with running_etcd(bundle, directory, "--force-new-cluster", tls=True, authority=source.authority) as etcd:
        yield replace(etcd, root=source.root)


def test_what_was_taken_can_be_restored(store: Store, bundle: Path, tmp_path: Path) -> None:
    result = store.take(tmp_path / "snapshots")
    snapshot = result["snapshot"]
    content = Path(snapshot["path"]).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (snapshot["size"], snapshot["sha256"])
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert Path(snapshot["path"]).stat().st_mode & 0o777 == 0o600
    assert names(tmp_path / "snapshots") == [snapshot["name"]]
    assert snapshot["datastore"] == store.ground.store
    assert snapshot["endpoint"] == f"127.0.0.1:{store.ground.etcd.port}"

    command = [str(binary(bundle, "etcdutl")), "snapshot", "status", snapshot["path"], "--write-out=json"]
    status = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert status["revision"] >= snapshot["revision"]
    before = [keys_of(store.ground.driver, tenant) for tenant in store.tenants]
    store.tenants[1].put_keys(25)
    with restored(bundle, snapshot["path"], tmp_path, store.ground.etcd) as etcd, contextlib.closing(open_driver(etcd)) as driver:
        assert [keys_of(driver, tenant) for tenant in store.tenants] == before
        assert len(before[0]) == 60
        # Users and roles are in it: every tenant goes on with the certificate that it has.
        shares = driver.observe([tenant.isolation for tenant in store.tenants], detailed=True)
        assert [shares[tenant.isolation.schema].missing for tenant in store.tenants] == [(), ()]
        assert driver._call("Range", key=b"/", count_only=True).header.revision > BUMP, "nobody knows a revision from the future"


def test_check_mode_writes_nothing(store: Store, tmp_path: Path) -> None:
    older = tmp_path / f"{store.ground.store}_20260101T000000Z.snapshot.db"
    older.write_bytes(b"older")
    predicted = store.take(tmp_path, check=True, keep=1)
    assert predicted["changed"]
    assert predicted["removed"] == [str(older)]
    assert "size" not in predicted["snapshot"]
    assert predicted["diff"]["before"] == f"{older}\n"
    assert predicted["diff"]["after"] == f"{predicted['snapshot']['path']}\n"
    assert names(tmp_path) == [older.name]


def test_the_last_ones_are_kept(store: Store, tmp_path: Path) -> None:
    name = store.ground.store
    for day in (1, 2, 3):
        (tmp_path / f"{name}_2026010{day}T000000Z.snapshot.db").write_bytes(b"older")
    others = [f"{name}-2_20260101T000000Z.snapshot.db", "team_acme_20260101T000000Z.hkbackup", "notes.txt"]
    for other in others:
        (tmp_path / other).write_bytes(b"of somebody else")
    result = store.take(tmp_path, keep=2)
    assert [Path(path).name for path in result["removed"]] == [f"{name}_2026010{day}T000000Z.snapshot.db" for day in (1, 2)]
    assert names(tmp_path) == sorted([*others, f"{name}_20260103T000000Z.snapshot.db", result["snapshot"]["name"]])


def test_killed_it_leaves_no_file(store: Store, tmp_path: Path) -> None:
    request = Request(store.ground.store, DirectoryTarget(str(tmp_path)))
    for number in (1, 3):
        assert run_and_die(str(store.ground.kubeconfig), request, number, work=run_snapshot) == -signal.SIGKILL
        assert [name for name in names(tmp_path) if not name.startswith(".")] == []
    made = store.take(tmp_path)["snapshot"]["name"]
    assert names(tmp_path) == [made], "what the killed ones left is gone"


def test_a_disk_that_is_full(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        with pytest.raises(ModuleFailedError, match="the disk is full; make room or lower keep, then run again"):
            store.take(place)
        assert names(place) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_connection_that_is_cut_in_the_middle(store: Store, tmp_path: Path) -> None:
    name = f"cut-{secrets.token_hex(3)}"
    with relay_to(store.ground.etcd.port) as relay:
        definition = datastore_definition(name, store.ground.etcd)
        definition["spec"]["endpoints"] = [f"127.0.0.1:{relay.port}"]
        store.ground.client.apply(definition, force=True)
        relay.cuts, relay.cut_bytes = 1, 1_000_000
        with pytest.raises(ModuleFailedError, match=r"the snapshot from 127.0.0.1:\d+ broke off \(.*\); see its log, and run again"):
            store.take(tmp_path, name=name)
        assert names(tmp_path) == []
        store.take(tmp_path, name=name)
        assert len(names(tmp_path)) == 1
    delete_datastore(store.ground.client, name)


def login(definition: Json, pair: Pair) -> Json:
    texts = {"certificate": pair.certificate, "privateKey": pair.key}
    client = {key: {"content": base64.b64encode(path.read_bytes()).decode()} for key, path in texts.items()}
    tls = {**definition["spec"]["tlsConfig"], "clientCertificate": client}
    return {**definition, "spec": {**definition["spec"], "tlsConfig": tls}}


def test_a_login_without_the_role_root(store: Store, tmp_path: Path) -> None:
    """A tenant's own certificate gives no snapshot."""
    ground, name = store.ground, f"tenant-{secrets.token_hex(3)}"
    assert ground.etcd.authority
    user = store.tenants[0].isolation.user
    definition = datastore_definition(name, ground.etcd)
    ground.client.apply(login(definition, ground.etcd.authority.client(user)), force=True)
    with pytest.raises(ModuleFailedError, match="use a client certificate whose CN is a user with the role root"):
        store.take(tmp_path, name=name)
    assert names(tmp_path) == []
    delete_datastore(ground.client, name)


def test_what_is_no_etcd_is_refused(store: Store, tmp_path: Path) -> None:
    name = f"database-{secrets.token_hex(3)}"
    secret = {"content": base64.b64encode(b"x").decode()}
    body = {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": {"name": name},
        "spec": {"driver": "PostgreSQL", "endpoints": ["127.0.0.1:1"], "basicAuth": {"username": secret, "password": secret}},
    }
    store.ground.client.apply(body, force=True)
    with pytest.raises(ModuleFailedError, match="is of driver PostgreSQL; only etcd gives snapshots, back others up with their own tools"):
        store.take(tmp_path, name=name)
    delete_datastore(store.ground.client, name)
    for changes, message in (({"keep": -1}, "keep is -1"), ({"timeout": 0}, "timeout is 0"), ({"name": "nowhere"}, "nowhere")):
        with pytest.raises(ModuleFailedError, match=message):
            store.take(tmp_path, **changes)


def test_the_playbook(store: Store, tmp_path: Path) -> None:
    variables: dict[str, Any] = {
        "datastore_kubeconfig": str(store.ground.kubeconfig),
        "datastore_snapshot_names": f"{store.ground.store}, engine",
        "datastore_snapshot_directory": str(tmp_path / "snapshots"),
        "datastore_snapshot_keep": 1,
    }
    for _run in range(2):
        done = run_playbook("hosted.kubernetes.datastore_snapshot", **variables)
        assert done.status == 0, done.output
    assert [name.split("_")[0] for name in names(tmp_path / "snapshots")] == ["engine", store.ground.store]
