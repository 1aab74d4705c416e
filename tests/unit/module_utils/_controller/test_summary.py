# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was there first, when two tenants claim the same."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.summary import earlier, neighbours, summarise


def resource(name: str, created: str, *, stored: bool = False, **spec: Any) -> Json:
    status: Json = {"storage": {"dataStoreName": "default", "setup": {"schema": "same", "user": "same"}}} if stored else {}
    return {
        "metadata": {"name": name, "namespace": "team", "uid": name, "creationTimestamp": created},
        "spec": {"kubernetes": {"version": "v1.36.3"}, "dataStore": "default", **spec},
        "status": status,
    }


SAME: dict[str, Any] = {"dataStoreSchema": "same", "dataStoreUsername": "same"}
MORNING, NOON = "2026-01-01T08:00:00Z", "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("one", "two", "first"),
    [
        (resource("a", MORNING, **SAME), resource("b", NOON, **SAME), "a"),
        (resource("a", NOON, **SAME), resource("b", MORNING, **SAME), "b"),
        # Who has data keeps it, whoever came when.
        (resource("a", NOON, stored=True), resource("b", MORNING, **SAME), "a"),
        # In the same second somebody has to be the first, and always the same one.
        (resource("a", NOON, **SAME), resource("b", NOON, **SAME), "a"),
        (resource("a", MORNING, **SAME), resource("b", NOON), None),
    ],
)
def test_who_was_there_first(one: Json, two: Json, first: str | None) -> None:
    tenants = {("team", item["metadata"]["name"]): summarise(item) for item in (one, two)}
    before = {key[1]: [other[1] for other in earlier(tenants, key)] for key in tenants}
    second = {"a": "b", "b": "a"}.get(first or "")
    assert before == {"a": [], "b": []} | ({second: [first]} if second else {})


def test_only_those_with_data_of_their_own_keep_others_from_being_purged() -> None:
    tenants = {
        ("team", item["metadata"]["name"]): summarise(item)
        for item in (resource("owner", NOON, stored=True), resource("refused", MORNING, **SAME), resource("other", NOON))
    }
    assert list(neighbours(tenants, ("team", "owner"))) == ["team/other"]
    assert list(neighbours(tenants, ("team", "refused"))) == ["team/owner", "team/other"]


def test_a_definition_that_is_no_good_has_a_summary_too() -> None:
    summary = summarise({"metadata": {"name": "a", "namespace": "team"}})
    assert (summary.phase, summary.version, dict(summary.ends)) == ("", "", {})
