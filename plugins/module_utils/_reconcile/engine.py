# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's front: make tenants exist, or not exist, or only say what that would take.

One call serves any number of tenants: they are observed together, with a constant number of calls, and worked on in
parallel. A tenant that needs nothing takes no Lease and writes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.capacity import free_processors
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import FreshOpener, Opener, record_use, wait_gone
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.deletion import Absent, plan_absent
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.execute import Clients, Executor
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import isolation_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import Sightings, TenantLease
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import observe_management, read_datastore_configs
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import (
    DatastoreView,
    Desired,
    Observed,
    is_paused,
    restore_problem,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending, TurnPending
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.placement import place
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Barrier, Cluster, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.replicas import settle
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.slots import Slots
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.starting import LONGEST_START_S
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import ready_condition
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stores import Stores
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Context, Outcome, TenantRun

_TENANTS_AT_ONCE: Final = 16
_FEWEST_STARTING: Final = 2


@dataclass(frozen=True)
class Settings:
    """How a call works. holder: who we are, for Leases. max_starting: API servers that start at a time; 0 derives it.

    wait_exposed: with wait, whether published endpoints must answer from here too. say: is told, from any thread, what the user must know;
    tell: the phases of each tenant that is being changed. patient: whether to wait for what is missing (timeout_s); otherwise a call makes
    what can be made now, and its outcomes say what is pending. turn_freed: is told when there is a turn to start pods again.
    """

    holder: str
    check: bool = False
    wait: bool = True
    wait_exposed: bool = True
    patient: bool = True
    timeout_s: float = 300
    max_starting: int = 0
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    say: Callable[[str], None] = field(default=lambda _text: None)
    tell: Callable[[str], None] = field(default=lambda _text: None)
    turn_freed: Callable[[], None] = field(default=lambda: None)
    after_change: Callable[[int], None] = field(default=lambda _count: None)


class Engine:
    """Works on the tenants of one management cluster.

    opener: how datastores are opened; by default anew with each call. Safe to use from several threads, about different tenants.
    """

    def __init__(self, client: Client, settings: Settings, opener: Opener | None = None) -> None:
        self._client, self._settings = client, settings
        self._opener = opener or FreshOpener(client)
        self._executor = Executor(settings.now, settings.after_change)
        # Who does not wait for pods to start cannot say either when they have.
        hold_s = math.inf if settings.patient else LONGEST_START_S
        self._starting = Slots(settings.max_starting or self._free_processors, hold_s=hold_s, freed=settings.turn_freed)
        self._sightings: Sightings = {}

    def present(self, tenants: Sequence[Desired], reader: Reader | None = None) -> list[Outcome]:
        """Make tenants what their definitions say; in check mode say what that would change. One outcome per tenant.

        A tenant that fails does not hold up the others: its outcome carries the error. One that is paused is left alone.
        reader: where it is looked whether there is anything to do, by default the API server; what is to be changed is looked at there anew.
        """
        started, reader = time.monotonic(), reader or self._client
        with Stores(reader, self._opener) as stores:
            context, jobs = self._context(stores), self._jobs(stores, tenants, reader)
            placed = [desired for desired, _observed in jobs]
            spent = time.monotonic() - started
            # A thread for each, since one that only waits for its pods lets another have its turn.
            with ThreadPoolExecutor(max_workers=len(jobs) or 1) as pool:
                outcomes = list(pool.map(lambda job: self._present(context, *job), jobs))
            for outcome in outcomes:
                outcome.durations["observe"] = round(spent, 3)
            self._record_use(stores, present=placed)
            for outcome in outcomes:
                if isinstance(outcome.failure, DatastoreError):
                    stores.distrust(outcome.failure)
        return outcomes

    def look(self, tenants: Sequence[Desired], describe: Callable[[TenantRun], Json]) -> list[Json]:
        """Observe tenants together and let `describe` look at each, several at a time. Nothing is changed."""
        with Stores(self._client, self._opener) as stores:
            context, jobs = self._context(stores), self._jobs(stores, tenants, self._client)

            def described(job: tuple[Desired, Observed]) -> Json:
                with TenantRun(context, *job) as run:
                    return describe(run)

            with ThreadPoolExecutor(max_workers=min(_TENANTS_AT_ONCE, len(jobs) or 1)) as pool:
                return list(pool.map(described, jobs))

    def absent(self, tenants: Sequence[Absent]) -> list[Outcome]:
        """Leave nothing of tenants behind, and prove it. One outcome per tenant."""
        observed = observe_management(self._client, [(item.namespace, item.name) for item in tenants], served=False)

        def remove(absent: Absent) -> Outcome:
            deletion = _Deletion(self._client, self._settings, self._executor, stores, self._lease, absent)
            return self._guarded(absent.key, lambda: deletion.run(observed[absent.namespace, absent.name]))

        with Stores(self._client, self._opener) as stores:
            with ThreadPoolExecutor(max_workers=min(_TENANTS_AT_ONCE, len(tenants) or 1)) as pool:
                outcomes = list(pool.map(remove, tenants))
            self._record_use(stores, absent=tenants)
        return outcomes

    def _present(self, context: Context, desired: Desired, observed: Observed) -> Outcome:
        context.working.take(desired.tenant.key)
        try:
            with TenantRun(context, desired, observed) as run:
                outcome = self._guarded(desired.tenant.key, lambda: self._run(run), run.outcome)
            if not self._settings.check and (outcome.changes or outcome.error):
                context.tell(f"{desired.tenant.key}: {outcome.error or 'done'}")
            return outcome
        finally:
            context.working.give_back(desired.tenant.key)

    def _run(self, run: TenantRun) -> Outcome:
        run.outcome.status = run.observed.status
        if is_paused(run.observed.resource):
            run.outcome.paused = (
                f"TenantControlPlane {run.desired.tenant.key}: is paused (annotation {names.ANNOTATION_PAUSED}) and left as it is; remove the "
                "annotation to let it be changed"
            )
            return run.outcome
        problem = restore_problem(run.observed.resource)
        if problem and not run.desired.held:
            raise HostedKubernetesError(f"TenantControlPlane {run.desired.tenant.key}: {problem}")
        run.look_inside()
        plan = self._plan(run)
        run.outcome.deferred, run.outcome.remarks = plan.deferred, plan.remarks
        if self._settings.check:
            if run.no_access and not plan:
                raise run.no_access
            run.outcome.changes = list(plan.changes)
            run.outcome.pods_problem = run.pods_problem
            return run.outcome
        if not plan:
            self._converge(run, may_change=False)
        elif not (self._settings.patient or plan.runnable()):
            # Nobody has to be kept away from what comes by itself.
            self._converge(run)
        if plan := run.plan():
            run.make_namespace(plan)
            with self._lease(run.desired.tenant.namespace, run.desired.tenant.name) as lease:
                run.guard = lease.check
                run.observe()
                run.record_stores()
                self._converge(run)
        return run.outcome

    def _plan(self, run: TenantRun) -> Plan:
        try:
            return run.plan()
        except HostedKubernetesError as error:
            if not self._settings.check:
                run.write_refusal(error.msg)
            raise

    def _converge(self, run: TenantRun, *, may_change: bool = True) -> None:
        try:
            run.converge(wait=self._settings.wait, may_change=may_change)
        finally:
            if run.observed.resource is not None and (may_change or not run.plan()):
                run.write_status()

    def _lease(self, namespace: str, name: str) -> TenantLease:
        settings = self._settings
        return TenantLease(
            self._client,
            namespace,
            name,
            holder=settings.holder,
            now=settings.now,
            wait_s=settings.timeout_s if settings.patient else 0,
            say=settings.say,
            sightings=self._sightings,
        )

    def _context(self, stores: Stores) -> Context:
        def with_stores(desired: Desired, observed: Observed) -> Observed:
            return self._with_stores(stores, [desired], {_key(desired): observed})[_key(desired)]

        return Context(
            client=self._client,
            executor=self._executor,
            driver_of=stores.driver,
            with_stores=with_stores,
            now=self._settings.now,
            tell=self._settings.tell,
            deadline=time.monotonic() + self._settings.timeout_s,
            working=Slots(_TENANTS_AT_ONCE),
            starting=self._starting,
            wait_exposed=self._settings.wait_exposed,
            patient=self._settings.patient,
        )

    def _free_processors(self) -> int:
        """As many API servers at a time as the nodes have free processors, and at least two: each costs 4 to 5 CPU-seconds to start."""
        nodes, pods = (self._client.list(resource_of(kind)).items for kind in ("Node", "Pod"))
        return max(_FEWEST_STARTING, int(free_processors(nodes, pods)))

    def _jobs(self, stores: Stores, tenants: Sequence[Desired], reader: Reader) -> list[tuple[Desired, Observed]]:
        """Each tenant with what was observed of it, its share of the datastore included."""
        observed = observe_management(reader, [_key(desired) for desired in tenants])
        tenants = [settle(desired, observed[_key(desired)]) for desired in tenants]
        tenants = place(self._client, stores, tenants, observed)
        observed = self._with_stores(stores, tenants, observed)
        return [(desired, observed[_key(desired)]) for desired in tenants]

    def _with_stores(
        self, stores: Stores, tenants: Sequence[Desired], observed: dict[tuple[str, str], Observed]
    ) -> dict[tuple[str, str], Observed]:
        """Ask each store once about all its tenants; about some of them in detail, with calls for each."""
        observed = self._with_passwords(stores, tenants, observed)
        groups: dict[tuple[str, bool], list[Desired]] = {}
        for desired in tenants:
            detailed = _in_detail(desired, observed[_key(desired)])
            for name in _store_names(desired):
                groups.setdefault((name, detailed), []).append(desired)
        views: dict[tuple[str, str], dict[str, DatastoreView | None]] = {_key(desired): {} for desired in tenants}
        for (name, detailed), members in groups.items():
            isolations = {_key(desired): _isolation(desired, observed[_key(desired)]) for desired in members}
            found = stores.views(name, list(isolations.values()), detailed=detailed)
            for key, isolation in isolations.items():
                views[key][name] = found[isolation]
        return {
            _key(desired): observed[_key(desired)].with_views(next(iter(_store_names(desired)), ""), views[_key(desired)])
            for desired in tenants
        }

    def _with_passwords(
        self, stores: Stores, tenants: Sequence[Desired], observed: dict[tuple[str, str], Observed]
    ) -> dict[tuple[str, str], Observed]:
        """The same with the passwords that stores are to be asked about: whether they still accept them."""
        asked = {
            _key(desired)
            for desired in tenants
            if _in_detail(desired, observed[_key(desired)]) and any(map(stores.knows_passwords, _store_names(desired)[:1]))
        }
        return {**observed, **read_datastore_configs(self._client, {key: observed[key] for key in asked})}

    def _guarded(self, key: str, run: Callable[[], Outcome], outcome: Outcome | None = None) -> Outcome:
        """Turn the failure of one tenant into its outcome, so that the others go on."""
        try:
            return run()
        except HostedKubernetesError as error:
            failed = outcome or Outcome(key)
            if isinstance(error, Pending) and not self._settings.patient:
                failed.pending, failed.awaits_turn = error.msg, isinstance(error, TurnPending)
            else:
                failed.error, failed.failure = error.msg, error
            return failed

    def _record_use(self, stores: Stores, present: Iterable[Desired] = (), absent: Iterable[Absent] = ()) -> None:
        """Keep status.usedBy of the stores true, also when an earlier run was killed before it did. Who stays does so by watching."""
        if self._settings.check or not self._settings.patient:
            return
        recorded, gone = stores.recorded_users(), {item.key for item in absent}
        wrong = {name for name, users in recorded.items() if gone & users}
        used = ((item.tenant.key, name) for item in present for name in _store_names(item))
        wrong |= {name for key, name in used if key not in recorded.get(name, frozenset())}
        for name in sorted(wrong):
            record_use(self._client, name, self._settings.now())


@dataclass(frozen=True)
class _Deletion:
    """One tenant on its way out."""

    client: Client
    settings: Settings
    executor: Executor
    stores: Stores
    lease: Callable[[str, str], TenantLease]
    absent: Absent

    def run(self, observed: Observed) -> Outcome:
        return replace(self, absent=self.absent.located(observed))._run(observed)

    def _run(self, observed: Observed) -> Outcome:
        outcome = Outcome(self.absent.key)
        observed = self._with_stores(observed)
        plan = self._plan(observed)
        outcome.status = dict(observed.status)
        if self.settings.check or not (plan or observed.resource or self._is_worked_on()):
            outcome.changes = list(plan.changes)
            return outcome
        settings = self.settings
        deadline = time.monotonic() + settings.timeout_s
        with self._guard(observed):
            key = (self.absent.namespace, self.absent.name)
            observed = observe_management(self.client, [key], served=False)[key]
            replace(self, absent=self.absent.located(observed))._remove(observed, outcome, deadline)
        return outcome

    def _remove(self, observed: Observed, outcome: Outcome, deadline: float) -> None:
        observed = self._with_stores(observed)
        while plan := self._plan(observed):
            observed = self._step(plan, observed, outcome, deadline)
        self._prove(deadline)

    def _is_worked_on(self) -> bool:
        """Whether somebody is just making this tenant, or was killed while doing so and left the Lease behind."""
        lease = self.lease(self.absent.namespace, self.absent.name)
        return self.client.get(resource_of("Lease"), lease.name, self.absent.namespace) is not None

    def _guard(self, observed: Observed) -> AbstractContextManager[object]:
        """The Lease; in a namespace that is gone or ending none can be made, nor can anybody make the tenant again there."""
        if observed.namespace_ending or not observed.namespace_exists:
            return nullcontext()
        return self.lease(self.absent.namespace, self.absent.name)

    def _step(self, plan: Plan, observed: Observed, outcome: Outcome, deadline: float) -> Observed:
        changes = plan.runnable()
        if not changes and plan.barrier() is Barrier.GONE:
            return self._wait_gone(observed, deadline)
        clients = Clients(self.client, self.stores.driver)
        outcome.changes += changes
        return self.executor.remove(observed, changes, clients, self._isolation(observed))

    def _wait_gone(self, observed: Observed, deadline: float) -> Observed:
        """Wait until no control-plane pod is left: only then nobody writes to the datastore any more."""
        if observed.pods and not self.settings.patient:
            left = ", ".join(pod["metadata"]["name"] for pod in observed.pods)
            raise Pending(f"TenantControlPlane {self.absent.key}: pods are still ending: {left}")
        wait_until(
            self.client,
            resource_of("Pod"),
            namespace=self.absent.namespace,
            label_selector=f"{names.LABEL_NAME}={self.absent.name}",
            predicate=lambda pods: not pods,
            deadline=deadline,
            what=f"pods of TenantControlPlane {self.absent.key}",
            explain=lambda pods: f"still there: {', '.join(name for _namespace, name in pods)}",
        )
        return self._with_stores(replace(observed, pods=()))

    def _with_stores(self, observed: Observed) -> Observed:
        """The same with what is left in every datastore that may hold data of the tenant, keys included."""
        share = self.absent.share
        if share is None:
            return observed
        if share.store and self.stores.knows_passwords(share.store):
            # Some stores show what a share holds to its own user only.
            key = (self.absent.namespace, self.absent.name)
            observed = read_datastore_configs(self.client, {key: observed})[key]
        isolation = isolation_of(share, observed, self.absent.name)
        views = {name: self.stores.views(name, [isolation], detailed=True, keys=True)[isolation] for name in share.stores}
        return observed.with_views(share.store, views)

    def _isolation(self, observed: Observed) -> Isolation | None:
        return isolation_of(self.absent.share, observed, self.absent.name) if self.absent.share else None

    def _plan(self, observed: Observed) -> Plan:
        answering = next((view for view in observed.shares if view.state is not None), None)
        order = self.stores.driver(answering.name).purge_parts if answering else ()
        return plan_absent(self.absent, observed, order)

    def _prove(self, deadline: float) -> None:
        """Look once more with fresh eyes: nothing of the tenant may be left, neither objects nor data.

        What finalizers of others still hold (a cloud's load balancer, for one) is waited for.
        """
        key = (self.absent.namespace, self.absent.name)
        observed = self._with_stores(observe_management(self.client, [key], served=False)[key])
        for change in self._plan(observed):
            if change.cluster is Cluster.DATASTORE:
                raise HostedKubernetesError(f"TenantControlPlane {self.absent.key}: {change.object} is there again; run again")
            if self.settings.patient:
                wait_gone(self.client, change.object, timeout_s=deadline - time.monotonic())
        if observed.resource is not None and not self.settings.patient:
            held = ", ".join(observed.resource["metadata"].get("finalizers") or [])
            raise Pending(f"TenantControlPlane {self.absent.key}: nothing of it is left but the resource, held by finalizers {held}")
        if observed.resource is not None:
            wait_gone(self.client, ObjectRef.of(observed.resource), timeout_s=deadline - time.monotonic())


def _key(desired: Desired) -> tuple[str, str]:
    return desired.tenant.namespace, desired.tenant.name


def _in_detail(desired: Desired, observed: Observed) -> bool:
    """Whether the content of a tenant's parts in the datastore is looked at: not of one that sleeps and was complete before."""
    return not (desired.tenant.asleep and ready_condition(observed.status))


def _store_names(desired: Desired) -> tuple[str, ...]:
    """The DataStores of a tenant: that of everything first, then those of single resources. None while it has none to be in."""
    if desired.no_store:
        return ()
    main = desired.tenant.data_store or DEFAULT_NAME
    return tuple(dict.fromkeys((main, *desired.tenant.data_store_overrides.values())))


def _isolation(desired: Desired, observed: Observed) -> Isolation:
    return isolation_of(share_of(desired.tenant.manifest(), observed.status), observed, desired.tenant.name)
