# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role management_cluster refuses before it changes the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook, run_role

DAY_S = 86_400


def test_a_host_that_cannot_hold_the_cluster_is_refused_before_it_is_changed(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "s390x", "artefacts": []}), encoding="utf-8")
    given: dict[str, Any] = {"management_cluster_bundle_dir": str(tmp_path), "ansible_become": False}
    done = run_role(tmp_path, "management_cluster", "--check", management_cluster_kubeconfig=str(tmp_path / "kubeconfig"), **given)

    assert done.status == 2
    assert "host localhost: " in done.text
    assert "the bundle is for s390x; set management_cluster_bundle_dir" in done.text
    assert "Prepare the operating system" not in done.output


def test_a_cluster_whose_kubeconfig_has_no_place_is_not_made(tmp_path: Path) -> None:
    done = run_role(tmp_path, "management_cluster", "--check", management_cluster_bundle_dir=str(tmp_path))

    assert done.status == 2
    assert "localhost: management_cluster_kubeconfig is empty, and the host is not in the group management" in done.text


def seen(marker: str, *days: float) -> str:
    """What the role reads on the host: its marker, and what kubeadm 1.36.3 certs check-expiration --output=json prints, shortened."""
    entries = [{"name": f"c{at}", "residualTime": int(left * DAY_S), "externallyManaged": False} for at, left in enumerate(days)]
    ignored = [
        {"name": "super-admin.conf", "expirationDate": None, "residualTime": 0, "externallyManaged": False, "missing": True},
        {"name": "apiserver", "residualTime": DAY_S, "externallyManaged": True, "missing": False},
    ]
    certificates = [*({**entry, "missing": False} for entry in entries), *ignored]
    return f"{marker}\n" + json.dumps({"kind": "CertificateExpirationInfo", "certificates": certificates}, indent=4)


@pytest.mark.parametrize(
    ("found", "before_days", "renews"),
    [
        pytest.param(seen("complete", 364.9, 300), 30, False, id="long"),
        pytest.param(seen("complete", 364.9, 29.9), 30, True, id="one ends soon"),
        pytest.param(seen("complete", 364.9, -3), 30, True, id="one has ended"),
        pytest.param(seen("complete", -3), 0, False, id="left to the user"),
        pytest.param(seen("renewing", 364.9), 30, True, id="killed in between"),
    ],
)
def test_certificates_are_renewed_when_the_first_of_them_ends_soon(tmp_path: Path, found: str, before_days: int, renews: bool) -> None:
    files = [str(COLLECTION / f"roles/management_cluster/{part}/main.yml") for part in ("defaults", "vars")]
    task = {"ansible.builtin.debug": {"msg": "they are renewed"}, "when": "__management_cluster_renews"}
    path = tmp_path / "renews.json"
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": files, "tasks": [task]}]
    path.write_text(json.dumps(play), encoding="utf-8")
    given: dict[str, Any] = {"__management_cluster_certificates": {"stdout": found}, "management_cluster_renew_before_days": before_days}
    done = run_playbook(path, **given)
    assert done.status == 0, done.output
    assert ("they are renewed" in done.text) is renews
