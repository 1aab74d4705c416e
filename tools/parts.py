# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, go on after a failure, and print how long each took and how many tests it had.

Usage: parts.py JUNIT_DIRECTORY TARGET…
Every JUnit file that appears in JUNIT_DIRECTORY while a target runs counts with its tests; a target without one counts as one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """Outcome of one target."""

    name: str
    is_success: bool
    seconds: float
    passed: int
    failed: int


def run_part(name: str, junit: Path) -> Part:
    """Run one make target. A target that fails counts at least one failure, also when all of its tests passed."""
    for old in junit.glob("*.xml"):
        old.unlink()
    print(f"\n=== {name}", flush=True)
    started = time.monotonic()
    status = subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", name], check=False).returncode
    seconds = time.monotonic() - started
    passed, failed = count_tests(junit)
    if status != 0:
        failed = max(failed, 1)
    elif passed == 0:
        passed = 1
    return Part(name, status == 0 and failed == 0, seconds, passed, failed)


def count_tests(junit: Path) -> tuple[int, int]:
    """Return (passed, failed) over all JUnit files of a folder, and print the failed ones. A skipped test counts as failed.

    What ansible-test found nothing to apply to is neither.
    """
    passed = failed = 0
    for file in sorted(junit.glob("*.xml")):
        for case in ET.parse(file).iter("testcase"):
            found = [item for tag in ("failure", "error", "skipped") if (item := case.find(tag)) is not None]
            if any(item.text == "No tests applicable." for item in found):
                continue
            for item in found:
                print(f"{item.tag}: {case.get('classname')}::{case.get('name')}", flush=True)
            failed += bool(found)
            passed += not found
    return passed, failed


def report(parts: list[Part]) -> str:
    """Return the table of all parts; its last line is "N passed, N failed"."""
    lines = [f"{'part':<16}{'result':<8}{'minutes':>8}{'passed':>8}{'failed':>8}"]
    lines += [f"{p.name:<16}{'ok' if p.is_success else 'FAILED':<8}{p.seconds / 60:>8.1f}{p.passed:>8}{p.failed:>8}" for p in parts]
    passed, failed = sum(p.passed for p in parts), sum(p.failed for p in parts)
    lines += [f"{'together':<16}{'':<8}{sum(p.seconds for p in parts) / 60:>8.1f}", "", f"{passed} passed, {failed} failed"]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run all targets; return 0 only when every one succeeded."""
    junit, names = Path(arguments[0]), arguments[1:]
    junit.mkdir(parents=True, exist_ok=True)
    parts = [run_part(name, junit) for name in names]
    print(f"\n{report(parts)}", flush=True)
    return 0 if all(part.is_success for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
