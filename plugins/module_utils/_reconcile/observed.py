# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one tenant at one moment, and what its operator wants. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget, names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD, MYSQL
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState


@dataclass(frozen=True)
class Desired:
    """What one call wants of one tenant.

    manage_resource: whether the call brings the definition (and so owns the resource's spec), or takes it as stored.
    body: what of the definition the call brings, when that is not all of it (a patch).
    no_store: why no DataStore could be chosen for it, "" when it has one.
    held: keep it asleep whatever the definition says, because its data is being replaced.
    rollout_now: apply template differences that come from a newer engine, instead of deferring them.
    budgets: what was found of its data just now; None: what status says was found last.
    """

    tenant: TenantControlPlane
    manage_resource: bool = True
    rollout_now: bool = False
    renew_before: timedelta = timedelta(days=30)
    body: Json | None = field(default=None, repr=False)
    no_store: str = ""
    held: bool = False
    budgets: tuple[DataBudget, ...] | None = None

    @property
    def applied(self) -> Json:
        """The resource as the call applies it."""
        return {**self.body, "metadata": dict(self.body["metadata"])} if self.body else self.tenant.manifest()


@dataclass(frozen=True)
class DatastoreView:
    """A tenant's datastore as observed. state is None when the store was not asked or did not answer (error says why)."""

    name: str
    driver: str
    endpoints: tuple[str, ...]
    ca_certificate: bytes
    ca: KeyPair | None = field(repr=False)
    state: IsolationState | None
    error: str = ""

    @property
    def signs(self) -> bool:
        """Whether its authority issues client certificates for tenants: etcd's has to, that of others does where the DataStore has its key."""
        return self.driver == ETCD or self.ca is not None

    @property
    def reached_endpoints(self) -> tuple[str, ...]:
        """The members that tenants connect to. MySQL's clients take one."""
        return self.endpoints[:1] if self.driver == MYSQL else self.endpoints

    @property
    def knows_passwords(self) -> bool:
        """Whether the store knows its users by a password."""
        return self.state is not None and PASSWORD in {*self.state.missing, *self.state.present, *self.state.unchecked}

    def without_password(self) -> DatastoreView:
        """The same with a password that is not the one in the tenant's Secret any more."""
        if self.state is None or not self.knows_passwords or PASSWORD in self.state.missing:
            return self
        present, unchecked = (tuple(part for part in parts if part != PASSWORD) for parts in (self.state.present, self.state.unchecked))
        return replace(self, state=replace(self.state, missing=(PASSWORD, *self.state.missing), present=present, unchecked=unchecked))


@dataclass(frozen=True)
class OwnAuthority:
    """The user's certificate authority for a tenant that has none yet. pair is None when it cannot be used; error says why."""

    pair: KeyPair | None = field(default=None, repr=False)
    error: str = ""


@dataclass(frozen=True)
class ImagePull:
    """The registries for the addons' images, as one Docker configuration. None when they cannot be had; error says why."""

    config: bytes | None = field(default=None, repr=False)
    error: str = ""


@dataclass(frozen=True)
class Observed:
    """One tenant as observed.

    namespace_ending: the namespace is being deleted, so that nothing new can be made in it.
    objects: the tenant's objects in the management cluster but for Secrets and the resource itself.
    tenant: the collection's objects inside the tenant cluster; None when they were not read (asleep, or no answer).
    pods: control-plane pods, terminating ones included.
    overrides: the other stores that keep some of its resources, by the name of their DataStore; None for one that does not exist.
    nodes: the tenant's nodes, name → version of the kubelet; None when they were not read (they are before an upgrade).
    unserved: kinds that may be missing in the management cluster, and are.
    own_authority: None when it was not looked for: the definition names none, or the tenant has an authority already.
    image_pull: None when it was not looked for: the definition names no Secrets, or the tenant sleeps.
    """

    resource: Json | None = None
    namespace_exists: bool = True
    namespace_ending: bool = False
    objects: Mapping[ObjectRef, Json] = field(default_factory=dict)
    secrets: Mapping[str, SecretState] = field(default_factory=dict)
    datastore: DatastoreView | None = None
    tenant: Mapping[ObjectRef, Json] | None = None
    pods: tuple[Json, ...] = ()
    nodes: Mapping[str, str] | None = None
    overrides: Mapping[str, DatastoreView | None] = field(default_factory=dict)
    unserved: frozenset[str] = frozenset()
    own_authority: OwnAuthority | None = None
    image_pull: ImagePull | None = None

    @property
    def status(self) -> Json:
        status: Json = (self.resource or {}).get("status") or {}
        return status

    @property
    def uid(self) -> str | None:
        return self.resource["metadata"]["uid"] if self.resource else None

    @property
    def deleting(self) -> bool:
        return bool(self.resource and self.resource["metadata"].get("deletionTimestamp"))

    @property
    def shares(self) -> tuple[DatastoreView, ...]:
        """Every store that exists and keeps, or is to keep, data of this tenant."""
        return tuple(view for view in (self.datastore, *self.overrides.values()) if view is not None)

    def store(self, name: str) -> DatastoreView | None:
        """One of these stores by the name of its DataStore, None when that does not exist."""
        return next((view for view in self.shares if view.name == name), None)

    @property
    def recorded_overrides(self) -> tuple[str, ...]:
        """DataStores, other than that of everything else, in which the tenant was ever given a share."""
        return tuple((self.status.get("hosted") or {}).get("dataStores") or ())

    def with_views(self, main: str, views: Mapping[str, DatastoreView | None]) -> Observed:
        """Return this observation with its stores as they are now. main: the DataStore of everything that is not overridden."""
        return replace(self, datastore=views.get(main), overrides={name: view for name, view in views.items() if name != main})

    def find(self, kind: str, name: str) -> Json | None:
        """Return the management object of that kind and name, None when there is none."""
        return next((obj for ref, obj in self.objects.items() if ref.kind == kind and ref.name == name), None)

    def lives(self, name: str) -> bool:
        """Whether this tenant has been made before, so that its authorities must exist."""
        recorded = bool((self.status.get("certificates") or {}).get("ca"))
        return recorded or self.find("Deployment", name) is not None

    def with_objects(self, changed: Mapping[ObjectRef, Json | None]) -> Observed:
        """Return this observation with management objects replaced; None removes one."""
        return replace(self, objects=_merged(self.objects, changed))

    def with_tenant_objects(self, changed: Mapping[ObjectRef, Json | None]) -> Observed:
        return replace(self, tenant=_merged(self.tenant or {}, changed))

    def with_secrets(self, changed: Mapping[str, SecretState | None]) -> Observed:
        merged = {**self.secrets, **changed}
        return replace(self, secrets={name: state for name, state in merged.items() if state is not None})


def _merged(before: Mapping[ObjectRef, Json], changed: Mapping[ObjectRef, Json | None]) -> dict[ObjectRef, Json]:
    return {ref: obj for ref, obj in {**before, **changed}.items() if obj is not None}


def budgets_of(desired: Desired, observed: Observed) -> tuple[DataBudget, ...]:
    """What is known of the data of a tenant that has a budget."""
    return data_budget.recorded(observed.status) if desired.budgets is None else desired.budgets


def secret_record(observed: Observed, name: str) -> Json | None:
    """What status recorded about a Secret when it was last read or written."""
    record: Json | None = ((observed.status.get("hosted") or {}).get("secrets") or {}).get(name)
    return record


def is_paused(resource: Json | None) -> bool:
    """Whether the user asked to leave this tenant alone."""
    return names.ANNOTATION_PAUSED in ((resource or {}).get("metadata", {}).get("annotations") or {})


def restore_of(resource: Json | None) -> str | None:
    """What a restore of this tenant has noted that is not finished; None when there is none."""
    note: str | None = ((resource or {}).get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_RESTORE)
    return note


def restore_problem(resource: Json | None) -> str | None:
    """Why nobody but the restore may change this tenant now, None when everybody may."""
    if restore_of(resource) is None:
        return None
    return (
        f"its data is being restored, or that was interrupted (annotation {names.ANNOTATION_RESTORE}); finish it with module tenant_restore, "
        "which can be run again"
    )
