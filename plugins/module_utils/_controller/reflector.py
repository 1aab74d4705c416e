# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a store as one list of the API server is: LIST once, then WATCH for as long as it goes, and LIST again when it cannot go on."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.position import Position
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Store
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError

# The server ends a watch after this; chance spreads the watches of many.
_WATCH_S: Final = (300.0, 600.0)
# A server sends a bookmark every minute at least; one that is silent for longer may be gone without a word.
SILENCE_S: Final = 90.0

_log = logging.getLogger("hosted_kubernetes.controller.watch")


class Reflector(threading.Thread):
    """One watch, in a thread of its own. Ends when stop is set and the client is closed. namespace: None for all."""

    def __init__(
        self, client: Client, store: Store[Any], namespace: str | None, stop: threading.Event, *, silence_s: float = SILENCE_S
    ) -> None:
        super().__init__(name=f"watch {store.selection.kind} {namespace or ''}".rstrip(), daemon=True)
        self._client, self._store, self._namespace, self._stop_event, self._silence_s = client, store, namespace, stop, silence_s
        self._position = Position(optional=store.selection.optional)

    def run(self) -> None:
        while not self._stop_event.is_set():
            try:
                if self._position.version is None:
                    self._list()
                else:
                    self._watch()
            except HostedKubernetesError as error:
                self._pause(error)
            except Exception as error:  # noqa: BLE001  without its watch the controller would be blind, and nobody would notice
                _log.exception("an error that nobody foresaw; please report it")
                self._pause(HostedKubernetesError(str(error)))

    def _list(self) -> None:
        selection = self._store.selection
        listed = self._client.list(
            selection.resource,
            namespace=self._namespace,
            label_selector=selection.label_selector,
            metadata_only=selection.metadata_only,
        )
        self._store.replace(self._namespace, listed.items)
        self._position.listed(listed.resource_version)

    def _watch(self) -> None:
        selection = self._store.selection
        events = self._client.watch(
            selection.resource,
            namespace=self._namespace,
            label_selector=selection.label_selector,
            metadata_only=selection.metadata_only,
            resource_version=self._position.version,
            timeout_s=random.uniform(*_WATCH_S),
            silence_s=self._silence_s,
        )
        with contextlib.closing(events):
            for event in events:
                if event.type == "DELETED":
                    self._store.remove(event.object)
                elif event.type != "BOOKMARK":
                    self._store.put(event.object)
                self._position.seen(event.object["metadata"]["resourceVersion"])
        self._position.ended()

    def _pause(self, error: HostedKubernetesError) -> None:
        if self._stop_event.is_set():
            return
        if isinstance(error, NotFoundError) and self._store.selection.optional:
            self._store.not_served(self._namespace, error)
        pause_s = self._position.failed(error)
        _log.info("%s: %s; going on in %.1f s", self.name, error.msg, pause_s)
        self._stop_event.wait(pause_s)
