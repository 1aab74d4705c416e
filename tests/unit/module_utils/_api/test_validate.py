# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module says about definitions; the API layer holds the CRD against the same table."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import (
    BAD,
    BAD_CHANGES,
    BAD_NAMES,
    GOOD,
    GOOD_CHANGES,
    Case,
    definition,
)


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert problems(definition(GOOD[name])) == []


@pytest.mark.parametrize("name", GOOD_CHANGES)
def test_good_change(name: str) -> None:
    old, new = GOOD_CHANGES[name]
    assert problems(definition(new), live=definition(old)) == []


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in (*BAD, *BAD_CHANGES)])
def test_bad(case: Case) -> None:
    assert problems(definition(case.changes), live=case.stored()) == list(case.says)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(name: str) -> None:
    assert problems(definition(name=name)) == [BAD_NAMES[name]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ["[] is not a mapping; write apiVersion, kind, metadata and spec", "spec is missing; write at least spec.kubernetes.version"]),
        (
            {"kind": "Tenant", "apiVersion": "v1", "Spec": {}},
            [
                "Spec is not a known field; did you mean spec?",
                'apiVersion "v1" is not handled here; write kamaji.clastix.io/v1alpha1',
                'kind "Tenant" is not handled here; write TenantControlPlane',
                "metadata is missing; write at least metadata.name",
                "spec is missing; write at least spec.kubernetes.version",
            ],
        ),
        (
            {"metadata": {"namespace": "Team A"}, "spec": {"kubernetes": {"version": "v1.36.3"}}},
            [
                "metadata.name is missing; give the tenant control plane a name",
                'metadata.namespace "Team A" is not a namespace name; write at most 63 of a-z, 0-9 and "-"',
            ],
        ),
        (
            {"metadata": {"name": "a"}, "spec": {"kubernetes": {"version": 1.36}}},
            ["spec.kubernetes.version 1.36 is not a text; put it in quotes"],
        ),
    ],
)
def test_not_a_definition(value: Any, expected: list[str]) -> None:
    assert problems(value) == expected


def test_null_is_not_set_as_on_the_server() -> None:
    nulls = {"addons.coreDNS": None, "networkProfile": None, "controlPlane.deployment.additionalContainers": None, "dataStore": None}
    assert problems(definition(nulls)) == []
    assert problems(definition({"kubernetes.version": None})) == ["spec.kubernetes.version is missing; it must be given"]
    assert problems(definition({"networkProfile.certSANs": [None]})) == [
        "spec.networkProfile.certSANs[0] is null; write a value, or leave it out"
    ]


def test_too_old_is_said_here_though_the_server_takes_it() -> None:
    assert problems(definition({"kubernetes.version": "v1.30.1"})) == [
        "spec.kubernetes.version v1.30.1 is too old; supported are 1.34 to 1.37"
    ]


def test_the_mark_of_unknown_values_is_refused() -> None:
    found = problems(definition({"dataStore": UNKNOWN}))
    assert len(found) == 1
    assert "not known yet" in found[0]


def test_all_problems_are_said_at_once() -> None:
    bad = definition({"networkProfile.port": 8133, "networkProfile.address": "x", "kubernetes.version": "v9"})
    assert len(problems(bad)) == 3


def test_schema_recorded_in_status_cannot_change() -> None:
    live = definition()
    live["status"] = {"storage": {"setup": {"schema": "tenants_acme", "user": "tenants_acme"}}}
    assert problems(definition({"dataStoreSchema": "tenants_acme"}), live=live) == []
    assert problems(definition({"dataStoreUsername": "x"}), live=live) == [
        'spec.dataStoreUsername is "tenants_acme" and cannot become "x"; create another tenant control plane for that'
    ]


NODE_PORT: dict[str, Any] = {
    "controlPlane.service.serviceType": "NodePort",
    "networkProfile.address": "192.0.2.7",
    "networkProfile.port": 30443,
}


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ({}, definition(), ["TenantControlPlane tenants/acme is defined twice; keep one of the definitions"]),
        ({}, definition(name="blue"), []),
        (
            {"dataStoreSchema": "s"},
            definition({"dataStoreSchema": "s"}, "blue"),
            ['spec.dataStoreSchema "s" is that of TenantControlPlane tenants/blue in the same DataStore; choose another one'],
        ),
        ({"dataStoreSchema": "s"}, definition({"dataStoreSchema": "s", "dataStore": "other"}, "blue"), []),
        (
            {"dataStoreSchema": "tenants_blue"},
            definition(name="blue"),
            ['spec.dataStoreSchema "tenants_blue" is that of TenantControlPlane tenants/blue in the same DataStore; choose another one'],
        ),
        (
            {"dataStoreUsername": "tenants_blue", "dataStore": "default"},
            definition(name="blue"),
            ['spec.dataStoreUsername "tenants_blue" is that of TenantControlPlane tenants/blue in the same DataStore; choose another one'],
        ),
        (
            {"dataStoreSchema": "s"},
            {**definition(name="blue"), "status": {"storage": {"dataStoreName": "default", "setup": {"schema": "s", "user": "u"}}}},
            ['spec.dataStoreSchema "s" is that of TenantControlPlane tenants/blue in the same DataStore; choose another one'],
        ),
        (
            NODE_PORT,
            definition(NODE_PORT, "blue"),
            [
                (
                    "node port 30443 (spec.networkProfile.port, spec.addons.konnectivity.server.port) is that of TenantControlPlane tenants/blue; "
                    "choose another one"
                )
            ],
        ),
        (NODE_PORT, definition({**NODE_PORT, "networkProfile.port": 30444}, "blue"), []),
    ],
)
def test_neighbours(mine: dict[str, Any], other: Json, expected: list[str]) -> None:
    assert problems(definition(mine), others=[other]) == expected
