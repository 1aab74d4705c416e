# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kubeconfigs a generator makes, renews, leaves alone and deletes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig_generator import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import load_certificate, new_ca
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import read_kubeconfig_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.generator_plan import (
    Fleet,
    GeneratorPlan,
    Key,
    Wanted,
    abandoned,
    plan,
    plan_absent,
    status,
    status_patch,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import secret_manifest
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import Authorities, SecretState
from ansible_collections.hosted.kubernetes.tests.support import tenant_cases
from ansible_collections.hosted.kubernetes.tests.support.generator_cases import definition
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import live

NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CA: Final = new_ca("kubernetes", algorithm=KeyAlgorithm.ECDSA_P256, now=NOW)
ACME: Final[Key] = ("tenants", "acme")
SECRET: Final[Key] = ("tenants", "acme-viewer")


def tenant(name: str = "acme", namespace: str = "tenants", **labels: str) -> Json:
    body = tenant_cases.definition(name=name)
    body["metadata"] = {"name": name, "namespace": namespace, "labels": labels, "uid": f"uid-of-{name}"}
    return {**body, "status": {"controlPlaneEndpoint": "192.0.2.7:6443"}}


def authority(version: str = "1", *, read: bool = True, data: Mapping[str, bytes] | None = None) -> SecretState:
    pair = {"ca.crt": CA.certificate, "ca.key": CA.key, **(data or {})}
    return SecretState({"uid": "uid-of-ca", "resourceVersion": version}, pair if read else None)


def fleet(*tenants: Json, **changes: Any) -> Fleet:
    """Tenants with their authorities, which were read, and nothing of a generator."""
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in tenants or (tenant(),)}
    secrets = {(namespace, f"{name}-ca"): authority() for namespace, name in found}
    looked_up = frozenset((namespace, f"{name}-viewer") for namespace, name in found)
    labels: Mapping[str, Mapping[str, str]] = {namespace: {"stage": "production"} for namespace, _name in found}
    return replace(Fleet(found, labels, secrets, looked_up), **changes)


def wanted(**spec: Any) -> Wanted:
    """A generator as it is stored, with our finalizer."""
    stored = live(definition(**spec))
    stored["metadata"]["finalizers"] = [names.GENERATOR_FINALIZER]
    return Wanted(parse(stored), stored, manage_resource=False)


def summary(result: GeneratorPlan) -> list[tuple[str, str]]:
    return [(f"{change.object.kind} {change.object.name}", change.action.value) for change in result.changes]


def made(generator: Wanted, seen: Fleet, now: datetime = NOW) -> Fleet:
    """The fleet with every Secret as the plan wants it, read."""
    found = {}
    for key, part in plan(generator, seen, now).parts.items():
        body = secret_manifest(part.tenant, part.spec, part.uid, part.spec.make(Authorities(), now))
        found[key] = secret_state(live(body), None)
    return seen.with_secrets(found)


def recorded(generator: Wanted, seen: Fleet, now: datetime = NOW) -> tuple[Wanted, Fleet]:
    """What a later call sees: the status is written, Secrets are known by their metadata."""
    written = status(generator, plan(generator, seen, now), seen, now)
    states = {key: replace(state, data=None) for key, state in seen.secrets.items()}
    return replace(generator, live={**(generator.live or {}), "status": written}), replace(seen, secrets=states, looked_up=frozenset())


@pytest.fixture
def standing() -> tuple[Wanted, Fleet]:
    """A generator that needs nothing, as a later call sees it."""
    return recorded(wanted(), made(wanted(), fleet()))


def edited(seen: Fleet, change: Callable[[Json], None]) -> Fleet:
    """Somebody wrote the Secret's metadata."""
    metadata = {**copy.deepcopy(seen.secrets[SECRET].metadata), "resourceVersion": "999999"}
    change(metadata)
    return seen.with_secrets({SECRET: SecretState(metadata)})


def edited_version(seen: Fleet) -> Fleet:
    """Somebody wrote the Secret, whatever it was."""
    state = seen.secrets[SECRET]
    return seen.with_secrets({SECRET: replace(state, metadata={**state.metadata, "resourceVersion": "999999"})})


# Which tenants


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({}, {"acme", "blue", "other"}),
        ({"tenantControlPlaneSelector": {"matchLabels": {"team": "red"}}}, {"acme", "other"}),
        ({"tenantControlPlaneSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}}, {"blue"}),
        ({"namespaceSelector": {"matchLabels": {"stage": "test"}}}, {"other"}),
        ({"namespaceSelector": {"matchLabels": {"stage": "test"}}, "tenantControlPlaneSelector": {"matchLabels": {"team": "blue"}}}, set()),
    ],
)
def test_selection(spec: Json, selected: set[str]) -> None:
    tenants = (tenant(team="red"), tenant("blue", team="blue"), tenant("other", "elsewhere", team="red"))
    seen = fleet(*tenants, namespaces={"tenants": {"stage": "production"}, "elsewhere": {"stage": "test"}})
    result = plan(wanted(**spec), seen, NOW)
    assert {change.object.name for change in result.changes} == {f"{name}-viewer" for name in selected}
    assert result.selected == len(selected)


def test_a_tenant_that_is_being_deleted_is_not_selected(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    going = tenant()
    going["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    assert summary(plan(generator, replace(seen, tenants={ACME: going}), NOW)) == [("Secret acme-viewer", "delete")]


def test_a_tenant_that_is_no_longer_selected(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    (change,) = plan(replace(generator, generator=wanted(namespaceSelector={"matchLabels": {"a": "b"}}).generator), seen, NOW).changes
    assert (change.action, change.reason, change.tenant) == (Action.DELETE, "the tenant is no longer selected", "tenants/acme")


# Making


def test_made_when_missing() -> None:
    result = plan(wanted(), fleet(), NOW)
    assert summary(result) == [("Secret acme-viewer", "issue")]
    assert result.changes[0].reason == "does not exist"
    (state,) = [state for key, state in made(wanted(), fleet()).secrets.items() if key == SECRET]
    assert state.metadata["labels"] == {
        "kamaji.clastix.io/project": "kamaji",
        "kamaji.clastix.io/name": "acme",
        "kamaji.clastix.io/component": "kubeconfig-generator",
        "kamaji.clastix.io/managed-by": "viewer",
        "kamaji.clastix.io/managed-for": "acme",
        "kamaji.clastix.io/certificate_lifecycle_controller": "kubeconfig",
    }
    assert [(item["kind"], item["name"], item["uid"]) for item in state.metadata["ownerReferences"]] == [
        ("TenantControlPlane", "acme", "uid-of-acme")
    ]
    assert set(state.data or {}) == {"value"}


def test_content() -> None:
    generator = wanted(
        user={"fromDefinition": "metadata.name"},
        groups=[{"stringValue": "b"}, {"fromDefinition": "metadata.labels.team"}, {"stringValue": "b"}],
        controlPlaneEndpointFrom="admin.conf",
        expirationSeconds=86400,
    )
    data = made(generator, fleet(tenant(team="a"))).secrets[SECRET].data or {}
    server, ca, pair = read_kubeconfig_client(data["value"])
    certificate = load_certificate(pair.certificate)
    assert (server, ca) == ("https://192.0.2.7:6443", CA.certificate)
    assert certificate.subject.rfc4514_string() == "CN=acme,O=b,O=a"
    assert certificate.not_valid_after_utc == NOW + timedelta(days=1)


def test_the_authority_is_read_only_to_sign() -> None:
    unread = fleet().with_secrets({("tenants", "acme-ca"): authority(read=False)})
    assert plan(wanted(), unread, NOW).unread == {("tenants", "acme-ca")}


def test_what_no_list_has_is_looked_for_by_name() -> None:
    assert plan(wanted(), fleet(looked_up=frozenset()), NOW).unlisted == {SECRET}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": {}}, "has no published endpoint yet"),
        ({"authority": None}, "has no certificate authority yet"),
    ],
)
def test_a_tenant_that_is_not_made_yet_is_waited_for(change: Json, reason: str) -> None:
    seen = fleet(*[{**tenant(), **change}]) if "status" in change else fleet().with_secrets({("tenants", "acme-ca"): None})
    result = plan(wanted(controlPlaneEndpointFrom="admin.conf"), seen, NOW)
    assert (result.changes, result.errors, result.waiting) == ((), {}, {"tenants/acme": reason})


def test_a_tenant_that_fails_does_not_hold_up_the_others() -> None:
    generator = wanted(user={"fromDefinition": "metadata.labels.team"})
    result = plan(generator, fleet(tenant(), tenant("blue", team="blue"), tenant("long", team="x" * 65)), NOW)
    assert summary(result) == [("Secret blue-viewer", "issue")]
    assert set(result.errors) == {"tenants/acme", "tenants/long"}
    assert "has nothing there (metadata.labels.team)" in result.errors["tenants/acme"]
    assert "is 65 bytes long" in result.errors["tenants/long"]


def test_a_broken_authority() -> None:
    half = authority(data={"ca.key": b""})
    (error,) = plan(wanted(), made(wanted(), fleet()).with_secrets({("tenants", "acme-ca"): half}), NOW).errors.values()
    assert "Secret tenants/acme-ca has no key ca.key; restore the tenant's authority from a backup" in error


# Renewing


def test_nothing_is_read_while_nothing_changes(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    result = plan(generator, seen, NOW + timedelta(days=19))
    assert (result.changes, result.unread, result.unlisted) == ((), frozenset(), frozenset())
    assert status_patch(generator, result, seen, NOW) == {}


@pytest.mark.parametrize(("days", "unread"), [(19, False), (21, True), (31, True)])
def test_what_is_due_is_read(standing: tuple[Wanted, Fleet], days: int, unread: bool) -> None:
    generator, seen = standing
    assert bool(plan(generator, seen, NOW + timedelta(days=days)).unread) is unread


@pytest.mark.parametrize(
    ("spec", "days", "reason"),
    [
        ({}, 19, None),
        ({}, 21, "expires at 2026-12-22T12:00:00Z"),
        ({}, 31, "expired at 2026-12-22T12:00:00Z"),
        ({"user": {"stringValue": "joe"}}, 0, "common name is robot, not joe"),
        ({"groups": [{"stringValue": "a"}]}, 0, "organizations are none, not a"),
        ({"controlPlaneEndpointFrom": "admin.conf"}, 0, "server is https://acme.tenants.svc:6443, not https://192.0.2.7:6443"),
        ({"controlPlaneEndpointFrom": "super-admin.svc"}, 0, None),
        ({"expirationSeconds": 86400}, 0, "is good for longer than lifetime allows"),
        ({"expirationSeconds": 31536000}, 0, "expires at 2026-12-22T12:00:00Z"),
    ],
)
def test_when_a_kubeconfig_is_made_anew(spec: Json, days: int, reason: str | None) -> None:
    generator, seen = wanted(**spec), made(wanted(), fleet())
    result = plan(generator, seen, NOW + timedelta(days=days))
    assert [(change.action, change.reason) for change in result.changes] == ([(Action.ISSUE, reason)] if reason else [])


def test_another_authority() -> None:
    other = new_ca("kubernetes", algorithm=KeyAlgorithm.ECDSA_P256, now=NOW)
    seen = made(wanted(), fleet()).with_secrets(
        {("tenants", "acme-ca"): authority("2", data={"ca.crt": other.certificate, "ca.key": other.key})}
    )
    (change,) = plan(wanted(), seen, NOW).changes
    assert change.reason == "the CA certificate it trusts is not the present one"


def test_an_authority_that_was_touched_is_looked_at(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    touched = seen.with_secrets({("tenants", "acme-ca"): authority("2", read=False)})
    assert plan(generator, touched, NOW).unread == {SECRET, ("tenants", "acme-ca")}
    assert plan(generator, made(generator, fleet()), NOW).changes == ()


@pytest.mark.parametrize(("value", "asked"), [("", True), ("2026-11-22T12:00:00Z", False)])
def test_rotation_on_demand(standing: tuple[Wanted, Fleet], value: str, asked: bool) -> None:
    generator, seen = standing
    rotated = edited(seen, lambda metadata: metadata["annotations"].update({names.ANNOTATION_ROTATE: value}))
    reasons = [change.reason for change in plan(generator, rotated, NOW).changes]
    assert reasons == (["rotation was asked for"] if asked else [])


@pytest.mark.parametrize("data", [{}, {"value": b""}, {"value": b"kind: Config"}, {"other": b""}])
def test_content_that_somebody_broke_is_made_anew(data: dict[str, bytes]) -> None:
    seen = made(wanted(), fleet())
    broken = replace(seen.secrets[SECRET], data=data)
    assert summary(plan(wanted(), seen.with_secrets({SECRET: broken}), NOW)) == [("Secret acme-viewer", "issue")]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda metadata: metadata["labels"].pop(names.LABEL_NAME), f'metadata.labels."{names.LABEL_NAME}"'),
        (lambda metadata: metadata["labels"].pop(names.LABEL_LIFECYCLE), f'metadata.labels."{names.LABEL_LIFECYCLE}"'),
        (lambda metadata: metadata["labels"].clear(), f'metadata.labels."{names.LABEL_MANAGED_BY}"'),
        (lambda metadata: metadata.pop("ownerReferences"), "metadata.ownerReferences"),
        (lambda metadata: metadata["annotations"].clear(), f'metadata.annotations."{names.ANNOTATION_CHECKSUM}"'),
    ],
)
def test_metadata_that_was_taken_away_comes_back(change: Callable[[Json], None], path: str) -> None:
    generator, _seen = recorded(wanted(), whole := made(wanted(), fleet()))
    seen = edited(whole, change)
    # Its uid is remembered, also when no label is left.
    seen = seen.with_secrets({SECRET: replace(seen.secrets[SECRET], data=whole.secrets[SECRET].data)})
    (found,) = plan(generator, seen, NOW).changes
    assert found.action is Action.PATCH
    assert path in [field.path for field in found.fields]


# What is not ours


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {names.LABEL_MANAGED_BY: "other", names.LABEL_MANAGED_FOR: "acme"},
        {names.LABEL_MANAGED_BY: "viewer", names.LABEL_MANAGED_FOR: "x"},
    ],
)
def test_a_foreign_secret_of_that_name_is_not_touched(labels: dict[str, str]) -> None:
    foreign = SecretState({"uid": "theirs", "resourceVersion": "1", "labels": labels})
    result = plan(wanted(), fleet().with_secrets({SECRET: foreign}), NOW)
    assert result.changes == ()
    assert "Secret tenants/acme-viewer exists and is not kept by this generator" in result.errors["tenants/acme"]
    assert summary(plan_absent("viewer", wanted().live, fleet().with_secrets({SECRET: foreign}))) == [
        ("KubeconfigGenerator viewer", "delete"),
        ("KubeconfigGenerator viewer", "patch"),
    ]


def test_a_generator_whose_name_ends_alike() -> None:
    """Secret acme-my-viewer is of generator my-viewer for acme, and not of viewer for acme-my."""
    theirs = SecretState(
        {"uid": "u", "resourceVersion": "1", "labels": {names.LABEL_MANAGED_BY: "my-viewer", names.LABEL_MANAGED_FOR: "acme"}}
    )
    seen = fleet().with_secrets({("tenants", "acme-my-viewer"): theirs})
    assert summary(plan(wanted(), seen, NOW)) == [("Secret acme-viewer", "issue")]
    assert abandoned(seen, frozenset({"viewer"})) == ["my-viewer"]


def test_a_paused_secret_is_left_alone(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    paused = edited(seen, lambda metadata: metadata["annotations"].update({names.ANNOTATION_PAUSED: ""}))
    result = plan(generator, paused, NOW + timedelta(days=40))
    assert (result.changes, result.errors) == ((), {})
    assert "is paused" in result.waiting["tenants/acme"]
    nobody = replace(generator, generator=wanted(namespaceSelector={"matchLabels": {"a": "b"}}).generator)
    assert plan(nobody, paused, NOW).changes == ()


# The resource


def test_a_new_definition() -> None:
    body = definition()
    result = plan(Wanted(parse(body), None, manage_resource=True), fleet(), NOW)
    assert summary(result) == [("KubeconfigGenerator viewer", "create"), ("Secret acme-viewer", "issue")]
    assert [field.path for field in result.changes[0].fields] == ["metadata.finalizers", "spec.user.stringValue"]


def test_a_changed_definition() -> None:
    stored = live(parse(definition(namespaceSelector={"matchLabels": {"a": "b"}})).manifest())
    result = plan(Wanted(parse(definition(namespaceSelector={})), stored, manage_resource=True), fleet(), NOW)
    assert summary(result)[0] == ("KubeconfigGenerator viewer", "patch")
    assert plan(Wanted(parse(definition()), live(parse(definition()).manifest()), manage_resource=True), Fleet(), NOW).changes == ()


def test_a_selector_somebody_narrowed_is_drift() -> None:
    stored = live(parse(definition(namespaceSelector={"matchLabels": {"a": "b"}})).manifest())
    stored["spec"]["namespaceSelector"]["matchLabels"]["c"] = "d"
    given = parse(definition(namespaceSelector={"matchLabels": {"a": "b"}}))
    (change,) = plan(Wanted(given, stored, manage_resource=True), Fleet(), NOW).changes
    assert [field.path for field in change.fields] == ["spec.namespaceSelector.matchLabels.c"]


def test_the_finalizer_comes_before_the_first_secret() -> None:
    generator = wanted()
    assert generator.live
    generator.live["metadata"]["finalizers"] = ["example.com/other"]
    result = plan(generator, fleet(), NOW)
    assert summary(result) == [("KubeconfigGenerator viewer", "patch"), ("Secret acme-viewer", "issue")]
    assert result.changes[0].fields[0].after == ["example.com/other", names.GENERATOR_FINALIZER]
    assert [change.stage for change in result.changes] == sorted(change.stage for change in result.changes)


def test_deletion(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    assert generator.live
    steps = [("KubeconfigGenerator viewer", "delete"), ("Secret acme-viewer", "delete"), ("KubeconfigGenerator viewer", "patch")]
    assert summary(plan_absent("viewer", generator.live, seen)) == steps
    metadata = {**generator.live["metadata"], "deletionTimestamp": "2026-11-22T12:00:00Z"}
    assert summary(plan_absent("viewer", {**generator.live, "metadata": metadata}, seen)) == steps[1:]
    assert summary(plan_absent("viewer", None, seen)) == steps[1:2]
    assert summary(plan_absent("viewer", None, fleet())) == []


def test_deletion_of_a_secret_that_lost_its_labels(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    bare = edited(seen, lambda metadata: metadata["labels"].clear())
    assert plan_absent("viewer", generator.live, fleet(looked_up=frozenset())).unlisted == {SECRET}
    assert ("Secret acme-viewer", "delete") in summary(plan_absent("viewer", generator.live, bare))


def test_secrets_of_generators_that_are_gone(standing: tuple[Wanted, Fleet]) -> None:
    _generator, seen = standing
    assert abandoned(seen, frozenset({"viewer"})) == []
    assert abandoned(seen, frozenset()) == ["viewer"]


# Status


def test_status() -> None:
    generator = wanted(user={"fromDefinition": "metadata.labels.team"})
    tenants = (tenant(team="red"), tenant("none"), tenant("young", team="red"))
    seen = made(generator, fleet(*tenants).with_secrets({("tenants", "young-ca"): None}))
    found = status(generator, plan(generator, seen, NOW), seen, NOW)
    assert (found["observedGeneration"], found["resources"], found["availableResources"]) == (1, 3, 1)
    assert [item["resource"] for item in found["errors"]] == ["tenants/none", "tenants/young"]
    assert found["conditions"] == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Incomplete",
            "message": "2 of 3 kubeconfigs are missing or not up to date; see status.errors",
            "lastTransitionTime": "2026-11-22T12:00:00Z",
        }
    ]
    assert set(found["hosted"]["secrets"]) == {"tenants/acme-viewer"}
    record = found["hosted"]["secrets"]["tenants/acme-viewer"]
    assert record["notAfter"] == (NOW + timedelta(days=30)).isoformat()
    assert "PRIVATE" not in str(found)


def test_status_while_a_secret_is_broken(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    broken = seen.with_secrets({SECRET: replace(seen.secrets[SECRET], data={"value": b"broken"}), ("tenants", "acme-ca"): authority()})
    broken = edited_version(broken)
    result = plan(generator, broken, NOW)
    assert summary(result) == [("Secret acme-viewer", "issue")]
    assert status(generator, result, broken, NOW)["hosted"] == (generator.live or {})["status"]["hosted"]


def test_status_of_a_tenant_that_fails_later_keeps_what_is_known(standing: tuple[Wanted, Fleet]) -> None:
    generator, seen = standing
    failing = replace(generator, generator=wanted(user={"fromDefinition": "metadata.labels.team"}).generator)
    assert set(status(failing, plan(failing, seen, NOW), seen, NOW)["hosted"]["secrets"]) == {"tenants/acme-viewer"}
