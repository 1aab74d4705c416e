# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.filter.tenant_problems import tenant_problems


def _definition(name: str = "acme", **spec: Any) -> dict[str, Any]:
    service = {"controlPlane": {"service": {"serviceType": "LoadBalancer"}}}
    return {"metadata": {"name": name}, "spec": {"kubernetes": {"version": "v1.36.3"}, **service, **spec}}


def test_good_definitions_have_no_problems() -> None:
    assert tenant_problems([]) == tenant_problems([_definition(), _definition("other")], "tenants") == []


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        ([_definition(replica=2)], ["TenantControlPlane tenants/acme: spec.replica is not a known field"]),
        ([_definition(kubernetes={"version": "v1.33.0"})], ["spec.kubernetes.version"]),
        ([_definition(), _definition()], ["is defined twice in this call"]),
        (["acme"], ["a definition must be a mapping with metadata and spec, not str"]),
        ([_definition(zzz=1), _definition("b", yyy=1)], ["tenants/acme: spec.zzz", "tenants/b: spec.yyy"]),
    ],
)
def test_each_problem_is_a_sentence(definitions: list[Any], words: list[str]) -> None:
    found = tenant_problems(definitions, "tenants")
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text
