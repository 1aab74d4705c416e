# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of each play."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.callback.phases import phase_durations, table


def test_plays_of_one_name_are_one_phase() -> None:
    starts = [("Bundle", 0.0), ("Workers", 3.0), ("Bundle", 4.5), ("", 5.0)]
    assert phase_durations(starts) == {"Bundle": 3.5, "Workers": 1.5}


def test_the_table_ends_with_the_sum() -> None:
    assert list(table({"Bundle": 61.4, "Lab machines": 2.04})) == [
        "Bundle        1 min  1 s",
        "Lab machines      2.0 s",
        "all           1 min  3 s",
    ]
