# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, find and end the systemd-nspawn processes of a lab.

Two kinds of hosts: where systemd is the first process a machine is a transient unit of its own (cgroup v1 or v2). Elsewhere (containers,
small virtual machines with another init) the cgroup v1 hierarchies get one group per machine by hand. Either way what runs is decided from
the groups of the kernel, never from a file with a process number.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import LabError, run

_NSPAWN = "systemd-nspawn"
# The call filter of systemd-nspawn refuses what containerd and the kubelet need; /proc/sys and /sys must be writable for them.
_ENVIRONMENT = {"SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"}
_START_TIMEOUT_S = 30.0
_RUNTIME_DIRECTORY = "/run/systemd/nspawn"


# Arguments: the log, files of cgroups to join, "--", a command that is left running in them and in a session of its own.
_JOIN_AND_START = 'while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; cd /; setsid "$@" </dev/null >>"$0" 2>&1 &'

# systemd-nspawn puts its groups into the root of the hierarchies "systemd" and "unified", which all machines share: each kubelet would take
# the other machines' pods for orphans of its own. Mounted again inside a cgroup namespace, their root is the machine's own group.
_OWN_ROOTS = """exec unshare --cgroup --mount --propagation slave sh -ec '
for hierarchy in unified systemd; do
    mountpoint -q /sys/fs/cgroup/$hierarchy || continue
    umount /sys/fs/cgroup/$hierarchy
    case $hierarchy in
        unified) mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
        systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd ;;
    esac
done
exec "$@"' sh "$@"
"""


@dataclass(frozen=True)
class Start:
    """How to start one machine. root: its root file system; binds: (source on the host, target in the machine)."""

    machine: str
    root: str
    bridge: str
    uuid: str
    binds: tuple[tuple[str, str], ...]
    log: str

    def argv(self) -> list[str]:
        """Return the systemd-nspawn command."""
        return [
            _NSPAWN,
            "--boot",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--settings=no",
            "--capability=all",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            f"--directory={self.root}",
            f"--machine={self.machine}",
            f"--uuid={self.uuid}",
            f"--network-bridge={self.bridge}",
            *(f"--bind={source}:{target}" for source, target in self.binds),
        ]


class Supervisor(ABC):
    """Runs the machines of one lab."""

    def __init__(self, lab: str) -> None:
        self.group = f"hk-{lab}"

    @abstractmethod
    def running(self, machine: str) -> bool:
        """Tell whether the machine's systemd-nspawn process runs."""

    @abstractmethod
    def start(self, start: Start) -> None:
        """Start the machine and return; it may still be booting."""

    @abstractmethod
    def kill(self, machine: str, timeout_s: float) -> None:
        """End the machine at once, as a power cut does."""

    @abstractmethod
    def machines(self) -> list[str]:
        """Return the names of all machines of the lab that have left something here, running or not."""

    @abstractmethod
    def left(self) -> bool:
        """Tell whether the lab has left any group."""

    @abstractmethod
    def clear(self, timeout_s: float) -> None:
        """Remove what remains of the lab's groups once its machines have ended."""


def supervisor_for_host(lab: str) -> Supervisor:
    """Choose by what this host's first process and cgroups are; raise LabError when neither kind fits."""
    if os.path.isdir("/run/systemd/system"):
        return UnitSupervisor(lab)
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        raise LabError(
            "this host has cgroup v2 but systemd is not its first process, so nobody can delegate a cgroup to the machines; "
            "use a host (or virtual machine) that runs systemd, such as Debian 12 or 13 or Ubuntu 24.04"
        )
    return GroupSupervisor(lab)


class UnitSupervisor(Supervisor):
    """Each machine is the transient unit hk-<lab>-<machine>.service of the host's systemd."""

    def _unit(self, machine: str) -> str:
        return f"{self.group}-{machine}.service"

    def running(self, machine: str) -> bool:
        """Tell whether the unit is active."""
        return run(["systemctl", "is-active", "--quiet", self._unit(machine)], check=False).returncode == 0

    def start(self, start: Start) -> None:
        """Start the unit; systemd-nspawn reports to systemd when the machine's first process has been started."""
        run(["systemctl", "reset-failed", self._unit(start.machine)], check=False)
        run(
            [
                "systemd-run",
                f"--unit={self._unit(start.machine)}",
                f"--description=Lab machine {start.machine}",
                "--slice=machine.slice",
                "--collect",
                "--quiet",
                "--property=Type=notify",
                "--property=Delegate=yes",
                "--property=KillMode=mixed",
                "--property=TasksMax=infinity",
                "--property=RestartForceExitStatus=133",
                "--property=SuccessExitStatus=133",
                f"--property=StandardOutput=append:{start.log}",
                *(f"--setenv={name}={value}" for name, value in _ENVIRONMENT.items()),
                *start.argv(),
            ]
        )

    def kill(self, machine: str, timeout_s: float) -> None:
        """Kill the machine's first process, which ends all others; systemd-nspawn then cleans up and ends by itself."""
        unit = self._unit(machine)
        main = run(["systemctl", "show", "--property=MainPID", "--value", unit], check=False).stdout.strip()
        for process in _children(int(main or 0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run(["systemctl", "stop", unit], check=False, timeout_s=timeout_s)
        run(["systemctl", "reset-failed", unit], check=False)
        _forget(machine)

    def machines(self) -> list[str]:
        """Read them from the loaded units."""
        listing = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{self.group}-*.service"]).stdout
        names = (line.split()[0] for line in listing.splitlines() if line.strip())
        return sorted(name[len(self.group) + 1 : -len(".service")] for name in names)

    def left(self) -> bool:
        """Tell whether a unit remains; units are removed with their machine."""
        return False

    def clear(self, timeout_s: float) -> None:
        """Nothing: a collected unit leaves nothing behind."""


class GroupSupervisor(Supervisor):
    """Each machine has the group hk-<lab>/<machine> in every cgroup v1 hierarchy of the host, and in the hybrid v2 one."""

    def _hierarchies(self) -> list[str]:
        with open("/proc/self/mounts", encoding="utf-8") as table:
            fields = [line.split() for line in table]
        return [entry[1] for entry in fields if entry[2] in ("cgroup", "cgroup2")]

    def _directories(self, machine: str) -> list[str]:
        return [os.path.join(hierarchy, self.group, machine) for hierarchy in self._hierarchies()]

    def _processes(self, machine: str) -> list[int]:
        """Return every process below the machine's groups, also those in groups made inside the machine."""
        found: set[int] = set()
        for directory in self._directories(machine):
            for path, _unused1, _unused2 in os.walk(directory):
                with contextlib.suppress(OSError), open(os.path.join(path, "cgroup.procs"), encoding="utf-8") as members:
                    found.update(int(member) for member in members)
        return sorted(found)

    def running(self, machine: str) -> bool:
        """Tell whether one of the processes is systemd-nspawn itself."""
        return any(_command(process) == _NSPAWN for process in self._processes(machine))

    def start(self, start: Start) -> None:
        """Start systemd-nspawn in its groups, in a session of its own that outlives the caller."""
        self._make_groups(start.machine)
        members = [os.path.join(directory, "cgroup.procs") for directory in self._directories(start.machine)]
        settings = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        run(["sh", "-ec", _JOIN_AND_START, start.log, *members, "--", "env", *settings, "sh", "-ec", _OWN_ROOTS, "sh", *start.argv()])
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.running(start.machine):
            if not self._processes(start.machine) or time.monotonic() > deadline:
                raise LabError(f"machine {start.machine}: systemd-nspawn did not start, see {start.log}")
            time.sleep(0.02)

    def _make_groups(self, machine: str) -> None:
        for hierarchy in self._hierarchies():
            parent = hierarchy
            for name in (self.group, machine):
                path = os.path.join(parent, name)
                os.makedirs(path, exist_ok=True)
                # A new cpuset is empty and takes no process until it has processors and memory.
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    if os.path.exists(os.path.join(path, setting)) and os.path.exists(os.path.join(parent, setting)):
                        _copy(os.path.join(parent, setting), os.path.join(path, setting))
                parent = path

    def kill(self, machine: str, timeout_s: float) -> None:
        """Kill all processes; systemd-nspawn only after it had the time to clean up behind the others."""
        deadline = time.monotonic() + timeout_s
        grace = time.monotonic() + min(5.0, timeout_s / 2)
        while True:
            processes = self._processes(machine)
            if not processes:
                break
            for process in processes:
                if _command(process) != _NSPAWN or time.monotonic() > grace:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise LabError(f"machine {machine}: processes {processes} do not end; look at them with ps and run this again")
            time.sleep(0.05)
        _forget(machine)

    def machines(self) -> list[str]:
        """Read them from the groups."""
        found: set[str] = set()
        for hierarchy in self._hierarchies():
            top = os.path.join(hierarchy, self.group)
            if os.path.isdir(top):
                found.update(entry.name for entry in os.scandir(top) if entry.is_dir())
        return sorted(found)

    def left(self) -> bool:
        """Tell whether any hierarchy has a group of the lab."""
        return any(os.path.isdir(os.path.join(hierarchy, self.group)) for hierarchy in self._hierarchies())

    def clear(self, timeout_s: float) -> None:
        """Remove the groups, innermost first; a group is busy for a moment after its last process has ended."""
        deadline = time.monotonic() + timeout_s
        for hierarchy in self._hierarchies():
            top = os.path.join(hierarchy, self.group)
            for path, _unused1, _unused2 in os.walk(top, topdown=False):
                while not _remove_group(path):
                    if time.monotonic() > deadline:
                        raise LabError(f"the cgroup {path} stays busy; end the processes in its cgroup.procs and run this again")
                    time.sleep(0.05)


def _remove_group(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _children(process: int) -> list[int]:
    try:
        with open(f"/proc/{process}/task/{process}/children", encoding="utf-8") as source:
            return [int(child) for child in source.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command(process: int) -> str:
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8") as source:
            return source.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _copy(source: str, target: str) -> None:
    with open(source, encoding="utf-8") as reading, open(target, "w", encoding="utf-8") as writing:
        writing.write(reading.read())


def _forget(machine: str) -> None:
    """Remove what a killed systemd-nspawn leaves in /run."""
    for kind in ("propagate", "unix-export"):
        path = os.path.join(_RUNTIME_DIRECTORY, kind, machine)
        if os.path.isdir(path):
            run(["umount", "--lazy", path], check=False)
            for entry in os.scandir(path):
                os.unlink(entry.path)
            os.rmdir(path)
    for path in (os.path.join(_RUNTIME_DIRECTORY, kind) for kind in ("propagate", "unix-export", "locks")):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    with contextlib.suppress(OSError):
        os.rmdir(_RUNTIME_DIRECTORY)
