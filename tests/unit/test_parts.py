# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of the parts of `make test`: counts, goes on after failures, and ends a part that hangs, with all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARTS = Path(__file__).resolve().parents[2] / "tools/parts.py"
JUNIT = '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'
# A test that cleans up when it is interrupted, as pytest does, below a shell, as in the Makefile.
HANGING = """
import pathlib, time
pathlib.Path("running").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path("cleaned").touch()
    raise
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "results.xml").write_text(JUNIT)
    targets = {
        "good": "true",
        "first": "touch first; until [ -e second ]; do sleep 0.02; done; echo first is done",
        "second": "touch second; until [ -e first ]; do sleep 0.02; done; echo second is done",
        "bad": "mkdir -p junit && cp results.xml junit/ && false",
        "hanging": f"cd . && {sys.executable} hanging.py; true",
    }
    (tmp_path / "Makefile").write_text("SHELL := /bin/bash\n" + "".join(f"{name}:\n\t@{recipe}\n" for name, recipe in targets.items()))
    return tmp_path


def start(folder: Path, *names: str, minutes: float | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "MAKE": "make"}
    environment.pop("MAKEFLAGS", None)
    environment.pop("PARTS_LIMIT_MINUTES", None)
    if minutes is not None:
        environment["PARTS_LIMIT_MINUTES"] = str(minutes)
    command = [sys.executable, str(PARTS), str(folder / "junit"), *names]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rows(output: str) -> dict[str, str]:
    """Result by part."""
    table = output[output.index("\npart ") : output.index("\ntogether ")].splitlines()[2:]
    return {line[:24].strip(): line[24:32].strip() for line in table}


def test_a_failure_does_not_hide_the_parts_after_it(folder: Path) -> None:
    with start(folder, "bad", "good") as process:
        output, _unused = process.communicate()
    assert process.returncode == 1
    assert rows(output) == {"bad": "FAILED", "good": "ok"}
    assert output.endswith("\n2 passed, 1 failed\n")


def test_a_part_that_hangs_is_interrupted_and_cleans_up(folder: Path) -> None:
    with start(folder, "good", "hanging", "bad", minutes=2 / 60) as process:
        output, _unused = process.communicate(timeout=30)
    assert process.returncode == 1
    assert (folder / "cleaned").exists()
    assert rows(output) == {"good": "ok", "hanging": "STOPPED", "bad": "NOT RUN"}
    assert output.endswith("\n1 passed, 2 failed\n")


def test_joined_targets_run_at_the_same_time(folder: Path) -> None:
    with start(folder, "first+second", "good+bad", minutes=1) as process:
        output, _unused = process.communicate(timeout=60)
    assert "\nfirst is done\n" in output
    assert "\n=== second, at the same time\nsecond is done\n" in output
    assert rows(output) == {"first+second": "ok", "good+bad": "FAILED"}
    assert output.endswith("\n2 passed, 1 failed\n")


def test_all_joined_targets_are_stopped(folder: Path) -> None:
    with start(folder, "good+hanging", minutes=2 / 60) as process:
        output, _unused = process.communicate(timeout=30)
    assert (folder / "cleaned").exists()
    assert rows(output) == {"good+hanging": "STOPPED"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up_too(folder: Path, number: signal.Signals) -> None:
    with start(folder, "hanging", "good") as process:
        deadline = time.monotonic() + 20
        while not (folder / "running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        output, _unused = process.communicate(timeout=30)
    assert (folder / "cleaned").exists()
    assert rows(output) == {"hanging": "STOPPED", "good": "NOT RUN"}
