# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a tenant in its backup, and whether it fits to what is there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup_content, encryption
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup_content import KeptSecret, Resources

STORED: Json = {
    "apiVersion": "kamaji.clastix.io/v1alpha1",
    "kind": "TenantControlPlane",
    "metadata": {
        "name": "acme",
        "namespace": "team-a",
        "uid": "1",
        "resourceVersion": "2",
        "labels": {"team": "a"},
        "annotations": {"note": "kept", "kubectl.kubernetes.io/last-applied-configuration": "{}", names.ANNOTATION_REPLICAS: "2"},
        "managedFields": [],
        "finalizers": [names.FINALIZER],
    },
    "spec": {
        "kubernetes": {"version": "v1.36.3"},
        "controlPlane": {"deployment": {"replicas": 2}},
        "dataStoreSchema": "own",
        "dataStore": "a",
    },
    "status": {"kubernetesResources": {"version": {"version": "v1.35.4"}}},
}


def secret(**data: bytes) -> KeptSecret:
    return KeptSecret("Opaque", "ca", {}, data)


def layout(*keys: encryption.Key) -> KeptSecret:
    return KeptSecret("Opaque", "encryption-configuration", {}, {encryption.DATA_KEY: encryption.render({"secrets": keys})})


OLD, NEW = encryption.Key("secretbox", "key-1", "b2xk"), encryption.Key("secretbox", "key-2", "bmV3")
SAME_NAME = encryption.Key("secretbox", "key-1", "b3RoZXI=")
BOUND = encryption.Key("aesgcm", "key-1", "b2xk")
PKI = {names.CA: secret(a=b"1"), names.FRONT_PROXY_CA: secret(a=b"2"), names.SERVICE_ACCOUNT: secret(a=b"3")}


def resources(pki: dict[str, KeptSecret] | None = None, *, with_pki: bool = True) -> Resources:
    return backup_content.resources_of(STORED, PKI if pki is None else pki, with_pki=with_pki)


def test_definition_without_what_others_wrote() -> None:
    found = resources().tenant
    assert found["metadata"] == {"name": "acme", "namespace": "team-a", "labels": {"team": "a"}, "annotations": {"note": "kept"}}
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec"}
    # The number of replicas was nobody's wish.
    assert found["spec"]["controlPlane"]["deployment"] == {}
    assert backup_content.version_of(STORED) == "v1.35.4"
    assert backup_content.version_of({"spec": STORED["spec"]}) == "v1.36.3"


def test_there_and_back() -> None:
    found = Resources.from_json(json.loads(json.dumps(resources().to_json())))
    assert found == resources()
    assert "1" not in repr(found.pki[names.CA])
    bare = Resources.from_json(resources(with_pki=False).to_json())
    assert bare.pki == {}
    assert bare.fingerprints == found.fingerprints
    assert b"MQ==" not in json.dumps(bare.to_json()).encode()


@pytest.mark.parametrize(
    "broken", [{}, {"tenant": {}, "fingerprints": {}, "secrets": {"-ca": {}}}, {"tenant": {}, "fingerprints": {}, "secrets": []}]
)
def test_no_resources(broken: Json) -> None:
    with pytest.raises(HostedKubernetesError, match="does not hold the resources"):
        Resources.from_json(broken)


@pytest.mark.parametrize(
    ("name", "schema", "patch", "expected"),
    [
        # The same tenant gets its share again; another one its own.
        ("acme", "own", None, {"dataStore": "a", "dataStoreSchema": "own"}),
        ("acme", "team-a_acme", None, {"dataStore": "a"}),
        ("copy", "own", None, {"dataStore": "a"}),
        ("copy", "own", {"dataStore": "b", "dataStoreSchema": "own"}, {"dataStore": "b", "dataStoreSchema": "own"}),
    ],
)
def test_definition_that_is_made(name: str, schema: str, patch: Json | None, expected: Json) -> None:
    found = backup_content.definition_of(resources(), schema, "team-a", name, patch)
    assert (found["metadata"]["name"], found["metadata"]["labels"]) == (name, {"team": "a"})
    assert {key: value for key, value in found["spec"].items() if key.startswith("dataStore")} == expected
    assert resources().tenant["spec"]["dataStoreSchema"] == "own"


def problems(backup: Resources, present: dict[str, KeptSecret]) -> list[str]:
    return list(backup_content.problems(backup, present))


def test_what_is_missing_is_made() -> None:
    present = {names.CA: PKI[names.CA]}
    assert problems(resources(), present) == []
    assert backup_content.missing(resources(), present) == [names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT]
    bare = resources(with_pki=False)
    assert backup_content.missing(bare, present) == []
    assert [text.split(" ")[0] for text in problems(bare, present)] == [names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT]
    assert problems(bare, dict(PKI)) == []


def test_another_authority_is_never_replaced() -> None:
    (problem,) = problems(resources(), {**PKI, names.CA: secret(a=b"other")})
    assert problem.startswith("-ca is another one than in the backup")


@pytest.mark.parametrize(
    ("then", "now", "fits", "rewrite"),
    [
        ((OLD,), (OLD,), True, False),
        ((OLD,), (NEW, OLD), True, True),
        ((OLD, encryption.IDENTITY), (NEW, OLD, encryption.IDENTITY), True, True),
        ((OLD,), (NEW, encryption.IDENTITY), False, True),
        ((OLD,), (SAME_NAME,), False, True),
        (None, (NEW, encryption.IDENTITY), True, True),
        (None, None, True, False),
    ],
)
def test_keys_of_the_encryption(then: Any, now: Any, fits: bool, rewrite: bool) -> None:
    backup = resources({**PKI, **({names.ENCRYPTION: layout(*then)} if then else {})})
    present = {**PKI, **({names.ENCRYPTION: layout(*now)} if now else {})}
    assert (problems(backup, present) == []) is fits
    assert backup_content.must_be_rewritten(backup, present) is rewrite


def test_keys_of_the_encryption_are_missing() -> None:
    backup = resources({**PKI, names.ENCRYPTION: layout(OLD)})
    assert backup_content.missing(backup, dict(PKI)) == [names.ENCRYPTION]


@pytest.mark.parametrize(
    ("pki", "bound"), [({}, False), ({names.ENCRYPTION: layout(OLD)}, False), ({names.ENCRYPTION: layout(BOUND)}, True)]
)
def test_data_that_is_bound_to_its_share(pki: dict[str, KeptSecret], bound: bool) -> None:
    assert backup_content.binds_keys(resources(pki)) is bound
    # Not known: it may be.
    assert backup_content.binds_keys(resources(pki, with_pki=False)) is bool(pki)


@pytest.mark.parametrize(
    ("then", "now", "fits"),
    [
        ("v1.36.3", "v1.36.1", True),
        ("v1.35.9", "v1.36.1", True),
        ("v1.34.9", "v1.36.1", False),
        ("v1.37.0", "v1.36.1", False),
    ],
)
def test_versions(then: str, now: str, fits: bool) -> None:
    assert (backup_content.version_problem(then, now) is None) is fits


def test_shares_that_cannot_be_kept() -> None:
    assert backup_content.share_problem(STORED) is None
    other = {**STORED, "status": {"hosted": {"dataStores": ["events"]}}}
    assert "dataStoreOverrides" in (backup_content.share_problem(other) or "")
