# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A merge patch of a stored definition: what it makes of it, what is applied, and whose fields it would take."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.spec_patch import Patched, merged, owned_part, patched


@pytest.mark.parametrize(
    ("value", "patch", "result"),
    [
        # Of the table in RFC 7386, appendix A, where patches are mappings.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ("text", {"a": 1}, {"a": 1}),
    ],
)
def test_merged(value: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(value)
    assert merged(value, patch) == result
    assert value == before


SPEC: Final[Json] = {
    "kubernetes": {"version": "v1.36.3"},
    "controlPlane": {"deployment": {"extraArgs": {"apiServer": ["--v=2"]}, "tolerations": [{"key": "a"}]}},
    "addons": {"coreDNS": {}},
    "ports": [{"name": "one", "port": 1, "note": "theirs"}, {"name": "two", "port": 2}],
    "names": ["x", "y"],
}


@pytest.mark.parametrize(
    ("tree", "part"),
    [
        ({}, SPEC),
        ({"f:kubernetes": {"f:version": {}}}, {"kubernetes": {"version": "v1.36.3"}}),
        ({"f:kubernetes": {".": {}, "f:version": {}, "f:gone": {}}}, {"kubernetes": {"version": "v1.36.3"}}),
        ({"f:addons": {"f:coreDNS": {}}}, {"addons": {"coreDNS": {}}}),
        ({"f:addons": {".": {}}}, {"addons": {}}),
        ({"f:controlPlane": {"f:deployment": {"f:tolerations": {}}}}, {"controlPlane": {"deployment": {"tolerations": [{"key": "a"}]}}}),
        ({"f:ports": {'k:{"name":"one"}': {".": {}, "f:name": {}, "f:port": {}}}}, {"ports": [{"name": "one", "port": 1}]}),
        ({"f:names": {'v:"y"': {}}}, {"names": ["y"]}),
    ],
)
def test_owned_part(tree: Json, part: Json) -> None:
    assert owned_part(SPEC, tree) == part


def stored(*owners: tuple[str, str, Json]) -> Json:
    """A resource whose fields belong to managers: (name, operation, fieldsV1 of the spec)."""
    return {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": {
            "name": "acme",
            "namespace": "tenants",
            "uid": "1",
            "labels": {"ours": "1", "theirs": "2"},
            "managedFields": [
                {
                    "manager": manager,
                    "operation": operation,
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {f"f:{'ours' if manager == FIELD_MANAGER else 'theirs'}": {}}},
                        "f:spec": fields,
                    },
                }
                for manager, operation, fields in owners
            ],
        },
        "spec": SPEC,
        "status": {},
    }


ALL: Final[Json] = {f"f:{key}": {} for key in SPEC}
VERSION: Final[Json] = {"f:kubernetes": {"f:version": {}}}
NEWER: Final[Json] = {"kubernetes": {"version": "v1.36.4"}}


def test_everything_is_ours() -> None:
    result = patched(stored((FIELD_MANAGER, "Apply", ALL)), NEWER)
    assert result.body == {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": {"name": "acme", "namespace": "tenants", "labels": {"ours": "1"}},
        "spec": {**SPEC, **NEWER},
    }
    assert result.definition["spec"] == result.body["spec"]
    assert result.definition["metadata"]["labels"] == {"ours": "1", "theirs": "2"}
    assert result.conflicts == ()


def test_a_patch_that_is_there_already_changes_nothing() -> None:
    result = patched(stored(("gitops", "Apply", ALL)), {"kubernetes": {"version": "v1.36.3"}, "never": None})
    assert (result.body, result.conflicts) == (None, ())
    assert result.definition["spec"] == SPEC


def test_only_what_is_missing_is_taken_over() -> None:
    """What others have as the patch wants it stays theirs alone."""
    patch = {"kubernetes": {"version": "v1.36.3"}, "controlPlane": {"deployment": {"nodeSelector": {"disk": "ssd"}}}}
    result = patched(stored(("gitops", "Apply", ALL)), patch)
    assert result.conflicts == (
        (
            "field spec.controlPlane.deployment.nodeSelector.disk belongs to manager gitops; change it where that manager has it from, "
            "or leave this tenant out"
        ),
    )
    result = patched(stored(("gitops", "Apply", {"f:controlPlane": {"f:deployment": {"f:extraArgs": {}}}})), patch)
    assert result.conflicts == ()
    assert result.body
    assert result.body["spec"] == {"controlPlane": {"deployment": {"nodeSelector": {"disk": "ssd"}}}}


@pytest.mark.parametrize(
    ("owners", "patch", "managers"),
    [
        ([("gitops", "Apply", VERSION)], NEWER, ["gitops"]),
        ([("kubectl-edit", "Update", VERSION)], NEWER, ["kubectl-edit"]),
        ([("gitops", "Apply", VERSION), ("argo", "Apply", ALL)], NEWER, ["argo", "gitops"]),
        ([(FIELD_MANAGER, "Apply", VERSION), ("gitops", "Apply", VERSION)], NEWER, ["gitops"]),
        ([(FIELD_MANAGER, "Apply", VERSION)], NEWER, []),
        ([("gitops", "Apply", {"f:addons": {}})], NEWER, []),
        ([("hosted-kubernetes-scale", "Update", ALL)], NEWER, []),
        # What is removed must be ours, or it would stay.
        ([("gitops", "Apply", ALL)], {"names": None}, ["gitops"]),
        ([(FIELD_MANAGER, "Apply", ALL)], {"names": None}, []),
        ([(FIELD_MANAGER, "Apply", VERSION)], {"names": None}, ["before-first-apply"]),
        # Others own something in a list that is replaced.
        ([("gitops", "Apply", {"f:ports": {'k:{"name":"one"}': {".": {}}}})], {"ports": []}, ["gitops"]),
    ],
)
def test_whose_fields_a_patch_would_take(owners: list[tuple[str, str, Json]], patch: Json, managers: list[str]) -> None:
    result = patched(stored(*owners), patch)
    assert [text.split("manager ")[1].split(";")[0] for text in result.conflicts] == managers


def test_a_removed_field_is_not_applied() -> None:
    result = patched(
        stored((FIELD_MANAGER, "Apply", ALL)), {"controlPlane": {"deployment": {"extraArgs": None}}, "addons": {"kubeProxy": {}}}
    )
    assert isinstance(result, Patched)
    assert result.body
    assert result.body["spec"]["controlPlane"] == {"deployment": {"tolerations": [{"key": "a"}]}}
    assert result.body["spec"]["addons"] == {"coreDNS": {}, "kubeProxy": {}}
