# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tenant_control_plane and its playbook refuse before they ask any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook


def definition(name: str, namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"kubernetes": {"version": "v1.36.3"}}}


def tenant(folder: Path, *definitions: dict[str, Any], **variables: Any) -> PlaybookRun:
    kubeconfig = folder / "management.kubeconfig"
    kubeconfig.touch()
    return run_playbook(
        "hosted.kubernetes.tenant",
        tenant_control_plane_kubeconfig=str(kubeconfig),
        tenant_control_plane_definitions=list(definitions),
        **{"tenant_control_plane_kubeconfig_dir": str(folder), **variables},
    )


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_kubeconfig_that_would_replace_the_management_clusters(tmp_path: Path, state: str) -> None:
    done = tenant(tmp_path, definition("acme", "tenants"), definition("management", "tenants"), tenant_control_plane_state=state)

    assert done.status == 2
    assert "TenantControlPlane tenants/management: the kubeconfig of its administrator would be" in done.text
    assert "give the tenant another name, or set tenant_control_plane_kubeconfig_dir" in done.text
    assert (tmp_path / "management.kubeconfig").exists()


def test_kubeconfigs_of_two_tenants_with_one_path(tmp_path: Path) -> None:
    done = tenant(tmp_path, definition("acme", "red"), definition("acme", "blue"))

    assert done.status == 2
    assert "two tenants of tenant_control_plane_definitions have the same name (acme, acme)" in done.text


@pytest.mark.parametrize("names", [["acme"], ["acme", "beta"]])
@pytest.mark.parametrize("given", [[], ""])
def test_no_tenant_is_deleted_without_its_name(tmp_path: Path, names: list[str], given: Any) -> None:
    definitions = [definition(name, "tenants") for name in names]
    done = tenant(tmp_path, *definitions, tenant_control_plane_state="absent", tenant_control_plane_names=given)

    assert done.status == 2
    assert "no tenant is named; name those to delete with all their data, such as -e tenant_control_plane_names=acme" in done.text
    assert f"(defined are {', '.join(names)})" in done.text


@pytest.mark.parametrize("given", [["beta", "gamma"], "beta, gamma"])
def test_names_are_whole_names_in_a_list_or_a_text(tmp_path: Path, given: Any) -> None:
    """Not parts of them: "et" is in "beta"."""
    definitions = [definition(name, "tenants") for name in ("et", "beta", "gamma")]
    variables: dict[str, Any] = {"tenant_control_plane_definitions": definitions, "tenant_control_plane_names": given}
    done = run_playbook("hosted.kubernetes.tenant", "--check", tenant_control_plane_kubeconfig=str(tmp_path / "not-yet"), **variables)

    assert done.status == 0, done.output
    assert "A real run makes the control planes of these tenants: beta, gamma." in done.text
    assert "Tenant et " not in done.text


def test_a_name_that_no_definition_has(tmp_path: Path) -> None:
    done = tenant(tmp_path, definition("acme", "tenants"), tenant_control_plane_names=["acne"])

    assert done.status == 2
    assert "tenant_control_plane_names names acne, which tenant_control_plane_definitions does not define; defined are acme" in done.text


def test_a_definition_that_cannot_be_is_refused_before_there_is_a_cluster(tmp_path: Path) -> None:
    wrong = definition("acme", "tenants")
    wrong["spec"]["replica"] = 2
    variables: dict[str, Any] = {
        "tenant_control_plane_definitions": [wrong],
        "tenant_control_plane_kubeconfig": str(tmp_path / "not-yet"),
        "tenant_control_plane_kubeconfig_dir": str(tmp_path),
    }
    done = run_playbook("hosted.kubernetes.tenant", "--check", **variables)

    assert done.status == 2
    assert "TenantControlPlane tenants/acme: spec.replica is not a known field" in done.text

    done = run_playbook("hosted.kubernetes.preflight", management_cluster_kubeconfig=str(__file__), **variables)

    assert done.status == 2
    assert "TenantControlPlane tenants/acme: spec.replica is not a known field" in done.text


def test_directories_of_volumes_on_hosts_that_are_not_there(tmp_path: Path) -> None:
    volumes = [{"node": "a", "path": "/a", "host": "management-1"}, {"node": "b", "path": "/b"}]
    done = run_playbook("hosted.kubernetes.preflight", management_cluster_kubeconfig=str(__file__), datastore_local_volumes=volumes)

    assert done.status == 2
    assert "datastore_local_volumes names hosts that are not in the inventory: management-1" in done.text


def test_empty_texts_of_a_survey_are_unset(tmp_path: Path) -> None:
    names = (
        "state",
        "namespace",
        "rollout",
        "force",
        "max_starting",
        "wait_exposed",
        "wait_timeout",
        "kubeconfig_lifetime",
        "renew_before",
    )
    empty: dict[str, Any] = {f"tenant_control_plane_{name}": "" for name in (*names, "adoption", "context")}
    empty["tenant_control_plane_kubeconfig"] = str(tmp_path / "not-yet")
    done = run_playbook("hosted.kubernetes.tenant", "--check", tenant_control_plane_definitions=[definition("acme", "")], **empty)

    assert done.status == 0, done.output
    assert "A real run makes the control planes of these tenants: acme." in done.text
