# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a management cluster over from the reference system's operator, and giving it back: what is in the way, and the changes. Pure.

Its tenants themselves are taken over by the engine (see templates.py); here is what stands around them. The operator comes first: two that
write the same objects would never be done. What it needs to come back is recorded before anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems as definition_problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import templates
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import ObservedStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import MISSING, Action, Change, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

RECORD: Final = "hosted-kubernetes-adoption"
OPERATOR: Final = "operator"
_RECORD_KEY: Final = "operator.json"
_WEBHOOK_PATH: Final = "-kamaji-clastix-io-v1alpha1-"
# States in which the operator is in the middle of something that only it can finish.
_BUSY: Final[Mapping[str, str]] = {
    "CertificateAuthorityRotating": "its certificate authority is being rotated",
    "Migrating": "it is being moved to another datastore",
    "Provisioning": "it is being made",
    "Upgrading": "it is being upgraded",
}


class AdoptionStage(IntEnum):
    """The order of changes around the tenants; those of the tenants follow."""

    RECORD = 0
    OPERATOR = 10
    WEBHOOKS = 20
    DEFINITIONS = 30
    STORES = 40
    FORGET = 50


@dataclass(frozen=True)
class Seen:
    """A management cluster with the reference's operator, or what is left of it.

    operators: its Deployments. webhooks: configurations that ask it. record: the ConfigMap that an earlier adoption wrote.
    tenants: all TenantControlPlanes; deployments: those of tenants, by namespace and name. stores: of all DataStores that can be parsed;
    store_problems: why others cannot be.
    """

    operators: tuple[Json, ...] = ()
    webhooks: tuple[Json, ...] = ()
    record: Json | None = None
    tenants: tuple[Json, ...] = ()
    deployments: Mapping[tuple[str, str], Json] = field(default_factory=dict)
    stores: tuple[ObservedStore, ...] = ()
    store_problems: tuple[str, ...] = ()

    @property
    def adoptable(self) -> tuple[Json, ...]:
        """The tenants whose pods are the reference's, or that only its operator knows."""
        return tuple(tenant for tenant in sorted(self.tenants, key=_key) if self._is_foreign(tenant))

    @property
    def ours(self) -> tuple[str, ...]:
        """The tenants (namespace/name) whose pods this collection has made."""
        made = (tenant for tenant in self.tenants if _key(tenant) in self.deployments)
        return tuple("/".join(_key(tenant)) for tenant in made if not self._is_foreign(tenant))

    def _is_foreign(self, tenant: Json) -> bool:
        live = self.deployments.get(_key(tenant))
        if live is not None:
            return templates.taken(live) is not None
        return not ((tenant.get("status") or {}).get("hosted") or {}).get("engineVersion")


def is_operator(deployment: Json) -> bool:
    """Whether a Deployment runs the reference's operator: its program, told to manage."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        program = (container.get("command") or [container.get("image", "").partition("@")[0].rsplit(":", 1)[0]])[0]
        if program.rsplit("/", 1)[-1] == "kamaji" and "manager" in (container.get("args") or ()):
            return True
    return False


def asks_operator(configuration: Json) -> bool:
    """Whether a webhook configuration sends writes of TenantControlPlanes or DataStores to the reference's operator."""
    services = ((webhook.get("clientConfig") or {}).get("service") or {} for webhook in configuration.get("webhooks") or ())
    return any(_WEBHOOK_PATH in (service.get("path") or "") for service in services)


def problems(seen: Seen) -> list[str]:
    """Why the management cluster cannot be taken over now, each naming object, reason and remedy; empty when it can."""
    found = list(_operator_problems(seen.operators))
    found += seen.store_problems
    found += _store_problems(seen)
    for tenant in seen.adoptable:
        subject = "TenantControlPlane {}/{}".format(*_key(tenant))
        others = [other for other in seen.tenants if other is not tenant]
        state = list(_state_problems(tenant, seen.deployments.get(_key(tenant))))
        found += [f"{subject}: {problem}" for problem in (*state, *definition_problems(tenant, others=others))]
    return list(dict.fromkeys(found))


def _store_problems(seen: Seen) -> Iterator[str]:
    adoptable = {"{}/{}".format(*_key(tenant)) for tenant in seen.adoptable}
    for store in seen.stores:
        users, driver = ", ".join(store.used_by), store.definition.driver
        if driver != ETCD and adoptable & set(store.used_by):
            yield (
                f"DataStore {store.definition.name}: tenants of driver {driver} cannot be adopted yet, only those of {ETCD}; move {users} to an "
                "etcd first, while their operator runs"
            )
        elif store.fault and users:
            yield f"{store.fault}; its tenants are {users}"


def _operator_problems(operators: Sequence[Json]) -> Iterator[str]:
    if len(operators) > 1:
        listed = ", ".join(str(ObjectRef.of(item)) for item in operators)
        yield f"there is more than one operator ({listed}); which tenants are whose cannot be told: delete those that keep none"


def _state_problems(tenant: Json, deployment: Json | None) -> Iterator[str]:
    status = tenant.get("status") or {}
    state = ((status.get("kubernetesResources") or {}).get("version") or {}).get("status") or ""
    if tenant["metadata"].get("deletionTimestamp"):
        yield "is being deleted; wait until its operator has finished that"
        return
    if is_paused(tenant):
        yield f"is paused (annotation {names.ANNOTATION_PAUSED}); remove the annotation, or wait until whoever set it is done"
    if state in _BUSY:
        yield f"is in state {state}: {_BUSY[state]}; wait until its operator has finished that"
    elif deployment is None:
        yield "has no Deployment yet; let its operator make it, or delete it and have this collection make it"
    elif not ((status.get("storage") or {}).get("setup") or {}).get("schema"):
        yield "status.storage.setup does not say where its data is; let its operator reconcile it once more"


def restart_problem(outcome: Outcome) -> str | None:
    """Why the pods of a tenant would be replaced by its adoption; None when they stay."""
    rollout = next((change for change in outcome.changes if change.action is Action.ROLLOUT), None)
    if rollout is None:
        return None
    issued = [f"{change.object.kind} {change.object.name} {change.reason}" for change in outcome.changes if change.action is Action.ISSUE]
    return (
        f"TenantControlPlane {outcome.tenant}: its pods would restart: {'; '.join(issued) or rollout.reason}; let its operator bring this in order "
        "first (annotation certs.kamaji.clastix.io/rotate on a Secret renews it), or lower renew_before"
    )


def plan(seen: Seen, store_changes: Sequence[Change]) -> list[Change]:
    """The changes around the tenants, without the resource definitions; empty when the operator has gone and left nothing behind.

    store_changes: those that status of the DataStores needs.
    """
    changes = [*_record(seen), *_scale(seen, 0)]
    for configuration in seen.webhooks:
        reason = "asks an operator that is switched off, which would block every write"
        changes.append(_change(ObjectRef.of(configuration), Action.DELETE, reason, AdoptionStage.WEBHOOKS))
    for store in seen.stores:
        changes += _store_finalizer(store)
    return sorted([*changes, *store_changes], key=lambda change: (change.stage, change.object))


def plan_return(seen: Seen) -> list[Change]:
    """The changes that put the operator back in charge, when return_problems() has nothing against it."""
    recorded = _recorded(seen.record)
    present = {ObjectRef.of(item) for item in seen.webhooks}
    changes = list(_scale(seen, recorded.get("replicas", 1)))
    for configuration in recorded.get("webhooks") or ():
        reference = ObjectRef.of(configuration)
        if reference not in present:
            changes.append(_change(reference, Action.CREATE, MISSING, AdoptionStage.WEBHOOKS, body=configuration))
    if seen.record:
        changes.append(_change(ObjectRef.of(seen.record), Action.DELETE, "the operator is in charge again", AdoptionStage.FORGET))
    return changes


def return_problems(seen: Seen) -> list[str]:
    """Why the operator cannot be put back in charge."""
    if not seen.operators:
        return ["the operator's Deployment is gone; install the reference system again, which brings its webhooks too"]
    found = list(_operator_problems(seen.operators))
    if seen.ours:
        found.append(
            f"the pods of {', '.join(seen.ours)} are of this collection's making; its operator would replace them and does not know their "
            "settings: there is no way back for them"
        )
    return found


def _record(seen: Seen) -> Iterator[Change]:
    """What the operator needs to come back; what an earlier run recorded and has switched off since stays recorded."""
    if not seen.operators:
        return
    operator, before = seen.operators[0], _recorded(seen.record)
    replicas = operator["spec"].get("replicas", 1) or before.get("replicas", 0)
    webhooks = {ObjectRef.of(item): item for item in before.get("webhooks") or ()}
    webhooks |= {ObjectRef.of(item): _portable(item) for item in seen.webhooks}
    after = {"replicas": replicas, "webhooks": [webhooks[reference] for reference in sorted(webhooks)]}
    if after == before or not (replicas or webhooks):
        return
    metadata = {"name": RECORD, "namespace": operator["metadata"]["namespace"]}
    text = json.dumps(after, sort_keys=True)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_RECORD_KEY: text}}
    action, reason = (Action.PATCH, "the operator has changed since") if seen.record else (Action.CREATE, MISSING)
    fields = (FieldChange(f'data."{_RECORD_KEY}"', json.dumps(before, sort_keys=True) if before else None, text),)
    yield _change(ObjectRef.of(body), action, reason, AdoptionStage.RECORD, fields, body)


def _recorded(record: Json | None) -> Json:
    try:
        found = json.loads(((record or {}).get("data") or {}).get(_RECORD_KEY) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _portable(obj: Json) -> Json:
    """An object as it can be created again."""
    metadata = {key: value for key, value in obj["metadata"].items() if key in ("name", "labels", "annotations")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "webhooks": obj.get("webhooks") or []}


def _scale(seen: Seen, wanted: int) -> Iterator[Change]:
    for operator in seen.operators:
        replicas = operator["spec"].get("replicas", 1)
        if replicas != wanted:
            reason = "keeps the tenants no longer" if wanted == 0 else "keeps the tenants again"
            fields = (FieldChange("spec.replicas", replicas, wanted),)
            body = {"spec": {"replicas": wanted}}
            yield _change(ObjectRef.of(operator), Action.SCALE, reason, AdoptionStage.OPERATOR, fields, body)


def _store_finalizer(store: ObservedStore) -> Iterator[Change]:
    """Nobody would take it away once the DataStore is to go; that it is in use is looked at when it is deleted."""
    live = store.live or {}
    before = live.get("metadata", {}).get("finalizers") or []
    if names.STORE_FINALIZER in before:
        after = [item for item in before if item != names.STORE_FINALIZER] or None
        fields = (FieldChange("metadata.finalizers", before, after),)
        body = {"metadata": {"finalizers": after, "resourceVersion": live["metadata"]["resourceVersion"]}}
        yield _change(ObjectRef.of(live), Action.PATCH, "metadata.finalizers differs", AdoptionStage.STORES, fields, body)


def _change(
    reference: ObjectRef, action: Action, reason: str, stage: int, fields: tuple[FieldChange, ...] = (), body: Json | None = None
) -> Change:
    return Change(OPERATOR, Cluster.MANAGEMENT, reference, action, reason, stage, fields, body)


def _key(tenant: Json) -> tuple[str, str]:
    return tenant["metadata"]["namespace"], tenant["metadata"]["name"]
