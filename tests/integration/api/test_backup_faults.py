# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores whose store, disk or login fails: nothing is lost, and the message says what to do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.tests.support.backups import (
    content,
    do_backup,
    do_restore,
    files,
    fill,
    fingerprint,
    records,
    restore_request,
)
from ansible_collections.hosted.kubernetes.tests.support.certificates import Pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    datastore_definition,
    later,
    open_driver,
)

# Keys of a tenant whose data is larger than a page.
MANY, LARGE = 3000, 4000


@pytest.fixture
def made(tenant: Tenant) -> Tenant:
    tenant.run()
    fill(tenant.ground.driver, tenant.isolation, 450)
    return tenant


# The store


@pytest.fixture
def other_store(ground: Ground, bundle: Path, tmp_path: Path) -> Iterator[tuple[Tenant, contextlib.ExitStack]]:
    """A tenant in an etcd of its own, which is killed (SIGKILL) when the stack is closed; its data stays in tmp_path."""
    with contextlib.ExitStack() as server:
        etcd = server.enter_context(running_etcd(bundle, tmp_path, tls=True))
        server.callback(kill_etcd, tmp_path)
        driver = server.enter_context(contextlib.closing(open_driver(etcd)))
        name = f"store-{etcd.port}"
        ground.client.apply(datastore_definition(name, etcd), force=True)
        tenant = replace(ground, etcd=etcd, driver=driver, store=name).tenant()
        tenant.run()
        fill(driver, tenant.isolation, MANY, LARGE)
        yield tenant, server


def kill_etcd(directory: Path) -> None:
    """The one with its data there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--data-dir={directory / 'etcd'}".encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def test_store_is_killed_while_it_is_backed_up(other_store: tuple[Tenant, contextlib.ExitStack], tmp_path: Path) -> None:
    tenant, server = other_store
    with pytest.raises(DatastoreError, match=r"does not accept a connection .*check that it runs"):
        do_backup(tenant, tmp_path / "backups", after_change=lambda _number: server.close())
    assert files(tmp_path / "backups") == []


def test_store_is_killed_while_it_is_restored(other_store: tuple[Tenant, contextlib.ExitStack], bundle: Path, tmp_path: Path) -> None:
    """When it is back, the next run finishes what was begun."""
    tenant, server = other_store
    do_backup(tenant, tmp_path / "backups")
    fill(tenant.ground.driver, tenant.isolation, MANY, seed=2)

    def end(number: int) -> None:
        if number == 4:
            server.close()

    with pytest.raises(
        HostedKubernetesError, match=r"check that it runs.* is kept asleep until its restore is finished; mend that and run it again"
    ):
        do_restore(tenant, restore_request(tenant, tmp_path / "backups"), after_change=end)
    assert names.ANNOTATION_RESTORE in tenant.live("TenantControlPlane")["metadata"]["annotations"]
    with (
        running_etcd(bundle, tmp_path, tls=True, authority=tenant.ground.etcd.authority) as etcd,
        contextlib.closing(open_driver(etcd)) as driver,
    ):
        tenant.ground.client.apply(datastore_definition(tenant.ground.store, etcd), force=True)
        assert len(content(driver, tenant.isolation)) == MANY
        do_restore(tenant, restore_request(tenant, tmp_path / "backups"))
        assert [item.value for item in content(driver, tenant.isolation)] == [item.value for item in records(MANY, LARGE)]
    assert names.ANNOTATION_RESTORE not in tenant.live("TenantControlPlane")["metadata"]["annotations"]


def relogin(tenant: Tenant, etcd: Etcd, pair: Pair) -> None:
    """Give the DataStore another client certificate."""
    tenant.ground.client.apply(datastore_definition(tenant.ground.store, replace(etcd, root=pair)), force=True)


@pytest.mark.parametrize(
    ("user", "lifetime", "problem"),
    [
        (
            "tenant",
            timedelta(days=1),
            "refuses administration to the client certificate's user .*use a client certificate whose CN is a user",
        ),
        (
            "root",
            timedelta(seconds=-30),
            "refuses the client certificate; give one signed by the CA that the store trusts, and not expired",
        ),
    ],
    ids=["wrong", "expired"],
)
def test_login_that_is_refused(
    other_store: tuple[Tenant, contextlib.ExitStack],
    tmp_path: Path,
    user: str,
    lifetime: timedelta,
    problem: str,
) -> None:
    tenant, _server = other_store
    etcd = tenant.ground.etcd
    assert etcd.authority
    assert etcd.root
    do_backup(tenant, tmp_path / "backups")
    fill(tenant.ground.driver, tenant.isolation, 10)
    before, good = fingerprint(tenant.ground.driver, tenant.isolation), replace(etcd.root)
    kept = {path: path.read_bytes() for path in (good.certificate, good.key)}
    relogin(tenant, etcd, etcd.authority.client(user, lifetime=lifetime))
    for path, text in kept.items():
        path.write_bytes(text)
    for check in (True, False):
        with pytest.raises(HostedKubernetesError, match=problem):
            do_backup(tenant, tmp_path / "more", check=check)
        with pytest.raises(HostedKubernetesError, match=problem):
            do_restore(tenant, restore_request(tenant, tmp_path / "backups"), check=check)
    assert files(tmp_path / "more") == []
    assert fingerprint(tenant.ground.driver, tenant.isolation) == before
    relogin(tenant, etcd, good)
    do_restore(tenant, restore_request(tenant, tmp_path / "backups"))
    assert len(content(tenant.ground.driver, tenant.isolation)) == MANY


def test_begins_again_when_the_revision_is_gone(made: Tenant, tmp_path: Path, bundle: Path, tls_etcd: Etcd) -> None:
    """At a revision of then: what was written meanwhile is in it."""
    fill(made.ground.driver, made.isolation, MANY, LARGE)
    told: list[str] = []

    def compact(number: int) -> None:
        if number == 1 and not told:
            made.put_keys(1)
            compact_now(bundle, tls_etcd, made)

    result = do_backup(made, tmp_path, after_change=compact, say=told.append)
    assert told
    assert all("was compacted while it was read" in text for text in told)
    assert result["backup"]["keys"] == MANY + 1
    assert len(files(tmp_path)) == 1
    with pytest.raises(HostedKubernetesError, match=r"not backed up in 3 attempts: .*was compacted"):
        do_backup(made, tmp_path / "more", after_change=lambda _number: compact_now(bundle, tls_etcd, made))
    assert files(tmp_path / "more") == []


def compact_now(bundle: Path, etcd: Etcd, tenant: Tenant) -> None:
    revision = tenant.ground.driver._call("Put", key=f"/{tenant.isolation.schema}/registry/zzz".encode(), value=b"x").header.revision
    tenant.ground.driver._call("DeleteRange", key=f"/{tenant.isolation.schema}/registry/zzz".encode())
    assert etcd.authority
    assert etcd.root
    options = [f"--endpoints={etcd.url}", f"--cacert={etcd.authority.pair.certificate}", f"--cert={etcd.root.certificate}"]
    command = [str(bundle / "bin/etcdctl"), *options, f"--key={etcd.root.key}", "compact", str(revision)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_begins_again_when_keys_are_changed_meanwhile(made: Tenant, tmp_path: Path) -> None:
    told: list[str] = []

    def change(_number: int) -> None:
        if not told:
            secret = made.live("Secret", f"{made.name}{names.CA}")
            made.patch("Secret", {"data": {"note": secret["data"]["ca.crt"]}}, secret["metadata"]["name"])

    do_backup(made, tmp_path, after_change=change, say=told.append)
    assert told == [f"begins again: Secret {made.key}-ca was changed while the data was read; run again when nobody works on the tenant"]


# The disk


def test_disk_full(made: Tenant, tmp_path: Path) -> None:
    """A file system of 1 MiB: what was there stays, the new file leaves nothing behind."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        fill(made.ground.driver, made.isolation, 10)
        first = do_backup(made, place)["backup"]["name"]
        whole = (place / first).read_bytes()
        # What does not compress.
        key = f"/{made.isolation.schema}/registry/large".encode()
        made.ground.driver._call("Put", key=key, value=os.urandom(1_200_000))
        with pytest.raises(
            BackupError, match=r"cannot write .*No space left on device; the disk is full; make room or lower keep, then run again"
        ):
            do_backup(made, place, now=later(5))
        assert os.listdir(place) == [first]
        assert (place / first).read_bytes() == whole
    finally:
        subprocess.run(["umount", str(place)], check=True)
