# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role lab_machine says, without any machine. Its lab has a name that no lab has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import lab_network
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook, run_role

ADDRESS = lab_network("nolab").address(10)


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_look_before_machines_are_made_changes_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    lab: dict[str, Any] = {
        "lab_machine_lab_name": "nolab",
        "lab_machine_machines": [{"name": "nolab-a", "address": ADDRESS}],
        "lab_machine_cache_dir": str(tmp_path),
        "lab_machine_memory_mb": 0,
        "lab_machine_disk_mb": 0,
    }
    done = run_role(tmp_path, "lab_machine", *options, tasks_from="preflight", **lab)
    assert done.status == 0, done.output
    assert done.changed == 0
    assert run_role(tmp_path, "lab_machine", "--check", **lab).changed == 1


def lab(*, folder: Path, **variables: Any) -> str:
    inventory = str(COLLECTION / "inventories/demo")
    done = run_playbook("hosted.kubernetes.lab", "--check", inventory=inventory, lab_name="nolab", lab_cache_dir=str(folder), **variables)
    assert done.status == 0, done.output
    return done.output


def test_the_end_of_a_lab_says_how_its_machines_are_reached(tmp_path: Path) -> None:
    said = lab(folder=tmp_path)
    where = tmp_path / "lab/nolab"
    ssh = f"ssh -F /dev/null -i {where}/id_ed25519 -o UserKnownHostsFile={where}/known_hosts lab@{ADDRESS}"
    assert "lab nolab: a real run boots nolab-management, nolab-worker-1, nolab-worker-2; user lab may use sudo" in said
    # In one line, which can be copied.
    assert f"    nolab-management: {ssh}\n" in said
    assert f"ansible_ssh_private_key_file: {where}/id_ed25519" in said


def test_nothing_is_said_of_machines_that_are_removed(tmp_path: Path) -> None:
    assert "user lab may use sudo" not in lab(folder=tmp_path, lab_machine_state="absent")
