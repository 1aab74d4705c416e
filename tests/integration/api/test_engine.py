# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine with a real API server and a real etcd: plans that come true, drift that is mended, runs that are killed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Run, Tenant, assert_predicted

# The ladder

SHAPES: dict[str, dict[str, Any]] = {
    "address of its Service": {},
    "address given": {"networkProfile.address": "198.18.5.5"},
    "no addons": {"addons": None},
    "names in the datastore": {"dataStoreSchema": "a-schema", "dataStoreUsername": "a-user"},
    "unhardened, node ports": {
        "controlPlane.deployment.hardening": "none",
        "controlPlane.service.serviceType": "NodePort",
        "networkProfile.address": "198.18.5.6",
        "networkProfile.port": 31443,
        "addons.konnectivity.server.port": 31132,
    },
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_check_run_again(tenant: Tenant, changes: dict[str, Any]) -> None:
    predicted = tenant.run(changes=changes, check=True)
    assert predicted.changed
    assert predicted.writes == []
    applied = tenant.run(changes=changes)
    assert applied.changed
    assert_predicted(predicted, applied)
    assert applied.tenant["phase"] == "Sleeping"
    assert not tenant.run(changes=changes).changed
    assert not tenant.run(changes=changes, check=True).changed

    predicted = tenant.absent(changes=changes, check=True)
    assert predicted.writes == []
    applied = tenant.absent(changes=changes)
    assert applied.identities == predicted.identities
    assert tenant.left() == []
    assert not tenant.absent(changes=changes).changed


# Drift: everything a tenant has, taken away or changed by somebody else


@pytest.fixture(scope="module")
def standing(ground: Ground) -> Tenant:
    """A tenant that is complete; each test leaves it so."""
    tenant = ground.tenant()
    assert tenant.run().changed
    return tenant


@pytest.fixture
def complete(standing: Tenant) -> Tenant:
    standing.run()
    return standing


def assert_mended(tenant: Tenant, expected: list[tuple[str, str]]) -> Run:
    """The next run finds exactly these changes, says so before, and needs no other one after it."""
    predicted = tenant.run(check=True)
    assert predicted.summary == expected
    applied = tenant.run()
    assert_predicted(predicted, applied)
    assert not tenant.run().changed
    return applied


ROLLOUT: Final = ("Deployment acme", "rollout")
# A Secret that is made anew rolls the pods that read it, and what is built on it is made anew too.
FOLLOWS: Final[Mapping[str, list[tuple[str, str]]]] = {
    # The API server reads its certificate again by itself.
    names.API_SERVER: [],
    names.API_SERVER_KUBELET_CLIENT: [ROLLOUT],
    names.CONTROLLER_MANAGER_KUBECONFIG: [ROLLOUT],
    names.FRONT_PROXY_CLIENT: [ROLLOUT],
    names.SCHEDULER_KUBECONFIG: [ROLLOUT],
    names.DATASTORE_CONFIG: [ROLLOUT],
    names.DATASTORE_CERTIFICATE: [ROLLOUT],
    names.KONNECTIVITY_CERTIFICATE: [(f"Secret acme{names.KONNECTIVITY_KUBECONFIG}", "issue"), ROLLOUT],
    names.KONNECTIVITY_KUBECONFIG: [],
    names.ADMIN_KUBECONFIG: [],
}
AUTHORITIES: Final = (names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT)
OBJECTS: Final = (
    ("Service", ""),
    ("Deployment", ""),
    ("NetworkPolicy", ""),
    ("ConfigMap", names.KUBEADM_CONFIG),
    ("ConfigMap", names.EGRESS_SELECTOR),
)


def test_the_tables_name_everything_a_tenant_has(complete: Tenant) -> None:
    made = {(kind, "acme" + suffix) for kind, suffix in OBJECTS}
    made |= {("Secret", "acme" + suffix) for suffix in (*FOLLOWS, *AUTHORITIES)}
    found = {tuple(text.replace(complete.namespace + "/", "").split()) for text in complete.left()}
    found = {item for item in found if item[0] not in ("datastore", "TenantControlPlane")}
    assert found == made


@pytest.mark.parametrize(("kind", "suffix"), OBJECTS)
def test_deleted_object_is_made_again(complete: Tenant, kind: str, suffix: str) -> None:
    complete.delete(kind, f"acme{suffix}")
    assert_mended(complete, [(f"{kind} acme{suffix}", "create")])


@pytest.mark.parametrize(("suffix", "follows"), FOLLOWS.items(), ids=FOLLOWS.keys())
def test_deleted_secret_is_made_again(complete: Tenant, suffix: str, follows: list[tuple[str, str]]) -> None:
    complete.delete("Secret", f"acme{suffix}")
    assert_mended(complete, [(f"Secret acme{suffix}", "issue"), *follows])


@pytest.mark.parametrize("suffix", AUTHORITIES)
@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "emptied"])
def test_lost_authority_is_never_made_again(complete: Tenant, suffix: str, deleted: bool) -> None:
    name = f"acme{suffix}"
    before = complete.live("Secret", name)
    if deleted:
        complete.delete("Secret", name)
    else:
        complete.patch("Secret", {"data": dict.fromkeys(before["data"], "")}, name)
    for check in (True, False):
        with pytest.raises(HostedKubernetesError, match=f"Secret {complete.namespace}/{name} .*restore that Secret from a backup"):
            complete.run(check=check)
    assert (complete.get("Secret", name) is None) is deleted
    restored = {**before, "metadata": {key: before["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}}
    if not deleted:
        complete.delete("Secret", name)
    complete.ground.client.create(restored)
    # The restored object says less than the lost one did, and nothing else has changed.
    assert_mended(complete, [(f"Secret {name}", "patch")])


CHANGED: Final[tuple[tuple[str, str, Json, str, str], ...]] = (
    ("Service", "", {"spec": {"externalTrafficPolicy": None, "selector": {"kamaji.clastix.io/name": "other"}}}, "patch", "spec.selector"),
    ("Service", "", {"metadata": {"labels": {names.LABEL_COMPONENT: None}}}, "patch", "metadata.labels"),
    ("Service", "", {"spec": {"selector": {"more": "x"}}}, "patch", "spec.selector.more"),
    ("NetworkPolicy", "", {"spec": {"podSelector": {"matchLabels": {"more": "x"}}}}, "patch", "spec.podSelector.matchLabels.more"),
    ("NetworkPolicy", "", {"spec": {"policyTypes": ["Egress"]}}, "patch", "spec.policyTypes"),
    ("NetworkPolicy", "", {"spec": {"ingress": [{}]}}, "patch", "spec.ingress"),
    ("ConfigMap", names.KUBEADM_CONFIG, {"data": {"ClusterConfiguration": "somebody's"}}, "patch", "data.ClusterConfiguration"),
    ("ConfigMap", names.EGRESS_SELECTOR, {"data": {"egress-selector-configuration.yaml": None}}, "patch", "data"),
    ("Deployment", "", {"metadata": {"labels": {names.LABEL_COMPONENT: "other"}}}, "patch", "metadata.labels"),
    ("Deployment", "", {"spec": {"replicas": 3}}, "patch", "spec.replicas"),
    (
        "Deployment",
        "",
        {"spec": {"template": {"metadata": {"labels": {names.LABEL_COMPONENT: "x"}}}}},
        "rollout",
        "spec.template.metadata.",
    ),
    ("Deployment", "", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 3600}}}}, "rollout", "spec.template.spec."),
)


@pytest.mark.parametrize(("kind", "suffix", "body", "action", "path"), CHANGED)
def test_changed_field_is_mended(complete: Tenant, kind: str, suffix: str, body: Json, action: str, path: str) -> None:
    complete.patch(kind, body, f"acme{suffix}")
    (change,) = assert_mended(complete, [(f"{kind} acme{suffix}", action)]).plan
    assert [item["path"].startswith(path) for item in change["fields"]] == [True]


@pytest.mark.parametrize(("kind", "suffix"), [*OBJECTS, *(("Secret", suffix) for suffix in (*FOLLOWS, *AUTHORITIES))])
def test_object_that_lost_the_label_by_which_it_is_found(complete: Tenant, kind: str, suffix: str) -> None:
    """It looks as if it did not exist, and is found by its name."""
    uid = complete.live(kind, f"acme{suffix}")["metadata"]["uid"]
    complete.patch(kind, {"metadata": {"labels": {names.LABEL_PROJECT: None}}}, f"acme{suffix}")
    assert_mended(complete, [(f"{kind} acme{suffix}", "patch")])
    assert complete.live(kind, f"acme{suffix}")["metadata"]["uid"] == uid


@pytest.mark.parametrize("suffix", [*FOLLOWS, *AUTHORITIES])
@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"labels": {names.LABEL_COMPONENT: "other"}}, f'metadata.labels."{names.LABEL_COMPONENT}"'),
        ({"annotations": {names.ANNOTATION_CHECKSUM: None}}, f'metadata.annotations."{names.ANNOTATION_CHECKSUM}"'),
        ({"ownerReferences": None}, "metadata.ownerReferences"),
    ],
    ids=["label", "annotation", "owner"],
)
def test_changed_metadata_of_a_secret_is_mended(complete: Tenant, suffix: str, metadata: Json, path: str) -> None:
    before = complete.live("Secret", f"acme{suffix}")["data"]
    complete.patch("Secret", {"metadata": metadata}, f"acme{suffix}")
    (change,) = assert_mended(complete, [(f"Secret acme{suffix}", "patch")]).plan
    assert [item["path"] for item in change["fields"]] == [path]
    assert complete.live("Secret", f"acme{suffix}")["data"] == before


@pytest.mark.parametrize(("suffix", "follows"), FOLLOWS.items(), ids=FOLLOWS.keys())
def test_changed_content_of_a_secret_is_mended(complete: Tenant, suffix: str, follows: list[tuple[str, str]]) -> None:
    name = f"acme{suffix}"
    key = max(complete.live("Secret", name)["data"])
    complete.patch("Secret", {"data": {key: base64.b64encode(b"broken").decode()}}, name)
    assert_mended(complete, [(f"Secret {name}", "issue"), *follows])
    assert complete.live("Secret", name)["data"][key] != base64.b64encode(b"broken").decode()


def test_rotation_by_annotation(complete: Tenant) -> None:
    """As in the reference: an empty rotate annotation asks for a new certificate."""
    name = f"acme{names.API_SERVER}"
    before = complete.live("Secret", name)
    complete.patch("Secret", {"metadata": {"annotations": {names.ANNOTATION_ROTATE: ""}}}, name)
    assert_mended(complete, [(f"Secret {name}", "issue")])
    assert complete.live("Secret", name)["data"] != before["data"]


def test_parts_of_the_datastore_are_made_again(complete: Tenant) -> None:
    driver, share = complete.ground.driver, complete.isolation
    driver.delete_part(share, "user")
    assert_mended(complete, [(f"user {share.schema}", "grant"), (f"membership {share.schema}", "grant")])
    driver.delete_part(share, "role")
    assert_mended(complete, [(f"{part} {share.schema}", "grant") for part in ("role", "permission", "membership")])


@pytest.mark.parametrize(
    ("call", "fields", "part"),
    [
        ("UserRevokeRole", {"name": "{schema}", "role": "{schema}"}, "membership"),
        ("RoleRevokePermission", {"role": "{schema}", "key": b"/{schema}/", "range_end": b"/{schema}0"}, "permission"),
    ],
)
def test_what_a_share_contains_is_looked_at_before_the_tenant_wakes(complete: Tenant, call: str, fields: Json, part: str) -> None:
    """It costs calls for each tenant, so that it is not looked at while a complete tenant sleeps."""
    schema = complete.isolation.schema
    filled = {
        key: value.format(schema=schema) if isinstance(value, str) else value.replace(b"{schema}", schema.encode())
        for key, value in fields.items()
    }
    complete.ground.driver._call(call, **filled)
    assert not complete.run(check=True).changed
    awake = complete.run(changes={"controlPlane.deployment.replicas": 1}, check=True)
    assert (f"{part} {schema}", "grant") in awake.summary
    complete.ground.driver.create_part(complete.isolation, part)


# What the definition no longer has loses its effect


def value_at(obj: Json | None, path: tuple[str | int, ...]) -> Any:
    """A value inside an object; None where the path leads nowhere."""
    value: Any = obj
    for step in path:
        try:
            value = value[step]
        except (TypeError, KeyError, IndexError):
            return None
    return value


POD: Final = ("spec", "template", "spec")
REMOVED_FIELDS: Final[Mapping[str, tuple[Json, str, tuple[str | int, ...], set[str]]]] = {
    "label of the Service": (
        {"controlPlane.service.additionalMetadata": {"labels": {"a": "b"}}},
        "Service",
        ("metadata", "labels", "a"),
        {"Service"},
    ),
    "annotation of the Deployment": (
        {"controlPlane.deployment.additionalMetadata": {"annotations": {"a.example.com/b": "c"}}},
        "Deployment",
        ("metadata", "annotations", "a.example.com/b"),
        {"Deployment"},
    ),
    "node selector": (
        {"controlPlane.deployment.nodeSelector": {"disk": "ssd"}},
        "Deployment",
        (*POD, "nodeSelector", "disk"),
        {"Deployment"},
    ),
    "priority class": (
        {"controlPlane.deployment.priorityClassName": "system-cluster-critical"},
        "Deployment",
        (*POD, "priorityClassName"),
        {"Deployment"},
    ),
    "the only pull secret": (
        {"controlPlane.deployment.imagePullSecrets": [{"name": "mirror"}]},
        "Deployment",
        (*POD, "imagePullSecrets", 0),
        {"Deployment"},
    ),
    "affinity": (
        {
            "controlPlane.deployment.affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "rack"}}]
                }
            }
        },
        "Deployment",
        (*POD, "affinity"),
        {"Deployment"},
    ),
    "runtime class": (
        {"controlPlane.deployment.runtimeClassName": "kata"},
        "Deployment",
        (*POD, "runtimeClassName"),
        {"Deployment"},
    ),
    "limits": (
        {"controlPlane.deployment.resources": {"apiServer": {"limits": {"cpu": "2", "memory": "2Gi"}}}},
        "Deployment",
        (*POD, "containers", 0, "resources", "limits"),
        {"Deployment"},
    ),
    "an init container": (
        {"controlPlane.deployment.additionalInitContainers": [{"name": "first", "image": "example.com/first:1"}]},
        "Deployment",
        (*POD, "initContainers", 0),
        {"Deployment"},
    ),
    "a mount": (
        {
            "controlPlane.deployment.additionalVolumes": [{"name": "more", "emptyDir": {}}],
            "controlPlane.deployment.additionalVolumeMounts": {"scheduler": [{"name": "more", "mountPath": "/more"}]},
        },
        "Deployment",
        (*POD, "containers", 1, "volumeMounts", 1),
        {"Deployment"},
    ),
    "label of the pods": (
        {"controlPlane.deployment.podAdditionalMetadata": {"labels": {"team": "blue"}}},
        "Deployment",
        ("spec", "template", "metadata", "labels", "team"),
        {"Deployment"},
    ),
    "the only toleration": (
        {"controlPlane.deployment.tolerations": [{"key": "a", "operator": "Exists"}]},
        "Deployment",
        (*POD, "tolerations", 0),
        {"Deployment"},
    ),
    "an additional container": (
        {"controlPlane.deployment.additionalContainers": [{"name": "side", "image": "example.com/side:1"}]},
        "Deployment",
        (*POD, "containers", 4),
        {"Deployment"},
    ),
    "an additional port": (
        {"controlPlane.service.additionalPorts": [{"name": "web", "port": 80, "targetPort": 8080}]},
        "Service",
        ("spec", "ports", 2),
        {"Service", "NetworkPolicy"},
    ),
    "the only field of an addon": (
        {"addons.coreDNS": {"imageTag": "v1.13.1"}},
        "TenantControlPlane",
        ("spec", "addons", "coreDNS", "imageTag"),
        set(),
    ),
    "an empty object": ({"writePermissions": {}}, "TenantControlPlane", ("spec", "writePermissions"), set()),
}


@pytest.mark.parametrize(("changes", "kind", "path", "touched"), REMOVED_FIELDS.values(), ids=REMOVED_FIELDS.keys())
def test_removed_field_loses_its_effect(complete: Tenant, changes: Json, kind: str, path: tuple[str | int, ...], touched: set[str]) -> None:
    assert value_at(complete.live(kind), path) is None
    added = complete.run(changes=changes)
    assert {item["object"].split()[0] for item in added.plan} == {"TenantControlPlane", *touched}
    assert value_at(complete.live(kind), path) is not None
    assert not complete.run(changes=changes).changed
    predicted = complete.run(check=True)
    removed = complete.run()
    assert_predicted(predicted, removed)
    assert {item["object"].split()[0] for item in removed.plan} == {"TenantControlPlane", *touched}
    assert value_at(complete.live(kind), path) is None
    assert not complete.run().changed


def test_name_of_the_certificate_is_taken_back(complete: Tenant) -> None:
    changes = {"networkProfile.certSANs": ["acme.example.com"]}
    changed = [
        ("TenantControlPlane acme", "patch"),
        ("ConfigMap acme-kubeadmconfig", "patch"),
        (f"Secret acme{names.API_SERVER}", "issue"),
    ]
    assert complete.run(changes=changes).summary == changed
    assert not complete.run(changes=changes).changed
    assert complete.run().summary == changed
    assert not complete.run().changed


def test_addon_that_is_switched_off_leaves_nothing(complete: Tenant) -> None:
    off = {"addons.konnectivity": None}
    predicted = complete.run(changes=off, check=True)
    applied = complete.run(changes=off)
    assert_predicted(predicted, applied)
    deleted = {obj for obj, action in applied.summary if action == "delete"}
    suffixes = (names.KONNECTIVITY_CERTIFICATE, names.KONNECTIVITY_KUBECONFIG)
    assert deleted == {f"ConfigMap acme{names.EGRESS_SELECTOR}", *(f"Secret acme{suffix}" for suffix in suffixes)}
    assert not [text for text in complete.left() if "konnectivity" in text]
    assert not complete.run(changes=off).changed


def test_hardening_that_is_switched_off_takes_its_policy_away(complete: Tenant) -> None:
    off = {"controlPlane.deployment.hardening": "none"}
    assert ("NetworkPolicy acme", "delete") in complete.run(changes=off).summary
    assert complete.get("NetworkPolicy") is None
    assert not complete.run(changes=off).changed


def test_resource_taken_as_stored_keeps_what_an_earlier_call_applied(complete: Tenant) -> None:
    spec = complete.live("TenantControlPlane")["spec"]
    complete.patch("TenantControlPlane", {"metadata": {"finalizers": None}})
    predicted = complete.run(name="acme", check=True)
    assert predicted.summary == [("TenantControlPlane acme", "patch")]
    assert_predicted(predicted, complete.run(name="acme"))
    assert complete.live("TenantControlPlane")["spec"] == spec
    assert complete.live("TenantControlPlane")["metadata"]["finalizers"] == [names.FINALIZER]
    assert not complete.run(name="acme").changed
