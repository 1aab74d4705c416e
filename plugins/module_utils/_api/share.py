# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tenant's data is: the one place that decides it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


@dataclass(frozen=True)
class Share:
    """A tenant's part of a datastore. store: name of the DataStore; schema: prefix or database; user: who may use it."""

    store: str
    schema: str
    user: str

    def overlaps(self, other: Share) -> bool:
        """Whether two tenants with these shares could touch each other's data."""
        return self.store == other.store and (self.schema == other.schema or self.user == other.user)


def share_of(definition: Json, status: Json | None = None) -> Share:
    """Return the share of a tenant, from its definition or stored resource.

    What status recorded wins, for the data lives there; then the spec, then a name made of namespace and name. status: the
    recorded one when the definition does not carry it.
    """
    metadata, spec = definition.get("metadata") or {}, definition.get("spec") or {}
    storage = (status or definition.get("status") or {}).get("storage") or {}
    setup = storage.get("setup") or {}
    default = names.default_schema(metadata.get("namespace") or "default", str(metadata.get("name")))
    schema = setup.get("schema") or spec.get("dataStoreSchema") or default
    return Share(
        store=storage.get("dataStoreName") or spec.get("dataStore") or DEFAULT_NAME,
        schema=schema,
        user=setup.get("user") or spec.get("dataStoreUsername") or schema,
    )
