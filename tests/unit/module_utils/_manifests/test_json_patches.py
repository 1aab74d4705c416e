# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches on configuration documents: what they do, and what is said when they do not apply."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.json_patches import apply_json_patches

DOCUMENT: Json = {"mode": "", "conntrack": {"min": None}, "clusterDNS": ["10.96.0.10"]}


@pytest.mark.parametrize(
    ("patches", "changed"),
    [
        ([], {}),
        ([{"op": "replace", "path": "/mode", "value": "nftables"}], {"mode": "nftables"}),
        ([{"op": "add", "path": "/maxPods", "value": 50}], {"maxPods": 50}),
        ([{"op": "replace", "path": "/conntrack/min", "value": 0}], {"conntrack": {"min": 0}}),
        ([{"op": "add", "path": "/clusterDNS/-", "value": "169.254.20.10"}], {"clusterDNS": ["10.96.0.10", "169.254.20.10"]}),
        ([{"op": "copy", "from": "/mode", "path": "/other"}], {"other": ""}),
        ([{"op": "test", "path": "/mode", "value": ""}], {}),
        (
            [{"op": "add", "path": "/a", "value": {}}, {"op": "add", "path": "/a/b~1c", "value": 1}],
            {"a": {"b/c": 1}},
        ),
    ],
)
def test_patches_apply_in_order(patches: list[Json], changed: Json) -> None:
    assert apply_json_patches(DOCUMENT, patches) == {**DOCUMENT, **changed}


def test_remove_takes_a_field_away() -> None:
    assert "mode" not in apply_json_patches(DOCUMENT, [{"op": "remove", "path": "/mode"}])


def test_the_document_itself_is_not_changed() -> None:
    before = copy.deepcopy(DOCUMENT)
    apply_json_patches(DOCUMENT, [{"op": "add", "path": "/conntrack/maxPerCore", "value": 0}])
    assert before == DOCUMENT


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "add", "path": "/missing/deeper", "value": 1},
        {"op": "add", "path": "/mode/deeper", "value": 1},
        {"op": "add", "path": "/clusterDNS/7", "value": "x"},
        {"op": "add", "path": "/clusterDNS/word", "value": "x"},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "path": "/mode"},
        {"op": "test", "path": "/mode", "value": "ipvs"},
        {"op": "invent", "path": "/mode", "value": "ipvs"},
        {"op": "copy", "from": "/missing", "path": "/other"},
        {"path": "/mode", "value": "ipvs"},
        {"op": "add", "value": "ipvs"},
        {},
    ],
)
def test_a_patch_that_does_not_apply_is_named_by_its_index(patch: Json) -> None:
    good = {"op": "replace", "path": "/mode", "value": "nftables"}
    with pytest.raises(InvalidError) as caught:
        apply_json_patches(DOCUMENT, [good, patch], "spec.addons.kubeProxy.configurationJSONPatches")
    assert caught.value.msg.startswith("spec.addons.kubeProxy.configurationJSONPatches[1] (")
    assert "does not apply" in caught.value.msg


def test_the_root_must_stay_an_object() -> None:
    with pytest.raises(InvalidError, match="the patched document is not an object"):
        apply_json_patches(DOCUMENT, [{"op": "replace", "path": "", "value": ["list"]}])
