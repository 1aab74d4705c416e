# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All objects of a tenant together: unknown values, order, identities."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, find_resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import LISTED_KINDS, READ_OBJECTS, objects

INPUTS = TenantInputs("198.51.100.10", 6443, "Q0E=", "198.51.100.10")
UNKNOWN_INPUTS = TenantInputs(UNKNOWN, 6443, UNKNOWN, UNKNOWN)
ALL_ADDONS: Json = {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}}
WITH_PULL_SECRETS: Json = {**ALL_ADDONS, "imagePullSecrets": [{"name": "mirror"}]}


def _tenant(version: str = "v1.36.3", **spec: Any) -> TenantControlPlane:
    kubernetes = {**spec.pop("kubernetes", {}), "version": version}
    return parse({"metadata": {"name": "acme", "namespace": "tenants"}, "spec": {"addons": ALL_ADDONS, "kubernetes": kubernetes, **spec}})


def _by_ref(tenant: TenantControlPlane, inputs: TenantInputs) -> dict[ObjectRef, Json]:
    return {ObjectRef.of(obj): obj for obj in objects(tenant, inputs)}


def test_what_is_unknown_stands_only_where_the_endpoint_is_used() -> None:
    unknown = {str(ref) for ref, obj in _by_ref(_tenant(), UNKNOWN_INPUTS).items() if has_unknown(obj)}
    assert unknown == {
        "Endpoints default/kubernetes",
        "EndpointSlice default/kubernetes",
        "ConfigMap kube-system/kubeadm-config",
        "ConfigMap kube-public/cluster-info",
        "ConfigMap kube-system/kube-proxy",
        "DaemonSet kube-system/konnectivity-agent",
    }


def test_an_unknown_value_once_known_gives_the_same_objects_and_fields() -> None:
    known, unknown = _by_ref(_tenant(), INPUTS), _by_ref(_tenant(), UNKNOWN_INPUTS)
    assert list(known) == list(unknown)
    for ref, obj in unknown.items():
        assert _paths(obj) == _paths(known[ref]), ref


def test_a_checksum_of_unknown_text_is_unknown() -> None:
    config = _by_ref(_tenant(), UNKNOWN_INPUTS)[ObjectRef("v1", "ConfigMap", "kube-system", "kube-proxy")]
    assert config["metadata"]["annotations"] == {"kubeadm.kubernetes.io/component-config.hash": UNKNOWN}


def _paths(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_paths(item, f"{path}.{key}") for key, item in value.items())) | {path}
    if isinstance(value, list):
        return set().union(*(_paths(item, f"{path}[{index}]") for index, item in enumerate(value))) | {path}
    return {path}


def test_identities_are_unique_and_kinds_are_known() -> None:
    built = objects(_tenant(), INPUTS)
    refs = [ObjectRef.of(obj) for obj in built]
    assert len(set(refs)) == len(refs)
    for obj in built:
        resource = find_resource(obj["apiVersion"], obj["kind"])
        assert resource is not None
        assert bool(obj["metadata"].get("namespace")) == resource.namespaced


def test_every_object_is_seen_by_a_list_or_a_read() -> None:
    limited = {"blockCreation": True}
    for ref in _by_ref(_tenant(writePermissions=limited, addons=WITH_PULL_SECRETS), INPUTS):
        assert (ref.api_version, ref.kind) in LISTED_KINDS or ref in READ_OBJECTS


def test_rights_and_configuration_come_before_what_uses_them() -> None:
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in objects(_tenant(), INPUTS)]
    for workload, needs in {
        ("DaemonSet", "kube-proxy"): [("ConfigMap", "kube-proxy"), ("ServiceAccount", "kube-proxy")],
        ("Deployment", "coredns"): [("ConfigMap", "coredns"), ("ServiceAccount", "coredns"), ("ClusterRoleBinding", "system:coredns")],
        ("DaemonSet", "konnectivity-agent"): [("ServiceAccount", "konnectivity-agent"), ("RoleBinding", "konnectivity-agent")],
    }.items():
        for needed in needs:
            assert names.index(needed) < names.index(workload)
    for kind, name in names:
        if kind == "RoleBinding":
            assert names.index(("Role", name)) < names.index((kind, name))


def test_all_images_are_pulled_with_the_users_secrets() -> None:
    inputs = TenantInputs("198.51.100.10", 6443, "Q0E=", "198.51.100.10", image_pull_b64="e30=")
    built, plain = _by_ref(_tenant(addons=WITH_PULL_SECRETS), inputs), _by_ref(_tenant(), INPUTS)
    (name,) = {ref.name for ref in built.keys() - plain.keys()}
    assert built[ObjectRef("v1", "Secret", "kube-system", name)]["data"] == {".dockerconfigjson": "e30="}
    workloads = [obj for obj in built.values() if obj["kind"] in ("Deployment", "DaemonSet")]
    assert [obj["spec"]["template"]["spec"]["imagePullSecrets"] for obj in workloads] == [[{"name": name}]] * 3
    assert not any("imagePullSecrets" in json.dumps(obj) for obj in plain.values())
    assert "e30=" not in repr(inputs)


@pytest.mark.parametrize("addon", sorted(ALL_ADDONS))
def test_an_addon_that_is_off_contributes_nothing(addon: str) -> None:
    word = {"coreDNS": "coredns", "kubeProxy": "kube-proxy", "konnectivity": "konnectivity"}[addon]
    others = {key: value for key, value in ALL_ADDONS.items() if key != addon}
    assert any(word in ref.name for ref in _by_ref(_tenant(), INPUTS))
    assert not any(word in ref.name for ref in _by_ref(_tenant(addons=others), INPUTS))


@pytest.mark.parametrize("permissions", [None, {}, {"blockCreation": False, "blockUpdate": False, "blockDeletion": False}])
def test_no_policy_without_anything_to_refuse(permissions: Json | None) -> None:
    assert not any("Admission" in ref.kind for ref in _by_ref(_tenant(writePermissions=permissions), INPUTS))


@pytest.mark.parametrize(
    ("permissions", "operations"),
    [
        ({"blockCreation": True}, {"*": ["CREATE"]}),
        ({"blockUpdate": True}, {"*": ["UPDATE"], "*/scale": ["UPDATE"]}),
        ({"blockDeletion": True}, {"*": ["DELETE"], "pods/eviction": ["CREATE"]}),
        (
            {"blockCreation": True, "blockUpdate": True, "blockDeletion": True},
            {"*": ["CREATE", "UPDATE", "DELETE"], "*/scale": ["UPDATE"], "pods/eviction": ["CREATE"]},
        ),
    ],
)
def test_policy_for_what_is_to_be_refused(permissions: Json, operations: dict[str, list[str]]) -> None:
    """What it does on a server is tested there (tests/integration/api/test_write_permissions.py)."""
    policy, binding = [obj for obj in objects(_tenant(writePermissions=permissions), INPUTS) if "Admission" in obj["kind"]]
    rules = policy["spec"]["matchConstraints"]["resourceRules"]
    assert {rule["resources"][0]: rule["operations"] for rule in rules} == operations
    assert [item["message"].split("(writePermissions.")[1] for item in policy["spec"]["validations"]] == [
        f"{name})" for name in permissions
    ]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


@pytest.mark.parametrize("minor", ["1.34", "1.35", "1.36", "1.37"])
def test_every_supported_minor_builds_with_its_own_images(minor: str) -> None:
    text = json.dumps(objects(_tenant(f"v{minor}.1"), INPUTS))
    assert f"registry.k8s.io/kube-proxy:v{minor}.1" in text
    assert "kubernetesVersion: v" + minor in text


def test_an_unsupported_version_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"v1\.33\.0 is not supported"):
        objects(_tenant("v1.33.0"), INPUTS)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"addons": {"kubeProxy": {"configurationJSONPatches": [{"op": "remove", "path": "/no"}]}}}, "spec.addons.kubeProxy"),
        ({"kubernetes": {"kubelet": {"configurationJSONPatches": [{"op": "remove", "path": "/no"}]}}}, "spec.kubernetes.kubelet"),
    ],
)
def test_a_patch_that_does_not_apply_names_its_field(spec: Json, field: str) -> None:
    with pytest.raises(InvalidError, match=rf"^{field}\.configurationJSONPatches\[0\] "):
        objects(_tenant(**spec), INPUTS)


def test_building_twice_gives_the_same_and_shares_nothing() -> None:
    tenant = _tenant()
    first, second = objects(tenant, INPUTS), objects(tenant, INPUTS)
    assert first == second
    for obj in first:
        obj["metadata"]["labels"]["changed"] = "yes"
        if "spec" in obj and "selector" in obj["spec"]:
            obj["spec"]["selector"]["changed"] = "yes"
    assert objects(tenant, INPUTS) == second
