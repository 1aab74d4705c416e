# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units: whether a running unit runs with the files that lie on the host now.

A handler is lost when a run is killed before it fires. So the decision looks at the host alone: after each start by us
a record keeps the unit's InvocationID and the checksums of its files; a unit that somebody else started since (a boot, a
crash, kubeadm) has another InvocationID and is judged by the age of its files.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files

RECORDS = "/var/lib/hosted-kubernetes/units"
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "InvocationID", "MainPID", "Result")
_JOURNAL_LINES = 20


@dataclass(frozen=True)
class Record:
    """What is known of the last start by us; digests are SHA-256 by path, "" for a file that did not exist."""

    invocation: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class UnitState:
    """A unit as seen. started_s and newest_file_s are seconds since the epoch; None when not running or without files."""

    load: str
    active: str
    enabled: bool
    needs_reload: bool
    invocation: str
    started_s: float | None
    newest_file_s: float | None
    digests: Mapping[str, str]
    record: Record | None


def plan(state: UnitState, *, enabled: bool, wanted: str) -> list[str]:
    """Return the steps, in order, out of reload, enable, disable, start, restart, stop; empty when all is as wanted.

    wanted: started, stopped, or present: a running unit is kept current, a stopped one is left stopped.
    """
    steps = []
    if enabled != state.enabled:
        steps.append("enable" if enabled else "disable")
    running = state.active in ("active", "activating", "reloading")
    if wanted == "stopped":
        return steps + (["stop"] if running else [])
    if not running and wanted == "started":
        steps.append("start")
    elif running and (state.needs_reload or is_outdated(state)):
        steps.append("restart")
    if state.needs_reload or (steps and state.load == "not-found"):
        steps.insert(0, "reload")
    return steps


def foreseen(state: UnitState, pending: Sequence[str], *, is_stopped: bool = False) -> UnitState:
    """Return the unit as it would be seen after files have been written; pending: those that differ now. For check mode.

    is_stopped: the unit would have been stopped, too.
    """
    if is_stopped:
        state = replace(state, active="inactive", started_s=None)
    changed = {path: "pending" for path in pending if path in state.digests}
    if not changed:
        return state
    return replace(state, digests={**state.digests, **changed}, newest_file_s=float("inf"))


def is_outdated(state: UnitState) -> bool:
    """Whether a running unit was started with other files than those on the host."""
    if state.record is not None and state.record.invocation == state.invocation:
        return dict(state.record.digests) != dict(state.digests)
    if state.started_s is None or state.newest_file_s is None:
        return False
    return state.newest_file_s > state.started_s


def observe(name: str, paths: Sequence[str], record: str = "") -> UnitState:
    """Read the unit, its record and its files. Directories among paths count with each file below them.

    record: name of the record, for one who looks at other files of a unit than another does; by default the unit's.
    """
    shown = _show(name)
    found = _expanded(paths)
    pid = int(shown.get("MainPID") or 0)
    return UnitState(
        load=shown.get("LoadState", "not-found"),
        active=shown.get("ActiveState", "inactive"),
        enabled=shown.get("UnitFileState", "") in ("enabled", "static", "alias", "generated"),
        needs_reload=shown.get("NeedDaemonReload") == "yes",
        invocation=shown.get("InvocationID", ""),
        started_s=_started_s(pid) if pid else None,
        newest_file_s=max((os.stat(path).st_mtime for path in found if os.path.exists(path)), default=None),
        digests={path: host_files.sha256_of(path) or "" for path in found},
        record=_read_record(record or name),
    )


def apply(name: str, steps: Sequence[str], paths: Sequence[str], record: str = "") -> None:
    """Carry out a plan and record what the unit was started with.

    Raises HostedKubernetesError with the end of the unit's journal when systemd refuses or the unit fails.
    """
    for step in steps:
        _systemctl(name, ["daemon-reload"] if step == "reload" else [step, name])
    if "start" in steps or "restart" in steps:
        state = observe(name, paths)
        content = {"invocation": state.invocation, "digests": dict(state.digests)}
        os.makedirs(RECORDS, mode=0o755, exist_ok=True)
        host_files.write(_record_path(record or name), json.dumps(content, sort_keys=True).encode(), 0o644)


def _expanded(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
        else:
            found.append(path)
    return sorted(found)


def _record_path(name: str) -> str:
    return os.path.join(RECORDS, f"{name}.json")


def _read_record(name: str) -> Record | None:
    """Return the record, None when there is none or a killed run left nonsense: the unit is then restarted once."""
    try:
        with open(_record_path(name), encoding="utf-8") as stream:
            raw = json.load(stream)
        return Record(invocation=raw["invocation"], digests=raw["digests"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _show(name: str) -> dict[str, str]:
    done = subprocess.run(
        ["systemctl", "show", "--property", ",".join(_PROPERTIES), name],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise HostedKubernetesError(f"systemd does not answer on this host ({said}); hosts must be booted with systemd")
    lines = done.stdout.decode(errors="replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _systemctl(name: str, arguments: Sequence[str]) -> None:
    done = subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return
    journal = subprocess.run(
        ["journalctl", "--no-pager", "--output", "cat", "--lines", str(_JOURNAL_LINES), "--unit", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    said = done.stdout.decode(errors="replace").strip()
    lines = journal.stdout.decode(errors="replace").splitlines()
    raise HostedKubernetesError(
        f'systemctl {" ".join(arguments)}: {said}; see "journal" in this result, or journalctl -u {name} on the host', journal=lines
    )


def _started_s(pid: int) -> float | None:
    """Wall-clock start of a process, from its age: clock ticks since boot in field 22 of /proc/PID/stat."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            ticks = int(stream.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s
