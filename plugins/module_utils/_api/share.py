# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tenant's data is: the one place that decides it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

_PLAIN_NAME: Final = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Share:
    """A tenant's part of a datastore. store: name of the DataStore; schema: prefix or database; user: who may use it.

    store is "" of a tenant that chooses its DataStore by labels and has not chosen yet: it has no data.
    overrides: DataStores of single resources, also of those that an earlier definition named; the names in them are the same.
    """

    store: str
    schema: str
    user: str
    overrides: tuple[str, ...] = ()

    @property
    def stores(self) -> tuple[str, ...]:
        """Every DataStore that may hold data of the tenant, that of everything else first."""
        return tuple(dict.fromkeys(name for name in (self.store, *self.overrides) if name))

    def overlaps(self, other: Share) -> bool:
        """Whether two tenants with these shares could touch each other's data."""
        return not {*self.stores}.isdisjoint(other.stores) and (self.schema == other.schema or self.user == other.user)


def share_of(definition: Json, status: Json | None = None) -> Share:
    """Return the share of a tenant, from its definition or stored resource.

    What status recorded wins, for the data lives there; then the spec, then a name made of namespace and name. status: the
    recorded one when the definition does not carry it.
    """
    metadata, spec = definition.get("metadata") or {}, definition.get("spec") or {}
    status = status or definition.get("status") or {}
    storage = status.get("storage") or {}
    setup = storage.get("setup") or {}
    default = names.default_schema(metadata.get("namespace") or "default", str(metadata.get("name")))
    schema = setup.get("schema") or spec.get("dataStoreSchema") or default
    return Share(
        store=storage.get("dataStoreName") or spec.get("dataStore") or ("" if spec.get("dataStoreSelector") is not None else DEFAULT_NAME),
        schema=schema,
        user=setup.get("user") or spec.get("dataStoreUsername") or names.default_user(schema),
        overrides=tuple(dict.fromkeys((*((status.get("hosted") or {}).get("dataStores") or ()), *overrides_of(definition)))),
    )


def kine_problem(share: Share, driver: str) -> str | None:
    """Why API servers cannot reach a share through kine, which takes both names as parts of an address; None when they can."""
    for field, name in (("dataStoreSchema", share.schema), ("dataStoreUsername", share.user)):
        if not _PLAIN_NAME.fullmatch(name):
            return f'spec.{field} "{name}" does not fit a datastore of driver {driver}; write letters, digits, "_" and "-" only'
    return None


def overrides_of(definition: Json | None) -> tuple[str, ...]:
    """The DataStores a definition, good or bad, names for single resources."""
    overrides = ((definition or {}).get("spec") or {}).get("dataStoreOverrides") or ()
    return tuple(dict.fromkeys(item["dataStore"] for item in overrides if isinstance(item, Mapping) and item.get("dataStore")))
