# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module datastore_snapshot: a whole etcd, with all of its tenants, users and roles, into one file."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.retention import retain
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.target import BackupTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_snapshot import SnapshotStream
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import find_datastore, open_store
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings

__all__ = ["Request", "Settings", "run"]


@dataclass(frozen=True)
class Request:
    """What the user asked for. keep: how many snapshots of this DataStore stay; 0 keeps all. timeout_s: of the whole stream."""

    name: str
    place: BackupTarget
    keep: int = 0
    timeout_s: float = 3600.0


def run(client: Client, request: Request, settings: Settings) -> Json:
    """Do it, or in check mode say what it would do, and return the module's result. Raises HostedKubernetesError."""
    started = time.monotonic()
    datastore = find_datastore(client, request.name)
    if datastore.driver != api.ETCD:
        raise InvalidError(
            f"DataStore {request.name} is of driver {datastore.driver}; only {api.ETCD} gives snapshots, back others up with their own tools"
        )
    name = target.snapshot_name(request.name, settings.now())
    with open_store(client, datastore) as store:
        driver = store.driver
        if not isinstance(driver, EtcdDriver):
            raise TypeError(type(driver))
        snapshot = driver.snapshot(timeout_s=request.timeout_s)
        written = {} if settings.check else _write(request, settings, name, snapshot)
    made = {
        **written,
        "name": name,
        "path": request.place.describe(name),
        "datastore": request.name,
        "endpoint": snapshot.endpoint,
        "revision": snapshot.revision,
        "duration": round(time.monotonic() - started, 3),
    }
    return {"changed": True, "snapshot": made, **_retain(request, name, check=settings.check)}


def _write(request: Request, settings: Settings, name: str, snapshot: SnapshotStream) -> Json:
    """The file has its name only when the snapshot was proven to be whole."""
    size, digest = 0, hashlib.sha256()
    with request.place.create(name) as sink:
        for number, piece in enumerate(snapshot.pieces(), 1):
            sink.write(piece)
            digest.update(piece)
            size += len(piece)
            settings.after_change(number)
    return {"size": size, "sha256": digest.hexdigest(), "storage_version": snapshot.version}


def _retain(request: Request, name: str, *, check: bool) -> Json:
    """Remove what is too much, now that the new one is there; in check mode say what that would be."""
    old = [item for item in target.of_store(request.place.names(), request.name) if item != name]
    present = [*old, name]
    gone = present[: -request.keep] if request.keep else []
    return retain(request.place, present, gone, name, check=check)
