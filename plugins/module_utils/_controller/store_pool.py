# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to datastores that are kept from one look to the next, and a pause for stores that failed.

A store that does not answer costs a worker seconds each time somebody asks. Therefore one alone tries a connection until it has answered once, and
after a failure one alone tries again every few seconds; all others, of whatever tenant, are told the same error at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DataStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import (
    DatastoreError,
    DatastoreTimeoutError,
    DatastoreUnreachableError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import Opener, OpenStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending

_RETRY_S: Final = 10.0
_SILENT: Final = (DatastoreUnreachableError, DatastoreTimeoutError)


@dataclass
class _Kept:
    """An open store. users: blocks that use it now. proven: it has answered. expired: the last of its users closes it."""

    datastore: DataStore
    store: OpenStore
    opened_at: float
    stack: ExitStack = field(repr=False)
    users: int = 0
    proven: bool = False
    expired: bool = False


class StorePool:
    """An Opener that keeps what it opened. Safe to use from many threads; close it after use.

    opener: what opens a store anew. longest_s: after so many seconds a store is opened anew, since the Secrets that its DataStore refers to
    are not watched.
    """

    def __init__(self, opener: Opener, longest_s: float) -> None:
        self._opener, self._longest_s = opener, longest_s
        self._kept: dict[str, _Kept] = {}
        self._failed: dict[str, tuple[DatastoreError, float]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self, datastore: DataStore) -> Iterator[OpenStore]:
        """A store to use inside a `with` block. Raises MissingCredentialError, DatastoreError; Pending while somebody else tries it."""
        with self._lock:
            self._refuse_failed(datastore.name)
            kept = self._current(datastore) or self._opened(datastore)
            if kept.users and not kept.proven:
                raise Pending(f"DataStore {datastore.name}: is just being tried; it is looked at again")
            kept.users += 1
        try:
            yield kept.store
        finally:
            with self._lock:
                kept.users -= 1
                self._close_unused(kept)

    def trust(self, name: str) -> None:
        with self._lock:
            self._failed.pop(name, None)
            if name in self._kept:
                self._kept[name].proven = True

    def distrust(self, name: str, error: DatastoreError) -> None:
        with self._lock:
            if isinstance(error, _SILENT):
                self._failed[name] = error, time.monotonic() + _RETRY_S
            self._expire(name)

    def close(self) -> None:
        with self._lock:
            for name in tuple(self._kept):
                self._expire(name)

    def _refuse_failed(self, name: str) -> None:
        error, until = self._failed.get(name, (None, 0.0))
        if error is None:
            return
        if time.monotonic() < until:
            raise error.with_traceback(None)
        # The caller tries; the others go on without it until it is known how that went.
        self._failed[name] = error, time.monotonic() + _RETRY_S

    def _current(self, datastore: DataStore) -> _Kept | None:
        kept = self._kept.get(datastore.name)
        if kept is None:
            return None
        if kept.datastore == datastore and time.monotonic() < kept.opened_at + self._longest_s:
            return kept
        self._expire(datastore.name)
        return None

    def _opened(self, datastore: DataStore) -> _Kept:
        """Nothing is asked of a store before its driver is used, so that opening one does not hold up others for long."""
        stack = ExitStack()
        store = stack.enter_context(self._opener.open(datastore))
        kept = self._kept[datastore.name] = _Kept(datastore, store, time.monotonic(), stack)
        return kept

    def _expire(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.expired = True
            self._close_unused(kept)

    def _close_unused(self, kept: _Kept) -> None:
        if kept.expired and not kept.users:
            kept.stack.close()
