# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the control-plane pods are rolled: with what the user changes, never because the collection is newer. Pure.

The Deployment carries, as an annotation, the template it was last given and a fingerprint of what the user said then. Is the
fingerprint still the same, a difference between that template and a fresh one comes from us: it is deferred.

Pods that another system made (the reference) have no such record, and all that is different about them is ours: they are taken over with
the template they have. So are Secrets that serve them, though we would make them in another way: the record says which. Both stay until
the pods are rolled for another reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.deployment import COMPONENT_PREFIX, STORAGE_PREFIX
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import Facts
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange, diff, owned_fields
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import digest

# Secrets whose change rolls the pods: suffix → component of the pod label that carries the checksum. The API server's own
# certificate is not among them: it reads that file again by itself.
COMPONENTS: Final[Mapping[str, str]] = {
    names.API_SERVER_KUBELET_CLIENT: "api-server-kubelet-client-certificate",
    names.CA: "ca",
    names.CONTROLLER_MANAGER_KUBECONFIG: "controller-manager-kubeconfig",
    names.FRONT_PROXY_CA: "front-proxy-ca-certificate",
    names.FRONT_PROXY_CLIENT: "front-proxy-client-certificate",
    names.SERVICE_ACCOUNT: "service-account",
    names.SCHEDULER_KUBECONFIG: "scheduler-kubeconfig",
    names.KONNECTIVITY_CERTIFICATE: "konnectivity-certificate",
}
_ROLLING: Final = (*COMPONENTS, names.DATASTORE_CONFIG, names.DATASTORE_CERTIFICATE, names.ENCRYPTION)
# What a record says of the way its fingerprint was taken, and the Secrets that went into it. Pods made before the first number
# was written also have to be rolled with the API server's certificate: konnectivity serves with it and reads it once. So do those that
# were taken over, which also have the kubeconfig with konnectivity's certificate in a place that is never written again.
_FORMAT: Final = 2
_TAKEN_OVER: Final = 0
_ROLLING_OF: Final[Mapping[int, tuple[str, ...]]] = {
    _TAKEN_OVER: (names.API_SERVER, *(suffix for suffix in _ROLLING if suffix != names.ENCRYPTION)),
    1: (names.API_SERVER, *(suffix for suffix in _ROLLING if suffix not in (names.KONNECTIVITY_CERTIFICATE, names.ENCRYPTION))),
    _FORMAT: _ROLLING,
}
# Parts of the spec that never reach a pod: changing them is no reason to roll.
_OUTSIDE_PODS: Final = (
    ("controlPlane", "deployment", "replicas"),
    ("controlPlane", "deployment", "additionalMetadata"),
    ("controlPlane", "deployment", "strategy"),
    ("controlPlane", "service"),
    ("controlPlane", "ingress"),
    ("controlPlane", "gateway"),
    ("addons", "coreDNS"),
    ("addons", "kubeProxy"),
    ("addons", "konnectivity", "agent"),
    ("addons", "imagePullSecrets"),
    ("kubernetes", "kubelet", "configurationJSONPatches"),
    ("kubernetes", "kubelet", "cgroupfs"),
    ("networkProfile", "loadBalancerSourceRanges"),
    ("networkProfile", "dnsServiceIPs"),
    ("networkProfile", "certSANs"),
    ("writePermissions",),
    ("dataStoreBudget",),
)
_SWITCHES: Final = frozenset({"konnectivity"})
# How the reference marks in its pods which content of Secrets they have read.
_MARKS: Final[Mapping[str, str]] = {
    **{COMPONENT_PREFIX + component: suffix for suffix, component in COMPONENTS.items()},
    f"{COMPONENT_PREFIX}api-server-certificate": names.API_SERVER,
    f"{STORAGE_PREFIX}config": names.DATASTORE_CONFIG,
    f"{STORAGE_PREFIX}certificate": names.DATASTORE_CERTIFICATE,
}
# What the server fills in where a template says nothing, at its default.
_POD_DEFAULTS: Final = {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"}
_CONTAINER_DEFAULTS: Final = {"terminationMessagePath": "/dev/termination-log"}


@dataclass(frozen=True)
class Taken:
    """Pods that another system made. secrets: suffix → reason and fingerprint of each Secret that was taken over with them.

    It is None before that: then any Secret is taken that serves.
    """

    secrets: Mapping[str, Json] | None

    def has(self, suffix: str, fingerprint: str) -> bool:
        """Whether a Secret is one of them, unchanged, and still to be made of the same things."""
        return self.secrets is None or self.secrets.get(suffix, {}).get("fingerprint") == fingerprint


def taken(live: Json | None) -> Taken | None:
    """What is known of a Deployment's pods when another system made them; None when we did, or there is none."""
    if live is None:
        return None
    record = _record(live)
    if record is None:
        return None if owned_fields(live, names.FIELD_MANAGER) else Taken(None)
    return Taken(record.get("secrets") or {}) if _format(record) == _TAKEN_OVER else None


def stay(live: Json | None, tenant: TenantControlPlane, facts: Facts, *, rollout_now: bool) -> bool:
    """Whether the pods keep the template they have, for nothing of the user's has changed since they were given it."""
    if live is None or rollout_now:
        return False
    record = _record(live)
    if record is not None:
        return _same_inputs(record, tenant, facts)
    return taken(live) is not None and _is_current(live, facts) and not has_unknown(_inputs(tenant, facts, _TAKEN_OVER))


def _is_current(live: Json, facts: Facts) -> bool:
    """Whether the reference would leave its pods alone: they have read their Secrets as these are now."""
    metadata = live["spec"]["template"].get("metadata") or {}
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return all(marks[mark] == facts.checksums.get(suffix) for mark, suffix in _MARKS.items() if mark in marks)


def settle(
    body: Json,
    live: Json | None,
    tenant: TenantControlPlane,
    facts: Facts,
    *,
    rollout_now: bool,
    secrets: Mapping[str, Json] | None = None,
) -> tuple[Json, tuple[FieldChange, ...]]:
    """Return the Deployment to apply and the template differences that are put off.

    body: the Deployment as this engine builds it, from the definition alone. secrets: those that are taken over with the pods.
    """
    fresh = body["spec"]["template"]
    if live is not None and stay(live, tenant, facts, rollout_now=rollout_now):
        record = _record(live) or {"template": _found(live)}
        kept = record["template"]
        put_off = tuple(diff(_wrap(fresh), _wrap(kept), names.FIELD_MANAGER)) + tuple(_gone(fresh, kept))
        if taken(live) is None:
            return _with_record(body, record), put_off
        if put_off or secrets:
            inputs = digest(_inputs(tenant, facts, _TAKEN_OVER))
            record = {"format": _TAKEN_OVER, "inputs": inputs, "template": kept, "secrets": dict(secrets or {})}
            return _with_record(body, record), put_off
    inputs = digest(_inputs(tenant, facts, _FORMAT))
    return _with_record(body, {"format": _FORMAT, "inputs": inputs, "template": fresh}), ()


def _found(live: Json) -> Json:
    """The template of a Deployment that we have not applied yet, without what the server adds by itself."""
    template = live["spec"]["template"]
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if key in ("labels", "annotations")}
    # An older name of serviceAccountName.
    pod = {key: value for key, value in template["spec"].items() if _POD_DEFAULTS.get(key) != value and key != "serviceAccount"}
    for kind in ("containers", "initContainers"):
        if kind in pod:
            pod[kind] = [_without_defaults(container) for container in pod[kind]]
    return {"metadata": metadata, "spec": pod}


def _without_defaults(container: Json) -> Json:
    return {key: value for key, value in container.items() if _CONTAINER_DEFAULTS.get(key) != value}


def _format(record: Json) -> int:
    number: int = record.get("format", 1)
    return number


def _same_inputs(record: Json, tenant: TenantControlPlane, facts: Facts) -> bool:
    inputs = _inputs(tenant, facts, _format(record))
    return not has_unknown(inputs) and bool(record["inputs"] == digest(inputs))


def _with_record(body: Json, record: Json) -> Json:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    metadata = dict(body["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), names.ANNOTATION_TEMPLATE: text}
    return {**body, "metadata": metadata, "spec": {**body["spec"], "template": record["template"]}}


def _record(live: Json | None) -> Json | None:
    text = ((live or {}).get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_TEMPLATE)
    if not text:
        return None
    try:
        record: Json = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"inputs", "template"} <= record.keys() else None


def _inputs(tenant: TenantControlPlane, facts: Facts, form: int) -> Json:
    """Everything the pods follow from that is not this engine's own choice."""
    # Only with overrides: without them the fingerprint must stay what earlier versions of the collection wrote.
    overrides: Json = {"overrides": facts.overrides} if facts.overrides else {}
    # The konnectivity of pods that were taken over is told how many servers there are: a scaled tenant needs pods that find out by themselves.
    scale: Json = {"replicas": tenant.deployment.replicas} if form == _TAKEN_OVER else {}
    return {
        **overrides,
        **scale,
        "spec": _without(tenant.spec, _OUTSIDE_PODS),
        "advertiseAddress": facts.advertise_address,
        "schema": facts.schema,
        "user": facts.user,
        "checksums": {suffix: facts.checksums.get(suffix) for suffix in _ROLLING_OF[form]},
    }


def _without(spec: Json, paths: tuple[tuple[str, ...], ...]) -> Json:
    result = spec
    for path in paths:
        result = _drop(result, path)
    found: Json = _without_empty(result)
    return found


def _drop(value: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    return {**value, path[0]: _drop(value[path[0]], path[1:])}


def _without_empty(value: Any) -> Any:
    """Without objects that hold nothing: they mean the same as none, but for an addon, which is on when it is there."""
    if not isinstance(value, Mapping):
        return value
    cleaned = {key: _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in cleaned.items() if item != {} or key in _SWITCHES}


def _wrap(template: Json) -> Json:
    return {"metadata": {}, "spec": {"template": template}}


def _gone(fresh: Json, kept: Json) -> list[FieldChange]:
    """Fields of the kept template that a fresh one no longer has."""
    backwards = diff(_wrap(kept), _wrap(fresh), names.FIELD_MANAGER)
    return [FieldChange(item.path, item.after, None) for item in backwards if item.before is None]
