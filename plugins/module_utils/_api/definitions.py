# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of TenantControlPlanes as users give them: completed, and refused together when they break a rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.shape import without_nulls
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import has_shape, node_ports, problems


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
    counts = Counter(map(_key, definitions))
    neighbours = _Neighbours({**tenants, **{_key(item): _with_status(item, tenants) for item in definitions if has_shape(item)}})
    for definition in definitions:
        key, subject = _key(definition), "TenantControlPlane {}/{}".format(*_key(definition))
        if counts[key] > 1:
            found.append(f"{subject}: is defined twice in this call; merge the two definitions")
        live = tenants.get(key)
        reasons = problems(definition, live=live, others=neighbours.of(definition, live))
        found += [f"{subject}: {reason}" for reason in reasons]
    if found:
        unique = list(dict.fromkeys(found))
        raise InvalidError("; ".join(unique), problems=unique)


class _Neighbours:
    """Tenants by the names and ports that only one of them can have."""

    def __init__(self, tenants: Mapping[tuple[str, str], Json]) -> None:
        self._tenants = tenants

    def of(self, definition: Json, live: Json | None) -> Iterator[Json]:
        """Those that have one of them in common with a definition, in order. Nothing is looked up before the first is asked for."""
        own = claims(definition, share_of(definition, (live or {}).get("status")))
        near = {key for claim in own for key in self._by_claim[claim]} - {_key(definition)}
        for key in sorted(near, key=self._positions.__getitem__):
            yield self._tenants[key]

    @cached_property
    def _positions(self) -> dict[tuple[str, str], int]:
        return {key: position for position, key in enumerate(self._tenants)}

    @cached_property
    def _by_claim(self) -> dict[tuple[str, str | int], list[tuple[str, str]]]:
        found: dict[tuple[str, str | int], list[tuple[str, str]]] = defaultdict(list)
        for key, tenant in self._tenants.items():
            for claim in claims(tenant, share_of(tenant)):
                found[claim].append(key)
        return found


def claims(tenant: Json, share: Share) -> Iterator[tuple[str, str | int]]:
    """What only one tenant of a management cluster can have, as (what, which)."""
    yield "schema", share.schema
    yield "user", share.user
    yield from (("port", port) for port in node_ports(without_nulls(tenant.get("spec") or {})))


def _with_status(definition: Json, stored: Mapping[tuple[str, str], Json]) -> Json:
    """A definition with the status of its stored resource, which says where its data is."""
    return {**definition, "status": (stored.get(_key(definition)) or {}).get("status")}


def _key(definition: Json) -> tuple[str, str]:
    metadata = definition["metadata"]
    return str(metadata.get("namespace")), str(metadata.get("name"))
