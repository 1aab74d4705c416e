# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions that are refused together, and what it costs to look at many."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import check_all
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import definition

PORT: Json = {"controlPlane.service.serviceType": "NodePort", "networkProfile.address": "192.0.2.7", "networkProfile.port": 30443}


@pytest.mark.parametrize(
    ("given", "stored", "reasons"),
    [
        (["acme", "blue"], ["acme", "blue", "other"], []),
        (["acme", "acme"], [], ["acme: is defined twice in this call; merge the two definitions"]),
        ([("acme", {"dataStoreSchema": "tenants_blue"})], ["blue"], ["acme: spec.dataStoreSchema"]),
        ([("acme", {"dataStoreUsername": "tenants_blue"}), "blue"], [], ["acme: spec.dataStoreUsername", "blue: spec.dataStoreUsername"]),
        ([("acme", PORT)], [("blue", PORT), "acme"], ["acme: node port 30443"]),
        # What the call changes counts, not what is stored.
        ([("acme", PORT), "blue"], [("blue", PORT)], []),
        # One without its shape takes nothing from anybody.
        ([("acme", {"dataStoreSchema": ["a"]}), "blue"], [], ["acme: spec.dataStoreSchema"]),
    ],
)
def test_together(given: list[Any], stored: list[Any], reasons: list[str]) -> None:
    def made(items: list[Any]) -> list[Json]:
        return [definition(*reversed(item)) if isinstance(item, tuple) else definition(name=item) for item in items]

    found: list[str] = []
    try:
        check_all(made(given), made(stored))
    except InvalidError as error:
        found = error.result["problems"]
    assert len(found) == len(reasons)
    for problem, reason in zip(found, reasons, strict=True):
        assert problem.startswith(f"TenantControlPlane tenants/{reason}")


def calls(count: int) -> int:
    """How many functions are called to look at so many definitions."""
    many = [definition(name=f"tenant-{number}") for number in range(count)]
    called = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal called
        called += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        check_all(many, many)
    finally:
        sys.setprofile(before)
    return called


def test_twice_as_many_cost_twice_as_much() -> None:
    assert calls(80) < 2.2 * calls(40)
