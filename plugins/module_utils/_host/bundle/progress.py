# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live log of a bundle's making: tool output as it comes, and steps that are shown while the task runs."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Callable

# The action plugin shows lines that start with this.
STEP_MARK = "== "
_STEP_EVERY_S = 15.0


class ProgressLog:
    """Appends to one file, which is opened line-buffered so that `tail -f` and the action plugin see each line at once."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self._stream = open(path, "a", buffering=1, encoding="utf-8", errors="replace")  # noqa: SIM115
        self._clock = clock
        self._last_step_at = clock()

    def __enter__(self) -> ProgressLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def output(self, line: str) -> None:
        """Write one line of a tool's output."""
        self._stream.write(line.rstrip("\n") + "\n")

    def step(self, text: str) -> None:
        """Write a line that is shown to the user at once."""
        self._last_step_at = self._clock()
        self._stream.write(f"{STEP_MARK}{text}\n")

    def progress(self, text: str) -> None:
        """Write a step, but only when the last one is some seconds old."""
        if self._clock() - self._last_step_at >= _STEP_EVERY_S:
            self.step(text)


def log_path(cache_dir: str, kubernetes: str, arch: str) -> str:
    """Return where the making of one bundle is logged."""
    return os.path.join(cache_dir, "log", f"bundle-{kubernetes}-{arch}.log")


def duration_text(seconds: float) -> str:
    """Write a duration for people: 42 s, 3 min 5 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
