# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods are rolled by what the user changes, never because the collection is newer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import templates
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import Facts
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import digest
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import desired, live

FACTS: Final = Facts(
    uid="8d0f",
    addresses=("198.18.0.200",),
    advertise_address="198.18.0.200",
    endpoint_host="198.18.0.200",
    endpoint_port=6443,
    tunnel_host="198.18.0.200",
    schema="tenants_acme",
    user="tenants_acme",
    checksums=dict.fromkeys([*templates.COMPONENTS, names.DATASTORE_CONFIG, names.DATASTORE_CERTIFICATE], "c0"),
)
Template = dict[str, Any]


def deployment(version: str = "1") -> Json:
    """As an engine of some version builds it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "acme", "namespace": "tenants", "annotations": {"a": "b"}},
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "server", "image": "i", "args": [f"--engine={version}"]}]},
            },
        },
    }


def settle(body: Json, found: Json | None, *, facts: Facts = FACTS, rollout_now: bool = False, **spec: Any) -> tuple[Json, list[str]]:
    body, deferred = templates.settle(body, found, desired(**spec).tenant, facts, rollout_now=rollout_now)
    return body, [item.path for item in deferred]


def test_endpoints_of_another_store_roll_the_pods() -> None:
    """They are in a flag; nothing of ours decided about them."""
    before = live(settle(deployment(), None, facts=replace(FACTS, overrides={"/events": ("a:2379",)}))[0])
    body, deferred = settle(deployment("2"), before, facts=replace(FACTS, overrides={"/events": ("b:2379",)}))
    assert deferred == []
    assert body["spec"]["template"] == deployment("2")["spec"]["template"]


def test_fingerprint_without_overrides_is_that_of_earlier_versions() -> None:
    """Otherwise the first run of this version would take its own differences for the user's, and roll every tenant."""
    for form in (1, 2):
        assert set(templates._inputs(desired().tenant, FACTS, form)) == {"spec", "advertiseAddress", "schema", "user", "checksums"}


def standing(**spec: Any) -> Json:
    """The Deployment that engine 1 applied."""
    return live(settle(deployment(), None, **spec)[0])


ARGUMENTS: Final = "spec.template.spec.containers[name=server].args"


def test_first_template_is_applied_and_recorded() -> None:
    body, deferred = settle(deployment(), None)
    assert deferred == []
    assert body["spec"] == deployment()["spec"]
    assert body["metadata"]["annotations"]["a"] == "b"
    record = json.loads(body["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])
    assert record["template"] == deployment()["spec"]["template"]


def test_nothing_new_is_nothing_deferred() -> None:
    found = standing()
    body, deferred = settle(deployment(), found)
    assert (body["spec"], deferred) == (found["spec"], [])


def test_difference_of_a_newer_engine_is_deferred_and_listed() -> None:
    found = standing()
    body, deferred = settle(deployment("2"), found)
    assert body["spec"] == found["spec"]
    assert body["metadata"]["annotations"] == found["metadata"]["annotations"]
    assert deferred == [ARGUMENTS]


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        (lambda pod: pod["containers"].append({"name": "new", "image": "j"}), "containers[name=new]"),
        (lambda pod: pod["containers"][0].pop("args"), "containers[name=server].args"),
        (lambda pod: pod.update(priorityClassName="high"), "priorityClassName"),
    ],
)
def test_every_kind_of_difference_is_listed(change: Callable[[Template], None], listed: str) -> None:
    newer = deployment()
    change(newer["spec"]["template"]["spec"])
    body, deferred = settle(newer, standing())
    assert body["spec"] == deployment()["spec"]
    assert deferred
    assert all(path.startswith(f"spec.template.spec.{listed}") for path in deferred)


def test_rollout_now_applies_what_was_deferred() -> None:
    body, deferred = settle(deployment("2"), standing(), rollout_now=True)
    assert body["spec"] == deployment("2")["spec"]
    assert deferred == []
    assert settle(deployment("2"), live(body)) == (body, [])


ROLLS: Final[dict[str, Json]] = {
    "version": {"kubernetes__version": "v1.36.4"},
    "arguments": {"controlPlane__deployment__extraArgs": {"apiServer": ["--v=4"]}},
    "addon": {"addons__konnectivity": None},
    "port": {"networkProfile__port": 6444},
    "a field nobody knows yet": {"somethingNew": True},
}
STAYS: Final[dict[str, Json]] = {
    "replicas": {"controlPlane__deployment__replicas": 5},
    "asleep": {"controlPlane__deployment__replicas": 0},
    "labels of the Deployment": {"controlPlane__deployment__additionalMetadata": {"labels": {"a": "b"}}},
    "strategy": {"controlPlane__deployment__strategy": {"type": "Recreate"}},
    "Service": {"controlPlane__service__serviceType": "NodePort"},
    "agent of konnectivity": {"addons__konnectivity": {"agent": {"mode": "Deployment"}}},
    "CoreDNS": {"addons__coreDNS": None},
    "kubelet": {"kubernetes__kubelet": {"cgroupfs": "systemd"}},
    "empty object": {"networkProfile": {}},
    "source ranges": {"networkProfile__loadBalancerSourceRanges": ["10.0.0.0/8"]},
}


@pytest.mark.parametrize("spec", ROLLS.values(), ids=ROLLS.keys())
def test_change_of_the_user_takes_everything_along(spec: Json) -> None:
    body, deferred = settle(deployment("2"), standing(), **spec)
    assert body["spec"] == deployment("2")["spec"]
    assert deferred == []


@pytest.mark.parametrize("spec", STAYS.values(), ids=STAYS.keys())
def test_what_never_reaches_a_pod_rolls_none(spec: Json) -> None:
    found = standing()
    body, deferred = settle(deployment("2"), found, **spec)
    assert body["spec"] == found["spec"]
    assert deferred == [ARGUMENTS]


def test_everything_around_the_template_is_applied_at_once() -> None:
    newer = deployment("2")
    newer["spec"]["replicas"] = 5
    newer["metadata"]["annotations"]["new"] = "x"
    body, _deferred = settle(newer, standing())
    assert body["spec"]["replicas"] == 5
    assert body["metadata"]["annotations"]["new"] == "x"


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, advertise_address="198.18.0.201"),
        replace(FACTS, schema="other"),
        replace(FACTS, checksums={**FACTS.checksums, names.FRONT_PROXY_CLIENT: "c1"}),
        replace(FACTS, checksums={**FACTS.checksums, names.KONNECTIVITY_CERTIFICATE: "c1"}),
        replace(FACTS, checksums={**FACTS.checksums, names.DATASTORE_CERTIFICATE: "c1"}),
        replace(FACTS, checksums={**FACTS.checksums, names.CA: UNKNOWN}),
    ],
    ids=["address", "schema", "certificate", "konnectivity", "datastore certificate", "not known yet"],
)
def test_keys_and_addresses_roll(facts: Facts) -> None:
    body, deferred = settle(deployment("2"), standing(), facts=facts)
    assert body["spec"] == deployment("2")["spec"]
    assert deferred == []


@pytest.mark.parametrize("suffix", [names.ADMIN_KUBECONFIG, names.KONNECTIVITY_KUBECONFIG, names.API_SERVER])
def test_secrets_that_no_pod_reads_and_that_are_read_again_roll_none(suffix: str) -> None:
    facts = replace(FACTS, checksums={**FACTS.checksums, suffix: "c1"})
    assert settle(deployment("2"), standing(), facts=facts)[1] == [ARGUMENTS]


def of_the_first_format(found: Json) -> Json:
    """As engines wrote it that took the API server's certificate into account, and not konnectivity's."""
    old = copy.deepcopy(found)
    spec = {key: value for key, value in desired().tenant.spec.items() if key != "controlPlane"}
    suffixes = {*FACTS.checksums, names.API_SERVER} - {names.KONNECTIVITY_CERTIFICATE}
    inputs = {
        "spec": {**spec, "addons": {"konnectivity": {}}},
        "advertiseAddress": FACTS.advertise_address,
        "schema": FACTS.schema,
        "user": FACTS.user,
        "checksums": dict.fromkeys(suffixes, "c0"),
    }
    record = {"inputs": digest(inputs), "template": found["spec"]["template"]}
    old["metadata"]["annotations"][names.ANNOTATION_TEMPLATE] = json.dumps(record)
    return old


WITH_SERVING: Final = replace(FACTS, checksums={**FACTS.checksums, names.API_SERVER: "c0"})


def test_record_of_an_older_engine_still_defers() -> None:
    found = of_the_first_format(standing())
    body, deferred = settle(
        deployment("2"), found, facts=replace(WITH_SERVING, checksums={**WITH_SERVING.checksums, names.KONNECTIVITY_CERTIFICATE: "c1"})
    )
    assert (body["spec"], deferred) == (found["spec"], [ARGUMENTS])
    assert json.loads(body["metadata"]["annotations"][names.ANNOTATION_TEMPLATE]) == json.loads(
        found["metadata"]["annotations"][names.ANNOTATION_TEMPLATE]
    )


def test_pods_of_an_older_engine_are_rolled_with_the_certificate_that_konnectivity_reads_once() -> None:
    facts = replace(WITH_SERVING, checksums={**WITH_SERVING.checksums, names.API_SERVER: "c1"})
    body, deferred = settle(deployment("2"), of_the_first_format(standing()), facts=facts)
    assert (body["spec"], deferred) == (deployment("2")["spec"], [])


def test_what_somebody_did_to_the_template_is_taken_back_to_the_recorded_one() -> None:
    found = standing()
    spoiled = copy.deepcopy(found)
    spoiled["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    body, deferred = settle(deployment("2"), spoiled)
    assert body["spec"] == found["spec"]
    assert deferred == [ARGUMENTS]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": "x"}'])
def test_without_a_record_the_template_is_given_anew(text: str) -> None:
    found = standing()
    found["metadata"]["annotations"][names.ANNOTATION_TEMPLATE] = text
    body, deferred = settle(deployment("2"), found)
    assert (body["spec"], deferred) == (deployment("2")["spec"], [])
