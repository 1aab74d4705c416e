# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of tenants for tests of backup and restore, and how to see whether any of it was touched."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.directory import DirectoryTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.data import data_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver, Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver, key_range
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup, restore, snapshot
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.tests.support.tenants import RENEW_BEFORE_DAYS, Tenant, settings_of

KEY = bytes(range(32))
KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def records(count: int, size: int = 200, seed: int = 1) -> Iterator[Record]:
    """Keys and values that look like stored objects: some of each repeats in all of them."""
    source = random.Random(seed)
    for number in range(count):
        body = {
            "uid": source.randbytes(16).hex(),
            "labels": {"app": source.randbytes(6).hex()},
            "spec": "containers image name status " * (size // 29 + 1),
        }
        key = f"registry/pods/team-{number // 100:05d}/web-{number:08d}"
        yield Record(key.encode(), json.dumps(body).encode()[:size])


def fill(driver: Driver, isolation: Isolation, count: int, size: int = 200, seed: int = 1) -> list[Record]:
    """Make these the data of a share. isolation: of a database with its password."""
    found = list(records(count, size, seed))
    data_of(driver).replace(isolation, found)
    return found


def content(driver: Driver, isolation: Isolation) -> list[Record]:
    """All data of a share; keys under a lease without what is left of it."""
    return [Record(item.key, item.value, int(bool(item.ttl_s))) for page in data_of(driver).read(isolation) for item in page.records]


def fingerprint(driver: EtcdDriver, isolation: Isolation) -> str:
    """SHA-256 of every key, value and mod_revision of a share: the same only when nobody has written to it."""
    key, end = key_range(isolation.schema)
    digest = hashlib.sha256()
    while True:
        page = driver._call("Range", key=key, range_end=end, limit=1000)
        for item in page.kvs:
            digest.update(b"%d %b %d %b" % (len(item.key), item.key, item.mod_revision, item.value))
        if not page.more:
            return digest.hexdigest()
        key = page.kvs[-1].key + b"\0"


class LiveNeighbour:
    """A tenant that writes all the time; afterwards it knows what must be there."""

    def __init__(self, driver: EtcdDriver, isolation: Isolation) -> None:
        self._driver, self._isolation = driver, isolation
        self._stop = threading.Event()
        self._written: dict[bytes, tuple[bytes, int]] = {}

    def __enter__(self) -> LiveNeighbour:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        number, (start, _end) = 0, key_range(self._isolation.schema)
        while not self._stop.wait(0.002):
            number += 1
            key, value = start + b"registry/leases/%03d" % (number % 200), b"%d" % number
            self._written[key] = value, self._driver._call("Put", key=key, value=value).header.revision

    def check(self) -> int:
        """Every key has the value and the revision that this neighbour gave it, and there is no other; returns how many were written."""
        key, end = key_range(self._isolation.schema)
        found = {item.key: (item.value, item.mod_revision) for item in self._driver._call("Range", key=key, range_end=end).kvs}
        assert found == self._written
        return len(found)


def run_backup(client: Client, request: Any, settings: Settings) -> Any:
    """backup.run() for a process of its own, see support.tenants.run_and_die()."""
    return backup.run(client, request, settings)


def run_restore(client: Client, request: Any, settings: Settings) -> Any:
    """The same for restore.run()."""
    return restore.run(client, request, settings)


def run_snapshot(client: Client, request: Any, settings: Settings) -> Any:
    """The same for snapshot.run()."""
    return snapshot.run(client, request, settings)


def backup_request(namespace: str, name: str, directory: Path, **changes: Any) -> backup.Request:
    return backup.Request(
        **{"namespace": namespace, "name": name, "place": DirectoryTarget(str(directory)), "key": KEY, "pki": True, **changes}
    )


def restore_request(tenant: Tenant, directory: Path, **changes: Any) -> restore.Request:
    """In place, from the newest backup of the tenant."""
    found = restore.Request(
        namespace=tenant.namespace,
        name=tenant.name,
        place=DirectoryTarget(str(directory)),
        file="",
        key=KEY,
        in_place=True,
        renew_before=timedelta(days=RENEW_BEFORE_DAYS),
    )
    return replace(found, **changes)


def do_restore(tenant: Tenant, request: restore.Request, **settings: Any) -> Json:
    """Restore as the module does; does not wait, since nobody runs pods here."""
    return restore.run(tenant.ground.client, request, settings_of(**{"wait": False, **settings}))


def do_backup(tenant: Tenant, directory: Path, **settings: Any) -> Json:
    """Back up as the module does."""
    return backup.run(tenant.ground.client, backup_request(tenant.namespace, tenant.name, directory), settings_of(**settings))


def files(directory: Path) -> list[str]:
    """Backups in a directory; anything else in it is a mistake."""
    found = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    assert [name for name in found if not target.is_name(name)] == []
    return found


def key_file(directory: Path) -> Path:
    """Write the file with KEY, as a user has it."""
    path = directory / "backup.key"
    path.touch(mode=0o600)
    path.write_text(KEY_TEXT, encoding="ascii")
    return path
