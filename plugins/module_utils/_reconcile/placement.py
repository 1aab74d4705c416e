# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants that choose their datastore by labels: look at the stores, let the pure part choose, remember the choice.

The choice is recorded in the status as soon as the resource exists, before anything is granted in the store: a run that is killed in
between leaves nothing behind anywhere, and from then on only the record counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import Selector
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.placement import Candidate, choose
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stores import Stores

_STORES_AT_ONCE: Final = 8
TenantKey = tuple[str, str]


def place(client: Client, stores: Stores, tenants: Sequence[Desired], observed: Mapping[TenantKey, Observed]) -> list[Desired]:
    """Return the tenants with the DataStore of each that names none: the recorded one, or one that is chosen now.

    Tenants that are placed by one call see each other. One for which there is no room carries the reason (no_store).
    No call is made when nobody has to choose.
    """
    settled = [settle(desired, observed[_key(desired)]) for desired in tenants]
    waiting = [desired for desired in settled if chooses(desired)]
    if not waiting:
        return settled
    pool = _Pool.look(client, stores, settled, [desired.tenant.data_store_selector for desired in waiting])
    return [pool.place(desired) if chooses(desired) else desired for desired in settled]


def settle(desired: Desired, observed: Observed) -> Desired:
    """Fill in the DataStore that holds the tenant's data already, where the definition names none."""
    recorded = (observed.status.get("storage") or {}).get("dataStoreName")
    if not recorded or desired.tenant.spec.get("dataStore"):
        return desired
    return replace(desired, tenant=replace(desired.tenant, data_store=recorded), no_store="")


def chooses(desired: Desired) -> bool:
    """Whether a tenant still has to choose its DataStore."""
    return desired.tenant.data_store is None and desired.tenant.data_store_selector is not None


class _Pool:
    """The DataStores that can be chosen, with the tenants of this call that were put into them."""

    def __init__(self, definitions: Mapping[str, Json], candidates: Sequence[Candidate]) -> None:
        self._labels = {name: (item["metadata"].get("labels") or {}) for name, item in definitions.items()}
        self._candidates = {item.name: item for item in candidates}

    @classmethod
    def look(cls, client: Client, stores: Stores, tenants: Sequence[Desired], selectors: Sequence[Selector | None]) -> _Pool:
        """Ask every store that a selector picks once. tenants: those of this call, which count besides what is stored."""
        definitions = {item["metadata"]["name"]: item for item in client.list(resource_of(api.KIND)).items}
        named = [
            item
            for name, item in definitions.items()
            if any(selector and selector.picks(item["metadata"].get("labels") or {}) for selector in selectors)
        ]
        shares = _shares(client, tenants)
        with ThreadPoolExecutor(max_workers=min(_STORES_AT_ONCE, len(named) or 1)) as pool:
            return cls(definitions, list(pool.map(lambda item: _candidate(stores, item, shares), named)))

    def place(self, desired: Desired) -> Desired:
        tenant, share = desired.tenant, share_of(desired.tenant.manifest())
        selector = tenant.data_store_selector or Selector()
        picked = [item for name, item in self._candidates.items() if selector.picks(self._labels[name])]
        try:
            if not picked:
                there = ", ".join(sorted(self._labels)) or "none"
                raise InvalidError(
                    f"spec.dataStoreSelector picks no DataStore; label one (there are: {there}), or name one in spec.dataStore"
                )
            name = choose(share, picked)
        except HostedKubernetesError as error:
            return replace(desired, no_store=error.msg)
        chosen = self._candidates[name]
        self._candidates[name] = replace(chosen, shares=(*chosen.shares, replace(share, store=name)))
        return replace(desired, tenant=replace(tenant, data_store=name), no_store="")


def _shares(client: Client, tenants: Sequence[Desired]) -> list[Share]:
    """The shares of all tenants, as stored, or as this call defines them where nothing is recorded."""
    stored = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in client.list(resource_of(KIND)).items}
    statuses = {key: item.get("status") for key, item in stored.items()}
    defined = {_key(desired): share_of(desired.tenant.manifest(), statuses.get(_key(desired))) for desired in tenants}
    return [*({key: share_of(item) for key, item in stored.items()} | defined).values()]


def _candidate(stores: Stores, live: Json, shares: Sequence[Share]) -> Candidate:
    name, spec = live["metadata"]["name"], live.get("spec") or {}
    found = Candidate(name, str(spec.get("driver", "")), api.Capacity(), tuple(share for share in shares if name in share.stores))
    try:
        found = replace(found, capacity=api.check(live).capacity)
        if live["metadata"].get("deletionTimestamp"):
            return replace(found, fault="is being deleted")
        probe = stores.driver(name).probe()
    except HostedKubernetesError as error:
        return replace(found, fault=error.msg)
    fault = "; ".join(probe.problems)
    return replace(found, size_bytes=probe.db_size_bytes, quota_bytes=probe.quota_bytes, latency_ms=probe.latency_ms, fault=fault)


def confirm(client: Client, desired: Desired) -> None:
    """Look whether a choice that was just recorded holds: others may have chosen the same place at the same time.

    Raises HostedKubernetesError when the store has more tenants than it may; whoever sees that has to give way.
    """
    name = desired.tenant.data_store or ""
    live = client.get(resource_of(api.KIND), name)
    most = api.check(live).capacity.tenants if live else None
    if most is None:
        return
    here = [item for item in client.list(resource_of(KIND)).items if name in share_of(item).stores]
    if len(here) > most:
        raise HostedKubernetesError(f"the last place in DataStore {name} was taken by another run at the same time; run again")


def _key(desired: Desired) -> TenantKey:
    return desired.tenant.namespace, desired.tenant.name
