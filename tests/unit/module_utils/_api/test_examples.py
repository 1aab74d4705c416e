# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every definition in docs/examples is valid, and its fields reach the objects that are made of it."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.support.examples import NAMES, example
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, kine_inputs


def test_examples_are_found() -> None:
    assert {"audit", "encryption", "authentication", "authorization", "feature_gates", "own_authority", "pods"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_valid(name: str) -> None:
    assert problems(example(name)) == []


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ingress", {"Ingress acme"}),
        ("gateway", {"TLSRoute acme", "TLSRoute acme-konnectivity"}),
        ("audit", {"ConfigMap acme-api-server-configuration"}),
        ("authentication", {"ConfigMap acme-api-server-configuration"}),
        ("authorization", {"ConfigMap acme-api-server-configuration"}),
    ],
)
def test_makes(name: str, kinds: set[str]) -> None:
    assert kinds <= {f"{item['kind']} {item['metadata']['name']}" for item in objects(parse(example(name)), inputs())}


def test_database() -> None:
    spec = example("database")["spec"]["controlPlane"]["deployment"]
    (kine,) = objects(parse(example("database")), kine_inputs())[-1]["spec"]["template"]["spec"]["initContainers"]
    assert kine["image"] == spec["additionalContainers"][0]["image"]
    assert kine["resources"] == spec["resources"]["kine"]
    assert kine["args"][-2:] == spec["extraArgs"]["kine"]


def test_pods() -> None:
    spec = example("pods")["spec"]["controlPlane"]["deployment"]
    made = objects(parse(example("pods")), inputs())[-1]["spec"]
    pod, containers = made["template"]["spec"], {item["name"]: item for item in made["template"]["spec"]["containers"]}
    assert made["replicas"] == 3
    for field in ("priorityClassName", "imagePullSecrets", "affinity"):
        assert pod[field] == spec[field]
    assert containers["kube-apiserver"]["resources"] == spec["resources"]["apiServer"]
    assert {item["image"].rpartition("/")[0] for item in containers.values()} == {
        "mirror.example.com",
        "mirror.example.com/kubernetes",
        "mirror.example.com/kubernetes/kas-network-proxy",
    }
