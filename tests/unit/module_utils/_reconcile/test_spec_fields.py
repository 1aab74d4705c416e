# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every field of the spec has an effect, and a field that is taken away loses it.

The shape of pods and the ways of exposing them have tables of their own; every other field the CRD knows must be in this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from cryptography import x509

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.crd_fields import FIELDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    addressed,
    complete,
    definition,
    desired,
    follow,
    with_overrides,
)

SERVICE, NETWORK, KUBELET = "controlPlane__service", "networkProfile", "kubernetes__kubelet"
SERVER, AGENT = "addons__konnectivity__server", "addons__konnectivity__agent"
AUDIT: Final = "kubernetes__audit"
RULES: Final = [{"level": "None"}]
VOLUME: Final = {"controlPlane__deployment__additionalVolumes": [{"name": "audit", "emptyDir": {}}]}
LOGGED: Final = {**VOLUME, f"{AUDIT}__policy__rules": RULES, f"{AUDIT}__log__volumeName": "audit"}
PATCH: Final = [{"op": "add", "path": "/added", "value": 1}]


@dataclass(frozen=True)
class Row:
    """A field with a value that differs from its default. beside: fields it needs. stays: it can never be taken away."""

    path: str
    value: Any
    beside: Mapping[str, Any] = field(default_factory=dict)
    stays: bool = False


ROWS: Final = (
    Row("dataStoreSchema", "a-schema", stays=True),
    Row("dataStoreUsername", "a-user", stays=True),
    Row("dataStoreOverrides", [{"resource": "/events", "dataStore": "fast"}]),
    Row("kubernetes__admissionControllers", ["NodeRestriction", "AlwaysPullImages"]),
    Row(f"{KUBELET}__configurationJSONPatches", PATCH),
    Row(f"{KUBELET}__preferredAddressTypes", ["Hostname"]),
    Row(f"{KUBELET}__cgroupfs", "cgroupfs"),
    Row(f"{SERVICE}__serviceType", "ClusterIP", {f"{NETWORK}__address": "198.18.0.7"}),
    Row(f"{SERVICE}__allocateLoadBalancerNodePorts", False),
    Row(f"{SERVICE}__additionalPorts", [{"name": "web", "port": 80}]),
    Row(f"{SERVICE}__additionalMetadata__labels", {"team": "a"}),
    Row(f"{SERVICE}__additionalMetadata__annotations", {"example.com/a": "b"}),
    Row(f"{NETWORK}__address", "198.18.0.7"),
    Row(f"{NETWORK}__advertiseAddress", "203.0.113.7"),
    Row(f"{NETWORK}__port", 7443),
    Row(f"{NETWORK}__allowAddressAsExternalIP", True, {f"{SERVICE}__serviceType": "ClusterIP", f"{NETWORK}__address": "198.18.0.7"}),
    Row(f"{NETWORK}__certSANs", ["acme.example.com"]),
    Row(f"{NETWORK}__clusterDomain", "acme.local", stays=True),
    Row(f"{NETWORK}__serviceCidr", "10.112.0.0/16"),
    Row(f"{NETWORK}__podCidr", "10.200.0.0/16"),
    Row(f"{NETWORK}__serviceCidrs", ["fd00:1::/112", "10.96.0.0/16"], {f"{NETWORK}__podCidrs": ["fd00:2::/56", "10.244.0.0/16"]}),
    Row(f"{NETWORK}__podCidrs", ["fd00:2::/56", "10.244.0.0/16"]),
    Row(f"{NETWORK}__dnsServiceIPs", ["10.96.0.53"]),
    Row(f"{NETWORK}__loadBalancerSourceRanges", ["198.18.0.0/15"]),
    Row(f"{NETWORK}__loadBalancerClass", "example.com/lb", stays=True),
    Row("addons__coreDNS__imageRepository", "example.com/dns"),
    Row("addons__coreDNS__imageTag", "v1.0.0"),
    Row("addons__kubeProxy__imageRepository", "example.com/proxy"),
    Row("addons__kubeProxy__imageTag", "v1.0.0"),
    Row("addons__kubeProxy__configurationJSONPatches", PATCH),
    Row(f"{SERVER}__port", 9132),
    Row(f"{SERVER}__version", "v0.1.0"),
    Row(f"{SERVER}__image", "example.com/server"),
    Row(f"{SERVER}__resources", {"requests": {"cpu": "1"}}),
    Row(f"{SERVER}__extraArgs", ["--v=3"]),
    Row(f"{SERVER}__securityContext", {"runAsUser": 7}),
    Row(f"{AGENT}__version", "v0.1.0"),
    Row(f"{AGENT}__image", "example.com/agent"),
    Row(f"{AGENT}__tolerations", [{"operator": "Exists"}]),
    Row(f"{AGENT}__extraArgs", ["--v=3"]),
    Row(f"{AGENT}__hostNetwork", True),
    Row(f"{AGENT}__mode", "Deployment"),
    Row(f"{AGENT}__replicas", 3, {f"{AGENT}__mode": "Deployment"}),
    Row(f"{SERVICE}__ipFamilies", ["IPv6"]),
    Row(f"{SERVICE}__ipFamilyPolicy", "PreferDualStack"),
    *(
        Row(f"{AUDIT}__policy__{key}", value, beside)
        for key, value, beside in (
            ("rules", [{"level": "Metadata"}], {}),
            ("omitStages", ["RequestReceived"], {f"{AUDIT}__policy__rules": RULES}),
            ("omitManagedFields", True, {f"{AUDIT}__policy__rules": RULES}),
        )
    ),
    *(
        Row(f"{AUDIT}__log__{key}", value, LOGGED if key != "volumeName" else {**VOLUME, f"{AUDIT}__policy__rules": RULES})
        for key, value in (("volumeName", "audit"), ("maxAgeDays", 7), ("maxBackups", 3), ("maxSizeMegabytes", 50), ("compress", True))
    ),
    Row(
        "kubernetes__authentication__jwt",
        [{"issuer": {"url": "https://id.example.com", "audiences": ["a"]}, "claimMappings": {"username": {"claim": "sub", "prefix": ""}}}],
    ),
    Row("kubernetes__authentication__anonymous__enabled", False),
    Row(
        "kubernetes__authentication__anonymous__conditions", [{"path": "/livez"}], {"kubernetes__authentication__anonymous__enabled": True}
    ),
    Row("kubernetes__authorization__authorizers", [{"type": "RBAC", "name": "rbac"}, {"type": "Node", "name": "node"}]),
    *(Row(f"kubernetes__featureGates__{component}", {"AllAlpha": False}) for component in ("apiServer", "controllerManager", "scheduler")),
    Row("writePermissions__blockCreation", True),
    Row("writePermissions__blockUpdate", True),
    Row("writePermissions__blockDeletion", True),
)
# Fields whose effect is no object of a tenant that stands, each with where it is tested.
ELSEWHERE: Final = {
    "dataStore": "test_planner.py: another one is refused",
    "dataStoreSelector__matchLabels": "tests/integration/api/test_placement.py: the choice among stores",
    "dataStoreSelector__matchExpressions": "test_labels.py: as with every selector",
    "dataStoreBudget": "tests/integration/api/test_datastore_budget.py: once it was measured",
    "kubernetes__version": "test_upgrade.py",
    "addons__imagePullSecrets": "tests/integration/cluster/test_tenants.py: Secrets of the user's",
    "certificates__keyAlgorithm": "test_secret_plan.py: keys that are made from then on",
    "certificates__authority__secretName": "tests/integration/api/test_engine_keys.py: a Secret of the user's",
    "kubernetes__encryption__resources": "test_encryption.py: in steps over running pods",
    "kubernetes__encryption__provider": "test_encryption.py",
    "kubernetes__encryption__rotation": "test_encryption.py",
}
# Of the pods' shape and of exposure: tests/unit/module_utils/_manifests/management.
_OTHERS: Final = ("controlPlane__deployment", "controlPlane__ingress", "controlPlane__gateway")
# Types whose fields are taken as a whole.
_WHOLE: Final = ("ResourceRequirements", "SecurityContext", "Toleration", "JSONPatch")


def snapshot(observed: Observed) -> Json:
    """All objects as they were applied; of Secrets what is not made of keys."""
    objects = {**observed.objects, **(observed.tenant or {})}
    found = {str(ref): {key: value for key, value in obj.items() if key != "status"} for ref, obj in objects.items()}
    for key, obj in found.items():
        kept = {name: value for name, value in obj["metadata"].items() if name in ("labels", "annotations")}
        kept["annotations"] = {name: text for name, text in (kept.get("annotations") or {}).items() if not name.startswith(_CHECKSUMS)}
        found[key] = {**obj, "metadata": kept}
    return {**_without_checksums(found), "secrets": sorted(observed.secrets), "names": _names(observed), "store": _store(observed)}


_CHECKSUMS: Final = (names.ANNOTATION_TEMPLATE, "storage.kamaji.clastix.io/")


def _names(observed: Observed) -> list[str]:
    """In the API server's certificate."""
    data = observed.secrets[f"acme{names.API_SERVER}"].data or {}
    certificate = x509.load_pem_x509_certificate(data["apiserver.crt"])
    return sorted(str(item.value) for item in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def _store(observed: Observed) -> list[bytes]:
    """What the pods are told about the datastore, but for the password."""
    data = observed.secrets[f"acme{names.DATASTORE_CONFIG}"].data or {}
    return [data[key] for key in ("DB_CONNECTION_STRING", "DB_SCHEMA", "DB_USER")]


def _without_checksums(value: Any) -> Any:
    """Without what follows from keys, which differ from one tenant to the next."""
    if isinstance(value, list):
        return [_without_checksums(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if not key.startswith(("component.kamaji.clastix.io/", *_CHECKSUMS))}
    return {key: "…" if key == "kubeconfig" else _without_checksums(item) for key, item in kept.items()}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in ROWS if row.stays])
def test_the_field_has_an_effect(row: Row) -> None:
    _wanted, plain = complete(**row.beside)
    _wanted, changed = complete(**row.beside, **{row.path: row.value})
    assert snapshot(changed) != snapshot(plain)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in ROWS if not row.stays])
def test_the_field_has_an_effect_and_loses_it(row: Row) -> None:
    without, plain = complete(**row.beside)
    plain = addressed(plain)
    wanted = desired(**row.beside, **{row.path: row.value})
    changed = follow(wanted, with_overrides(wanted, plain))
    assert snapshot(changed) != snapshot(plain)
    assert snapshot(follow(without, with_overrides(without, changed))) == snapshot(plain)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in ROWS])
def test_the_values_are_allowed(row: Row) -> None:
    assert problems(definition(**row.beside, **{row.path: row.value})) == []


@pytest.mark.parametrize("component", ["apiServer", "controllerManager", "scheduler"])
def test_all_extra_arguments_at_once(component: str) -> None:
    """The reference keeps the flags when the whole object goes."""
    spec: dict[str, Any] = {"controlPlane__deployment__extraArgs": {component: ["--v=3"]}}
    without, plain = complete()
    changed = follow(desired(**spec), plain)
    assert snapshot(changed) != snapshot(plain)
    assert snapshot(follow(without, changed)) == snapshot(plain)


def test_the_table_names_every_field() -> None:
    known = {row.path for row in ROWS} | ELSEWHERE.keys()
    assert sorted(path for path in _leaves("Spec", "") if not path.startswith(_OTHERS)) == sorted(known)


def _leaves(type_name: str, path: str) -> Iterator[str]:
    for key, type_text in FIELDS[type_name].items():
        inner, below = type_text.removesuffix("!"), f"{path}__{key}".lstrip("_")
        if inner in FIELDS and inner not in _WHOLE:
            yield from _leaves(inner, below)
        else:
            yield below
