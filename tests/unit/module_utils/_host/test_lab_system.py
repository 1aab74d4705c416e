# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, locks and trees of a lab, on a real file system."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab_system


def test_a_file_has_its_final_mode_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        lab_system.write_file(str(tmp_path / "new" / "hosts"), "127.0.0.1 localhost\n", 0o644)
    finally:
        os.umask(old)
    assert (tmp_path / "new" / "hosts").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["hosts"]


def test_what_a_killed_writer_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "hosts.new").write_text("half")
    lab_system.write_file(str(tmp_path / "hosts"), "whole", 0o600)
    assert (tmp_path / "hosts").read_text() == "whole"


def test_the_lock_lets_one_in_at_a_time_and_leaves_no_file(tmp_path: Path) -> None:
    lock = str(tmp_path / ".demo.lock")
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _unused in range(20):
            with lab_system.exclusive(lock):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 80
    assert not os.path.exists(lock)


def test_a_missing_command_says_what_to_install() -> None:
    with pytest.raises(lab_system.LabError, match="the command hk-no-such-tool is missing on this host; install"):
        lab_system.run(["hk-no-such-tool"])


def test_a_failed_command_tells_its_last_words() -> None:
    with pytest.raises(lab_system.LabError, match="failed with code 3: no more space"):
        lab_system.run(["sh", "-c", "echo no more space >&2; exit 3"])


def test_removing_a_tree_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    lab_system.remove_tree(str(tmp_path / "gone"))


def test_a_tree_is_removed_without_what_is_mounted_in_it(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    tree = tmp_path / "tree"
    (tree / "deep" / "mount point").mkdir(parents=True)
    # In a mount namespace of its own, so that a failing test leaves no mount behind.
    script = (
        "import subprocess, sys\n"
        "from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab_system\n"
        "tree, precious = sys.argv[1:]\n"
        "subprocess.run(['mount', '--bind', precious, tree + '/deep/mount point'], check=True)\n"
        "assert lab_system.mounts_below(tree) == [tree + '/deep/mount point']\n"
        "lab_system.remove_tree(tree)\n"
    )
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *as_root, "--mount", "--propagation", "private", sys.executable, "-c", script, str(tree), str(precious)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert not tree.exists()
    assert (precious / "file").read_text() == "keep me"
