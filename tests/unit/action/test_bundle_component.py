# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a build are shown while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ansible.utils.display import Display

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.progress import Follower


class Recorder:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, text: str) -> None:
        self.lines.append(text)


def test_steps_of_this_run_are_shown_and_tool_output_is_not(tmp_path: Path) -> None:
    path, recorder = tmp_path / "bundle.log", Recorder()
    with ProgressLog(str(path)) as log:
        log.step("of an earlier run")
        follower = Follower(str(path), cast("Display", recorder))
        log.output("k8s.io/api")
        log.step("compile")
    with path.open("a") as stream:
        stream.write("== half a li")
    follower.show_new()
    assert recorder.lines == ["  compile"]
    with path.open("a") as stream:
        stream.write("ne\n")
    follower.start()
    follower.stop()
    assert recorder.lines == ["  compile", "  half a line"]


def test_no_log_is_no_error(tmp_path: Path) -> None:
    recorder = Recorder()
    follower = Follower(str(tmp_path / "nothing.log"), cast(Display, recorder))
    follower.start()
    follower.stop()
    assert recorder.lines == []
