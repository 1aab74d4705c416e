# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One DataStore: is it usable, who uses it; its status says so."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import events, reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.events import Recorder
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.metrics import Metrics
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.budgets import Scope, keep_budgets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import Opener, observe, write_status
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Cluster

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
        settings: Settings,
    ) -> None:
        self._client, self._cache, self._opener, self._settings = client, cache, opener, settings
        self._recorder, self._metrics, self._resync = recorder, metrics, resync
        self._failures = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)
        # When the data of a store's tenants was measured last, on the monotonic clock.
        self._measured: dict[str, float] = {}

    def reconcile(self, name: str) -> float | None:
        """Ask the store once; return after how many seconds to ask again, None when only a change is a reason to."""
        live = self._cache.datastore(name)
        if live is None or is_paused(live) or live["metadata"].get("deletionTimestamp"):
            self._failures.reset(name)
            return None
        try:
            using = [f"{key[0]}/{key[1]}" for key, summary in self._cache.tenants().items() if name in summary.share.stores]
            observed = observe(self._client, live, reader=self._cache.whole(), opener=self._opener, used_by=using)
            write_status(self._client, observed, self._settings.now())
            fault, reason = observed.fault, "DatastoreFailed"
        except (ConflictError, Pending):
            return self._failures.next_s(name)
        except HostedKubernetesError as error:
            fault, reason = error.msg, reasons.of_error(error)
        if fault is None:
            self._failures.reset(name)
            self._keep_budgets(name, live)
            return spread(self._resync.total_seconds())
        self._metrics.failed(reason)
        _log.warning("%s", fault, extra={"datastore": name, "reason": reason})
        self._recorder.record(live, events.WARNING, reason, fault)
        return self._failures.next_s(name)

    def _keep_budgets(self, name: str, live: Json) -> None:
        """Measure the tenants that have a budget in a store. It costs as much as reading them, so not with every change of a tenant."""
        now = time.monotonic()
        if now < self._measured.get(name, -math.inf) + self._resync.total_seconds() / 2:
            return
        self._measured[name] = now
        try:
            result = keep_budgets(
                self._client, self._settings, Scope(name, self._cache.serves), reader=self._cache.whole(), opener=self._opener
            )
        except HostedKubernetesError as error:
            self._metrics.failed("BudgetFailed")
            _log.warning("%s", error.msg, extra={"datastore": name, "reason": "BudgetFailed"})
            self._recorder.record(live, events.WARNING, "BudgetFailed", error.msg)
            result = error.result
        for tenant in dict.fromkeys(change["tenant"] for change in result.get("plan", ()) if change["cluster"] == Cluster.TENANT.value):
            namespace, _slash, tenant_name = tenant.partition("/")
            resource = self._cache.tenant((namespace, tenant_name))
            if resource is not None:
                limited = any(item["write_limited"] for item in result["budgets"] if item["tenant"] == tenant)
                note = "new objects and changes are refused" if limited else "writing is free again"
                self._recorder.record(
                    resource, events.WARNING if limited else events.NORMAL, "DataBudget", f"{note}: see condition WithinBudget"
                )
