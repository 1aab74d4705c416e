# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the demonstration takes its own files away and nothing else. Its lab has a name that no lab has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    for name in ("management.kubeconfig", "acme.kubeconfig"):
        (folder / name).touch()
    return folder


def demo_down(folder: Path, *options: str) -> PlaybookRun:
    done = run_playbook(
        "hosted.kubernetes.demo_down", *options, inventory=str(COLLECTION / "inventories/demo"), demo_dir=str(folder), lab_name="nolab"
    )
    assert done.status == 0, done.output
    return done


def test_what_the_demonstration_wrote_goes_with_its_directory(folder: Path) -> None:
    predicted = demo_down(folder, "--check")
    assert len(list(folder.iterdir())) == 2

    done = demo_down(folder)
    assert not folder.exists()
    assert done.changed == predicted.changed == 2
    assert demo_down(folder).changed == 0
    assert demo_down(folder, "--check").changed == 0


def test_files_of_others_stay(folder: Path) -> None:
    """Such as with DEMO_DIR=/root."""
    others = [folder / ".profile", folder / "other.kubeconfig"]
    for path in others:
        path.touch()

    assert demo_down(folder).changed == 1
    assert sorted(folder.iterdir()) == others
    assert demo_down(folder).changed == 0
