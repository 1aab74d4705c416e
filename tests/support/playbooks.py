# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks as a user does, in a process of their own, and reads what they print."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION


@dataclass(frozen=True)
class PlaybookRun:
    """How a playbook ended."""

    status: int
    output: str

    @property
    def text(self) -> str:
        """The output without the line breaks and the escaped quotes that versions of ansible-core put into messages."""
        return " ".join(self.output.split()).replace('\\"', '"')

    @property
    def changes(self) -> dict[str, int]:
        """Number of changed tasks by host."""
        return {host: int(changed) for host, changed in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", self.output, re.MULTILINE)}

    @property
    def changed_tasks(self) -> list[str]:
        """Names of the tasks that changed something, in order."""
        found: list[str] = []
        task = ""
        for line in self.output.splitlines():
            header = re.match(r"TASK \[(.*)\] \**$", line)
            task = header[1] if header else task
            if line.startswith("changed: [") and task not in found[-1:]:
                found.append(task)
        return found

    @property
    def changed(self) -> int:
        return sum(self.changes.values())


def command(playbook: str | Path, *options: str, inventory: str = "localhost,", variables: Mapping[str, Any]) -> list[str]:
    """The command line of a playbook, given by its path or full name."""
    extra = {"ansible_python_interpreter": sys.executable, **variables} if inventory == "localhost," else variables
    executable = str(Path(sys.executable).parent / "ansible-playbook")
    return [executable, "--inventory", inventory, "--extra-vars", json.dumps(extra), *options, str(playbook)]


def environment() -> dict[str, str]:
    """Where the collection under test is found; nothing that decides for the user which cluster is meant."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("K8S_AUTH_")}
    return {**own, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2]), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1"}


def run_command(arguments: Sequence[str], **more: str) -> PlaybookRun:
    """Run it. more: variables of the environment."""
    done = subprocess.run(
        arguments, env={**environment(), **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return PlaybookRun(done.returncode, done.stdout)


def kill_when_written(arguments: Sequence[str], file: Path, pause_s: float, also: Callable[[], object]) -> None:
    """Kill a run (SIGKILL) with all its processes as soon as a file exists, then call `also` for what is to die with it."""
    kill_when(arguments, file.exists, f"{file.name} was written", pause_s, also)


def kill_when(arguments: Sequence[str], happened: Callable[[], bool], what: str, pause_s: float, also: Callable[[], object]) -> None:
    """Kill a run (SIGKILL) with all its processes as soon as something has happened. what: says it in messages."""
    with subprocess.Popen(
        arguments, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 300
        while not happened():
            assert run.poll() is None, f"the run ended before {what}"
            assert time.monotonic() < deadline, f"it was in vain to wait until {what}"
            time.sleep(pause_s)
        os.killpg(run.pid, signal.SIGKILL)
        also()


def run_playbook(playbook: str | Path, *options: str, inventory: str = "localhost,", **variables: Any) -> PlaybookRun:
    return run_command(command(playbook, *options, inventory=inventory, variables=variables))


def run_role(folder: Path, role: str, *options: str, tasks_from: str = "main", **variables: Any) -> PlaybookRun:
    """Run one entry point of a role on this machine. folder: where the play is written."""
    task = {"ansible.builtin.include_role": {"name": f"hosted.kubernetes.{role}", "tasks_from": tasks_from}}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    path = folder / f"{role}.json"
    path.write_text(json.dumps(play), encoding="utf-8")
    return run_playbook(path, *options, **variables)
