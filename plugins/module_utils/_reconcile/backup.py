# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_backup: the data of a tenant at one revision, with what cannot be made again, into one file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import library, target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.format import Header, Summary, Writer
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.retention import retain
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.target import BackupTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.data import data_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Driver, Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreCompactedError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup_content
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup_content import Pki, Resources
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import OpenStore, find_datastore, open_store
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import restore_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION

__all__ = ["Request", "Settings", "run"]

STORE_TIMEOUT_S: Final = 30.0
"""Of one page or batch, which is larger than what else is asked of a store."""
_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Request:
    """What the user asked for. keep: how many backups of this tenant stay; 0 keeps all. pki: whether its Secrets are put into the file."""

    namespace: str
    name: str
    place: BackupTarget
    key: bytes | None = field(repr=False)
    pki: bool
    keep: int = 0

    @property
    def subject(self) -> str:
        return f"{KIND} {self.namespace}/{self.name}"


class _MovedError(HostedKubernetesError):
    """The Secrets of the tenant became others while its data was read."""


@dataclass(frozen=True)
class _Made:
    resources: Resources
    summary: Summary
    size: int
    sha256: str


def run(client: Client, request: Request, settings: Settings) -> Json:
    """Do it, or in check mode say what it would do, and return the module's result. Raises HostedKubernetesError."""
    library.require()
    started = time.monotonic()
    stored = read_tenant(client, request.namespace, request.name)
    problem = restore_problem(stored)
    if problem:
        raise InvalidError(f"{request.subject}: {problem}; a backup of now would not be whole")
    share = share_of(stored)
    datastore = find_datastore(client, share.store)
    problem = backup_content.share_problem(stored)
    if problem:
        raise InvalidError(f"{request.subject}: {problem}")
    name = target.name_of(request.namespace, request.name, settings.now())
    with open_store(client, datastore, timeout_s=STORE_TIMEOUT_S) as store:
        if settings.check:
            pki = read_pki(client, request.namespace, request.name)
            found: Json = {"keys": _count(client, request, share, store.driver)}
            resources = backup_content.resources_of(stored, pki, with_pki=request.pki)
        else:
            made = _attempts(client, request, settings, name, store)
            resources, found = made.resources, _told(made)
    backup = {
        **found,
        "name": name,
        "path": request.place.describe(name),
        "tenant": f"{request.namespace}/{request.name}",
        "encrypted": request.key is not None,
        "secrets": sorted(request.name + suffix for suffix in resources.pki),
        "duration": round(time.monotonic() - started, 3),
    }
    return {"changed": True, "backup": backup, **_retain(request, name, check=settings.check)}


def read_tenant(client: Client, namespace: str, name: str) -> Json:
    """A stored tenant that must exist and stay."""
    stored = client.get(resource_of(KIND), name, namespace)
    if stored is None:
        raise InvalidError(f"{KIND} {namespace}/{name}: does not exist; correct name and namespace")
    if stored["metadata"].get("deletionTimestamp"):
        raise InvalidError(f"{KIND} {namespace}/{name}: is being deleted")
    return stored


def read_pki(client: Client, namespace: str, name: str) -> Pki:
    """The Secrets of a tenant that cannot be made again, as far as they exist."""
    found = {suffix: client.get(resource_of("Secret"), name + suffix, namespace) for suffix in backup_content.SUFFIXES}
    return {suffix: backup_content.kept_secret(secret) for suffix, secret in found.items() if secret is not None}


def isolation_of(client: Client, namespace: str, name: str, share: Share, driver: Driver) -> Isolation:
    """The share of a tenant, with the password of its user where the store knows its users by one and the tenant's Secret has it."""
    secret = client.get(resource_of("Secret"), name + names.DATASTORE_CONFIG, namespace) if PASSWORD in driver.parts else None
    password = decoded(secret).get("DB_PASSWORD", b"").decode() if secret else None
    return Isolation(share.schema, share.user, password or None)


def locked(namespace: str, name: str, share: Share) -> InvalidError:
    """The error that a share is which exists and cannot be looked into."""
    return InvalidError(
        f'{KIND} {namespace}/{name}: its database "{share.schema}" in DataStore {share.store} cannot be opened as its user: the password of Secret '
        f"{namespace}/{name}{names.DATASTORE_CONFIG} is missing or another one, or the user lacks rights; run module tenant_control_plane, which mends "
        "that, then this again"
    )


def _count(client: Client, request: Request, share: Share, driver: Driver) -> int:
    keys = data_of(driver).count(isolation_of(client, request.namespace, request.name, share, driver))
    if keys is None:
        raise locked(request.namespace, request.name, share)
    return keys


def _attempts(client: Client, request: Request, settings: Settings, name: str, store: OpenStore) -> _Made:
    """Write the file; begin again, at the revision of then, when the one that was read is gone or the keys were changed meanwhile."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _write(client, request, settings, name, store)
        except (DatastoreCompactedError, _MovedError) as error:
            if attempt == _ATTEMPTS:
                raise HostedKubernetesError(f"{request.subject}: not backed up in {_ATTEMPTS} attempts: {error.msg}") from error
            settings.say(f"begins again: {error.msg}")
    raise AssertionError


def _write(client: Client, request: Request, settings: Settings, name: str, store: OpenStore) -> _Made:
    stored = read_tenant(client, request.namespace, request.name)
    share, pki = share_of(stored), read_pki(client, request.namespace, request.name)
    resources = backup_content.resources_of(stored, pki, with_pki=request.pki)
    header = Header(
        tenant=f"{request.namespace}/{request.name}",
        created=settings.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        engine=ENGINE_VERSION,
        kubernetes=backup_content.version_of(stored),
        driver=store.datastore.driver,
        datastore=share.store,
        schema=share.schema,
    )
    data, isolation = data_of(store.driver), isolation_of(client, request.namespace, request.name, share, store.driver)
    revision = 0
    with request.place.create(name) as sink:
        writer = Writer(sink.write, header, request.key)
        writer.resources(resources.to_json())
        for number, page in enumerate(data.read(isolation), 1):
            revision = page.revision
            writer.keys(page.records)
            settings.after_change(number)
        _check_still_the_same(client, request, resources)
        summary = writer.end(revision)
    return _Made(resources, summary, writer.size, writer.sha256)


def _check_still_the_same(client: Client, request: Request, resources: Resources) -> None:
    now = {suffix: item.fingerprint for suffix, item in read_pki(client, request.namespace, request.name).items()}
    changed = sorted(suffix for suffix, _value in now.items() ^ dict(resources.fingerprints).items())
    if changed:
        listed = ", ".join(f"{request.namespace}/{request.name}{suffix}" for suffix in dict.fromkeys(changed))
        raise _MovedError(f"Secret {listed} was changed while the data was read; run again when nobody works on the tenant")


def _told(made: _Made) -> Json:
    return {
        "keys": made.summary.keys,
        "bytes": made.summary.bytes,
        "revision": made.summary.revision,
        "size": made.size,
        "sha256": made.sha256,
    }


def _retain(request: Request, name: str, *, check: bool) -> Json:
    """Remove what is too much, now that the new one is there; in check mode say what that would be."""
    before = target.of_tenant(request.place.names(), request.namespace, request.name)
    present = sorted({*before, name})
    gone = target.superfluous(present, request.namespace, request.name, request.keep)
    return retain(request.place, present, gone, name, check=check)
