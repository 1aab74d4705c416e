# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datastores one call works with: each is opened once, whatever the number of its tenants."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import KIND, MissingCredentialError, check
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import (
    PASSWORD,
    Driver,
    Isolation,
    IsolationState,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import (
    Opener,
    OpenStore,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView


class Stores:
    """Use inside a `with` block, which closes what was opened. Safe to use from several threads.

    reader: where DataStores are read.
    """

    def __init__(self, reader: Reader, opener: Opener) -> None:
        self._reader, self._opener = reader, opener
        self._stack = ExitStack()
        self._open: dict[str, OpenStore | HostedKubernetesError | None] = {}
        self._users: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Stores:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def driver(self, name: str) -> Driver:
        """Return the driver of a store. Raises what kept it from being opened."""
        store = self._get(name)
        if isinstance(store, HostedKubernetesError):
            raise store
        if store is None:
            raise InvalidError(f"DataStore {name} does not exist")
        return store.driver

    def knows_passwords(self, name: str) -> bool:
        """Whether a store knows its users by a password; False for one that cannot be opened."""
        store = self._get(name)
        return isinstance(store, OpenStore) and PASSWORD in store.driver.parts

    def views(
        self, name: str, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False
    ) -> dict[Isolation, DatastoreView | None]:
        """Ask a store about its tenants with as few calls as its driver needs. None for each when it does not exist."""
        store = self._get(name)
        if store is None:
            return dict.fromkeys(isolations)
        if isinstance(store, HostedKubernetesError):
            view = DatastoreView(name, "", (), b"", None, None, store.msg)
            return dict.fromkeys(isolations, view)
        try:
            states = store.driver.observe(isolations, detailed=detailed, keys=keys)
        except DatastoreError as error:
            self._opener.distrust(name, error)
            return {isolation: _view(store, None, error.msg) for isolation in isolations}
        self._opener.trust(name)
        return {isolation: _view(store, states[isolation.schema], "") for isolation in isolations}

    def recorded_users(self) -> Mapping[str, frozenset[str]]:
        """Of each store that was asked for and exists: the tenants (namespace/name) in status.usedBy as it was read then."""
        return self._users

    def distrust(self, error: DatastoreError) -> None:
        """Something that was done with one of them failed."""
        for name in tuple(self._open):
            self._opener.distrust(name, error)

    def _get(self, name: str) -> OpenStore | HostedKubernetesError | None:
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(name)
            return self._open[name]

    def _opened(self, name: str) -> OpenStore | HostedKubernetesError | None:
        live = self._reader.get(resource_of(KIND), name)
        if live is None:
            return None
        self._users[name] = frozenset((live.get("status") or {}).get("usedBy") or ())
        try:
            return self._stack.enter_context(self._opener.open(check(live)))
        except (DatastoreError, InvalidError, MissingCredentialError) as error:
            return error


def _view(store: OpenStore, state: IsolationState | None, error: str) -> DatastoreView:
    credentials, datastore = store.credentials, store.datastore
    certificate = credentials.ca_certificate or b""
    return DatastoreView(
        name=datastore.name,
        driver=datastore.driver,
        endpoints=tuple(str(endpoint) for endpoint in datastore.endpoints),
        ca_certificate=certificate,
        ca=KeyPair(certificate, credentials.ca_key) if credentials.ca_key else None,
        state=state,
        error=error,
    )
