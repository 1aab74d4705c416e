# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins need to show the steps of a long module while it runs: the module writes them to a log on the controller."""

from __future__ import annotations

import os
import threading

from ansible.utils.display import Display

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import STEP_MARK

_INTERVAL_S = 0.5


class Follower(threading.Thread):
    """Shows lines that are added to a file from now on; a file that does not come to be is no error."""

    def __init__(self, path: str, display: Display) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._display = display
        self._stopped = threading.Event()
        self._offset = os.path.getsize(path) if os.path.exists(path) else 0
        self._rest = b""

    def run(self) -> None:
        while not self._stopped.wait(_INTERVAL_S):
            self.show_new()

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self.show_new()

    def show_new(self) -> None:
        """Show complete marked lines that were added since the last call."""
        if not os.path.exists(self._path):
            return
        with open(self._path, "rb") as stream:
            stream.seek(self._offset)
            added = stream.read()
        self._offset += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", errors="replace")
            if text.startswith(STEP_MARK):
                self._display.display(f"  {text[len(STEP_MARK) :]}")
