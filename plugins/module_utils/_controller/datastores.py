# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One DataStore: is it usable, who uses it; its status says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import events, reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.events import Recorder
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.metrics import Metrics
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import Opener, observe, write_status
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending

_FIRST_RETRY_S: Final = 2.0
_LONGEST_RETRY_S: Final = 60.0

_log = logging.getLogger("hosted_kubernetes.controller")


class DataStores:
    """Safe to use from many threads, about different DataStores."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        opener: Opener,
        recorder: Recorder,
        metrics: Metrics,
        resync: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._cache, self._opener = client, cache, opener
        self._recorder, self._metrics, self._resync, self._now = recorder, metrics, resync, now
        self._failures = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)

    def reconcile(self, name: str) -> float | None:
        """Ask the store once; return after how many seconds to ask again, None when only a change is a reason to."""
        live = self._cache.datastore(name)
        if live is None or is_paused(live) or live["metadata"].get("deletionTimestamp"):
            self._failures.reset(name)
            return None
        try:
            using = [f"{key[0]}/{key[1]}" for key, summary in self._cache.tenants().items() if name in summary.share.stores]
            observed = observe(self._client, live, reader=self._cache.whole(), opener=self._opener, used_by=using)
            write_status(self._client, observed, self._now())
            fault, reason = observed.fault, "DatastoreFailed"
        except (ConflictError, Pending):
            return self._failures.next_s(name)
        except HostedKubernetesError as error:
            fault, reason = error.msg, reasons.of_error(error)
        if fault is None:
            self._failures.reset(name)
            return spread(self._resync.total_seconds())
        self._metrics.failed(reason)
        _log.warning("%s", fault, extra={"datastore": name, "reason": reason})
        self._recorder.record(live, events.WARNING, reason, fault)
        return self._failures.next_s(name)
