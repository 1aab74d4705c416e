# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays about tenants know the workers of each as the role worker does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.hosted.kubernetes.plugins.filter.workers_by_tenant import workers_by_tenant
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION

GIVEN: list[dict[str, str]] = [
    {},
    {"worker_namespace": "blue"},
    {"tenant_control_plane_namespace": "red"},
    {"tenant_control_plane_namespace": ""},
    {"tenant_control_plane_namespace": "red", "worker_namespace": "blue"},
]


def namespace_of_the_role(variables: dict[str, str]) -> str:
    defaults: dict[str, Any] = yaml.safe_load(Path(COLLECTION, "roles/worker/defaults/main.yml").read_text(encoding="utf-8"))
    templar = Templar(loader=DataLoader(), variables=variables)
    return str(variables.get("worker_namespace") or templar.template(trusted(defaults["worker_namespace"])))


def trusted(text: str) -> str:
    """A template of ours, as ansible-core 2.19 and later want it marked."""
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return text
    marked: str = trust_as_template(text)
    return marked


@pytest.mark.parametrize("variables", GIVEN, ids=str)
def test_the_namespace_is_that_of_the_role_worker(variables: dict[str, str]) -> None:
    found = workers_by_tenant(["one"], {"one": {"worker_tenant": "acme", **variables}})
    assert found == {f"{namespace_of_the_role(variables)}/acme": ["one"]}


def test_hosts_come_together_and_those_without_a_tenant_are_left_out() -> None:
    hostvars: dict[str, dict[str, str]] = {
        "one": {"worker_tenant": "a"},
        "two": {},
        "three": {"worker_tenant": ""},
        "four": {"worker_tenant": "a"},
    }
    assert workers_by_tenant(hostvars, hostvars) == {"tenants/a": ["one", "four"]}
