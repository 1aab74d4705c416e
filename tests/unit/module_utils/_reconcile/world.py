# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observations of tenants for tests of pure code: what is there once a plan has been followed, without any server.

The tests of the API layer prove on a real server that plans come true; here it is taken for granted.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import new_ca
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import replicas
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import status as status_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import derive
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView, Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Barrier, Change, Cluster, Plan, store_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import (
    authorities,
    plan_secrets,
    secret_manifest,
    secret_specs,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState, checksum

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
PARTS: Final = ("user", "role", "permission", "membership")
SQL_PARTS: Final = ("role", PASSWORD, "database", "privileges")
UID: Final = "8d0f9b1c"
# Associative lists in our objects: the merge keys the server records in managedFields.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("port", "protocol"),
    "ownerReferences": ("uid",),
}
_versions = itertools.count(100)


def definition(**spec: Any) -> Json:
    """acme with all addons; keywords are fields of the spec with "__" between levels, None removes one."""
    body: Json = {
        "apiVersion": KAMAJI_API_VERSION,
        "kind": "TenantControlPlane",
        "metadata": {"name": "acme", "namespace": "tenants"},
        "spec": {
            "kubernetes": {"version": "v1.36.3"},
            "controlPlane": {"deployment": {}, "service": {"serviceType": "LoadBalancer"}},
            "addons": {"konnectivity": {}, "coreDNS": {}, "kubeProxy": {}},
        },
    }
    for path, value in spec.items():
        node, *keys = body["spec"], *path.split("__")
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node.pop(keys[-1], None)
        if value is not None:
            node[keys[-1]] = value
    return body


def desired(*, manage_resource: bool = True, rollout_now: bool = False, **spec: Any) -> Desired:
    return Desired(parse(definition(**spec)), manage_resource=manage_resource, rollout_now=rollout_now)


@cache
def _store_ca() -> Any:
    return new_ca("etcd", algorithm=KeyAlgorithm("ECDSA-P256"), now=NOW)


def store(state: IsolationState | None = None, **changes: Any) -> DatastoreView:
    """An etcd in which the tenant has nothing yet."""
    ca = _store_ca()
    found = state or IsolationState(missing=PARTS, present=())
    return replace(DatastoreView("default", "etcd", ("etcd-0.etcd:2379",), ca.certificate, ca, found), **changes)


def database(state: IsolationState | None = None, **changes: Any) -> DatastoreView:
    """A PostgreSQL in which the tenant has nothing yet; its authority cannot issue certificates."""
    found = state or IsolationState(missing=SQL_PARTS, present=())
    return store(found, **{"driver": "PostgreSQL", "endpoints": ("postgresql.databases:5432",), "ca": None, **changes})


def with_overrides(wanted: Desired, observed: Observed) -> Observed:
    """The observation with the stores a definition names for single resources; shares that are there stay."""
    names_ = dict.fromkeys(wanted.tenant.data_store_overrides.values())
    views = {name: observed.overrides.get(name) or store(name=name, endpoints=(f"{name}-0.etcd:2379",)) for name in names_}
    return replace(observed, overrides=views)


def nothing() -> Observed:
    """Before a tenant is made for the first time."""
    return Observed(namespace_exists=False, datastore=store())


def live(body: Json) -> Json:
    """An object as the server has it after our apply: with identity and managedFields."""
    found = copy.deepcopy(body)
    fields = _owned({key: value for key, value in found.items() if key not in ("apiVersion", "kind")})
    for key in ("name", "namespace"):
        fields.get("f:metadata", {}).pop(f"f:{key}", None)
    entry = {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields}
    identity = {"uid": UID, "resourceVersion": str(next(_versions)), "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    found["metadata"] = {**found.get("metadata", {}), **identity, "managedFields": [entry]}
    return found


def _owned(value: Json) -> Json:
    tree: Json = {}
    for key, item in value.items():
        tree[f"f:{key}"] = _owned_list(key, item) if isinstance(item, list) else _owned(item) if isinstance(item, dict) else {}
    return tree


def _owned_list(name: str, items: list[Any]) -> Json:
    keys = _KEYS.get(name, ())
    if name == "finalizers":
        return {f"v:{json.dumps(item)}": {} for item in items}
    if not keys or not all(isinstance(item, dict) and keys[0] in item for item in items):
        return {}
    return {"k:" + json.dumps({key: item.get(key, "TCP") for key in keys}): {".": {}, **_owned(item)} for item in items}


def follow(wanted: Desired, observed: Observed, *, now: datetime = NOW) -> Observed:
    """Do all of a plan, wait for what it waits for, and record the status: what is observed afterwards."""
    for _round in range(40):
        changes = checked(plan(wanted, observed, now))
        if not changes:
            return recorded(wanted, observed, now=now)
        if changes.runnable():
            for change in changes.runnable():
                observed = _done(change, wanted, observed, now)
        else:
            observed = _PASSED[changes.barrier()](observed)
    raise AssertionError("the plan does not end")


def checked(changes: Plan) -> Plan:
    assert not changes.unread, f"Secrets must be read first: {set(changes.unread)}"
    return changes


def recorded(wanted: Desired, observed: Observed, *, now: datetime = NOW) -> Observed:
    """The observation with the status written that belongs to it."""
    health = status_of.Health(reached=observed.tenant is not None, exposed=False)
    checksums = plan_secrets(wanted, observed, derive(wanted, observed), now).checksums
    built = status_of.build(wanted, observed, plan(wanted, observed, now), health, checksums, now)
    return replace(observed, resource={**(observed.resource or {}), "status": built})


def later(observed: Observed) -> Observed:
    """The same seen by a later call: of Secrets only the metadata, and what status recorded of them."""
    records = (observed.status.get("hosted") or {}).get("secrets") or {}
    states = {name: SecretState(state.metadata, None, records.get(name)) for name, state in observed.secrets.items()}
    return replace(observed, secrets=states)


def read(observed: Observed, whole: Observed, wanted: frozenset[str]) -> Observed:
    """Secrets read, as a plan asked for."""
    return observed.with_secrets({name: replace(observed.secrets[name], data=whole.secrets[name].data) for name in wanted})


def edit(observed: Observed, kind: str, change: Callable[[Json], None], name: str = "acme") -> Observed:
    """Somebody changes an object; whoever owned the field before keeps it, which is the harder case."""
    ref, found = next((ref, obj) for ref, obj in observed.objects.items() if (ref.kind, ref.name) == (kind, name))
    changed = copy.deepcopy(found)
    change(changed)
    return observed.with_objects({ref: changed})


def addressed(observed: Observed) -> Observed:
    """The load balancer has given the Service an address."""

    def assign(service: Json) -> None:
        service["status"] = {"loadBalancer": {"ingress": [{"ip": "198.18.0.200"}]}}

    return edit(observed, "Service", assign)


def rolled_out(observed: Observed) -> Observed:
    """All pods are of the present template and ready."""

    def finish(deployment: Json) -> None:
        count = deployment["spec"].get("replicas", 1)
        numbers = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), count)
        deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"], **numbers}

    return edit(observed, "Deployment", finish)


_PASSED: Final[Mapping[Barrier, Callable[[Observed], Observed]]] = {
    Barrier.ADDRESS: addressed,
    Barrier.TENANT: lambda observed: replace(observed, tenant={}),
    Barrier.ROLLOUT: rolled_out,
}


def _done(change: Change, wanted: Desired, observed: Observed, now: datetime) -> Observed:
    if change.cluster is Cluster.DATASTORE:
        return _granted(observed, change.object)
    if change.object.kind == "Secret":
        return _with_secret(observed, change.object.name, _secret(change, wanted, observed, now))
    if change.action is Action.SCALE:
        number = change.fields[0].after
        return replace(observed, resource=placeholder(scaled(observed.resource or {}, number), number))
    body = None if change.action is Action.DELETE else live(change.body or {})
    if change.cluster is Cluster.TENANT:
        return observed.with_tenant_objects({change.object: body})
    if change.object.kind == "Namespace":
        return replace(observed, namespace_exists=True)
    if change.object.kind == "TenantControlPlane" and "kind" not in (change.body or {}):
        resource = observed.resource or {}
        return replace(observed, resource={**resource, "metadata": {**resource["metadata"], **(change.body or {})["metadata"]}})
    if change.object.kind == "TenantControlPlane":
        return replace(observed, resource={**_kept_by_others(observed.resource, body or {}), "status": observed.status})
    before = observed.objects.get(change.object)
    if body and before:
        body["metadata"]["generation"] = before["metadata"]["generation"] + (body["spec"] != before["spec"] if "spec" in body else 0)
    if body and before and "status" in before:
        body["status"] = before["status"]
        body["metadata"]["generation"] = before["metadata"]["generation"] + 1
    return observed.with_objects({change.object: body})


def _with_secret(observed: Observed, name: str, state: SecretState | None) -> Observed:
    """The store does not accept a new password yet."""
    made = observed.with_secrets({name: state})
    new = name.endswith(names.DATASTORE_CONFIG) and made.datastore
    return replace(made, datastore=new.without_password()) if new else made


def scaled(resource: Json, number: int) -> Json:
    """A resource after somebody used its scale subresource: nobody owns the number then."""
    found = copy.deepcopy(resource)
    found["spec"].setdefault("controlPlane", {}).setdefault("deployment", {})["replicas"] = number
    for entry in found["metadata"].get("managedFields", []):
        fields = entry["fieldsV1"].get("f:spec", {}).get("f:controlPlane", {}).get("f:deployment", {})
        fields.pop("f:replicas", None)
    return found


def placeholder(resource: Json, number: int) -> Json:
    """A resource whose number we wrote because nobody named one."""
    found = copy.deepcopy(resource)
    found["metadata"].setdefault("annotations", {})[names.ANNOTATION_REPLICAS] = str(number)
    return found


def _kept_by_others(before: Json | None, applied: Json) -> Json:
    """What we do not own stays as it is when we apply a definition without it."""
    number, result = replicas.stored(before or {}), applied
    note = ((before or {}).get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_REPLICAS)
    ours = _owns_replicas(before or {})
    if number is not None and replicas.stored(applied) is None and not ours:
        result = scaled(result, number)
    return placeholder(result, int(note)) if note else result


def _owns_replicas(resource: Json) -> bool:
    entries = resource.get("metadata", {}).get("managedFields", [])
    return any("f:replicas" in entry["fieldsV1"].get("f:spec", {}).get("f:controlPlane", {}).get("f:deployment", {}) for entry in entries)


def _granted(observed: Observed, part: ObjectRef) -> Observed:
    views = {view.name: view for view in observed.shares}
    view = views[store_of(part)]
    assert view.state
    left = tuple(item for item in view.state.missing if item != part.kind)
    state = IsolationState(missing=left, present=(*view.state.present, part.kind))
    return observed.with_views("default", {**views, view.name: replace(view, state=state)})


def _secret(change: Change, wanted: Desired, observed: Observed, now: datetime) -> SecretState | None:
    if change.action is Action.DELETE:
        return None
    before = observed.secrets.get(change.object.name)
    if change.action in (Action.PATCH, Action.REWRITE):
        assert before
        data = {key: base64.b64encode(value).decode() for key, value in (before.data or {}).items()}
        given = (change.body or {})["metadata"]
        annotations = {**before.metadata.get("annotations", {}), **given.get("annotations", {})}
        merged = {**before.metadata, **given, "annotations": annotations, "resourceVersion": str(next(_versions))}
        return secret_state({"metadata": merged, "data": data}, before.record)
    facts = derive(wanted, observed)
    facts = replace(facts, checksums=plan_secrets(wanted, observed, facts, now).checksums)
    specs = {wanted.tenant.secret_name(spec.suffix): spec for spec in secret_specs(wanted, observed, facts)}
    spec = specs[change.object.name]
    body = live(secret_manifest(wanted.tenant, spec, facts.uid, spec.make(authorities(wanted.tenant, observed), now)))
    return secret_state(body, before.record if before else None)


@cache
def _complete(key: str) -> tuple[Desired, Observed]:
    wanted = desired(**json.loads(key))
    return wanted, follow(wanted, with_overrides(wanted, nothing()))


def complete(**spec: Any) -> tuple[Desired, Observed]:
    """A tenant and an observation of it in which nothing is left to do; its Secrets are read."""
    return _complete(json.dumps(spec, sort_keys=True))


def reference(kind: str, name: str = "acme", namespace: str = "tenants") -> ObjectRef:
    versions = {"Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1", "PodDisruptionBudget": "policy/v1"}
    return ObjectRef(versions.get(kind, "v1"), kind, namespace, name)


def days(number: float) -> datetime:
    """NOW and some days more."""
    return NOW + timedelta(days=number)


def sum_of(state: SecretState) -> str:
    return checksum(state.data or {})


def summary(changes: Plan) -> list[tuple[str, str]]:
    """(kind and name, action) of each change."""
    return [(f"{change.object.kind} {change.object.name}", change.action.value) for change in changes]
