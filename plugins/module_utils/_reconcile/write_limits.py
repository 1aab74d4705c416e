# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring what was found of tenants' data budgets into their status, and the write permissions inside them in line with it.

Nothing else of a tenant is looked at or changed: whoever measures on a schedule must not roll pods by that. The engine's own runs keep the
same policy from the same record. The record is written before a limit is set and after it was lifted, so that a run that is killed in
between leaves a limit that the next one knows of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget, names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import (
    BINDING,
    POLICY,
    write_permissions,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import TenantAccess, administrator_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.execute import Clients, Executor
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange, diff, owned_fields
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import TenantLease
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import observe_management, read_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, is_paused, restore_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import MISSING, Action, Change, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import LimitStage
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import budget_conditions, merge_patch
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import refuse_newer

RECORD: Final = "status.hosted.dataStoreBudgets"
"""The field of a TenantControlPlane that a change of its record names."""

_TENANTS_AT_ONCE: Final = 16
_WRITES_OF_STATUS: Final = 5


@dataclass
class Limited:
    """What was made, or in check mode would be made, for one tenant. note: why nothing could be done inside it, "" when it could."""

    tenant: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    error: str = ""


class WriteLimits:
    """For the tenants of one management cluster."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._executor = Executor(settings.now, settings.after_change)

    def keep(self, tenants: Sequence[Desired]) -> list[Limited]:
        """Make the policies and records of stored tenants as Desired.budgets says. One that fails does not hold up the others."""
        if not tenants:
            return []
        observed = observe_management(self._client, [_key(item) for item in tenants])
        with ThreadPoolExecutor(max_workers=min(_TENANTS_AT_ONCE, len(tenants))) as pool:
            return list(pool.map(lambda item: self._guarded(item, observed[_key(item)]), tenants))

    def _guarded(self, desired: Desired, observed: Observed) -> Limited:
        result = Limited(desired.tenant.key)
        try:
            self._keep(desired, observed, result)
        except HostedKubernetesError as error:
            result.error = error.msg
        return result

    def _keep(self, desired: Desired, observed: Observed, result: Limited) -> None:
        if observed.resource is None or observed.deleting:
            return
        refuse_newer(desired.tenant.key, (observed.status.get("hosted") or {}).get("engineVersion"))
        if is_paused(observed.resource):
            result.note = f"it is paused (annotation {names.ANNOTATION_PAUSED})"
            return
        result.note = restore_problem(observed.resource) or ""
        if result.note:
            return
        with _Inside(self._client, desired, observed) as inside:
            result.note = inside.problem
            result.changes = tuple(plan(desired, inside.observed, self._settings.now()))
        if self._settings.check or not result.changes:
            return
        with self._lease(desired) as lease:
            now = observe_management(self._client, [_key(desired)])[_key(desired)]
            with _Inside(self._client, desired, now) as inside:
                result.note, result.changes = inside.problem, tuple(plan(desired, inside.observed, self._settings.now()))
                for change in result.changes:
                    lease.check()
                    self._make(desired, inside, change)

    def _make(self, desired: Desired, inside: _Inside, change: Change) -> None:
        if change.cluster is Cluster.TENANT:
            self._executor.make(desired, inside.observed, [change], Clients(self._client, _no_driver, inside.client))
        else:
            self._write_record(desired)
            self._executor.count()

    def _write_record(self, desired: Desired) -> None:
        """Over the version that was read only: a status is written by others too, and its conditions are one list."""
        tenant = desired.tenant
        for attempt in range(1, _WRITES_OF_STATUS + 1):
            live = self._client.get(resource_of(KIND), tenant.name, tenant.namespace)
            if live is None:
                return
            patch = status_patch(desired, live.get("status") or {}, self._settings.now())
            body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "status": patch}
            try:
                if patch:
                    self._client.merge_patch(ObjectRef.of(live), body, subresource="status")
                return
            except ConflictError:
                if attempt == _WRITES_OF_STATUS:
                    raise

    def _lease(self, desired: Desired) -> TenantLease:
        settings = self._settings
        return TenantLease(
            self._client,
            desired.tenant.namespace,
            desired.tenant.name,
            holder=settings.holder,
            now=settings.now,
            wait_s=settings.timeout_s if settings.patient else 0,
            say=settings.say,
        )


class _Inside:
    """The policy in one tenant, and the way to it, inside a `with` block. problem: why it cannot be looked at, "" when it can."""

    def __init__(self, client: Client, desired: Desired, observed: Observed) -> None:
        self._management, self._desired = client, desired
        self._stack = ExitStack()
        self.observed = replace(observed, tenant=None)
        self.client: Client | None = None
        self.problem = ""

    def __enter__(self) -> _Inside:
        # Whose writing neither is nor was limited has only figures to record.
        concerned = data_budget.is_limited((*(self._desired.budgets or ()), *data_budget.recorded(self.observed.status)))
        if concerned and not self._desired.tenant.asleep:
            try:
                self._look()
            except HostedKubernetesError as error:
                self.problem = error.msg
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _look(self) -> None:
        tenant = self._desired.tenant
        name = tenant.secret_name(names.ADMIN_KUBECONFIG)
        deployment = self.observed.find("Deployment", tenant.name) or {}
        if not (deployment.get("status") or {}).get("readyReplicas") or name not in self.observed.secrets:
            raise HostedKubernetesError(f"TenantControlPlane {tenant.key}: none of its API servers is ready")
        state = read_secrets(self._management, self.observed, (tenant.namespace, tenant.name), [name]).secrets.get(name)
        kubeconfig = administrator_kubeconfig(tenant, state.data if state else None)
        access = TenantAccess(self._management, tenant, kubeconfig, endpoint(self._desired, self.observed))
        inside = self._stack.enter_context(access)
        found = {reference: inside.get(resource_of(reference.kind), reference.name) for reference in (POLICY, BINDING)}
        self.observed = replace(self.observed, tenant={ref: live for ref, live in found.items() if live is not None})
        self.client = inside


def plan(desired: Desired, observed: Observed, now: datetime) -> list[Change]:
    """The changes of one tenant, in order: of its record, and of the policy inside it when that was looked at (observed.tenant). Pure.

    A limit that cannot be lifted now stays recorded, so that the next run knows of it; in a tenant that sleeps the engine lifts it on waking.
    """
    limited, was_limited = (data_budget.is_limited(found) for found in (desired.budgets or (), data_budget.recorded(observed.status)))
    if was_limited and not limited and observed.tenant is None and not desired.tenant.asleep:
        return []
    changes = [*_record_change(desired, observed, now, limited=limited), *_policy_changes(desired, observed, limited=limited)]
    return sorted(changes, key=lambda item: item.stage)


def _record_change(desired: Desired, observed: Observed, now: datetime, *, limited: bool) -> Iterator[Change]:
    before = (observed.status.get("hosted") or {}).get("dataStoreBudgets")
    after = data_budget.to_status(desired.budgets or ())
    if observed.resource is not None and status_patch(desired, observed.status, now):
        yield Change(
            tenant=desired.tenant.key,
            cluster=Cluster.MANAGEMENT,
            object=ObjectRef.of(observed.resource),
            action=Action.PATCH,
            reason="is how much of its data budget the tenant uses",
            stage=LimitStage.RECORD if limited else LimitStage.RECORD_LIFTED,
            fields=(FieldChange(RECORD, before, after),),
        )


def _policy_changes(desired: Desired, observed: Observed, *, limited: bool) -> Iterator[Change]:
    if observed.tenant is None:
        return
    bodies = write_permissions(desired.tenant, over_budget=limited)
    for body in bodies:
        live = observed.tenant.get(ObjectRef.of(body))
        fields = tuple(diff(body, live, names.FIELD_MANAGER))
        if live is None or fields:
            reason = MISSING if live is None else "differs from what budget and definition ask for"
            yield _policy_change(desired, ObjectRef.of(body), Action.CREATE if live is None else Action.PATCH, reason, fields, body)
    for reference in () if bodies else (BINDING, POLICY):
        if owned_fields(observed.tenant.get(reference) or {}, names.FIELD_MANAGER):
            yield _policy_change(desired, reference, Action.DELETE, "writing is free again")


def _policy_change(
    desired: Desired, reference: ObjectRef, action: Action, reason: str, fields: tuple[FieldChange, ...] = (), body: Json | None = None
) -> Change:
    return Change(
        tenant=desired.tenant.key,
        cluster=Cluster.TENANT,
        object=reference,
        action=action,
        reason=reason,
        stage=LimitStage.POLICY,
        fields=fields,
        body=body,
    )


def status_patch(desired: Desired, status: Json, now: datetime) -> Json:
    """The merge patch that brings Desired.budgets into a status: record, condition, and the phase that follows from them. Pure."""
    budgets, conditions = desired.budgets or (), status.get("conditions") or []
    others = [item for item in conditions if item.get("type") != data_budget.CONDITION]
    before = {
        "hosted": {"dataStoreBudgets": (status.get("hosted") or {}).get("dataStoreBudgets")},
        "conditions": conditions,
        "kubernetesResources": {"version": {"status": _phase(status)}},
    }
    phase, limited = _phase(status), data_budget.is_limited(budgets) or bool(desired.tenant.write_permissions)
    if phase in ("Ready", "WriteLimited"):
        phase = "WriteLimited" if limited else "Ready"
    after = {
        "hosted": {"dataStoreBudgets": data_budget.to_status(budgets)},
        "conditions": [*others, *budget_conditions(conditions, budgets, now)],
        "kubernetesResources": {"version": {"status": phase}},
    }
    return merge_patch(before, after)


def _phase(status: Json) -> str | None:
    phase: str | None = ((status.get("kubernetesResources") or {}).get("version") or {}).get("status")
    return phase


def _key(desired: Desired) -> tuple[str, str]:
    return desired.tenant.namespace, desired.tenant.name


def _no_driver(name: str) -> Driver:
    raise HostedKubernetesError(f"DataStore {name} has no part in write permissions")
