# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role management_cluster refuses before it changes the host."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_role


def test_a_host_that_cannot_hold_the_cluster_is_refused_before_it_is_changed(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "s390x", "artefacts": []}), encoding="utf-8")
    done = run_role(tmp_path, "management_cluster", "--check", management_cluster_bundle_dir=str(tmp_path), ansible_become=False)

    assert done.status == 2
    assert "host localhost: " in done.text
    assert "the bundle is for s390x; set management_cluster_bundle_dir" in done.text
    assert "Prepare the operating system" not in done.output
