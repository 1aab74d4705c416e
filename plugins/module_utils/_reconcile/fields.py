# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server-side apply of an object would change, decided without asking the server.

Two things are drift: a desired value that the live object lacks or has otherwise, and a field that our manager still
owns (metadata.managedFields) but that is no longer desired: applying without it takes its effect away.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ and the list types in Kubernetes' OpenAPI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import quantity
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown

# Associative lists of the kinds we write: field name → merge keys (x-kubernetes-list-map-keys).
_LIST_KEYS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "imagePullSecrets": (("name",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "hostAliases": (("ip",),),
    "ownerReferences": (("uid",),),
    "conditions": (("type",),),
}
_KEY_DEFAULTS: Final = {"protocol": "TCP"}
# What the server fills in inside elements of lists that have no merge key.
_SERVER_DEFAULTS: Final = frozenset(
    {"protocol", "apiGroup", "apiVersion", "kind", "defaultMode", "mode", "expirationSeconds", "optional", "volumeMode", "status"}
)
# Maps of built-in types that are replaced as a whole (x-kubernetes-map-type: atomic): a key somebody added is drift.
_ATOMIC_MAPS: Final = frozenset({"selector", "podSelector", "namespaceSelector", "labelSelector", "nodeSelector"})
# The same in custom resources of ours.
_ATOMIC_CUSTOM_MAPS: Final = frozenset({"namespaceSelector", "tenantControlPlaneSelector"})
_QUANTITY_PARENTS: Final = frozenset({"requests", "limits", "capacity"})
_QUANTITY_FIELDS: Final = frozenset({"sizeLimit"})


@dataclass(frozen=True)
class FieldChange:
    """One difference. path: dotted, list elements by key ("spec.ports[port=6443,protocol=TCP].name"); None means absent."""

    path: str
    before: Any
    after: Any


def diff(desired: Json, live: Json | None, manager: str) -> list[FieldChange]:
    """Return what applying `desired` as `manager` would change in `live`, in order of path; empty when nothing.

    An object that does not exist differs in each of its leaves. Identity and what only the server writes are left out.
    """
    body = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "status")}
    body["metadata"] = {k: v for k, v in body.get("metadata", {}).items() if k not in ("name", "namespace")}
    custom = desired.get("apiVersion") == KAMAJI_API_VERSION
    changes = list(_Comparison(custom).compare(body, live or {}, (), exact=False))
    if live is not None:
        changes += _removed(_owned(live, manager), body, live, ())
    return sorted(changes, key=lambda change: change.path)


MANAGERS: Final = "metadata.managedFields"


def without_manager(live: Json, manager: str) -> list[Json] | None:
    """metadata.managedFields without a manager's own entries; None when it has none. What it does to subresources stays its own."""
    entries: list[Json] = live["metadata"].get("managedFields") or []
    left = [entry for entry in entries if entry.get("manager") != manager or entry.get("subresource")]
    return left if left != entries else None


def owned_fields(live: Json, manager: str) -> Json:
    """The fieldsV1 tree of what `manager` applied to `live`; empty when it applied nothing."""
    return _owned(live, manager)


def emptied_maps(desired: Json, live: Json | None, manager: str) -> Json:
    """The merge patch that takes the last fields out of maps which are to be empty, but there; {} when there is no such map.

    Server-side apply leaves null where it removes all that a map held (structured-merge-diff), which a schema refuses.
    """
    return _emptied(desired.get("spec", {}), (live or {}).get("spec", {}), _owned(live or {}, manager).get("f:spec", {}), ("spec",))


def _emptied(desired: Json, live: Json, owned: Json, path: tuple[str, ...]) -> Json:
    patch: Json = {}
    for key, value in desired.items():
        found, mine = live.get(key), owned.get(f"f:{key}") or {}
        if not isinstance(value, dict) or not isinstance(found, dict):
            continue
        if not value and found and all(f"f:{name}" in mine for name in found):
            patch = _joined(patch, path, {key: dict.fromkeys(found)})
        elif value:
            patch = _joined(patch, (), _emptied(value, found, mine, (*path, key)))
    return patch


def _joined(patch: Json, path: tuple[str, ...], value: Json) -> Json:
    for key in reversed(path):
        value = {key: value}
    result = dict(patch)
    for key, item in value.items():
        both = isinstance(result.get(key), dict) and isinstance(item, dict)
        result[key] = _joined(result[key], (), item) if both else item
    return result


def equal_quantity(left: Any, right: Any) -> bool:
    """Whether two resource quantities are the same amount: "0.5" and "500m" are."""
    first, second = quantity(left), quantity(right)
    return first is not None and first == second


@dataclass(frozen=True)
class _Comparison:
    """custom: whether the object is a custom resource: it is stored as it was sent, and merged by the rules of its schema.

    The built-in types drop empty values instead, so that these do not differ from absent ones.
    """

    custom: bool

    def compare(self, desired: Any, live: Any, path: tuple[str, ...], *, exact: bool) -> Iterator[FieldChange]:
        """exact: whether everything below is ours, so that what we do not name must not be there (but for defaults)."""
        if isinstance(desired, dict) and isinstance(live, dict):
            exact = exact or (path[-1:] != () and path[-1] in (_ATOMIC_CUSTOM_MAPS if self.custom else _ATOMIC_MAPS))
            for key, value in desired.items():
                yield from self.compare(value, live.get(key), (*path, key), exact=exact)
            if exact:
                for key in sorted(live.keys() - desired.keys() - _SERVER_DEFAULTS):
                    yield FieldChange(_text((*path, key)), live[key], None)
        elif isinstance(desired, dict) and live is None and desired:
            for key, value in desired.items():
                yield from self.compare(value, None, (*path, key), exact=exact)
        elif _is_list(desired) and _is_list(live):
            yield from self._lists(desired, live, path, exact=exact)
        elif not self._same(desired, live, path):
            yield FieldChange(_text(path), live, desired)

    def _lists(self, desired: Sequence[Any], live: Sequence[Any], path: tuple[str, ...], *, exact: bool) -> Iterator[FieldChange]:
        keys = _merge_keys(path, desired or live)
        if keys:
            existing = {_key_of(item, keys): item for item in live}
            for item in desired:
                key = _key_of(item, keys)
                yield from self.compare(item, existing.pop(key, None), (*path, _element(keys, key)), exact=exact)
            for key, item in existing.items() if exact else ():
                yield FieldChange(_text((*path, _element(keys, key))), item, None)
        elif path[-1:] == ("finalizers",):
            for missing in [item for item in desired if item not in live]:
                yield FieldChange(_text((*path, f"[{missing}]")), None, missing)
        elif len(desired) == len(live) and all(isinstance(item, dict) for item in (*desired, *live)):
            for index, (wanted, found) in enumerate(zip(desired, live, strict=True)):
                yield from self.compare(wanted, found, (*path, f"[{index}]"), exact=True)
        elif list(desired) != list(live):
            yield FieldChange(_text(path), list(live), list(desired))

    def _same(self, desired: Any, live: Any, path: tuple[str, ...]) -> bool:
        if desired == live and isinstance(desired, bool) == isinstance(live, bool):
            return True
        if live is None and desired in ("", [], {}, None):
            return desired is None or not self.custom
        if has_unknown(desired):
            return False
        is_quantity = path[-2:-1] and path[-2] in _QUANTITY_PARENTS
        is_quantity = is_quantity or (path[-1:] and path[-1] in _QUANTITY_FIELDS)
        return bool(is_quantity and equal_quantity(desired, live))


def _removed(owned: Json, desired: Any, live: Any, path: tuple[str, ...]) -> Iterator[FieldChange]:
    for token, inner in owned.items():
        if token == ".":
            continue
        found, wanted, step = _step(token, live), _step(token, desired), (*path, _token_text(token))
        if found is None:
            continue
        if wanted is None:
            yield FieldChange(_text(step), found, None)
        elif inner:
            yield from _removed(inner, wanted, found, step)


def _step(token: str, value: Any) -> Any:
    """Follow one fieldsV1 token ("f:name", "k:{…}", "v:…") into a value; None where it leads nowhere."""
    kind, _unused, rest = token.partition(":")
    if kind == "f":
        return value.get(rest) if isinstance(value, dict) else None
    if not _is_list(value):
        return None
    if kind == "k":
        wanted = json.loads(rest)
        return next((item for item in value if all(_key(item, k) == v for k, v in wanted.items())), None)
    if kind == "v":
        scalar = json.loads(rest)
        return scalar if scalar in value else None
    return None


def _owned(live: Json, manager: str) -> Json:
    for entry in live.get("metadata", {}).get("managedFields", []):
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: Json = entry.get("fieldsV1", {})
            return fields
    return {}


def _merge_keys(path: tuple[str, ...], items: Sequence[Any]) -> tuple[str, ...]:
    name = path[-1] if path else ""
    for keys in _LIST_KEYS.get(name, ()):
        if items and all(isinstance(item, dict) and keys[0] in item for item in items):
            return keys
    return ()


def _key(item: Any, name: str) -> Any:
    return item.get(name, _KEY_DEFAULTS.get(name)) if isinstance(item, dict) else None


def _key_of(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(_key(item, name) for name in keys)


def _is_list(value: Any) -> bool:
    # What JSON knows; asking for the abstract types (here and for dict) took twice as long in all.
    return isinstance(value, (list, tuple))


def _element(keys: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return "[" + ",".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) + "]"


def _token_text(token: str) -> str:
    kind, _unused, rest = token.partition(":")
    if kind == "f":
        return rest
    if kind == "k":
        wanted = json.loads(rest)
        return _element(tuple(wanted), tuple(wanted.values()))
    return f"[{json.loads(rest)}]" if kind == "v" else f"[{rest}]"


def _text(path: tuple[str, ...]) -> str:
    text = ""
    for part in path:
        text += part if part.startswith("[") else f".{_quoted(part)}"
    return text.lstrip(".")


def _quoted(part: str) -> str:
    return f'"{part}"' if "." in part else part
