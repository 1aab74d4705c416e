# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of TenantControlPlanes as users give them: completed, and refused together when they break a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems


def complete(definition: Any, namespace: str) -> Json:
    """A definition with apiVersion, kind and namespace filled in where the user left them out."""
    if not isinstance(definition, Mapping):
        raise InvalidError(f"a definition must be a mapping with metadata and spec, not {type(definition).__name__}")
    for name in ("metadata", "spec"):
        if not isinstance(definition.get(name) or {}, Mapping):
            raise InvalidError(f"{name} of a definition must be a mapping, not {type(definition[name]).__name__}")
    metadata = dict(definition.get("metadata") or {})
    if not metadata.get("namespace"):
        metadata["namespace"] = namespace
    return {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, **definition, "metadata": metadata}


def check_all(definitions: Sequence[Json], stored: Sequence[Json]) -> None:
    """Refuse definitions that break a rule, each other, or what is stored. Raises InvalidError naming every problem.

    stored: all TenantControlPlanes of the management cluster.
    """
    found: list[str] = []
    tenants = {_key(item): item for item in stored}
    for definition in definitions:
        key, subject = _key(definition), "TenantControlPlane {}/{}".format(*_key(definition))
        if sum(_key(other) == key for other in definitions) > 1:
            found.append(f"{subject}: is defined twice in this call; merge the two definitions")
        others = {**tenants, **{_key(other): _with_status(other, tenants) for other in definitions}}
        others.pop(key)
        reasons = problems(definition, live=tenants.get(key), others=tuple(others.values()))
        found += [f"{subject}: {reason}" for reason in reasons]
    if found:
        unique = list(dict.fromkeys(found))
        raise InvalidError("; ".join(unique), problems=unique)


def _with_status(definition: Json, stored: Mapping[tuple[str, str], Json]) -> Json:
    """A definition with the status of its stored resource, which says where its data is."""
    return {**definition, "status": (stored.get(_key(definition)) or {}).get("status")}


def _key(definition: Json) -> tuple[str, str]:
    metadata = definition["metadata"]
    return str(metadata.get("namespace")), str(metadata.get("name"))
