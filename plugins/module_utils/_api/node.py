# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we own of a Node: some labels, some taints, whether it takes new pods. Everything else belongs to others.

Which labels and taints were ours is kept in one annotation, so that one that is no longer wanted goes away and those of
the kubelet, the cloud and the controllers stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

ANNOTATION_OWNED: Final = "hosted-kubernetes.io/owned"
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MIRROR: Final = "kubernetes.io/config.mirror"


@dataclass(frozen=True, order=True)
class Taint:
    key: str
    effect: str
    value: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Taint:
        if raw.get("effect") not in _EFFECTS:
            raise InvalidError(f'taint {raw.get("key")}: effect "{raw.get("effect")}" is not one of {", ".join(_EFFECTS)}')
        return cls(key=raw["key"], effect=raw["effect"], value=raw.get("value") or "")

    @property
    def identity(self) -> str:
        """A node has at most one taint of one key and effect."""
        return f"{self.key}:{self.effect}"

    def to_json(self) -> Json:
        return {"key": self.key, "effect": self.effect, **({"value": self.value} if self.value else {})}


@dataclass(frozen=True)
class WantedNode:
    """None means: leave as it is, also what we once set."""

    labels: Mapping[str, str] | None = None
    taints: Sequence[Taint] | None = None
    cordoned: bool | None = None


def node_patch(wanted: WantedNode, node: Json) -> Json | None:
    """Return the merge patch that brings a Node to what is wanted, None when it is so already.

    The patch carries the resourceVersion: taints are one list, and another writer's taint must not be lost.
    """
    metadata, spec = node["metadata"], node.get("spec", {})
    owned = _owned(metadata)
    labels = _label_patch(wanted, metadata.get("labels") or {}, owned.get("labels", []))
    taints = _taints(wanted, spec.get("taints") or [], owned.get("taints", []))
    mine = {
        "labels": sorted(wanted.labels) if wanted.labels is not None else owned.get("labels", []),
        "taints": sorted(taint.identity for taint in wanted.taints) if wanted.taints is not None else owned.get("taints", []),
    }
    meta_patch: Json = {}
    spec_patch: Json = {}
    if labels:
        meta_patch["labels"] = labels
    if any(mine.values()) and mine != owned:
        meta_patch["annotations"] = {ANNOTATION_OWNED: json.dumps(mine, sort_keys=True, separators=(",", ":"))}
    elif owned and not any(mine.values()):
        meta_patch["annotations"] = {ANNOTATION_OWNED: None}
    if taints is not None:
        spec_patch["taints"] = taints or None
    if wanted.cordoned is not None and wanted.cordoned != bool(spec.get("unschedulable")):
        spec_patch["unschedulable"] = True if wanted.cordoned else None
    if not meta_patch and not spec_patch:
        return None
    patch: Json = {"metadata": {**meta_patch, "resourceVersion": metadata["resourceVersion"]}}
    return {**patch, "spec": spec_patch} if spec_patch else patch


def describe(patch: Json) -> list[str]:
    """Return the changes of a patch in words, for results and --diff."""
    metadata, spec = patch["metadata"], patch.get("spec", {})
    words = [f"label {key}" + (" removed" if value is None else f"={value}") for key, value in sorted(metadata.get("labels", {}).items())]
    if "taints" in spec:
        words.append("taints " + (", ".join(_text(taint) for taint in spec["taints"] or []) or "removed"))
    if "unschedulable" in spec:
        words.append("cordoned" if spec["unschedulable"] else "uncordoned")
    return words or ["ownership recorded"]


def pods_to_evict(pods: Iterable[Json], *, force: bool, delete_empty_dir_data: bool) -> tuple[list[Json], list[str]]:
    """Return the pods of a node that a drain evicts, and why it must not begin; the rules are those of kubectl drain.

    Left alone: pods of DaemonSets (they come back), static pods (the kubelet owns them), finished pods are deleted like others.
    """
    evicted, problems = [], []
    for pod in pods:
        metadata = pod["metadata"]
        owner = next((item for item in metadata.get("ownerReferences") or [] if item.get("controller")), None)
        if _MIRROR in (metadata.get("annotations") or {}) or (owner and owner["kind"] == "DaemonSet"):
            continue
        name = f"{metadata['namespace']}/{metadata['name']}"
        finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if owner is None and not force and not finished:
            problems.append(f"pod {name} has no controller and would be lost; delete it, or set force (variable worker_reset_force)")
        local = any("emptyDir" in volume for volume in pod.get("spec", {}).get("volumes") or [])
        if local and not delete_empty_dir_data and not finished:
            problems.append(
                f"pod {name} keeps data in an emptyDir volume; set delete_empty_dir_data (variable worker_reset_force) to lose it"
            )
        evicted.append(pod)
    return evicted, problems


def _owned(metadata: Json) -> Json:
    try:
        found = json.loads((metadata.get("annotations") or {}).get(ANNOTATION_OWNED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _label_patch(wanted: WantedNode, live: Mapping[str, str], owned: Sequence[str]) -> dict[str, str | None]:
    if wanted.labels is None:
        return {}
    patch: dict[str, str | None] = {key: value for key, value in wanted.labels.items() if live.get(key) != value}
    patch.update({key: None for key in owned if key in live and key not in wanted.labels})
    return patch


def _taints(wanted: WantedNode, live: Sequence[Json], owned: Sequence[str]) -> list[Json] | None:
    """Return the whole new list of taints, None when it is as wanted."""
    if wanted.taints is None:
        return None
    ours = {taint.identity: taint.to_json() for taint in wanted.taints}
    result, changed = [], False
    for taint in live:
        identity = f"{taint['key']}:{taint['effect']}"
        if identity in ours:
            mine = ours.pop(identity)
            changed = changed or mine.get("value", "") != taint.get("value", "")
            result.append(mine)
        elif identity in owned:
            changed = True
        else:
            result.append(taint)
    return [*result, *ours.values()] if changed or ours else None


def _text(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
