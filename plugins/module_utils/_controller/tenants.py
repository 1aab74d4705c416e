# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tenant, one step: look in the cache, have the engine do what can be done now, tell of it, and say when to look again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import events, reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.events import Recorder
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.metrics import Metrics
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.summary import TenantSummary, earlier, neighbours
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.deletion import Absent
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Change
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored import desired_of, write_refusal
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 300.0
# What is waited for announces itself, mostly by a watch; what does not is asked for.
_FIRST_LOOK_S: Final = 1.0
_LONGEST_LOOK_S: Final = 30.0
# What takes some seconds is not worth an event.
_LOOKS_UNTOLD: Final = 3
_MOST_SHOWN: Final = 5
# Of a tenant that sleeps, watches tell everything but what happens to its share of the datastore.
_SLEEPERS_RESYNC: Final = 6

_log = logging.getLogger("hosted_kubernetes.controller")


@dataclass(frozen=True)
class Timing:
    """resync: everything is looked at again after about so long, also where no watch told of a change: inside tenants, in datastores.

    renew_before: certificates are made anew so long before they end.
    """

    resync: timedelta
    renew_before: timedelta


class Tenants:
    """Safe to use from many threads, about different tenants."""

    def __init__(
        self,
        client: Client,
        engine: Engine,
        cache: Cache,
        recorder: Recorder,
        metrics: Metrics,
        timing: Timing,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._engine, self._cache = client, engine, cache
        self._recorder, self._metrics, self._timing, self._now = recorder, metrics, timing, now
        self._failures = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)
        self._looks = Backoff(_FIRST_LOOK_S, _LONGEST_LOOK_S)
        # Those that wait for a turn to start their pods, in order.
        self._queue: dict[TenantKey, None] = {}
        self._exposures = Backoff(_FIRST_LOOK_S, timing.resync.total_seconds())

    def reconcile(self, key: TenantKey) -> float | None:
        """Make one step; return after how many seconds to look again, None when only a change is a reason to."""
        resource = self._cache.tenant(key)
        if resource is None:
            self._forget(key)
            return None
        if is_paused(resource):
            self._forget(key)
            self._recorder.record(
                resource, events.NORMAL, "Paused", "is left as it is while it has the annotation kamaji.clastix.io/paused"
            )
            return None
        tenants = self._cache.tenants()
        if key not in tenants:
            return None
        deleting = resource["metadata"].get("deletionTimestamp")
        outcome = self._removed(resource, neighbours(tenants, key)) if deleting else self._kept(key, resource, earlier(tenants, key))
        self._tell(resource, outcome)
        return self._again_after(key, resource, outcome)

    def next_in_turn(self) -> TenantKey | None:
        """Who has waited longest for a turn to start pods; it has to ask for it again."""
        with contextlib.suppress(StopIteration, RuntimeError):  # another thread was faster
            key = next(iter(self._queue))
            self._queue.pop(key, None)
            return key
        return None

    def _kept(self, key: TenantKey, resource: Json, first: list[TenantKey]) -> Outcome:
        found = [item for item in map(self._cache.tenant, first) if item is not None]
        try:
            desired = desired_of(resource, found, self._timing.renew_before)
        except InvalidError as error:
            return self._refused(resource, error)
        (outcome,) = self._engine.present([desired], self._cache.of_tenant(key))
        return outcome

    def _refused(self, resource: Json, error: InvalidError) -> Outcome:
        outcome = Outcome(_name(resource), error=error.msg, failure=error)
        try:
            write_refusal(self._client, resource, error.msg, self._now())
        except ConflictError:
            return Outcome(_name(resource), pending="was changed meanwhile")
        except HostedKubernetesError as failure:
            return Outcome(_name(resource), error=failure.msg, failure=failure)
        return outcome

    def _removed(self, resource: Json, others: dict[str, Share]) -> Outcome:
        (outcome,) = self._engine.absent([Absent(resource, others)])
        return outcome

    # What comes of it

    def _tell(self, resource: Json, outcome: Outcome) -> None:
        self._metrics.reconciled(outcome)
        about = {"tenant": outcome.tenant}
        if outcome.changes:
            note = _changes_note(outcome.changes)
            _log.info("%s", note, extra={**about, "changes": len(outcome.changes), "seconds": outcome.durations})
            reason = "Deleted" if resource["metadata"].get("deletionTimestamp") else reasons.of_changes(outcome.changes)
            self._recorder.record(resource, events.NORMAL, reason, note)
        if outcome.failure is not None:
            reason = reasons.of_error(outcome.failure)
            self._metrics.failed(reason)
            _log.warning("%s", outcome.error, extra={**about, "reason": reason})
            self._recorder.record(resource, events.WARNING, reason, outcome.error)
        elif outcome.pending:
            _log.info("%s", outcome.pending, extra={**about, "reason": "Pending"})
            if self._looks.tries((resource["metadata"]["namespace"], resource["metadata"]["name"])) >= _LOOKS_UNTOLD:
                self._recorder.record(resource, events.NORMAL, "Pending", outcome.pending)

    def _again_after(self, key: TenantKey, resource: Json, outcome: Outcome) -> float | None:
        if outcome.failure is not None:
            self._looks.reset(key)
            return self._failures.next_s(key)
        self._failures.reset(key)
        if outcome.awaits_turn:
            self._queue.setdefault(key)
        else:
            self._queue.pop(key, None)
        if outcome.pending:
            return self._looks.next_s(key)
        self._looks.reset(key)
        if resource["metadata"].get("deletionTimestamp"):
            self._recorder.forget(resource["metadata"]["uid"])
            return None
        if not _lacks_exposure(outcome):
            self._exposures.reset(key)
            factor = _SLEEPERS_RESYNC if _phase(outcome) == "Sleeping" else 1
            return min(spread(factor * self._timing.resync.total_seconds()), self._until_renewal(key))
        return self._exposures.next_s(key)

    def _until_renewal(self, key: TenantKey) -> float:
        """Seconds until the next certificate is due; what is due already and was not renewed waits for the next look."""
        tenants = self._cache.tenants()
        summary: TenantSummary | None = tenants.get(key)
        due = [end - self._timing.renew_before - self._now() for end in (summary.ends.values() if summary else ())]
        return min((item.total_seconds() for item in due if item > timedelta(0)), default=float("inf"))

    def _forget(self, key: TenantKey) -> None:
        self._queue.pop(key, None)
        for backoff in (self._failures, self._looks, self._exposures):
            backoff.reset(key)


def _lacks_exposure(outcome: Outcome) -> bool:
    """Whether an awake tenant's published endpoint did not answer: nothing tells when it does."""
    conditions = {item["type"]: item["status"] for item in outcome.status.get("conditions") or []}
    return _phase(outcome) in ("Ready", "WriteLimited") and conditions.get("Exposed") == "False"


def _phase(outcome: Outcome) -> str:
    return str(((outcome.status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""))


def _changes_note(changes: list[Change]) -> str:
    shown = ", ".join(f"{change.object.kind} {change.object.name} ({change.action.value})" for change in changes[:_MOST_SHOWN])
    more = f" and {len(changes) - _MOST_SHOWN} more" if len(changes) > _MOST_SHOWN else ""
    return f"made {len(changes)} changes: {shown}{more}"


def _name(resource: Json) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
