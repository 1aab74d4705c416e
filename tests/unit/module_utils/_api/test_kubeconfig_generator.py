# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of KubeconfigGenerators: what is refused, and what their values are for a tenant."""

from __future__ import annotations

import ast
from datetime import timedelta
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig_generator import Value, check, problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.generator_cases import BAD, BAD_NAMES, GOOD, GOOD_NAMES, Case, definition

TENANT: Json = {
    "metadata": {"name": "acme", "namespace": "tenants", "labels": {"team": "red", "who": "system:kube-scheduler"}},
    "spec": {"controlPlane": {"deployment": {"replicas": 2}}, "dataStore": ""},
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    given = definition(**GOOD[name])
    assert problems(given) == []
    assert check(given).manifest()["spec"] == given["spec"], "nothing is added to or taken from what the user wrote"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD])
def test_bad(case: Case) -> None:
    with pytest.raises(InvalidError) as error:
        check(definition(**case.spec))
    assert error.value.msg.startswith("KubeconfigGenerator viewer: spec")
    assert [part for part in case.module if part not in error.value.msg] == [], error.value.msg


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(name: str) -> None:
    (problem,) = problems(definition(name))
    assert problem.startswith("metadata.name")


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_name(name: str) -> None:
    assert problems(definition(name)) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("text", '"text" is not a mapping'),
        ({}, "metadata.name is missing; give the generator a name"),
        ({"metadata": {"name": "a"}}, "KubeconfigGenerator a: spec is missing; write at least spec.user"),
        ({"metadata": ["a"], "spec": {}}, "metadata.name is missing"),
        ({**definition(), "kind": "TenantControlPlane"}, 'kind "TenantControlPlane" is not handled here; write KubeconfigGenerator'),
        ({**definition(), "apiVersion": "v1"}, 'apiVersion "v1" is not handled here; write kamaji.clastix.io/v1alpha1'),
    ],
)
def test_no_generator(given: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        check(given)


def test_all_problems_are_told_at_once() -> None:
    found = problems(definition("ca", user={}, expirationSeconds=1))
    assert [item.partition(" ")[0] for item in found] == ["metadata.name", "spec.expirationSeconds"]


def test_defaults() -> None:
    found = check(definition(groups=None))
    assert (found.inside, found.lifetime, found.groups) == (True, timedelta(days=30), ())
    assert found.namespaces.picks({})
    assert found.tenants.picks(None)


@pytest.mark.parametrize(
    ("key", "inside"), [("admin.svc", True), ("super-admin.svc", True), ("admin.conf", False), ("super-admin.conf", False)]
)
def test_endpoint(key: str, inside: bool) -> None:
    assert check(definition(controlPlaneEndpointFrom=key)).inside is inside


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stringValue": "robot"}, "robot"),
        ({"stringValue": "system:masters"}, "system:masters"),
        ({"fromDefinition": "metadata.name"}, "acme"),
        ({"fromDefinition": "metadata.labels.team"}, "red"),
    ],
)
def test_value(value: Json, text: str) -> None:
    assert Value.parse(value).of(TENANT, "spec.user") == text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "metadata.labels.tema",
            r"^spec.user.fromDefinition: the TenantControlPlane has nothing there \(metadata.labels.tema\); write it there, or",
        ),
        ("spec.dataStore", "has nothing there"),
        ("metadata.name.first", "has nothing there"),
        ("spec.controlPlane.deployment.replicas", r"holds 2 there, which is no text \(spec.controlPlane.deployment.replicas\)"),
        ("metadata.labels", "holds .* there, which is no text"),
        ("metadata.labels.who", '"system:kube-scheduler" at metadata.labels.who; names that begin with "system:" are Kubernetes\' own'),
    ],
)
def test_value_that_no_certificate_may_have(path: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Value(path=path).of(TENANT, "spec.user")


def test_examples_of_the_module() -> None:
    source = (COLLECTION / "plugins/modules/kubeconfig_generator.py").read_text(encoding="utf-8")
    (text,) = (node.value for node in ast.parse(source).body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES")
    tasks = [task["hosted.kubernetes.kubeconfig_generator"] for task in yaml.safe_load(ast.literal_eval(text))]
    given = [task["definition"] for task in tasks if "definition" in task]
    assert [problems(item) for item in given] == [[], []]
