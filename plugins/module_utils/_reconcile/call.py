# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_control_plane: what the user asked for in, a module result out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import check_all, complete
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LEAF_VALIDITY
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.definitions import read_manifests
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.deletion import Absent
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

__all__ = ["Request", "Settings", "run"]


@dataclass(frozen=True)
class Request:
    """What the user asked for; exactly one of definition (mapping or list of mappings), src and name is given."""

    definition: Any
    src: str | None
    name: str | None
    namespace: str
    absent: bool
    rollout_now: bool
    renew_before_days: int
    force: bool


def run(client: Client, request: Request, settings: Settings) -> Json:
    """Do it and return the module's result. Raises HostedKubernetesError when any tenant failed, with the results of all."""
    outcomes = _absent(client, request, settings) if request.absent else _present(client, request, settings)
    changes = [change for outcome in outcomes for change in outcome.changes]
    result: Json = {
        "changed": bool(changes),
        "tenants": [to_result(outcome) for outcome in outcomes],
        "diff": plan_diff(changes),
        "warnings": [text for outcome in outcomes for text in (outcome.paused, *outcome.remarks) if text],
    }
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if failed:
        raise HostedKubernetesError("; ".join(failed), **result)
    return result


def to_result(outcome: Outcome) -> Json:
    """One tenant's part of a module result."""
    status = outcome.status
    conditions = {item["type"]: item["status"] == "True" for item in status.get("conditions") or []}
    return {
        "tenant": outcome.tenant,
        "changed": bool(outcome.changes),
        "paused": bool(outcome.paused),
        "plan": [change.to_result() for change in outcome.changes],
        "deferred": [item.to_result() for item in outcome.deferred],
        "endpoint": status.get("controlPlaneEndpoint", ""),
        "phase": ((status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""),
        "exposed": conditions.get("Exposed", False),
        "durations": outcome.durations,
        "error": outcome.error,
    }


def _definitions(request: Request) -> list[Json]:
    if request.src:
        given: Sequence[Any] = read_manifests(request.src)
    else:
        given = request.definition if isinstance(request.definition, list) else [request.definition]
    return [complete(item, request.namespace) for item in given]


def _present(client: Client, request: Request, settings: Settings) -> list[Outcome]:
    if request.name:
        definitions, manage = [_stored(client, request.namespace, request.name)], False
    else:
        definitions, manage = _definitions(request), True
        check_all(definitions, all_stored(client))
    renew_before = _renew_before(request)
    desired = [
        Desired(
            parse(definition),
            manage_resource=manage,
            rollout_now=request.rollout_now,
            renew_before=renew_before,
        )
        for definition in definitions
    ]
    return Engine(client, settings).present(desired)


def _renew_before(request: Request) -> timedelta:
    days, most = request.renew_before_days, LEAF_VALIDITY.days - 1
    if not 0 <= days <= most:
        raise InvalidError(
            f"renew_before is {days}; give from 0 to {most}, so that a new certificate, which lives {most + 1} days, is not due at once"
        )
    return timedelta(days=days)


def _absent(client: Client, request: Request, settings: Settings) -> list[Outcome]:
    if request.name:
        definitions: list[Json] = [{"metadata": {"name": request.name, "namespace": request.namespace}}]
    else:
        definitions = _definitions(request)
    stored = {key_of(item): share_of(item) for item in all_stored(client)}
    return Engine(client, settings).absent([_absent_one(item, stored, force=request.force) for item in definitions])


def _absent_one(definition: Json, stored: Mapping[str, Share], *, force: bool) -> Absent:
    if not definition["metadata"].get("name"):
        raise InvalidError("metadata.name is missing; name the tenant to delete")
    neighbours = {key: share for key, share in stored.items() if key != key_of(definition)}
    return Absent(definition, neighbours, keep_data=force)


def key_of(definition: Json) -> str:
    """namespace/name of a definition that has both."""
    return f"{definition['metadata']['namespace']}/{definition['metadata']['name']}"


def all_stored(client: Client) -> list[Json]:
    """All tenants of the management cluster; none when their kind is not known there yet, which the engine then says."""
    try:
        return client.list(resource_of(KIND)).items
    except NotFoundError:
        return []


def _stored(client: Client, namespace: str, name: str) -> Json:
    live = client.get(resource_of(KIND), name, namespace)
    if live is None:
        raise InvalidError(f"TenantControlPlane {namespace}/{name}: does not exist; give its definition to create it")
    return live
