# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan: the ordered changes that take what is observed to what is desired. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from textwrap import indent
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import redaction
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import ANNOTATION_TEMPLATE
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange

REDACTED: Final = redaction.REDACTED
MISSING: Final = "does not exist"
"""The reason of a change that makes an object."""
_TEMPLATE_PATH: Final = f'metadata.annotations."{ANNOTATION_TEMPLATE}"'


class Action(str, Enum):
    """What happens to one object."""

    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"
    ISSUE = "issue"
    GRANT = "grant"
    PURGE = "purge"
    RESTORE = "restore"
    REWRITE = "rewrite"
    SCALE = "scale"
    ROLLOUT = "rollout"


class Cluster(str, Enum):
    """Where an object lives."""

    MANAGEMENT = "management"
    DATASTORE = "datastore"
    TENANT = "tenant"


class Barrier(str, Enum):
    """What a blocked change waits for."""

    NONE = ""
    KEYS = "keys"
    ADDRESS = "address"
    TENANT = "tenant"
    ROLLOUT = "rollout"
    GONE = "gone"


def share_part(store: str, part: str, schema: str) -> ObjectRef:
    """One part of a tenant's share of a datastore, as the object of a change."""
    return ObjectRef("datastore", part, store, schema)


def store_of(part: ObjectRef) -> str:
    """The name of the DataStore a part is in."""
    return part.namespace


@dataclass(frozen=True)
class Change:
    """One change of one object.

    stage: changes of a lower stage are done first; within a stage they are independent of each other.
    body: what is sent, complete; never shown. It may hold UNKNOWN while the change is blocked.
    barrier: what must be known or up before the change can be made.
    """

    tenant: str
    cluster: Cluster
    object: ObjectRef
    action: Action
    reason: str
    stage: int
    fields: tuple[FieldChange, ...] = ()
    body: Json | None = field(default=None, repr=False, compare=False)
    barrier: Barrier = Barrier.NONE

    def identity(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What "predicted = applied" compares: object, action and field paths."""
        return (f"{self.cluster.value} {self.object}", self.action.value, self.tenant, tuple(f.path for f in self.fields))

    def to_result(self) -> Json:
        """The change as shown to people and returned by modules; secret values are redacted."""
        result: Json = {
            "tenant": self.tenant,
            "cluster": self.cluster.value,
            "object": str(self.object),
            "action": self.action.value,
            "reason": self.reason,
        }
        if self.fields:
            result["fields"] = [
                {"path": item.path, "before": self._shown(item, item.before), "after": self._shown(item, item.after)}
                for item in self.fields
            ]
        return result

    def _shown(self, item: FieldChange, value: Any) -> Any:
        if value is None:
            return None
        if item.path == _TEMPLATE_PATH:
            return _short_template(str(value))
        secret = self.object.kind == "Secret" and item.path.startswith(tuple(redaction.SECRET_FIELDS))
        return REDACTED if secret else value


@dataclass(frozen=True)
class Deferred:
    """A difference that comes from us (a newer engine, or a tenant that another system made), not from the user.

    It is applied with the user's next change. reason: why the object would be made anew, when that is more than a difference of fields.
    """

    tenant: str
    object: ObjectRef
    fields: tuple[FieldChange, ...]
    reason: str = ""

    def to_result(self) -> Json:
        result = {"tenant": self.tenant, "object": str(self.object), "fields": [item.path for item in self.fields]}
        return {**result, "reason": self.reason} if self.reason else result

    def paths(self) -> list[str]:
        """What is put off, as status lists it: fields of the Deployment; of other objects that there is something."""
        return [item.path for item in self.fields] if self.object.kind == "Deployment" and not self.reason else [str(self.object)]


@dataclass(frozen=True)
class Plan:
    """Changes of one tenant in order of execution. Empty means: converged.

    unread: Secrets whose content must be read before this plan can be trusted; plan again with them.
    remarks: what the user should know of the definition, though it is carried out.
    """

    changes: tuple[Change, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    unread: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def runnable(self) -> tuple[Change, ...]:
        """The changes of the lowest stage that can be made now; empty when that stage is blocked, see barrier()."""
        return tuple(change for change in self._lowest() if change.barrier is Barrier.NONE)

    def barrier(self) -> Barrier:
        """What the lowest stage waits for."""
        return next((change.barrier for change in self._lowest()), Barrier.NONE)

    def _lowest(self) -> tuple[Change, ...]:
        first = min((change.stage for change in self.changes), default=0)
        return tuple(change for change in self.changes if change.stage == first)


def _short_template(text: str) -> str:
    """The recorded pod template repeats what spec.template shows: a fingerprint is enough."""
    return UNKNOWN if has_unknown(text) else f"(pod template {hashlib.sha256(text.encode()).hexdigest()[:12]})"


def plan_diff(changes: Iterable[Change]) -> list[Mapping[str, str]]:
    """Render changes for Ansible's --diff, in their order, secrets redacted.

    A changed object has an entry with the text of its fields before and after. New objects of one tenant that follow one another are one
    entry with a line each, since dozens come with a tenant and none is of the user's making; to_result() has all their fields. What the user
    wrote (the resources of this API) is shown with its fields when it is new, too.
    """
    return [
        entry
        for (tenant, is_new), group in groupby(changes, lambda change: (change.tenant, _is_line(change)))
        for entry in ([_new_objects(tenant, group)] if is_new else map(_diff_entry, group))
    ]


def _is_new(change: Change) -> bool:
    return change.action in (Action.CREATE, Action.GRANT) or change.reason == MISSING


def _is_line(change: Change) -> bool:
    return _is_new(change) and not (change.fields and change.object.api_version == KAMAJI_API_VERSION)


def _new_objects(tenant: str, changes: Iterable[Change]) -> Mapping[str, str]:
    title = f"{tenant}: what is made (-v shows each field)"
    return {"before_header": title, "after_header": title, "before": "", "after": "".join(map(_new_object, changes))}


def _new_object(change: Change) -> str:
    why = "" if change.reason == MISSING else f" ({change.reason})"
    return f"{change.cluster.value}: {change.action.value} {change.object}{why}\n"


def _diff_entry(change: Change) -> Mapping[str, str]:
    shown = change.to_result().get("fields", [])
    title = f"{change.cluster.value}: {change.object} ({change.action.value}: {change.reason})"
    before, after = ("".join(_field(item["path"], item[side]) for item in shown) for side in ("before", "after"))
    if not shown:
        before, after = _whole_object(change)
    return {"before_header": title, "after_header": title, "before": before, "after": after}


def _field(path: str, value: Any) -> str:
    """A field in lines, so that a difference inside a long value shows as the lines that differ."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)) and value:
        return f"{path}:\n{indent(json.dumps(value, indent=2, ensure_ascii=False), '  ')}\n"
    if isinstance(value, str) and "\n" in value:
        return f"{path}: |\n{indent(value.rstrip(), '  ')}\n"
    return f"{path}: {value!r}\n"


def _whole_object(change: Change) -> tuple[str, str]:
    line = f"{change.object}\n"
    if change.action in (Action.DELETE, Action.PURGE):
        return line, ""
    return line, f"{change.object} ({change.reason})\n"
