# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of several replicas one works: the one that has the Lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import HeldLease, LeaseHeldError, Sightings

LEASE: Final = "hosted-kubernetes-controller"
_RETRY_S: Final = 2.0

_log = logging.getLogger("hosted_kubernetes.controller.leader")


class Election:
    """One replica's part in it. identity: its name; the same after a restart, it goes on at once."""

    def __init__(
        self, client: Client, namespace: str, identity: str, stop: threading.Event, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client, self._namespace, self._identity, self._stop, self._now = client, namespace, identity, stop, now
        self._sightings: Sightings = {}

    @contextmanager
    def won(self) -> Iterator[HeldLease | None]:
        """Wait until this replica is the one; None when it was stopped before. The Lease is given back at the end of the block."""
        told = ""
        while not self._stop.is_set():
            lease = self._lease()
            try:
                lease.__enter__()
            except HostedKubernetesError as error:
                if not isinstance(error, LeaseHeldError) or not told:
                    _log.info("%s", error.msg)
                    told = error.msg
                self._stop.wait(_RETRY_S)
                continue
            try:
                yield lease
            finally:
                lease.__exit__(None, None, None)
            return
        yield None

    def _lease(self) -> HeldLease:
        return HeldLease(
            self._client,
            self._namespace,
            LEASE,
            subject="Controller",
            labels={names.LABEL_PROJECT: names.PROJECT},
            holder=self._identity,
            now=self._now,
            wait_s=0,
            say=lambda _text: None,
            sightings=self._sightings,
        )
