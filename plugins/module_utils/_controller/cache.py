# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The management cluster as watches tell it, and views of it that can be read as the API server can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, Resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.reflector import SILENCE_S, Reflector
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Changed, Store
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.summary import TenantSummary, summarise
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client, ListResult
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.generators import SELECTIONS as OF_GENERATORS
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import SELECTIONS, Selection, TenantKey

_Objects = list[Json]
_DATASTORES: Final = Selection("DataStore")
_TENANTS: Final = next(item for item in SELECTIONS if item.kind == "TenantControlPlane")
# Nothing secret, and needed whole also by who serves few namespaces: whose names and ports collide, who uses a DataStore.
_EVERYWHERE: Final = ("Namespace", "TenantControlPlane", "DataStore", "KubeconfigGenerator")


class Cache:
    """One store and one watch per list (and namespace, where not all are served).

    namespaces: those that are served; empty for all. listener: is told of what changed, from the threads of the watches.
    """

    def __init__(self, namespaces: Sequence[str], listener: Callable[[Changed], None]) -> None:
        self._namespaces = tuple(namespaces)
        selections = dict.fromkeys((*SELECTIONS, *OF_GENERATORS, _DATASTORES))
        self._stores: dict[tuple[str, str | None], Store[Any]] = {
            (item.kind, item.label_selector): Store(item, self._scopes(item), listener, summarise if item == _TENANTS else _nothing)
            for item in selections
        }

    def start(self, client: Client, stop: threading.Event, *, silence_s: float = SILENCE_S) -> list[Reflector]:
        """Begin to watch. The threads end when stop is set and the client is closed."""
        reflectors = [
            Reflector(client, store, namespace, stop, silence_s=silence_s)
            for store in self._stores.values()
            for namespace in self._scopes(store.selection)
        ]
        for reflector in reflectors:
            reflector.start()
        return reflectors

    @property
    def unsynced(self) -> list[str]:
        """The lists that were not read yet."""
        return sorted({store.selection.kind for store in self._stores.values() if not store.is_synced})

    def serves(self, namespace: str) -> bool:
        return not self._namespaces or namespace in self._namespaces

    def tenants(self) -> dict[TenantKey, TenantSummary]:
        """All tenants of the management cluster, those of other namespaces too."""
        return self._store(_TENANTS.kind).summaries()

    def tenant(self, key: TenantKey) -> Json | None:
        return self._store(_TENANTS.kind).get(key)

    def datastores(self) -> list[str]:
        return [name for _namespace, name in self._store("DataStore").summaries()]

    def datastore(self, name: str) -> Json | None:
        return self._store("DataStore").get(("", name))

    def has_generators(self) -> bool:
        """Whether there is a generator, or a Secret of one that may be gone. They belong to no namespace, so only who serves all keeps them."""
        return not self._namespaces and any(len(self._stores[item]) for item in _GENERATOR_SIGNS)

    def of_tenant(self, key: TenantKey) -> TenantView:
        return TenantView(self._store, key)

    def whole(self) -> WholeView:
        return WholeView(self._store)

    def _store(self, kind: str, label_selector: str | None = None) -> Store[Any]:
        return self._stores[kind, label_selector]

    def _scopes(self, selection: Selection) -> tuple[str | None, ...]:
        return self._namespaces if self._namespaces and selection.kind not in _EVERYWHERE else (None,)


class WholeView:
    """A Reader of everything that is watched, without regard to namespaces; a list is known by its kind and label selector."""

    def __init__(self, store: Callable[[str, str | None], Store[Any]]) -> None:
        self._store = store

    def get(self, resource: Resource, name: str, namespace: str = "", *, metadata_only: bool = False) -> Json | None:
        return self._store(resource.kind, None).get((namespace, name))

    def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ListResult:
        return ListResult(self._selected(resource.kind, label_selector), "")

    def _selected(self, kind: str, label_selector: str | None) -> _Objects:
        return self._store(kind, label_selector).all()


class TenantView(WholeView):
    """A Reader of what belongs to one tenant, whatever selector its lists are asked for with."""

    def __init__(self, store: Callable[[str, str | None], Store[Any]], key: TenantKey) -> None:
        super().__init__(store)
        self._key = key

    def _selected(self, kind: str, label_selector: str | None) -> _Objects:
        selection = next(item for item in SELECTIONS if item.kind == kind)
        store = self._store(kind, selection.label_selector)
        if selection.label_selector:
            return store.of_tenant(self._key)
        found = store.get(("", self._key[0]) if kind == "Namespace" else self._key)
        return [] if found is None else [found]


def _nothing(_obj: Json) -> None:
    return None


_GENERATOR_SIGNS: Final = (("KubeconfigGenerator", None), ("Secret", names.LABEL_MANAGED_BY))
