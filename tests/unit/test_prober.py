# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the lines a prober prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.hosted.kubernetes.tests.support.prober import PROTOCOLS, Summary, read_probes, summary

NOW = datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
ONE, TWO = PROTOCOLS


def line(second: float, protocol: str = ONE, ms: float = 2.5, retried: bool = False, told: bool = False, error: str = "") -> str:
    time = (NOW + timedelta(seconds=second)).isoformat()
    return json.dumps({"time": time, "protocol": protocol, "ms": ms, "retried": retried, "told": told, "error": error}) + "\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Summary(0, 0, 0, 0.0, ())),
        ([line(0), line(1, ms=7)], Summary(2, 0, 0, 7.0, ())),
        ([line(0), line(0, TWO)], Summary(1, 0, 0, 2.5, ())),
        ([line(-0.1), line(0), line(10)], Summary(1, 0, 0, 2.5, ())),
        ([line(0, retried=True)], Summary(1, 1, 0, 2.5, ())),
        ([line(0, ms=1002, told=True)], Summary(1, 0, 1, 1002.0, ())),
        ([line(3, ms=5000, error="timeout")], Summary(1, 0, 0, 5000.0, ("01:00:03.000000 after 5000 ms: timeout",))),
        ([line(0), line(1)[:20]], Summary(1, 0, 0, 2.5, ())),
    ],
)
def test_summary_of_the_requests_of_one_protocol_in_a_time(lines: list[str], expected: Summary) -> None:
    assert summary(read_probes("".join(lines)), ONE, NOW, NOW + timedelta(seconds=10)) == expected


def test_times_as_go_prints_them() -> None:
    (probe,) = read_probes('{"time":"2026-11-28T01:00:00.5Z","protocol":"HTTP/2.0","ms":1,"retried":false,"told":false,"error":""}\n')
    assert probe.time == NOW + timedelta(seconds=0.5)
    (probe,) = read_probes(
        '{"time":"2026-11-28T01:00:00.123456789Z","protocol":"HTTP/2.0","ms":1,"retried":false,"told":false,"error":""}\n'
    )
    assert probe.time == NOW + timedelta(microseconds=123456)
