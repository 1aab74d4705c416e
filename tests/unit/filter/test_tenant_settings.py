# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plays read of a definition agrees with the engine, whatever the definition leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hosted.kubernetes.plugins.filter.tenant_settings import tenant_settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse


@pytest.mark.parametrize(
    ("profile", "cidrs"),
    [
        (None, ["10.244.0.0/16"]),
        ({"podCidr": ""}, ["10.244.0.0/16"]),
        ({"podCidr": "10.9.0.0/16"}, ["10.9.0.0/16"]),
        ({"podCidrs": [], "podCidr": "10.9.0.0/16"}, ["10.9.0.0/16"]),
        ({"podCidrs": ["fd00::/56", "10.8.0.0/16"]}, ["fd00::/56", "10.8.0.0/16"]),
    ],
)
def test_networks_of_pods_are_the_engines(profile: Any, cidrs: list[str]) -> None:
    definition = {"metadata": {"name": "acme"}, "spec": {"kubernetes": {"version": "v1.36.3"}, "networkProfile": profile}}

    assert tenant_settings(definition)["pod_cidrs"] == cidrs == list(parse(definition).network.pod_cidrs)


@pytest.mark.parametrize(("replicas", "asleep"), [(None, False), (0, True), (1, False)])
def test_a_tenant_without_replicas_sleeps(replicas: int | None, asleep: bool) -> None:
    definition = {"metadata": {"name": "acme"}, "spec": {"controlPlane": {"deployment": {"replicas": replicas}}}}

    assert tenant_settings(definition)["asleep"] is asleep


def test_the_version_is_the_wanted_one_as_text() -> None:
    definition = {"metadata": {"name": "acme"}, "spec": {"kubernetes": {"version": "v1.36.3"}}}

    assert tenant_settings(definition)["version"] == "v1.36.3"
    assert tenant_settings({"metadata": {"name": "acme"}, "spec": {"kubernetes": None}})["version"] == ""


def test_where_its_kubeconfig_is() -> None:
    definition = {"metadata": {"name": "acme", "namespace": ""}}

    assert tenant_settings(definition, "tenants", "/root/.kube")["kubeconfig"] == "/root/.kube/acme.kubeconfig"
    assert tenant_settings(definition)["kubeconfig"] == ""
    assert tenant_settings(definition, "tenants")["namespace"] == "tenants"
    assert tenant_settings({"metadata": {"name": "acme", "namespace": "own"}}, "tenants")["namespace"] == "own"
    assert tenant_settings(definition, "tenants")["key"] == "tenants/acme"


@pytest.mark.parametrize("definition", [{}, {"metadata": None}, {"metadata": {"name": ""}}, "acme"])
def test_a_definition_without_a_name_is_refused(definition: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"no metadata\.name"):
        tenant_settings(definition)
