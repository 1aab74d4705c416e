# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan_absent(observed): the ordered changes that leave nothing of a tenant behind. Pure.

Order: mark the resource, stop the writers, purge the data, remove the objects, and let the resource go last. The resource
keeps its finalizer until then, so a run killed anywhere is continued by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import (
    Action,
    Barrier,
    Change,
    Cluster,
    Plan,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import DeletionStage


@dataclass(frozen=True)
class Absent:
    """One tenant that must not exist.

    schema, user, datastore: where its data is, as far as its resource does not say; None: not known.
    keep_data: leave its share of the datastore alone (it cannot be reached).
    """

    namespace: str
    name: str
    schema: str
    user: str
    datastore: str | None = None
    keep_data: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


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
        view = self.observed.datastore
        if self.absent.keep_data or view is None:
            return
        if view.state is None:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.absent.key}: its data cannot be purged: {view.error}; bring the datastore "
                "back and run again, or set force to leave the data behind"
            )
        left = {*view.state.present, *view.state.unchecked}
        running = self.observed.pods or self.observed.find("Deployment", self.absent.name)
        for offset, part in enumerate(part for part in purge_order if part in left):
            yield Change(
                tenant=self.absent.key,
                cluster=Cluster.DATASTORE,
                object=ObjectRef(f"datastore/{view.name}", part, "", self.absent.schema),
                action=Action.PURGE,
                reason="belongs to a deleted tenant",
                stage=DeletionStage.DATA + offset,
                barrier=Barrier.GONE if running else Barrier.NONE,
            )

    def objects(self) -> Iterator[Change]:
        for reference in self.observed.objects:
            if reference.kind != "Deployment":
                yield self._change(reference, Action.DELETE, "belongs to a deleted tenant", DeletionStage.OBJECTS)
        for name in self.observed.secrets:
            reference = ObjectRef("v1", "Secret", self.absent.namespace, name)
            yield self._change(reference, Action.DELETE, "belongs to a deleted tenant", DeletionStage.OBJECTS)

    def resource(self) -> Iterator[Change]:
        finalizers = self.observed.resource["metadata"].get("finalizers") or [] if self.observed.resource else []
        if names.FINALIZER not in finalizers:
            return  # gone, or held by others only
        left = [item for item in finalizers if item != names.FINALIZER]
        change = self._change(self._resource_ref, Action.PATCH, "everything it owned is gone", DeletionStage.RESOURCE)
        fields = (FieldChange("metadata.finalizers", list(finalizers), left or None),)
        yield replace(change, fields=fields, body={"metadata": {"finalizers": left or None}})

    def _change(self, reference: ObjectRef, action: Action, reason: str, stage: int) -> Change:
        return Change(
            tenant=self.absent.key,
            cluster=Cluster.MANAGEMENT,
            object=reference,
            action=action,
            reason=reason,
            stage=stage,
        )
