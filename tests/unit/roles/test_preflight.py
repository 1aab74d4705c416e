# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook preflight shows what is wrong with each host, looks at all of them, and fails in the end. The hosts are this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import FLEET_CHECKS
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import checks
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook

ROOT = Path(__file__).parents[3]
LOCAL = f"ansible_connection=local ansible_become=false ansible_host=127.0.0.1 ansible_python_interpreter={sys.executable}"


def test_all_hosts_are_looked_at_and_one_with_an_error_fails_at_the_end(tmp_path: Path) -> None:
    # What this machine is does not count: one check can fail, at the will of the test, and one between the two hosts.
    ignored = json.dumps([name for name in [*checks.names(), *FLEET_CHECKS] if name not in ("memory", "unique_hostname")])
    lines = [
        f"localhost {LOCAL}",
        "[workers]",
        f"bad {LOCAL} worker_minimum_memory_mb=999999999",
        f"good {LOCAL} host_preflight_ignore='{json.dumps([*checks.names(), *FLEET_CHECKS])}'",
        "[all:vars]",
        f"host_preflight_ignore={ignored}",
    ]
    (tmp_path / "inventory").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "management.kubeconfig").touch()
    done = run_playbook(
        "hosted.kubernetes.preflight",
        inventory=str(tmp_path / "inventory"),
        bundle_dir=str(bundle_directory()),
        management_cluster_kubeconfig=str(tmp_path / "management.kubeconfig"),
    )
    assert done.status == 2, done.output
    assert "/proc/meminfo: " in done.text
    assert "999999999 MiB are needed. Remedy: give the host more memory" in done.text
    assert "nothing found" in done.text
    assert ": bad, good: 2 hosts have the same host name" in done.text
    assert "bad: it cannot be used as it is (memory, unique_hostname); what is wrong and what to do is shown above" in done.text
    # All were looked at before the one failed, and only that one did.
    assert done.output.index("nothing found") < done.output.index("bad: it cannot be used")
    assert "good: it cannot be used" not in done.text
    assert done.changed == 0


def test_the_role_knows_the_checks_between_hosts() -> None:
    variables = yaml.safe_load((ROOT / "roles/host/vars/main.yml").read_text(encoding="utf-8"))
    assert variables["__host_fleet_checks"] == list(FLEET_CHECKS)
