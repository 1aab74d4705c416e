# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking documents apart, ordering them, keeping secrets out of sight. What a server must decide is tested against one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import (
    ObjectAction,
    ObjectResult,
    in_order,
    parse_objects,
)


def obj(kind: str, name: str = "a", api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


@pytest.mark.parametrize(
    ("documents", "names"),
    [
        ([], []),
        ([None, obj("ConfigMap"), None], ["a"]),
        ([obj("List", items=[obj("ConfigMap", "b"), obj("Secret", "c")])], ["b", "c"]),
        ([{"apiVersion": "v1", "kind": "ConfigMapList", "items": []}, obj("ConfigMap")], ["a"]),
        ([obj("ConfigMap"), obj("Secret"), obj("ConfigMap", metadata={"name": "a", "namespace": "x"})], ["a", "a", "a"]),
    ],
)
def test_objects_are_found(documents: list[Any], names: list[str]) -> None:
    assert [item["metadata"]["name"] for item in parse_objects(documents)] == names


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (["text"], "document 1: is no mapping but str"),
        ([obj("ConfigMap"), {"kind": "Secret"}], "document 2: apiVersion is missing"),
        ([{"apiVersion": "v1"}], "document 1: kind is missing"),
        ([{"apiVersion": "v1", "kind": "Pod"}], "Pod: metadata.name is missing"),
        ([{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}], "generateName cannot be repeated"),
        ([obj("List", items=[{"kind": "Pod"}])], "document 1: apiVersion is missing"),
        ([obj("ConfigMap"), obj("ConfigMap")], "ConfigMap a is there more than once"),
        ([obj("Ingress", api_version="networking.k8s.io/v1"), obj("Ingress", api_version="networking.k8s.io/v1beta1")], "more than once"),
        ([obj("Secret", data={"a": "eA=="}, stringData={"a": "x"})], "Secret a: a is in data and in stringData"),
    ],
)
def test_unusable_documents_are_named(documents: list[Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        parse_objects(documents)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_objects([1, {}])
    assert caught.value.result["problems"] == ["document 1: is no mapping but int", "document 2: apiVersion is missing"]


def test_string_data_becomes_data() -> None:
    (found,) = parse_objects([obj("Secret", data={"a": "eA=="}, stringData={"b": "ü", "c": ""})])
    assert found["data"] == {"a": "eA==", "b": "w7w=", "c": ""}
    assert "stringData" not in found


def test_order_of_creation() -> None:
    kinds = [
        "ValidatingWebhookConfiguration",
        "Widget",
        "Deployment",
        "ClusterRoleBinding",
        "Service",
        "CustomResourceDefinition",
        "ConfigMap",
        "Namespace",
        "ServiceAccount",
    ]
    ordered = [item["kind"] for item in in_order(obj(kind) for kind in kinds)]
    assert ordered == [
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRoleBinding",
        "ConfigMap",
        "Service",
        "Deployment",
        "Widget",
        "ValidatingWebhookConfiguration",
    ]


def test_given_order_counts_within_a_kind() -> None:
    assert [item["metadata"]["name"] for item in in_order([obj("Pod", "z"), obj("Pod", "a")])] == ["z", "a"]


@pytest.mark.parametrize(("kind", "shown"), [("Secret", "(secret)"), ("ConfigMap", "sesame")])
@pytest.mark.parametrize("path", ['data."tls.key"', "data"])
def test_values_of_secrets_do_not_show(kind: str, shown: str, path: str) -> None:
    result = ObjectResult(
        ObjectRef("v1", kind, "x", "a"),
        ObjectAction.PATCH,
        (FieldChange(path, "sesame", None), FieldChange("metadata.labels.a", None, "b")),
    )
    assert result.to_result()["fields"] == [
        {"path": path, "before": shown, "after": None},
        {"path": "metadata.labels.a", "before": None, "after": "b"},
    ]
    assert result.to_diff() == {
        "before_header": f"{kind} x/a (patch)",
        "after_header": f"{kind} x/a (patch)",
        "before": f"{path}: '{shown}'\n",
        "after": "metadata.labels.a: 'b'\n",
    }


def test_the_schema_of_a_new_definition_of_resources_is_not_shown() -> None:
    reference = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "a.example.com")
    fields = (FieldChange("spec.versions", None, [{"schema": "long"}]),)
    assert ObjectResult(reference, ObjectAction.CREATE, fields).to_diff()["after"] == "CustomResourceDefinition a.example.com\n"
    assert "long" in ObjectResult(reference, ObjectAction.PATCH, fields).to_diff()["after"]
