# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_adopt: look at everything, refuse what cannot be, then make the changes of adoption_plan.py and the engine's.

Each step rests on what is observed, so that a run killed anywhere is continued by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as store_api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.probe import check_management_version
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import adoption_plan, datastores
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.adoption_plan import AdoptionStage, Seen
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import to_result
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import ObservedStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import ObjectAction, ObjectList
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

__all__ = ["Request", "Settings", "adopt", "give_back"]

_PAUSE_S: Final = 0.1


@dataclass(frozen=True)
class Request:
    """What the user asked for. definitions: the CustomResourceDefinitions that take the place of the reference's."""

    definitions: Sequence[Json]
    renew_before_days: int


def adopt(client: Client, request: Request, settings: Settings) -> Json:
    """Take the management cluster over and return the module's result; in check mode say what that would change.

    Raises InvalidError naming everything that is in the way: nothing has been changed then; HostedKubernetesError when a tenant
    failed, with the results of all.
    """
    check_management_version(client.access.origin, str(client.request("GET", "/version").get("gitVersion", "")))
    seen = observe(client)
    _refuse(adoption_plan.problems(seen))
    renew_before = timedelta(days=request.renew_before_days)
    tenants = [Desired(parse(item), manage_resource=False, renew_before=renew_before) for item in seen.adoptable]
    outcomes = Engine(client, replace(settings, check=True)).present(tenants)
    awake = {desired.tenant.key for desired in tenants if not desired.tenant.asleep}
    restarts = [adoption_plan.restart_problem(outcome) for outcome in outcomes if outcome.tenant in awake]
    _refuse([found for found in (*(outcome.error for outcome in outcomes), *restarts) if found])
    changes = adoption_plan.plan(seen, _store_changes(seen, settings))
    definitions = _definitions(client, request, dry_run=True, timeout_s=settings.timeout_s)
    changes = sorted([*changes, *definitions], key=lambda change: (change.stage, change.object))
    if not settings.check:
        _make(client, [change for change in changes if change.stage < AdoptionStage.DEFINITIONS], settings)
        _wait_stopped(client, seen.operators, time.monotonic() + settings.timeout_s)
        if definitions:
            _definitions(client, request, dry_run=False, timeout_s=settings.timeout_s)
            _wait_served(client, tenants, time.monotonic() + settings.timeout_s)
        _make(client, [change for change in changes if change.stage == AdoptionStage.STORES], settings)
        _record_stores(client, seen.stores, settings)
        outcomes = Engine(client, settings).present(tenants)
    return _result(changes, outcomes)


def give_back(client: Client, settings: Settings) -> Json:
    """Put the operator back in charge of tenants that still have its pods. Raises InvalidError naming what is in the way."""
    seen = observe(client)
    _refuse(adoption_plan.return_problems(seen))
    changes = adoption_plan.plan_return(seen)
    if not settings.check:
        for stage in sorted({change.stage for change in changes}):
            _make(client, [change for change in changes if change.stage == stage], settings)
            if stage == AdoptionStage.OPERATOR and settings.wait:
                _wait_started(client, seen.operators[0], settings.timeout_s)
    return _result(changes, [])


def observe(client: Client) -> Seen:
    """Look at the operator, what belongs to it, and all tenants and datastores, with calls whose number does not grow with the tenants'."""
    deployments = client.list(resource_of("Deployment")).items
    operators = tuple(item for item in deployments if adoption_plan.is_operator(item))
    kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    webhooks = tuple(item for kind in kinds for item in client.list(resource_of(kind)).items if adoption_plan.asks_operator(item))
    namespace = operators[0]["metadata"]["namespace"] if operators else ""
    stores, store_problems = _observe_stores(client)
    return Seen(
        operators=operators,
        webhooks=webhooks,
        record=client.get(resource_of("ConfigMap"), adoption_plan.RECORD, namespace) if operators else None,
        tenants=tuple(_all(client, KIND)),
        deployments={
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in deployments
            if (item["metadata"].get("labels") or {}).get(names.LABEL_NAME) == item["metadata"]["name"]
        },
        stores=stores,
        store_problems=store_problems,
    )


def _all(client: Client, kind: str) -> list[Json]:
    try:
        return client.list(resource_of(kind)).items
    except NotFoundError:
        return []


def _observe_stores(client: Client) -> tuple[tuple[ObservedStore, ...], tuple[str, ...]]:
    found, faults = [], []
    for live in _all(client, store_api.KIND):
        try:
            found.append(datastores.observe(client, live))
        except InvalidError as error:
            faults.append(error.msg)
    return tuple(found), tuple(faults)


def _refuse(found: list[str]) -> None:
    if found:
        raise InvalidError("; ".join(found), problems=found)


def _store_changes(seen: Seen, settings: Settings) -> list[Change]:
    """What the status of each DataStore lacks, since the store itself was asked."""
    found = []
    for store in seen.stores:
        status = [change for change in datastores.plan(store, settings.now()) if change.stage == 1]
        found += [replace(change, tenant=adoption_plan.OPERATOR, stage=AdoptionStage.STORES + 1) for change in status]
    return found


def _record_stores(client: Client, stores: Sequence[ObservedStore], settings: Settings) -> None:
    for number, store in enumerate(stores, 1):
        live = client.get(resource_of(store_api.KIND), store.definition.name)
        found = replace(store, live=live)
        if live is not None and datastores.write_status(client, found, settings.now()) is not found:
            settings.after_change(number)


def _definitions(client: Client, request: Request, *, dry_run: bool, timeout_s: float) -> list[Change]:
    """Take the resource definitions over; the versions of one are a list that only one manager can own."""
    wanted = ObjectList(client, request.definitions, names.FIELD_MANAGER, time.monotonic() + timeout_s, dry_run=dry_run)
    results = [result for result in wanted.apply() if result.action is not ObjectAction.NONE]
    return [
        Change(
            adoption_plan.OPERATOR,
            Cluster.MANAGEMENT,
            result.ref,
            Action(result.action.value),
            "is another one than this collection's",
            AdoptionStage.DEFINITIONS,
        )
        for result in results
    ]


def _make(client: Client, changes: Sequence[Change], settings: Settings) -> None:
    for number, change in enumerate(changes, 1):
        if change.action is Action.DELETE:
            client.delete(client.resource_for(change.object.api_version, change.object.kind), change.object.name, change.object.namespace)
        elif "kind" in (change.body or {}):
            client.apply(change.body or {}, field_manager=names.FIELD_MANAGER, force=True)
        else:
            client.merge_patch(change.object, change.body or {})
        settings.after_change(number)


def _wait_stopped(client: Client, operators: Sequence[Json], deadline: float) -> None:
    """Until no pod of the operator is left, also not a terminating one: it writes until its end."""
    for operator in operators:
        reference = ObjectRef.of(operator)
        wait_until(
            client,
            resource_of("Pod"),
            namespace=reference.namespace,
            label_selector=",".join(f"{key}={value}" for key, value in operator["spec"]["selector"]["matchLabels"].items()),
            predicate=lambda pods: not pods,
            deadline=deadline,
            what=f"pods of the operator {reference}",
            explain=lambda pods: f"still there: {', '.join(name for _namespace, name in pods)}; does something scale it up again?",
        )


def _wait_started(client: Client, operator: Json, timeout_s: float) -> None:
    wait_for(
        client,
        resource_of("Deployment"),
        operator["metadata"]["name"],
        operator["metadata"]["namespace"],
        predicate=lambda live: live is not None and deployment_problem(live) is None,
        deadline=time.monotonic() + timeout_s,
        explain=deployment_problem,
    )


def _wait_served(client: Client, tenants: Sequence[Desired], deadline: float) -> None:
    """Until the API server keeps our part of a status: it takes a changed definition up a little later than it stores it."""
    if not tenants:
        return
    tenant = tenants[0].tenant
    path = resource_of(KIND).path(tenant.namespace, tenant.name, "status")
    body = {"status": {"hosted": {"installed": True}}}
    while True:
        answer = client.request("PATCH", path, body=body, params={"dryRun": "All"}, content_type="application/merge-patch+json")
        if (answer.get("status") or {}).get("hosted"):
            return
        if time.monotonic() > deadline:
            raise HostedKubernetesError(
                f"TenantControlPlane {tenant.key}: the API server does not serve the new resource definition in time; look at "
                "kubectl get crd tenantcontrolplanes.kamaji.clastix.io -o yaml, then run again"
            )
        time.sleep(_PAUSE_S)


def _result(changes: Sequence[Change], outcomes: Sequence[Outcome]) -> Json:
    every = [*changes, *(change for outcome in outcomes for change in outcome.changes)]
    result: Json = {
        "changed": bool(every),
        "plan": [change.to_result() for change in changes],
        "tenants": [to_result(outcome) for outcome in outcomes],
        "diff": plan_diff(every),
    }
    # Before the first change none was paused: who has been since then still belongs to nobody.
    failed = [problem for outcome in outcomes if (problem := outcome.error or outcome.paused)]
    if failed:
        raise HostedKubernetesError("; ".join(failed), **result)
    return result
