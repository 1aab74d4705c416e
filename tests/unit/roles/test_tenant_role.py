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


def test_flannel_without_kubeconfigs(tmp_path: Path) -> None:
    done = tenant(tmp_path, definition("acme", "tenants"), tenant_control_plane_kubeconfig_dir="")

    assert done.status == 2
    assert "tenant_control_plane_kubeconfig_dir is not set" in done.text
