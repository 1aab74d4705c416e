# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is told. Names that begin with kamaji_ are the reference's, so that its dashboards and alerts go on; others are ours.

What concerns single tenants is worked out from the cache when somebody asks, so that nothing of a deleted tenant stays.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.library import (
    CollectorRegistry,
    Counter,
    Gauge,
    GaugeMetricFamily,
    GCCollector,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.work_queue import WorkQueue
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Call
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CHANGES: Final = (1, 2, 5, 10, 20, 50)


class Metrics:
    """Counters and histograms of one process. Safe to use from many threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._seconds = Histogram(
            "kamaji_handler_time_seconds", "Time spent on one phase of a tenant", ["handler"], buckets=_SECONDS, registry=self.registry
        )
        self._steps = Counter(
            "hosted_kubernetes_reconcile_total",
            "Looks at tenants by result: none, changed, pending, failed",
            ["result"],
            registry=self.registry,
        )
        self._changes = Histogram(
            "hosted_kubernetes_plan_changes", "Changes made at once to one tenant", buckets=_CHANGES, registry=self.registry
        )
        self._errors = Counter("hosted_kubernetes_errors_total", "What failed, by reason", ["reason"], registry=self.registry)
        self._requests = Counter(
            "rest_client_requests_total",
            "Requests to the management cluster; code 0: no answer",
            ["method", "code"],
            registry=self.registry,
        )
        self.leading = Gauge("hosted_kubernetes_leading", "1 while this replica is the one that works", registry=self.registry)
        Gauge("kamaji_build_info", "The version that runs", ["version"], registry=self.registry).labels(ENGINE_VERSION).set(1)

    def watch(self, cache: Cache, queue: WorkQueue, renew_before: timedelta) -> None:
        """Tell of tenants and of what waits to be looked at, too."""
        # Anything with collect() is one.
        self.registry.register(cast(Any, _Fleet(cache, renew_before)))
        depth = Gauge("workqueue_depth", "Tenants, datastores and generators that wait to be looked at", registry=self.registry)
        depth.set_function(queue.depth)

    def reconciled(self, outcome: Outcome) -> None:
        """One look at a tenant is over."""
        result = "failed" if outcome.error else "pending" if outcome.pending else "changed" if outcome.changes else "none"
        self._steps.labels(result).inc()
        if outcome.changes:
            self._changes.observe(len(outcome.changes))
        for phase, seconds in outcome.durations.items():
            self._seconds.labels(phase).observe(seconds)

    def failed(self, reason: str) -> None:
        self._errors.labels(reason).inc()

    def called(self, call: Call) -> None:
        """A request was answered."""
        self._requests.labels(call.method, str(call.status)).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Fleet:
    """Tenants and datastores as they are in the cache at the moment."""

    def __init__(self, cache: Cache, renew_before: timedelta, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._cache, self._renew_before, self._now = cache, renew_before, now

    def collect(self) -> Iterator[Metric]:
        yield from self._tenants()
        yield self._certificates()
        yield from self._datastores()

    def _tenants(self) -> Iterator[Metric]:
        tenant = ["namespace", "name"]
        info = _gauge("kamaji_tenant_control_plane_info", "Tenants", [*tenant, "version", "datastore", "endpoint"])
        status = _gauge("kamaji_tenant_control_plane_status", "The phase of each tenant", [*tenant, "status"])
        current = _gauge("kamaji_tenant_control_planes_current", "Tenants by phase", ["status"])
        expiry = _gauge("hosted_kubernetes_certificate_expiry_seconds", "When the first certificate ends (seconds since 1970)", tenant)
        phases: Count[str] = Count()
        for key, summary in self._cache.tenants().items():
            phase = summary.phase or "Unknown"
            phases[phase] += 1
            info.add_metric([*key, summary.version, summary.share.store, summary.endpoint], 1)
            status.add_metric([*key, phase], 1)
            if summary.ends:
                expiry.add_metric(key, min(summary.ends.values()).timestamp())
        for phase, count in phases.items():
            current.add_metric([phase], count)
        yield from (info, status, current, expiry)

    def _certificates(self) -> Metric:
        found: Count[tuple[str, str]] = Count()
        now = self._now()
        for summary in self._cache.tenants().values():
            for name, end in summary.ends.items():
                strategy = "kubeconfig" if name.endswith("-kubeconfig") else "x509"
                state = "invalid" if end <= now else "expiring" if end <= now + self._renew_before else "valid"
                found[state, strategy] += 1
        certificates = _gauge("kamaji_certificates_current", "Certificates of all tenants", ["status", "strategy"])
        for labels, count in found.items():
            certificates.add_metric(labels, count)
        return certificates

    def _datastores(self) -> Iterator[Metric]:
        info = _gauge("kamaji_datastore_info", "DataStores", ["name", "driver"])
        status = _gauge("kamaji_datastore_status", "1 for a DataStore that can be used", ["name"])
        current = _gauge("kamaji_datastores_current", "How many DataStores there are", [])
        names = self._cache.datastores()
        for name in names:
            live = self._cache.datastore(name) or {}
            info.add_metric([name, str((live.get("spec") or {}).get("driver", ""))], 1)
            status.add_metric([name], float(bool((live.get("status") or {}).get("ready"))))
        current.add_metric([], len(names))
        yield from (info, status, current)


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
