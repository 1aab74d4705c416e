# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory that people copy: it loads, every playbook takes it, and its parts name one another rightly. Its hosts do not exist."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, cache_directory
from ansible_collections.hosted.kubernetes.tests.support.playbooks import environment, run_playbook

EXAMPLE = str(COLLECTION / "inventories/example")
# The demonstration's own plays have an inventory of their own.
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml") if path.stem not in ("demo", "demo_down", "lab"))


def test_it_has_the_groups_that_the_playbooks_name() -> None:
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "--inventory", EXAMPLE, "--list"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    groups = json.loads(done.stdout)
    assert groups["management"]["hosts"] == ["management-1"]
    assert groups["workers"]["children"] == ["tenant_acme"]
    assert "WARNING" not in done.stderr


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_takes_it(playbook: str) -> None:
    checked = run_playbook(f"hosted.kubernetes.{playbook}", "--syntax-check", inventory=EXAMPLE)
    assert checked.status == 0, checked.output

    listed = run_playbook(f"hosted.kubernetes.{playbook}", "--list-tasks", "--list-hosts", inventory=EXAMPLE)
    assert listed.status == 0, listed.output
    assert "TAGS:" in listed.output
    assert "hosts (0)" not in listed.output


def test_the_preflight_finds_nothing_wrong_with_it() -> None:
    done = run_playbook("hosted.kubernetes.preflight", "--limit", "localhost", inventory=EXAMPLE, bundle_cache_dir=str(cache_directory()))
    assert done.status == 0, done.output
    assert done.changed == 0
    assert "no such option" not in done.output


def test_volumes_are_on_nodes_that_the_management_cluster_will_have(tmp_path: Path) -> None:
    role = {"name": "hosted.kubernetes.management_cluster", "tasks_from": "preflight", "public": True}
    shown = {
        "msg": "{{ (datastore_local_volumes | map(attribute='node')) | difference([management_cluster_node_name]) | length }} unknown nodes"
    }
    play = [
        {
            "hosts": "management",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.include_role": role}, {"ansible.builtin.debug": shown}],
        }
    ]
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(play), encoding="utf-8")
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": []}), encoding="utf-8")
    done = run_playbook(path, inventory=EXAMPLE, bundle_dir=str(tmp_path))
    assert done.status == 0, done.output
    assert "0 unknown nodes" in done.text


def test_the_preflight_warns_of_a_misspelt_variable_and_goes_on() -> None:
    limit = ("--limit", "localhost")
    done = run_playbook(
        "hosted.kubernetes.preflight", *limit, inventory=EXAMPLE, bundle_cache_dir=str(cache_directory()), worker_tennat="acme"
    )
    assert done.status == 0, done.output
    assert "worker_tennat (all hosts): role worker has no such option; did you mean worker_tenant?" in done.text
