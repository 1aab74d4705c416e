# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of changes, and what is found again."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Changed, Store
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import Selection


class Told(list[Changed]):
    @property
    def keys(self) -> list[str]:
        return [item.key[1] for item in self]


def store_of(kind: str, told: Told, *namespaces: str | None) -> Store[str]:
    return Store(Selection(kind), namespaces or (None,), told.append, lambda obj: str(obj["metadata"]["name"]))


def obj(name: str, version: str = "1", *, tenant: str = "", namespace: str = "team", **content: Any) -> Json:
    labels = {names.LABEL_NAME: tenant} if tenant else {}
    return {"metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": version, "labels": labels}, **content}


def test_objects_come_back_as_they_were_and_by_tenant() -> None:
    told = Told()
    store = store_of("Service", told)
    given = [obj("a", tenant="acme", spec={"text": "ünïcode"}), obj("b", tenant="acme"), obj("c"), obj("d", tenant="acme", namespace="x")]
    store.replace(None, given)
    assert store.is_synced
    assert store.get(("team", "a")) == given[0]
    assert store.of_tenant(("team", "acme")) == given[:2]
    assert store.of_tenant(("team", "nobody")) == []
    assert store.all() == given
    assert set(store.summaries().values()) == {"a", "b", "c", "d"}
    assert [item.tenant for item in told] == [("team", "acme"), ("team", "acme"), None, ("x", "acme")]


def test_a_list_tells_of_differences_only() -> None:
    told = Told()
    store = store_of("Service", told)
    store.replace(None, [obj("same"), obj("changes"), obj("goes", tenant="acme")])
    told.clear()
    store.replace(None, [obj("same"), obj("changes", "2"), obj("comes")])
    assert sorted(told.keys) == ["changes", "comes", "goes"]
    assert next(item.tenant for item in told if item.key[1] == "goes") == ("team", "acme")
    assert store.of_tenant(("team", "acme")) == []


def test_the_list_of_one_namespace_says_nothing_of_another() -> None:
    store = store_of("Service", Told(), "team", "other")
    store.replace("team", [obj("a")])
    synced = [store.is_synced]
    store.replace("other", [])
    assert [*synced, store.is_synced] == [False, True]
    assert len(store) == 1


def test_an_object_that_goes_over_to_another_tenant() -> None:
    store = store_of("Service", Told())
    store.put(obj("a", tenant="one"))
    store.put(obj("a", "2", tenant="two"))
    assert (store.of_tenant(("team", "one")), len(store.of_tenant(("team", "two")))) == ([], 1)
    store.remove(obj("a"))
    assert store.of_tenant(("team", "two")) == []


def test_a_kind_that_is_not_served() -> None:
    store = store_of("TLSRoute", Told())
    store.not_served(None, NotFoundError("https://server", "GET", "/path", {"code": 404}))
    assert store.is_synced
    with pytest.raises(NotFoundError):
        store.of_tenant(("team", "acme"))
    store.replace(None, [])
    assert store.of_tenant(("team", "acme")) == []


READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}


@pytest.mark.parametrize(
    ("kind", "before", "after", "matters"),
    [
        ("TenantControlPlane", {"spec": {}}, {"spec": {}, "status": {"phase": "x"}}, False),
        ("DataStore", {"status": {"ready": True}}, {"status": {"ready": True, "usedBy": ["a/b"]}}, False),
        ("DataStore", {"status": {"ready": False}}, {"status": {"ready": True}}, True),
        ("Deployment", {}, {"status": {"replicas": 1}}, True),
        ("Pod", {"status": READY}, {"status": {**READY, "hostIP": "192.0.2.1"}}, False),
        ("Pod", {"status": {"phase": "Pending"}}, {"status": READY}, True),
    ],
)
def test_what_calls_for_a_look(kind: str, before: Json, after: Json, matters: bool) -> None:
    told = Told()
    store = store_of(kind, told)
    store.put(obj("a", "1", **before))
    store.put(obj("a", "2", **after))
    assert len(told) == 1 + matters


@pytest.mark.parametrize("field", ["generation", "deletionTimestamp", "annotations", "labels", "finalizers"])
def test_metadata_of_a_tenant_matter(field: str) -> None:
    told = Told()
    store = store_of("TenantControlPlane", told)
    store.put(obj("a", "1"))
    changed = obj("a", "2")
    changed["metadata"][field] = {"generation": 2, "deletionTimestamp": "now", "finalizers": ["x"]}.get(field, {"x": "y"})
    store.put(changed)
    assert len(told) == 2
