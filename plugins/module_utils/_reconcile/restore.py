# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_restore: the data of a backup into a tenant that exists, or into a new one.

A backup is read to its end first, which proves that all of it is there and unaltered; then again to be compared with what is there; and once
more to be written, when something differs. Nothing is changed before the second time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import check_all
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import library, target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.format import Header, Reader, Summary
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.target import BackupTarget, Source
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.data import data_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Replaced
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import AlreadyExistsError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup_content, restore_plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup import STORE_TIMEOUT_S, isolation_of, locked, read_pki
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup_content import Resources
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import all_stored, to_result
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import OpenStore, find_datastore, open_store
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import TenantLease
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Change, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.restore_plan import Seen, Wanted
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

__all__ = ["Request", "Settings", "run"]


# Not the engine's, which would take away what no definition says.
_MANAGER: Final = "hosted-kubernetes-restore"


@dataclass(frozen=True)
class Request:
    """What the user asked for. file: name of the backup; "" takes the newest of that tenant. spec: merge patch for a tenant that is made."""

    namespace: str
    name: str
    place: BackupTarget
    file: str
    key: bytes | None = field(repr=False)
    in_place: bool
    spec: Json | None = None
    renew_before: timedelta = timedelta(days=30)


@dataclass(frozen=True)
class _Proven:
    """What a backup is known to hold once it was read to its end."""

    header: Header
    resources: Resources = field(repr=False)
    summary: Summary
    sha256: str


def run(client: Client, request: Request, settings: Settings) -> Json:
    """Do it, or in check mode say what it would do, and return the module's result. Raises HostedKubernetesError.

    Until the backup is proven to be whole, and to fit, nothing is changed.
    """
    library.require()
    started = time.monotonic()
    file = request.file or _newest(request)
    with request.place.open(file) as source:
        proven = _named(request, file, lambda: _prove(source, request.key))
        wanted = Wanted(request.namespace, request.name, file, request.in_place, proven.header, proven.summary, proven.resources)
        result = _Restore(client, request, settings, wanted, source).run()
    backup = {
        "path": request.place.describe(file),
        "tenant": proven.header.tenant,
        "created": proven.header.created,
        "keys": proven.summary.keys,
        "bytes": proven.summary.bytes,
        "revision": proven.summary.revision,
        "sha256": proven.sha256,
    }
    return {**result, "backup": backup, "duration": round(time.monotonic() - started, 3)}


def _newest(request: Request) -> str:
    found = target.of_tenant(request.place.names(), request.namespace, request.name)
    if not found:
        example = request.place.describe(f"{request.namespace}_{request.name}_...{target.SUFFIX}")
        raise InvalidError(f"no backup of {request.namespace}/{request.name} is there ({example}); name the file")
    return found[-1]


def _named(request: Request, file: str, work: Callable[[], _Proven]) -> _Proven:
    """Say in errors of the file which one it is."""
    try:
        return work()
    except BackupError as error:
        path = request.place.describe(file)
        if "path" in error.result:
            raise
        raise type(error)(f"{path}: {error.msg}; nothing was changed", path=path) from error


def _prove(source: Source, key: bytes | None) -> _Proven:
    source.rewind()
    reader = Reader(source.read, key)
    resources = Resources.from_json(reader.resources())
    for _record in reader.records():
        pass
    if reader.summary is None:
        raise AssertionError
    return _Proven(reader.header, resources, reader.summary, reader.sha256)


class _Restore:
    """A restore of a proven backup."""

    def __init__(self, client: Client, request: Request, settings: Settings, wanted: Wanted, source: Source) -> None:
        self._client, self._request, self._settings, self._wanted, self._source = client, request, settings, wanted, source
        self._changes = 0

    def run(self) -> Json:
        wanted = self._wanted
        stored = self._stored()
        restore_plan.check_existence(wanted, stored)
        if restore_plan.is_finished(wanted, stored):
            return self._result([], self._present(Desired(self._tenant(), manage_resource=False)))
        definition = stored or self._new_definition()
        share = share_of(definition)
        datastore = find_datastore(self._client, share.store)
        problem = backup_content.share_problem(definition)
        if problem:
            raise InvalidError(f"{KIND} {wanted.key}: {problem}")
        with open_store(self._client, datastore, timeout_s=STORE_TIMEOUT_S) as store:
            seen = self._look(stored, definition, store)
            restore_plan.check_fit(wanted, seen)
            return self._in_place(seen, store) if stored else self._as_new(definition, seen, store)

    def _stored(self) -> Json | None:
        return self._client.get(resource_of(KIND), self._wanted.name, self._wanted.namespace)

    def _new_definition(self) -> Json:
        wanted = self._wanted
        if not wanted.resources.pki:
            raise InvalidError(
                f"{KIND} {wanted.key}: does not exist, and {wanted.file} was made without PKI, so that no worker would trust a tenant made "
                "from it; restore it in place, or take a backup with PKI"
            )
        definition = backup_content.definition_of(wanted.resources, wanted.header.schema, wanted.namespace, wanted.name, self._request.spec)
        check_all([definition], all_stored(self._client))
        return definition

    def _look(self, stored: Json | None, definition: Json, store: OpenStore) -> Seen:
        wanted, share = self._wanted, share_of(definition)
        keys, data = self._compare(stored, share, store)
        return Seen(
            stored=stored,
            live=self._client.get(resource_of("Deployment"), wanted.name, wanted.namespace),
            pki=read_pki(self._client, wanted.namespace, wanted.name),
            share=share,
            driver=store.datastore.driver,
            keys=keys,
            data=data,
        )

    def _compare(self, stored: Json | None, share: Share, store: OpenStore) -> tuple[int, Replaced]:
        """How many keys are there, and what differs. What an interrupted restore has not finished making has no data yet."""
        data, isolation = data_of(store.driver), self._isolation(share, store)
        keys = data.count(isolation)
        if keys is not None:
            return keys, data.compare(isolation, self._records())
        if stored is None:
            raise restore_plan.taken(self._wanted, share, f'has a database "{share.schema}" that belongs')
        if restore_plan.noted_backup(stored) is None:
            raise locked(self._wanted.namespace, self._wanted.name, share)
        return 0, Replaced(put=self._wanted.summary.keys)

    def _isolation(self, share: Share, store: OpenStore) -> Isolation:
        return isolation_of(self._client, self._wanted.namespace, self._wanted.name, share, store.driver)

    def _records(self) -> Iterator[Record]:
        self._source.rewind()
        reader = Reader(self._source.read, self._request.key)
        reader.resources()
        return reader.records()

    # A tenant that exists

    def _in_place(self, seen: Seen, store: OpenStore) -> Json:
        planned = restore_plan.plan(self._wanted, seen)
        if not planned:
            return self._result(planned, self._present(Desired(self._tenant(), manage_resource=False)))
        if self._settings.check:
            return self._result(planned)
        if restore_plan.is_to_be_marked(self._wanted, seen):
            self._patch_mark(restore_plan.note(self._wanted, seen))
        with self._told_how_to_go_on():
            self._make_secrets(seen)
            self._present(Desired(self._tenant(), manage_resource=False, held=True))
            self._replace(seen, store)
        return self._result(planned, self._wake())

    # A new tenant

    def _as_new(self, definition: Json, seen: Seen, store: OpenStore) -> Json:
        has_namespace = self._client.get(resource_of("Namespace"), self._wanted.namespace) is not None
        own = restore_plan.plan_new(self._wanted, seen, has_namespace=has_namespace)
        start = data_of(store.driver).start(self._isolation(seen.share, store), self._wanted.summary.revision)
        lag = restore_plan.lag(self._wanted, seen, start)
        if lag:
            self._settings.say(lag)
        if self._settings.check:
            return self._result(own, self._present(Desired(parse(definition), renew_before=self._request.renew_before)))
        if not has_namespace:
            self._make_namespace()
        self._make_secrets(seen)
        note = restore_plan.mark_of(self._wanted, parse(definition).deployment.replicas)
        metadata = definition["metadata"]
        marked = {**metadata, "annotations": {**(metadata.get("annotations") or {}), names.ANNOTATION_RESTORE: note}}
        with self._told_how_to_go_on():
            made = self._present(Desired(parse({**definition, "metadata": marked}), held=True))
            self._replace(replace(seen, stored=self._stored()), store)
        woken = self._wake()
        woken.changes = [*made.changes, *woken.changes]
        return self._result(own, woken)

    def _make_namespace(self) -> None:
        with suppress(AlreadyExistsError):
            self._client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._wanted.namespace}})
        self._count()

    # Steps

    def _wake(self) -> Outcome:
        try:
            return self._present(Desired(self._tenant(), manage_resource=False))
        except HostedKubernetesError as error:
            advice = "its data is restored; mend that and run module tenant_control_plane with its name"
            raise HostedKubernetesError(f"{error.msg}; {advice}", **error.result) from error

    def _tenant(self) -> TenantControlPlane:
        stored = self._stored()
        if stored is None:
            raise HostedKubernetesError(f"{KIND} {self._wanted.key}: vanished while it was restored; run again")
        return parse(stored)

    def _present(self, desired: Desired) -> Outcome:
        """Let the engine make the tenant what it is to be now. Raises HostedKubernetesError."""
        settings = replace(self._settings, after_change=lambda _count: self._count())
        (outcome,) = Engine(self._client, settings).present([replace(desired, renew_before=self._request.renew_before)])
        if outcome.error:
            raise HostedKubernetesError(outcome.error, tenant=to_result(outcome))
        return outcome

    def _make_secrets(self, seen: Seen) -> None:
        """Created, never replaced: what appeared meanwhile is looked at by the next run."""
        wanted = self._wanted
        for suffix in backup_content.missing(wanted.resources, seen.pki):
            self._client.create(backup_content.secret_manifest(suffix, wanted.resources.pki[suffix], wanted.namespace, wanted.name))
            self._count()

    def _replace(self, seen: Seen, store: OpenStore) -> None:
        """Replace the data while nobody can write to it, then let the tenant go."""
        wanted, settings = self._wanted, self._settings
        lease = TenantLease(
            self._client,
            wanted.namespace,
            wanted.name,
            holder=settings.holder,
            now=settings.now,
            wait_s=settings.timeout_s,
            say=settings.say,
        )
        with lease:
            stored = self._stored()
            if restore_plan.noted_backup(stored) != wanted.file:
                raise HostedKubernetesError(
                    f"{KIND} {wanted.key}: another restore has begun meanwhile; wait for it, then run again if need be"
                )
            self._wait_gone()
            self._ask_to_rewrite(seen)
            data = data_of(store.driver, guard=lease.check, after_batch=lambda _number: self._count())
            data.replace(self._isolation(share_of(stored or {}), store), self._records(), beyond=wanted.summary.revision)
            lease.check()
            self._scale_back(restore_plan.noted_replicas(stored))
            self._patch_mark(None)

    def _wait_gone(self) -> None:
        """Until no control-plane pod is left, also not a terminating one: it writes until its end."""
        wanted = self._wanted
        wait_until(
            self._client,
            resource_of("Pod"),
            namespace=wanted.namespace,
            label_selector=f"{names.LABEL_NAME}={wanted.name}",
            predicate=lambda pods: not pods,
            deadline=time.monotonic() + self._settings.timeout_s,
            what=f"pods of {KIND} {wanted.key}",
            explain=lambda pods: f"still there: {', '.join(name for _namespace, name in pods)}",
        )

    def _ask_to_rewrite(self, seen: Seen) -> None:
        """What is restored was encrypted as it was then: the engine is to write it anew."""
        if backup_content.must_be_rewritten(self._wanted.resources, seen.pki):
            secret = ObjectRef("v1", "Secret", self._wanted.namespace, self._wanted.name + names.ENCRYPTION)
            self._client.merge_patch(secret, {"metadata": {"annotations": {names.ANNOTATION_ENCRYPTED_WITH: None}}})
            self._count()

    def _scale_back(self, replicas: int | None) -> None:
        """Where the definition names no number, nobody but the note knows it."""
        if replicas:
            deployment = ObjectRef("apps/v1", "Deployment", self._wanted.namespace, self._wanted.name)
            self._client.merge_patch(deployment, {"spec": {"replicas": replicas}})
            self._count()

    def _patch_mark(self, note: str | None) -> None:
        tenant = ObjectRef(KAMAJI_API_VERSION, KIND, self._wanted.namespace, self._wanted.name)
        annotations = {names.ANNOTATION_RESTORE: note, **({names.ANNOTATION_RESTORED: self._wanted.file} if note is None else {})}
        self._client.merge_patch(tenant, {"metadata": {"annotations": annotations}}, field_manager=_MANAGER)
        self._count()

    def _count(self) -> None:
        self._changes += 1
        self._settings.after_change(self._changes)

    @contextmanager
    def _told_how_to_go_on(self) -> Iterator[None]:
        try:
            yield
        except HostedKubernetesError as error:
            advice = f"{KIND} {self._wanted.key} is kept asleep until its restore is finished; mend that and run it again"
            raise HostedKubernetesError(f"{error.msg}; {advice}", **error.result) from error

    def _result(self, planned: Sequence[Change], outcome: Outcome | None = None) -> Json:
        """What the restore itself does, and what the engine does around it. Namespace and Secrets are the former alone: in check mode the engine
        would make them, afterwards it gives the Secrets their owner.
        """
        restored = {change.object for change in planned if change.object.kind in ("Namespace", "Secret")}
        around = [change for change in (outcome.changes if outcome else ()) if change.object not in restored]
        if outcome:
            outcome.changes = around
        every = [*planned, *around]
        return {
            "changed": bool(every),
            "plan": [change.to_result() for change in planned],
            "tenant": to_result(outcome) if outcome else None,
            "diff": plan_diff(every),
        }
