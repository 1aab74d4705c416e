# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, go on after a failure, and print how long each took and how many tests it had.

Usage: parts.py JUNIT_DIRECTORY TARGET[+TARGET…]…
Targets that a + joins run at the same time, as one part; the output of the first is seen as it comes, of the others at their end.
Every JUnit file that appears in JUNIT_DIRECTORY while a target runs counts with its tests; a target without one counts as one.
After PARTS_LIMIT_MINUTES, and when this program is interrupted, the running target and all its processes get SIGINT so that they can clean up,
the targets that are left are not run, and the table is printed all the same.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# How long a target that is stopped may take to clean up.
CLEANUP_S = 120


@dataclass(frozen=True)
class Part:
    """Outcome of one target. result: ok, FAILED, STOPPED or NOT RUN."""

    name: str
    result: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 1


def run_parts(names: list[str], junit: Path, limit_s: float) -> list[Part]:
    """Run all targets, one after the other, until they have run or the time is over."""
    end = time.monotonic() + limit_s
    parts: list[Part] = []
    for name in names:
        is_over = any(part.result == "STOPPED" for part in parts)
        parts.append(Part(name, "NOT RUN") if is_over else run_part(name, junit, end))
    return parts


def run_part(name: str, junit: Path, end: float) -> Part:
    """Run one part. One that fails counts at least one failure, also when all of its tests passed."""
    for old in junit.glob("*.xml"):
        old.unlink()
    print(f"\n=== {name}", flush=True)
    started = time.monotonic()
    statuses = run_make(name.split("+"), end)
    seconds = time.monotonic() - started
    passed, failed = count_tests(junit)
    if any(statuses) or not statuses:
        failed = max(failed, 1)
    elif passed == 0:
        passed = 1
    return Part(name, "FAILED" if failed and statuses else "ok" if statuses else "STOPPED", seconds, passed, failed)


def run_make(names: list[str], end: float) -> list[int]:
    """Return the status of each make target, nothing when they were stopped. Each has a process group of its own, which gets the signals."""
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _later in names[1:]]
        processes = [stack.enter_context(start_make(name, output)) for name, output in zip(names, [None, *outputs], strict=True)]
        try:
            return [process.wait(None if math.isinf(end) else max(end - time.monotonic(), 0)) for process in processes]
        except subprocess.TimeoutExpired:
            print(f"\n{'+'.join(names)}: the time is over; told to stop and clean up", flush=True)
        except KeyboardInterrupt:
            print(f"\n{'+'.join(names)}: interrupted; told to stop and clean up", flush=True)
        finally:
            stop([process for process in processes if process.poll() is None])
            for name, output in zip(names[1:], outputs, strict=True):
                output.seek(0)
                print(f"\n=== {name}, at the same time\n{output.read().decode(errors='replace')}", flush=True)
    return []


def start_make(name: str, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    """output: takes what the target prints; None leaves it to this program's own."""
    command = [os.environ.get("MAKE", "make"), "--no-print-directory", name]
    return subprocess.Popen(command, process_group=0, stdout=output, stderr=subprocess.STDOUT if output else None)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Have them clean up by SIGINT, and end them when they have not after CLEANUP_S."""
    for process in processes:
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.wait(CLEANUP_S)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


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
    width = max(24, *(len(part.name) + 2 for part in parts))
    lines = [f"{'part':<{width}}{'result':<8}{'minutes':>8}{'passed':>8}{'failed':>8}"]
    lines += [f"{p.name:<{width}}{p.result:<8}{p.seconds / 60:>8.1f}{p.passed:>8}{p.failed:>8}" for p in parts]
    passed, failed = sum(p.passed for p in parts), sum(p.failed for p in parts)
    lines += [f"{'together':<{width}}{'':<8}{sum(p.seconds for p in parts) / 60:>8.1f}", "", f"{passed} passed, {failed} failed"]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run all targets; return 0 only when every one succeeded."""
    junit, names = Path(arguments[0]), arguments[1:]
    junit.mkdir(parents=True, exist_ok=True)
    # A job that a shell starts in the background ignores SIGINT, and so would its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    parts = run_parts(names, junit, float(os.environ.get("PARTS_LIMIT_MINUTES", "inf")) * 60)
    print(f"\n{report(parts)}", flush=True)
    return 0 if all(part.result == "ok" for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
