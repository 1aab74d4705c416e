# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our finalizer on a resource: put there before it owns anything, taken away when nothing of that is left. Pure.

Patches, never an apply: applying a resource without its spec would take away the spec that an earlier call applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster


def hold(
    resource: Json | None, ref: ObjectRef, finalizer: str, *, owner: str, stage: int, instead_of: Collection[str] = ()
) -> Iterator[Change]:
    """The change that adds the finalizer; none when it is there, or when there is no resource. owner: what the change is told for.

    instead_of: finalizers of others who are gone for good; it takes their place.
    """
    before = _finalizers(resource)
    if resource is not None and (finalizer not in before or set(before) & set(instead_of)):
        after = [item for item in before if item != finalizer and item not in instead_of]
        yield _patch(resource, ref, owner, stage, "metadata.finalizers differs", [*after, finalizer])


def release(resource: Json | None, ref: ObjectRef, finalizer: str, *, owner: str, stage: int) -> Iterator[Change]:
    """The change that removes the finalizer; none when it is gone, or held by others only."""
    before = _finalizers(resource)
    if resource is not None and finalizer in before:
        yield _patch(resource, ref, owner, stage, "everything it owned is gone", [item for item in before if item != finalizer])


def _finalizers(resource: Json | None) -> list[str]:
    return (resource or {}).get("metadata", {}).get("finalizers") or []


def _patch(resource: Json, ref: ObjectRef, owner: str, stage: int, reason: str, after: list[str]) -> Change:
    return Change(
        tenant=owner,
        cluster=Cluster.MANAGEMENT,
        object=ref,
        action=Action.PATCH,
        reason=reason,
        stage=stage,
        fields=(FieldChange("metadata.finalizers", _finalizers(resource) or None, after or None),),
        body={"metadata": {"finalizers": after or None, "resourceVersion": resource["metadata"]["resourceVersion"]}},
    )
