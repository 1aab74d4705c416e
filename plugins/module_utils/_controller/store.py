# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watches of one kind have told, packed: an object takes a tenth of what it would as Python objects, and is rarely looked at."""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_problem, pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import Selection, TenantKey

ObjectKey = tuple[str, str]  # namespace ("" of cluster-scoped objects), name
Summary = TypeVar("Summary")


class Changed(NamedTuple):
    """An object that came, went, or differs in what matters. tenant: whose object it is, by label. summary: what was kept of it last."""

    kind: str
    key: ObjectKey
    tenant: TenantKey | None
    summary: Any = None


@dataclass(frozen=True, slots=True)
class _Item(Generic[Summary]):
    """mark: fingerprint of what calls for a look when it changes. summary: what is needed of all objects at once."""

    mark: bytes
    tenant: TenantKey | None
    summary: Summary
    packed: bytes


class Store(Generic[Summary]):
    """Objects of one kind. Safe to use from many threads; the listener is called without a lock.

    namespaces: where they are watched; [None] for everywhere. summarise: what to keep of each object unpacked.
    """

    def __init__(
        self,
        selection: Selection,
        namespaces: Iterable[str | None],
        listener: Callable[[Changed], None],
        summarise: Callable[[Json], Summary],
    ) -> None:
        self.selection = selection
        self._listener, self._summarise = listener, summarise
        self._items: dict[ObjectKey, _Item[Summary]] = {}
        self._of_tenant: dict[TenantKey, set[ObjectKey]] = {}
        self._missing = set(namespaces)
        self._unserved: NotFoundError | None = None
        self._lock = threading.Lock()

    @property
    def is_synced(self) -> bool:
        """Whether everything was listed once, or is not served."""
        return not self._missing

    # Written by reflectors

    def replace(self, namespace: str | None, objects: Iterable[Json]) -> None:
        """Take over a list: what is not in it any more is gone."""
        self._unserved = None
        listed = {_key(obj): obj for obj in objects}
        with self._lock:
            gone = [key for key in self._items if key not in listed and namespace in (None, key[0])]
        for key in gone:
            self._drop(key)
        for obj in listed.values():
            self.put(obj)
        self._missing.discard(namespace)

    def put(self, obj: Json) -> None:
        key, item = _key(obj), self._packed(obj)
        with self._lock:
            before = self._items.get(key)
            self._items[key] = item
            if before is None or before.tenant != item.tenant:
                self._unindex(key, before)
                if item.tenant:
                    self._of_tenant.setdefault(item.tenant, set()).add(key)
        if before is None or before.mark != item.mark:
            self._listener(Changed(self.selection.kind, key, item.tenant, item.summary))

    def remove(self, obj: Json) -> None:
        self._drop(_key(obj))

    def not_served(self, namespace: str | None, error: NotFoundError) -> None:
        """The server does not know the kind, and need not."""
        self._unserved = error
        self._missing.discard(namespace)

    def _drop(self, key: ObjectKey) -> None:
        with self._lock:
            before = self._items.pop(key, None)
            self._unindex(key, before)
        if before is not None:
            self._listener(Changed(self.selection.kind, key, before.tenant, before.summary))

    def _packed(self, obj: Json) -> _Item[Summary]:
        metadata = obj["metadata"]
        tenant = (metadata.get("labels") or {}).get(names.LABEL_NAME)
        return _Item(
            mark=hashlib.blake2b(_text(_significant(self.selection.kind, obj)), digest_size=8).digest(),
            tenant=(metadata["namespace"], tenant) if tenant and metadata.get("namespace") else None,
            summary=self._summarise(obj),
            packed=zlib.compress(_text(obj), 1),
        )

    def _unindex(self, key: ObjectKey, item: _Item[Summary] | None) -> None:
        if item is not None and item.tenant:
            keys = self._of_tenant.get(item.tenant, set())
            keys.discard(key)
            if not keys:
                self._of_tenant.pop(item.tenant, None)

    # Read by everybody

    def get(self, key: ObjectKey) -> Json | None:
        self._raise_unserved()
        with self._lock:
            item = self._items.get(key)
        return _unpacked(item) if item else None

    def of_tenant(self, tenant: TenantKey) -> list[Json]:
        """The objects that carry a tenant's label."""
        self._raise_unserved()
        with self._lock:
            items = [self._items[key] for key in sorted(self._of_tenant.get(tenant, ()))]
        return [_unpacked(item) for item in items]

    def all(self) -> list[Json]:
        self._raise_unserved()
        with self._lock:
            items = list(self._items.values())
        return [_unpacked(item) for item in items]

    def __len__(self) -> int:
        return len(self._items)

    def summaries(self) -> dict[ObjectKey, Summary]:
        with self._lock:
            return {key: item.summary for key, item in self._items.items()}

    def _raise_unserved(self) -> None:
        if self._unserved is not None:
            raise self._unserved


def _key(obj: Json) -> ObjectKey:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _significant(kind: str, obj: Json) -> Any:
    """What of an object calls for a look at its tenant when it differs."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if kind in ("TenantControlPlane", "DataStore", "KubeconfigGenerator"):
        # Their status is written by us. News for others is whether a DataStore can be used, and which one a tenant uses.
        kept = {name: value for name, value in metadata.items() if name not in ("resourceVersion", "managedFields")}
        return [
            kept,
            status.get("ready"),
            (status.get("storage") or {}).get("dataStoreName"),
            (status.get("hosted") or {}).get("dataStores"),
        ]
    if kind == "Namespace":
        return [metadata.get("labels"), metadata.get("deletionTimestamp")]
    if kind == "Pod":
        return [metadata["uid"], metadata.get("deletionTimestamp"), pod_ready(obj), pod_problem(obj)]
    return metadata["resourceVersion"]


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _unpacked(item: _Item[Any]) -> Json:
    found: Json = json.loads(zlib.decompress(item.packed))
    return found
