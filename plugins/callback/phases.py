# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how long each play took, because each play of this collection's playbooks is one phase of the whole."""

from __future__ import annotations

DOCUMENTATION = r"""
name: phases
type: aggregate
short_description: Time of each play at the end of a run
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Prints the duration of each play and the sum at the end of a run. Plays of one name are counted together.
requirements:
  - enable it with C(callbacks_enabled = hosted.kubernetes.phases) in C(ansible.cfg), or E(ANSIBLE_CALLBACKS_ENABLED)
"""

import time
from collections.abc import Iterable
from itertools import pairwise

from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Measures from the start of one play to the start of the next one."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "hosted.kubernetes.phases"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._starts: list[tuple[str, float]] = []

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note the beginning of a play, which is the end of the one before it."""
        self._starts.append((play.get_name().strip(), time.monotonic()))

    def v2_playbook_on_stats(self, _stats: object) -> None:
        """Print the table."""
        if not self._starts:
            return
        durations = phase_durations([*self._starts, ("", time.monotonic())])
        self._display.banner("PHASES")
        for line in table(durations):
            self._display.display(line)


def phase_durations(starts: list[tuple[str, float]]) -> dict[str, float]:
    """Return seconds by name, in order of first appearance. starts: (name, seconds) of each phase and of the end of the last one."""
    durations: dict[str, float] = {}
    for (name, begun), (_unused, ended) in pairwise(starts):
        durations[name] = durations.get(name, 0.0) + ended - begun
    return durations


def table(durations: dict[str, float]) -> Iterable[str]:
    """Return one line for each phase and one for the sum."""
    rows = [*durations.items(), ("all", sum(durations.values()))]
    width = max(len(name) for name, _unused in rows)
    return [f"{name:<{width}}  {_clock(seconds):>9}" for name, seconds in rows]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:2.0f} s" if minutes else f"{rest:.1f} s"
