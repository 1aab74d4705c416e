# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our objects against those the real kubeadm made (tests/golden). That kubeadm still makes these is proven in the API layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names, versions
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.coredns import coredns_image
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kube_proxy import kube_proxy_image
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import objects
from ansible_collections.hosted.kubernetes.tests.golden.differences import additions, expected, ref_of, without_decoder_defaults
from ansible_collections.hosted.kubernetes.tests.golden.make import pruned
from ansible_collections.hosted.kubernetes.tests.golden.scenarios import CA_PLACEHOLDER, SCENARIOS, Json, Scenario

GOLDEN = Path(__file__).resolve().parents[4] / "golden"
MINORS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.name.startswith("1."))
CASES = [pytest.param(minor, scenario, id=f"{minor}-{scenario.name}") for minor in MINORS for scenario in SCENARIOS]


def _summary(minor: str) -> Json:
    summary: Json = yaml.safe_load((GOLDEN / minor / "kubeadm.yaml").read_text(encoding="utf-8"))
    return summary


def _golden(minor: str, scenario: Scenario) -> list[Json]:
    return list(yaml.safe_load((GOLDEN / minor / f"{scenario.name}.yaml").read_text(encoding="utf-8")))


def _ours(minor: str, scenario: Scenario) -> dict[str, Json]:
    tenant = parse(scenario.definition(_summary(minor)["kubeadm"]))
    inputs = TenantInputs(scenario.address, scenario.port, CA_PLACEHOLDER, scenario.address)
    return {ref_of(obj): pruned(obj) for obj in objects(tenant, inputs)}


def test_the_default_minor_has_golden_files() -> None:
    assert "1.36" in MINORS


@pytest.mark.parametrize(("minor", "scenario"), CASES)
def test_we_make_what_kubeadm_makes(minor: str, scenario: Scenario) -> None:
    theirs = expected(scenario.name, _golden(minor, scenario))
    ours = _ours(minor, scenario)
    assert set(ours) - set(theirs) == additions(minor)
    assert set(theirs) <= set(ours)
    for ref, obj in theirs.items():
        assert ours[ref] == without_decoder_defaults(obj, ours[ref]), ref


@pytest.mark.parametrize(("minor", "scenario"), CASES)
def test_every_object_carries_the_label_it_is_found_by(minor: str, scenario: Scenario) -> None:
    for ref, obj in _ours(minor, scenario).items():
        assert obj["metadata"]["labels"][names.LABEL_PROJECT] == names.PROJECT, ref


@pytest.mark.parametrize(("minor", "scenario"), CASES)
def test_images_are_those_of_kubeadm(minor: str, scenario: Scenario) -> None:
    summary = _summary(minor)
    images = summary["images"][scenario.name]
    tenant = parse(scenario.definition(summary["kubeadm"]))
    known = versions.companions(summary["kubeadm"])
    assert f"{tenant.deployment.registry}/etcd:{known.etcd}" in images
    if tenant.addons.core_dns and tenant.addons.kube_proxy:
        assert coredns_image(tenant, tenant.addons.core_dns) in images
        assert kube_proxy_image(tenant, tenant.addons.kube_proxy) in images


@pytest.mark.parametrize("minor", MINORS)
def test_golden_files_hold_nothing_of_the_run_that_made_them(minor: str) -> None:
    for scenario in SCENARIOS:
        text = (GOLDEN / minor / f"{scenario.name}.yaml").read_text(encoding="utf-8")
        assert "BEGIN" not in text
        assert CA_PLACEHOLDER in text
        assert "LS0tLS1" not in text  # base64 of "-----"
