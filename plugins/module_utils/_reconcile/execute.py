# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the changes of a plan, and say what the world looks like afterwards. Every change is idempotent."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import (
    Driver,
    Isolation,
    IsolationState,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_ip import apply_service
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import derive, isolation_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import MANAGERS, emptied_maps, without_manager
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView, Desired, Observed, secret_record
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster, store_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.replicas import SCALE_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.rewrite import rewrite
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import (
    authorities,
    plan_secrets,
    secret_manifest,
    secret_specs,
)

_PARALLEL = 6
Written = tuple[Change, "Json | None"]


def no_fault(_count: int) -> None:
    """The fault hook of real runs: nothing happens after a change."""


@dataclass(frozen=True)
class Clients:
    """What changes are made with. driver_of: of a DataStore, by name. tenant is None until the tenant's API server is up."""

    management: Client
    driver_of: Callable[[str], Driver]
    tenant: Client | None = None


@dataclass(frozen=True)
class Executor:
    """Makes changes. after_change is told how many were made so far; a test kills the process there."""

    now: Callable[[], datetime]
    after_change: Callable[[int], None] = no_fault
    _counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, desired: Desired, observed: Observed, changes: Sequence[Change], clients: Clients) -> Observed:
        """Make changes of one stage, several at a time, for a tenant that is to exist; return what is known then."""
        run = _Run(self, desired, observed, clients)
        with ThreadPoolExecutor(max_workers=min(_PARALLEL, len(changes))) as pool:
            written = list(pool.map(run.write, changes))
        return _noted(observed, written)

    def remove(self, observed: Observed, changes: Sequence[Change], clients: Clients, isolation: Isolation | None) -> Observed:
        """Make changes of one stage of a deletion."""
        written = []
        for change in changes:
            written.append((change, self._remove(change, clients, isolation)))
            self.count()
        return _noted(observed, written)

    def count(self) -> None:
        with self._lock:
            number = next(self._counter)
        self.after_change(number)

    def _remove(self, change: Change, clients: Clients, isolation: Isolation | None) -> Json | None:
        if change.cluster is Cluster.DATASTORE:
            if isolation is None:
                raise HostedKubernetesError(f"{change.object} was planned for a tenant without data")
            clients.driver_of(store_of(change.object)).delete_part(isolation, change.object.kind)
            return None
        if change.action is Action.DELETE:
            return _delete(clients.management, change.object)
        try:
            left = clients.management.merge_patch(change.object, change.body or {})
        except NotFoundError:
            return None
        except ConflictError:
            # Somebody else changed it meanwhile: plan again from what it is now.
            return clients.management.get(resource_of(KIND), change.object.name, change.object.namespace)
        # What is being deleted vanishes with its last finalizer; the answer shows it as it was then.
        return left if left["metadata"].get("finalizers") else None


@dataclass(frozen=True)
class _Run:
    executor: Executor
    desired: Desired
    observed: Observed
    clients: Clients

    def write(self, change: Change) -> Written:
        written = change, self._write(change)
        self.executor.count()
        return written

    def _write(self, change: Change) -> Json | None:
        if change.cluster is Cluster.DATASTORE:
            tenant = self.desired.tenant
            share = isolation_of(share_of(tenant.manifest(), self.observed.status), self.observed, tenant.name)
            self.clients.driver_of(store_of(change.object)).create_part(share, change.object.kind)
            return None
        client = self.clients.management if change.cluster is Cluster.MANAGEMENT else _tenant(self.clients)
        if change.action is Action.DELETE:
            return _delete(client, change.object)
        if change.action is Action.ISSUE:
            return self._issue(change)
        if change.action is Action.SCALE:
            return _scale(client, change)
        if change.action is Action.REWRITE:
            rewrite(_tenant(self.clients), encryption.of(self.desired.tenant, self.observed).rewrite)
        if "kind" not in (change.body or {}):
            return client.merge_patch(change.object, change.body or {})
        return self._apply(client, change)

    def _apply(self, client: Client, change: Change) -> Json:
        ours = change.object.kind != KIND
        emptied = {} if ours else emptied_maps(change.body or {}, self.observed.resource, names.FIELD_MANAGER)
        if emptied:
            client.merge_patch(change.object, emptied)
        if ours:
            return _released(client, self._apply_ours(client, change), change)
        try:
            return client.apply(change.body or {}, field_manager=names.FIELD_MANAGER, force=False)
        except ConflictError as error:
            if error.managers == {SCALE_MANAGER}:
                return client.apply(change.body or {}, field_manager=names.FIELD_MANAGER, force=True)
            raise HostedKubernetesError(f"TenantControlPlane {change.tenant}: {error.msg}") from error

    def _apply_ours(self, client: Client, change: Change) -> Json:
        if change.object.kind == "Service":
            return apply_service(client, change.body or {}, field_manager=names.FIELD_MANAGER)
        return client.apply(change.body or {}, field_manager=names.FIELD_MANAGER, force=True)

    def _issue(self, change: Change) -> Json:
        """Make a Secret. One that must never be overwritten is created; if somebody was faster, theirs counts."""
        client, facts, now = self.clients.management, derive(self.desired, self.observed), self.executor.now()
        facts = replace(facts, checksums=plan_secrets(self.desired, self.observed, facts, now).checksums)
        tenant = self.desired.tenant
        spec = next(
            spec for spec in secret_specs(self.desired, self.observed, facts) if tenant.secret_name(spec.suffix) == change.object.name
        )
        data = spec.make(authorities(tenant, self.observed), now)
        body = secret_manifest(tenant, spec, facts.uid, data)
        state = self.observed.secrets.get(change.object.name)
        if state is None:
            try:
                return client.create(body)
            except AlreadyExistsError:
                live = client.get(resource_of("Secret"), change.object.name, change.object.namespace)
                if live is None:
                    raise
                return live
        body["metadata"]["resourceVersion"] = state.metadata["resourceVersion"]
        return client.replace(body)


def _noted(observed: Observed, written: Iterable[Written]) -> Observed:
    """The observation after changes were made, without asking again."""
    for change, obj in written:
        if change.cluster is Cluster.DATASTORE:
            observed = _noted_part(observed, change)
        elif change.cluster is Cluster.TENANT:
            observed = observed.with_tenant_objects({change.object: obj})
        elif change.object.kind == KIND:
            observed = replace(observed, resource=obj)
        elif change.object.kind == "Namespace":
            observed = replace(observed, namespace_exists=True)
        elif change.object.kind == "Secret":
            name = change.object.name
            state = secret_state(obj, secret_record(observed, name)) if obj else None
            observed = observed.with_secrets({name: state})
            if change.action is Action.ISSUE and name.endswith(names.DATASTORE_CONFIG):
                # The store does not accept the password in it yet.
                observed = replace(observed, datastore=observed.datastore and observed.datastore.without_password())
        else:
            observed = observed.with_objects({change.object: obj})
    return observed


def _noted_part(observed: Observed, change: Change) -> Observed:
    store = store_of(change.object)
    if observed.datastore and observed.datastore.name == store:
        return replace(observed, datastore=_with_part(observed.datastore, change))
    view = observed.overrides.get(store)
    return replace(observed, overrides={**observed.overrides, store: _with_part(view, change)}) if view else observed


def _with_part(view: DatastoreView, change: Change) -> DatastoreView:
    if view.state is None:
        return view
    part = change.object.kind
    missing, present = set(view.state.missing), set(view.state.present)
    (present if change.action is Action.GRANT else missing).add(part)
    (missing if change.action is Action.GRANT else present).discard(part)
    order = [*view.state.missing, *view.state.present]
    state = IsolationState(
        missing=tuple(part for part in order if part in missing),
        present=tuple(part for part in order if part in present),
        unchecked=tuple(item for item in view.state.unchecked if item != part),
    )
    return replace(view, state=state)


def _released(client: Client, live: Json, change: Change) -> Json:
    """The object without the reference as an owner, when that was planned: once what we desire is ours, so that nothing is lost."""
    if not any(item.path == MANAGERS for item in change.fields):
        return live
    resource = client.resource_for(change.object.api_version, change.object.kind)
    while (left := without_manager(live, names.REFERENCE_MANAGER)) is not None:
        body = {"metadata": {"managedFields": left, "resourceVersion": live["metadata"]["resourceVersion"]}}
        try:
            return client.merge_patch(change.object, body)
        except ConflictError:
            # Its controller has written status meanwhile.
            live = client.get(resource, change.object.name, change.object.namespace) or live
    return live


def _scale(client: Client, change: Change) -> Json | None:
    """The note first: a number without it would count as somebody's wish."""
    body = change.body or {}
    client.merge_patch(change.object, {"metadata": body["metadata"]}, field_manager=SCALE_MANAGER)
    client.merge_patch(change.object, {"spec": body["spec"]}, subresource="scale", field_manager=SCALE_MANAGER)
    return client.get(resource_of(KIND), change.object.name, change.object.namespace)


def _delete(client: Client, reference: ObjectRef) -> Json | None:
    """Delete an object; return it when finalizers still hold it, None when it is gone."""
    resource = client.resource_for(reference.api_version, reference.kind)
    client.delete(resource, reference.name, reference.namespace)
    return client.get(resource, reference.name, reference.namespace) if reference.kind == KIND else None


def _tenant(clients: Clients) -> Client:
    if clients.tenant is None:
        raise HostedKubernetesError("a change inside the tenant was planned before its API server was reached")
    return clients.tenant
