# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore is to do, in order, and why one is refused. Pure.

The tenant is marked first, so that nobody wakes it half restored: whoever finds the mark leaves the tenant alone, and a restore that finds
it goes on. Then it is put to sleep, its data replaced, the mark taken away, and it wakes as its definition says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import key_prefix
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.format import Header, Summary
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Replaced
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup_content
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup_content import Pki, Resources
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused, restore_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import MISSING, Action, Change, Cluster, share_part

_MARK: Final = f'metadata.annotations."{names.ANNOTATION_RESTORE}"'
_REPLICAS: Final = "spec.replicas"


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, and what the backup holds. in_place: the tenant exists and its data may be replaced."""

    namespace: str
    name: str
    file: str
    in_place: bool
    header: Header
    summary: Summary
    resources: Resources = field(repr=False)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Seen:
    """What is there. stored: the tenant's resource, None when it does not exist; live: its Deployment. data: what differs.

    share: where the data is, or is to be. keys: how many are there. driver: of its DataStore.
    """

    stored: Json | None
    live: Json | None
    pki: Pki = field(repr=False)
    share: Share
    driver: str
    keys: int
    data: Replaced

    @property
    def replicas(self) -> int:
        """How many pods the Deployment has now."""
        found: int = (self.live or {}).get("spec", {}).get("replicas", 0)
        return found


def check_existence(wanted: Wanted, stored: Json | None) -> None:
    """Raise InvalidError when the tenant exists and should not, or the other way round, or must be left alone."""
    problem = next(_existence(wanted, stored), None)
    if problem:
        raise InvalidError(f"{KIND} {wanted.key}: {problem}")


def check_fit(wanted: Wanted, seen: Seen) -> None:
    """Raise InvalidError naming everything that keeps this backup from being restored there."""
    found = list(_misfits(wanted, seen))
    if found:
        raise InvalidError.from_problems(f"{KIND} {wanted.key}", found)


def plan(wanted: Wanted, seen: Seen) -> list[Change]:
    """Return the changes of a tenant that exists, in order; empty when its data and its Secrets are those of the backup already."""
    made = backup_content.missing(wanted.resources, seen.pki)
    is_marked = restore_of(seen.stored) is not None
    if not (made or is_marked or seen.data.changed):
        return []
    mark, unmark = _marks(wanted, seen)
    sleep, wake = _scaling(wanted, seen)
    return [*mark, *secrets(wanted, seen), *sleep, *data(wanted, seen), *wake, *unmark]


def plan_new(wanted: Wanted, seen: Seen, *, has_namespace: bool) -> list[Change]:
    """The same of a tenant that does not exist; the engine makes the rest of it, between the Secrets and the data."""
    reference = ObjectRef("v1", "Namespace", "", wanted.namespace)
    namespace = [] if has_namespace else [Change(wanted.key, Cluster.MANAGEMENT, reference, Action.CREATE, MISSING, 0)]
    return [*namespace, *secrets(wanted, seen), *data(wanted, seen)]


def secrets(wanted: Wanted, seen: Seen) -> list[Change]:
    """The Secrets that are made from the backup."""
    return [
        Change(
            wanted.key, Cluster.MANAGEMENT, ObjectRef("v1", "Secret", wanted.namespace, wanted.name + suffix), Action.CREATE, MISSING, 10
        )
        for suffix in backup_content.missing(wanted.resources, seen.pki)
    ]


def data(wanted: Wanted, seen: Seen) -> list[Change]:
    """The keys that are replaced."""
    counts = seen.data
    if not counts.changed:
        return []
    reason = f"{counts.put} keys are written, {counts.deleted} removed, {counts.kept} are as in the backup"
    before = counts.deleted + counts.kept
    part = share_part(seen.share.store, "keys", seen.share.schema)
    shown = FieldChange("data", f"as it is now, at least {before} keys", f"{wanted.file}, {counts.put + counts.kept} keys")
    return [Change(wanted.key, Cluster.DATASTORE, part, Action.RESTORE, reason, 30, (shown,))]


def mark_of(wanted: Wanted, replicas: int) -> str:
    """The note on a tenant that is being restored. replicas: of its Deployment before it was put to sleep."""
    return json.dumps({"backup": wanted.file, "replicas": replicas})


def is_to_be_marked(wanted: Wanted, seen: Seen) -> bool:
    """Whether the tenant does not carry the mark of this very restore yet."""
    return noted_backup(seen.stored) != wanted.file


def note(wanted: Wanted, seen: Seen) -> str:
    """The mark of a tenant that exists; the number of pods before an interrupted restore is kept."""
    noted = noted_replicas(seen.stored)
    return mark_of(wanted, seen.replicas if noted is None else noted)


def noted_backup(stored: Json | None) -> str | None:
    """The backup that the mark of a tenant names; None when there is no mark, or not one of ours."""
    return _note(stored).get("backup")


def is_finished(wanted: Wanted, stored: Json | None) -> bool:
    """Whether a tenant was made from this very backup before, so that it is not to be touched again unless that is asked for."""
    annotations = (stored or {}).get("metadata", {}).get("annotations") or {}
    return not wanted.in_place and restore_of(stored) is None and annotations.get(names.ANNOTATION_RESTORED) == wanted.file


def noted_replicas(stored: Json | None) -> int | None:
    """The number in such a note; None when there is none."""
    number = _note(stored).get("replicas")
    return number if isinstance(number, int) else None


def _note(stored: Json | None) -> Json:
    try:
        found = json.loads(restore_of(stored) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _existence(wanted: Wanted, stored: Json | None) -> Iterator[str]:
    if stored is None:
        if wanted.in_place:
            yield "does not exist, so that nothing can be restored in place; leave in_place (variable tenant_restore_in_place) out to make it from the backup"
        return
    if stored["metadata"].get("deletionTimestamp"):
        yield "is being deleted; finish that with state absent, then restore it as a new tenant"
    if is_paused(stored):
        yield f"is paused (annotation {names.ANNOTATION_PAUSED}); remove the annotation to let it be restored"
    if not (wanted.in_place or restore_of(stored) is not None or is_finished(wanted, stored)):
        yield (
            "exists already; give in_place (variable tenant_restore_in_place) to replace its data by that of the backup, which ends whatever "
            "was changed since, or another name to restore the backup beside it"
        )


def _misfits(wanted: Wanted, seen: Seen) -> Iterator[str]:
    yield from (f"Secret {wanted.key}{problem}" for problem in backup_content.problems(wanted.resources, seen.pki))
    if seen.stored is not None:
        problem = backup_content.version_problem(wanted.header.kubernetes, backup_content.version_of(seen.stored))
        if problem:
            yield problem
    before, now = key_prefix(wanted.header.driver, wanted.header.schema), key_prefix(seen.driver, seen.share.schema)
    if before != now and backup_content.binds_keys(wanted.resources):
        same = (
            f"give spec dataStoreSchema {wanted.header.schema} and a dataStore of driver {wanted.header.driver} in which that name is free"
        )
        yield f'its data is encrypted in a way that binds it to keys under "{before}", and here they are under "{now}"; {same}'
    if seen.stored is None and seen.keys:
        yield _taken(seen.share, f'holds {seen.keys} keys under "{seen.share.schema}" that belong')


def lag(wanted: Wanted, seen: Seen, start: int) -> str | None:
    """What the user must know when a new tenant's revisions are lower than those its clients have seen; None when they are not.

    start: the revision after which its keys are written.
    """
    before = wanted.summary.revision
    if start >= before:
        return None
    return (
        f"{KIND} {wanted.key}: revisions of DataStore {seen.share.store} are at {start}, those of the backup at {before}; programs that were connected "
        "to the tenant then, such as kubelets, may wait for changes that have been: restart them once it is ready"
    )


def taken(wanted: Wanted, share: Share, what: str) -> InvalidError:
    """The error that a share is which belongs to nobody. what: is there; completes "DataStore …" up to "belong"."""
    return InvalidError(f"{KIND} {wanted.key}: {_taken(share, what)}")


def _taken(share: Share, what: str) -> str:
    return (
        f"DataStore {share.store} {what} to no tenant known here; give the spec another dataStoreSchema, or remove that "
        "(module tenant_control_plane, state absent, with the definition) if nobody needs it"
    )


def _marks(wanted: Wanted, seen: Seen) -> tuple[list[Change], list[Change]]:
    reference = ObjectRef.of(seen.stored or {})
    before, text = restore_of(seen.stored), note(wanted, seen)

    def change(reason: str, before: str | None, after: str | None, stage: int) -> Change:
        return Change(wanted.key, Cluster.MANAGEMENT, reference, Action.PATCH, reason, stage, (FieldChange(_MARK, before, after),))

    mark = [change("nobody may change it while it is restored", before, text, 0)] if is_to_be_marked(wanted, seen) else []
    return mark, [change("it is restored", text, None, 50)]


def _scaling(wanted: Wanted, seen: Seen) -> tuple[list[Change], list[Change]]:
    """To sleep, and back; an interrupted restore has noted how many pods there were."""
    noted = noted_replicas(seen.stored)
    before = seen.replicas if noted is None else noted
    reference = ObjectRef("apps/v1", "Deployment", wanted.namespace, wanted.name)

    def change(reason: str, old: int, new: int, stage: int) -> Change:
        return Change(wanted.key, Cluster.MANAGEMENT, reference, Action.SCALE, reason, stage, (FieldChange(_REPLICAS, old, new),))

    sleep = [change("nobody may write while the data is replaced", seen.replicas, 0, 20)] if seen.replicas else []
    return sleep, [change("it wakes again", 0, before, 40)] if before else []
