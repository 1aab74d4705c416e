# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON merge patch (RFC 7386) of a stored definition, carried out by server-side apply: fields of other managers are not fought for. Pure.

What is applied is what our manager owns already with the patch in it. So it becomes the owner of what the patch says and of nothing else.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import owned_fields
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.replicas import SCALE_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import merge_patch

# The name that the server gives to the owner of fields which were written before it recorded owners.
_UNKNOWN: Final = "before-first-apply"
# Ours under another name (see replicas.py): it gives way by itself.
_OURS: Final = frozenset({FIELD_MANAGER, SCALE_MANAGER})


@dataclass(frozen=True)
class Patched:
    """A stored definition with a patch in it. definition: whole; body: what is applied; None when the patch changes nothing.

    conflicts: why it cannot be applied, with field and manager.
    """

    definition: Json
    body: Json | None
    conflicts: tuple[str, ...] = ()


def patched(stored: Json, patch: Json) -> Patched:
    """Patch the spec of a stored TenantControlPlane."""
    before = stored["spec"]
    after = merged(before, patch)
    missing = merge_patch(before, after)
    metadata = {key: value for key, value in stored["metadata"].items() if key in ("name", "namespace", "labels", "annotations")}
    definition = {"apiVersion": stored["apiVersion"], "kind": stored["kind"], "metadata": metadata, "spec": after}
    if not missing:
        return Patched(definition, None)
    tree = owned_fields(stored, FIELD_MANAGER)
    owned = owned_part(stored, tree) if tree else {}
    identity = {key: metadata[key] for key in ("name", "namespace")}
    body = {
        **{key: stored[key] for key in ("apiVersion", "kind")},
        "metadata": {**owned.get("metadata", {}), **identity},
        "spec": merged(owned.get("spec", {}), missing),
    }
    return Patched(definition, body, tuple(_conflicts(stored, missing)))


def merged(value: Any, patch: Any) -> Any:
    """The value with a merge patch in it: mappings are merged, null removes, everything else (lists too) is replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), item)
    return result


def owned_part(value: Any, tree: Json) -> Any:
    """The part of a value that a tree of fieldsV1 names."""
    inner = {token: below for token, below in tree.items() if token != "."}
    if not inner:
        return {} if "." in tree and isinstance(value, dict) else value
    if isinstance(value, list):
        return [part for part in (_owned_element(item, inner) for item in value) if part is not None]
    found = {token.removeprefix("f:"): below for token, below in inner.items()}
    return {key: owned_part(value[key], below) for key, below in found.items() if key in value}


def _owned_element(item: Any, tree: Json) -> Any:
    """The owned part of an element of a list whose elements are known by keys ("k:") or by themselves ("v:")."""
    for token, below in tree.items():
        kind, _unused, text = token.partition(":")
        wanted = json.loads(text)
        if kind == "v" and wanted == item:
            return item
        if kind == "k" and isinstance(item, dict) and all(item.get(key) == value for key, value in wanted.items()):
            return owned_part(item, below)
    return None


def _conflicts(stored: Json, missing: Json) -> Iterator[str]:
    for path, value in _leaves(missing, ("spec",)):
        owners = {entry["manager"] for entry in stored["metadata"].get("managedFields", []) if _owns(entry.get("fieldsV1") or {}, path)}
        others = sorted(owners - _OURS)
        if value is None and not owners:
            others = [_UNKNOWN]
        for manager in others:
            yield f"field {'.'.join(path)} belongs to manager {manager}; change it where that manager has it from, or leave this tenant out"


def _leaves(patch: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in patch.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _owns(tree: Json, path: tuple[str, ...]) -> bool:
    """Whether a manager owns a field, something in it, or what contains it as a whole."""
    for key in path:
        if f"f:{key}" not in tree:
            return False
        tree = tree[f"f:{key}"]
        if not tree:
            return True
    return True
