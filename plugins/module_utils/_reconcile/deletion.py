# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan_absent(observed): the ordered changes that leave nothing of a tenant behind. Pure.

Order: mark the resource, stop the writers, purge the data, remove the objects, and let the resource go last. The resource
keeps its finalizer until then, so a run killed anywhere is continued by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.finalizers import release
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import (
    Action,
    Barrier,
    Change,
    Cluster,
    Plan,
    share_part,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import DeletionStage


@dataclass(frozen=True)
class Absent:
    """One tenant that must not exist.

    definition: metadata, and spec when the caller gave one; it says where the data is once the resource is gone.
    neighbours: key → share of all other tenants, whose data is not to be touched.
    keep_data: leave its share of the datastore behind when that cannot be asked.
    share: where its data is; None: nothing says that it has any. See located().
    """

    definition: Json
    neighbours: Mapping[str, Share] = field(default_factory=dict)
    keep_data: bool = False
    share: Share | None = None

    @property
    def namespace(self) -> str:
        namespace: str = self.definition["metadata"]["namespace"]
        return namespace

    @property
    def name(self) -> str:
        name: str = self.definition["metadata"]["name"]
        return name

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def located(self, observed: Observed) -> Absent:
        """Return this with its share, found out while the resource still exists: later nothing else remembers it."""
        if observed.resource:
            return replace(self, share=share_of(observed.resource))
        known = bool(self.definition.get("spec") or observed.objects or observed.secrets)
        return replace(self, share=self.share or (share_of(self.definition) if known else None))


def plan_absent(absent: Absent, observed: Observed, purge_order: Sequence[str] = ()) -> Plan:
    """Return the changes that remove a tenant; empty when nothing of it is left.

    purge_order: the parts of a datastore share in the order in which they are deleted (Driver.purge_parts).
    Raises HostedKubernetesError when the datastore cannot be asked and its data may not be left behind.
    """
    deletion = _Deletion(absent, observed)
    changes = [*deletion.mark(), *deletion.workload(), *deletion.data(purge_order), *deletion.objects()]
    return Plan(tuple(sorted([*changes, *deletion.resource()], key=lambda c: (c.stage, c.cluster.value, c.object))))


@dataclass(frozen=True)
class _Deletion:
    absent: Absent
    observed: Observed

    @property
    def _resource_ref(self) -> ObjectRef:
        return ObjectRef(KAMAJI_API_VERSION, KIND, self.absent.namespace, self.absent.name)

    def mark(self) -> Iterator[Change]:
        if self.observed.resource is not None and not self.observed.deleting:
            yield self._change(self._resource_ref, Action.DELETE, "is to be deleted", DeletionStage.MARK)

    def workload(self) -> Iterator[Change]:
        for reference in self.observed.objects:
            if reference.kind == "Deployment":
                yield self._change(reference, Action.DELETE, "stops all writers", DeletionStage.WORKLOAD)

    def data(self, purge_order: Sequence[str]) -> Iterator[Change]:
        share = self.absent.share
        if share is not None:
            self._refuse_unplaced(share)
            for store in share.stores:
                yield from self._share(share, store, purge_order)

    def _share(self, share: Share, store: str, purge_order: Sequence[str]) -> Iterator[Change]:
        view = self.observed.store(store)
        if view is None or view.state is None:
            self._refuse_unasked(store, view)
            return
        left = {*view.state.present, *view.state.unchecked}
        if left and self._is_shared(share, store):
            return
        running = self.observed.pods or self.observed.find("Deployment", self.absent.name)
        for offset, part in enumerate(part for part in purge_order if part in left):
            yield Change(
                tenant=self.absent.key,
                cluster=Cluster.DATASTORE,
                object=share_part(view.name, part, share.schema),
                action=Action.PURGE,
                reason="belongs to a deleted tenant",
                stage=DeletionStage.DATA + offset,
                barrier=Barrier.GONE if running else Barrier.NONE,
            )

    def _refuse_unplaced(self, share: Share) -> None:
        """A tenant chooses its store before it gets anything there; one that has Secrets did, and only its lost resource knew which."""
        if not share.store and self.observed.secrets and not self.absent.keep_data:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.absent.key}: nothing says any more which DataStore it chose; name the one that holds its data in "
                "spec.dataStore, in place of spec.dataStoreSelector, or set force (variable tenant_control_plane_force) to leave the data behind"
            )

    def _refuse_unasked(self, store: str, view: DatastoreView | None) -> None:
        """A store that does not answer may hold data; one that does not exist does when this tenant was made with it."""
        finalizers = (self.observed.resource or {}).get("metadata", {}).get("finalizers") or ()
        held = self.observed.status.get("storage") and names.FINALIZER in finalizers
        made = bool(held or self.observed.secrets)
        if self.absent.keep_data or (view is None and not made):
            return
        reason = view.error if view else f"DataStore {store} does not exist any more"
        raise HostedKubernetesError(
            f"TenantControlPlane {self.absent.key}: its data cannot be purged: {reason}; bring the datastore "
            "back and run again, or set force (variable tenant_control_plane_force) to leave the data behind"
        )

    def _is_shared(self, share: Share, store: str) -> bool:
        """Whether another tenant lives on this data, and the caller has said to leave data behind. Raises when he has not."""
        here = replace(share, store=store, overrides=())
        owner = next((key for key, other in self.absent.neighbours.items() if here.overlaps(other)), None)
        if owner and not self.absent.keep_data:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.absent.key}: its data (schema {share.schema}, user {share.user} in DataStore {store}) is "
                f"that of TenantControlPlane {owner}, which exists; correct the definition's dataStore, dataStoreSchema or "
                "dataStoreUsername, or set force (variable tenant_control_plane_force) to leave the data to it"
            )
        return owner is not None

    def objects(self) -> Iterator[Change]:
        for reference in self.observed.objects:
            if reference.kind != "Deployment":
                yield self._change(reference, Action.DELETE, "belongs to a deleted tenant", DeletionStage.OBJECTS)
        for name in self.observed.secrets:
            reference = ObjectRef("v1", "Secret", self.absent.namespace, name)
            yield self._change(reference, Action.DELETE, "belongs to a deleted tenant", DeletionStage.OBJECTS)

    def resource(self) -> Iterator[Change]:
        resource, ref = self.observed.resource, self._resource_ref
        return release(resource, ref, names.FINALIZER, owner=self.absent.key, stage=DeletionStage.RESOURCE)

    def _change(self, reference: ObjectRef, action: Action, reason: str, stage: int) -> Change:
        return Change(
            tenant=self.absent.key,
            cluster=Cluster.MANAGEMENT,
            object=reference,
            action=action,
            reason=reason,
            stage=stage,
        )
