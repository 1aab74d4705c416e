# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a change concerns. Pure but for the cache it looks into."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Changed
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.summary import rivals
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.work_queue import GENERATORS, Key

TENANT = "TenantControlPlane"
DATASTORE = "DataStore"


def concerned(changed: Changed, cache: Cache) -> Iterator[Key]:
    """The tenants, DataStores and generators to look at after a change. Those of namespaces that are not served are left out."""
    for key in _concerned(changed, cache):
        if key.kind != TENANT or cache.serves(key.namespace):
            yield key


def everything(cache: Cache) -> Iterator[Key]:
    """All there is to look at."""
    yield from (Key(TENANT, *key) for key in cache.tenants() if cache.serves(key[0]))
    yield from (Key(DATASTORE, name=name) for name in cache.datastores())
    yield Key(GENERATORS)


def _concerned(changed: Changed, cache: Cache) -> Iterator[Key]:
    namespace, name = changed.key
    if changed.kind == TENANT:
        yield Key(TENANT, namespace, name)
        # Who uses it.
        yield from (Key(DATASTORE, name=store) for store in changed.summary.share.stores)
        # There may be room now for one that was refused.
        yield from (Key(TENANT, *key) for key in rivals(cache.tenants(), changed.key, changed.summary))
        yield from _generators(cache)
    elif changed.kind == DATASTORE:
        yield Key(DATASTORE, name=name)
        yield from (Key(TENANT, *key) for key, summary in cache.tenants().items() if name in summary.share.stores)
    elif changed.kind == GENERATORS:
        yield Key(GENERATORS)
    elif changed.kind == "Namespace":
        yield from (Key(TENANT, *key) for key in cache.tenants() if key[0] == name)
        yield from _generators(cache)
    else:
        if changed.tenant:
            yield Key(TENANT, *changed.tenant)
        if changed.kind == "Secret":
            yield from _generators(cache)


def _generators(cache: Cache) -> Iterator[Key]:
    if cache.has_generators():
        yield Key(GENERATORS)
