# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, taints and cordons of a Node that several parties write to, and which pods a drain evicts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.node import (
    ANNOTATION_OWNED,
    Taint,
    WantedNode,
    describe,
    node_patch,
    pods_to_evict,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

FOREIGN = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
GPU = Taint("gpu", "NoSchedule", "yes")


def node(*, labels: dict[str, str] | None = None, taints: list[Json] | None = None, owned: Json | None = None, **spec: Any) -> Json:
    annotations = {ANNOTATION_OWNED: json.dumps(owned, sort_keys=True, separators=(",", ":"))} if owned else {}
    metadata = {"name": "w", "resourceVersion": "7", "labels": {"kubernetes.io/os": "linux", **(labels or {})}, "annotations": annotations}
    return {"metadata": metadata, "spec": {**({"taints": taints} if taints else {}), **spec}}


def applied(live: Json, patch: Json | None) -> Json:
    """A merge patch as the API server applies it, for the fields in play."""
    if patch is None:
        return live
    result: Json = json.loads(json.dumps(live))
    for key in ("labels", "annotations"):
        for name, value in patch["metadata"].get(key, {}).items():
            if value is None:
                result["metadata"][key].pop(name, None)
            else:
                result["metadata"][key][name] = value
    for key, value in patch.get("spec", {}).items():
        if value is None:
            result["spec"].pop(key, None)
        else:
            result["spec"][key] = value
    return result


@pytest.mark.parametrize(
    ("wanted", "live", "words"),
    [
        (WantedNode(), node(), []),
        (WantedNode(labels={}, taints=[]), node(), []),
        (WantedNode(labels={"tier": "web"}), node(), ["label tier=web"]),
        (WantedNode(labels={"tier": "web"}), node(labels={"tier": "db"}), ["label tier=web"]),
        (WantedNode(labels={"tier": "web"}), node(labels={"tier": "web"}), ["ownership recorded"]),
        (WantedNode(labels={}), node(labels={"tier": "web"}, owned={"labels": ["tier"], "taints": []}), ["label tier removed"]),
        (WantedNode(labels={}), node(labels={"tier": "web"}), []),
        (WantedNode(taints=[GPU]), node(taints=[FOREIGN]), ["taints node.kubernetes.io/not-ready:NoSchedule, gpu=yes:NoSchedule"]),
        (
            WantedNode(taints=[GPU]),
            node(taints=[{"key": "gpu", "effect": "NoSchedule", "value": "no"}], owned={"labels": [], "taints": ["gpu:NoSchedule"]}),
            ["taints gpu=yes:NoSchedule"],
        ),
        (
            WantedNode(taints=[]),
            node(taints=[FOREIGN, GPU.to_json()], owned={"labels": [], "taints": ["gpu:NoSchedule"]}),
            ["taints node.kubernetes.io/not-ready:NoSchedule"],
        ),
        (WantedNode(taints=[]), node(taints=[GPU.to_json()], owned={"labels": [], "taints": ["gpu:NoSchedule"]}), ["taints removed"]),
        (WantedNode(taints=[]), node(taints=[FOREIGN]), []),
        (WantedNode(cordoned=True), node(), ["cordoned"]),
        (WantedNode(cordoned=False), node(unschedulable=True), ["uncordoned"]),
        (WantedNode(cordoned=True), node(unschedulable=True), []),
    ],
)
def test_patch_and_then_nothing_more(wanted: WantedNode, live: Json, words: list[str]) -> None:
    patch = node_patch(wanted, live)
    assert (describe(patch) if patch else []) == words
    if patch:
        assert patch["metadata"]["resourceVersion"] == "7"
    assert node_patch(wanted, applied(live, patch)) is None


def test_leaving_labels_alone_keeps_what_we_own() -> None:
    live = node(labels={"tier": "web"}, owned={"labels": ["tier"], "taints": []})
    patch = node_patch(WantedNode(cordoned=True), live)
    assert patch is not None
    assert "labels" not in patch["metadata"]
    assert "annotations" not in patch["metadata"]


def test_a_broken_annotation_owns_nothing() -> None:
    live = node(labels={"tier": "web"})
    live["metadata"]["annotations"][ANNOTATION_OWNED] = "{"
    assert node_patch(WantedNode(labels={}), live) is None


def test_a_taint_needs_a_known_effect() -> None:
    with pytest.raises(InvalidError, match='taint gpu: effect "Never" is not one of NoSchedule'):
        Taint.parse({"key": "gpu", "effect": "Never"})


def pod(name: str, *, owner: str | None = "ReplicaSet", phase: str = "Running", mirror: bool = False, local: bool = False) -> Json:
    metadata: Json = {"name": name, "namespace": "default", "uid": name}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "controller": True}]
    if mirror:
        metadata["annotations"] = {"kubernetes.io/config.mirror": "x"}
    return {"metadata": metadata, "spec": {"volumes": [{"name": "a", "emptyDir": {}}] if local else []}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "force", "lose_local", "evicted", "problems"),
    [
        (pod("web"), False, False, ["web"], 0),
        (pod("proxy", owner="DaemonSet"), False, False, [], 0),
        (pod("static", owner="Node", mirror=True), False, False, [], 0),
        (pod("naked", owner=None), False, False, ["naked"], 1),
        (pod("naked", owner=None), True, False, ["naked"], 0),
        (pod("done", owner=None, phase="Succeeded", local=True), False, False, ["done"], 0),
        (pod("cache", local=True), False, False, ["cache"], 1),
        (pod("cache", local=True), False, True, ["cache"], 0),
    ],
)
def test_pods_to_evict(found: Json, force: bool, lose_local: bool, evicted: list[str], problems: int) -> None:
    pods, said = pods_to_evict([found], force=force, delete_empty_dir_data=lose_local)
    assert [item["metadata"]["name"] for item in pods] == evicted
    assert len(said) == problems
    assert all(f"pod default/{evicted[0]}" in text for text in said)
