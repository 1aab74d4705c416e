# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to datastores are kept while they are good, and a store that is silent holds up one caller only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DataStore, check
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store_pool import StorePool
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import (
    DatastoreError,
    DatastorePermissionError,
    DatastoreUnreachableError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import OpenStore
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending

DEFINITION = {
    "metadata": {"name": "db"},
    "spec": {
        "driver": "PostgreSQL",
        "endpoints": ["192.0.2.1:5432"],
        "basicAuth": {name: {"content": "eA=="} for name in ("username", "password")},
    },
}


class Opener:
    """Counts."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    @contextlib.contextmanager
    def open(self, datastore: DataStore) -> Iterator[OpenStore]:
        self.opened += 1
        try:
            unused: Any = None
            yield OpenStore(datastore, unused, unused)
        finally:
            self.closed += 1

    def trust(self, name: str) -> None:
        """Nothing is kept."""

    def distrust(self, name: str, error: DatastoreError) -> None:
        """Nothing is kept."""


@pytest.fixture
def datastore() -> DataStore:
    return check(DEFINITION)


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def use(pool: StorePool, datastore: DataStore) -> None:
    with pool.open(datastore):
        pass


def test_kept_until_it_is_too_old_or_another_one(datastore: DataStore, opener: Opener, clock: list[float]) -> None:
    pool = StorePool(opener, 60)
    use(pool, datastore)
    use(pool, datastore)
    assert opener.opened == 1
    clock[0] += 61
    use(pool, datastore)
    assert (opener.opened, opener.closed) == (2, 1)
    use(pool, replace(datastore, labels={"a": "b"}))
    assert (opener.opened, opener.closed) == (3, 2)
    pool.close()
    assert opener.closed == 3


def test_nothing_is_closed_under_who_uses_it(datastore: DataStore, opener: Opener) -> None:
    pool = StorePool(opener, 60)
    with pool.open(datastore):
        pool.close()
        assert opener.closed == 0
    assert opener.closed == 1


def test_a_store_that_is_silent_is_tried_by_one_caller_every_few_seconds(datastore: DataStore, opener: Opener, clock: list[float]) -> None:
    pool, silent = StorePool(opener, 60), DatastoreUnreachableError("db", "does not answer")
    with pool.open(datastore):
        pool.distrust("db", silent)
    with pytest.raises(DatastoreUnreachableError):
        use(pool, datastore)
    clock[0] += 11
    with pool.open(datastore):
        with pytest.raises(DatastoreUnreachableError):
            use(pool, datastore)
        pool.distrust("db", silent)
    with pytest.raises(DatastoreUnreachableError):
        use(pool, datastore)
    clock[0] += 11
    with pool.open(datastore):
        pool.trust("db")
        # It has answered, so that everybody may again.
        use(pool, datastore)
    assert opener.opened == 3


def test_one_alone_tries_a_new_connection(datastore: DataStore, opener: Opener) -> None:
    pool = StorePool(opener, 60)
    with pool.open(datastore):
        with pytest.raises(Pending, match="is just being tried"):
            use(pool, datastore)
        pool.trust("db")
        use(pool, datastore)
    use(pool, datastore)
    assert opener.opened == 1


def test_a_store_that_answers_with_a_refusal_is_not_silent(datastore: DataStore, opener: Opener) -> None:
    pool = StorePool(opener, 60)
    with pool.open(datastore):
        pool.distrust("db", DatastorePermissionError("db", "may not"))
    use(pool, datastore)
    assert (opener.opened, opener.closed) == (2, 1)
