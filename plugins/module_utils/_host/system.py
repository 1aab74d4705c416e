# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system under Kubernetes: kernel modules, sysctls and swap, now and at the next boot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import tools

MODULES_FILE = "/etc/modules-load.d/90-hosted-kubernetes.conf"
# Read after every other file of the distribution, as 99-sysctl.conf is a link to /etc/sysctl.conf.
SYSCTL_FILE = "/etc/sysctl.d/99-z-hosted-kubernetes.conf"
FSTAB = "/etc/fstab"
# A module that is built in without parameters shows nothing below /sys/module.
_WITNESSES = {"br_netfilter": "/proc/sys/net/bridge", "ip_vs": "/proc/net/ip_vs", "nf_tables": "/proc/sys/net/netfilter"}
_HEADER = "# Written by the role hosted.kubernetes.host; change its variables instead.\n"


@dataclass(frozen=True)
class Wanted:
    """sysctls: value by dotted name; swap_off: whether swap must be off now and at boot."""

    kernel_modules: Sequence[str]
    sysctls: Mapping[str, str]
    swap_off: bool

    def files(self) -> dict[str, str]:
        """Return the text of each file that keeps this over a boot."""
        modules = "".join(f"{name}\n" for name in self.kernel_modules)
        settings = "".join(f"{name} = {value}\n" for name, value in sorted(self.sysctls.items()))
        return {MODULES_FILE: _HEADER + modules, SYSCTL_FILE: _HEADER + settings}


@dataclass(frozen=True)
class Seen:
    """The host as it is.

    sysctls: None for a name the kernel does not have. swaps: active swap devices and files. swap_units: active units of systemd that would
    bring swap back at boot, those from fstab left out.
    """

    loaded: frozenset[str]
    sysctls: Mapping[str, str | None]
    swaps: Sequence[str]
    fstab: str
    swap_units: Sequence[str] = ()
    files: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One difference; kind is file, module, sysctl, swap, swap unit or fstab; before and after as a reader of --diff wants them."""

    kind: str
    name: str
    before: str
    after: str


def plan(wanted: Wanted, seen: Seen) -> list[Change]:
    """Return what differs, in order of execution: files, modules (they bring sysctls), sysctls, swap."""
    changes = [
        Change("file", path, seen.files.get(path) or "", text) for path, text in wanted.files().items() if seen.files.get(path) != text
    ]
    changes += [Change("module", name, "", "loaded") for name in wanted.kernel_modules if normal(name) not in seen.loaded]
    for name, value in sorted(wanted.sysctls.items()):
        found = seen.sysctls.get(name)
        if found is None or found.split() != value.split():
            changes.append(Change("sysctl", name, found or "", value))
    if wanted.swap_off:
        without = fstab_without_swap(seen.fstab)
        if without != seen.fstab:
            changes.append(Change("fstab", FSTAB, seen.fstab, without))
        # Before swap is off, since a run that is killed in between would not find them any more.
        changes += [Change("swap unit", unit, "active", "masked") for unit in seen.swap_units]
        changes += [Change("swap", device, "on", "off") for device in seen.swaps]
    return changes


def normal(module: str) -> str:
    """Kernel module names treat - and _ alike."""
    return module.replace("-", "_")


def is_loaded(module: str, exists: Callable[[str], bool], read: Callable[[str], str | None], release: str) -> bool:
    """Whether the kernel of a release has a module (its normal name) loaded or built in; files are looked at by exists and read."""
    if exists(f"/sys/module/{module}") or exists(_WITNESSES.get(module, "/nonexistent")):
        return True
    # A file system is listed by its name, which is the module's.
    if module in (read("/proc/filesystems") or "").split():
        return True
    return names_module(read(f"/lib/modules/{release}/modules.builtin") or "", module)


def names_module(index: str, module: str) -> bool:
    """Whether modules.builtin or modules.dep, given by their text, have a line for a module (its normal name)."""
    return any(normal(os.path.basename(line.split(":")[0])).startswith(f"{module}.ko") for line in index.splitlines())


def fstab_without_swap(text: str) -> str:
    """Comment out the swap lines of an fstab, all other bytes unchanged."""
    lines = []
    for line in text.splitlines(keepends=True):
        columns = line.split()
        is_swap = len(columns) >= 3 and not columns[0].startswith("#") and columns[2] == "swap"
        lines.append(f"# hosted.kubernetes: {line}" if is_swap else line)
    return "".join(lines)


def sysctl_path(name: str) -> str:
    """Return the file below /proc/sys; a slash in the name stands for a dot in it, as in sysctl.d(5)."""
    if "/" in name:
        return os.path.join("/proc/sys", name)
    return os.path.join("/proc/sys", name.replace(".", "/"))


def observe(wanted: Wanted) -> Seen:
    """Read what a plan needs."""
    return Seen(
        loaded=frozenset(
            normal(name) for name in wanted.kernel_modules if is_loaded(normal(name), os.path.exists, _read, os.uname().release)
        ),
        sysctls={name: _read(sysctl_path(name)) for name in wanted.sysctls},
        swaps=active_swaps(_read("/proc/swaps") or ""),
        fstab=_read_raw(FSTAB) or "",
        swap_units=_active_swap_units() if wanted.swap_off else (),
        files={path: _read_raw(path) for path in wanted.files()},
    )


def active_swaps(text: str) -> list[str]:
    """Return the first column of /proc/swaps without its heading."""
    return [line.split()[0] for line in text.splitlines()[1:] if line.strip()]


def swap_units(shown: str) -> list[str]:
    """Return the units that bring swap back at boot, of what `systemctl show --property=Id,ActiveState,FragmentPath,SourcePath` prints.

    A unit without a file of its own is what systemd sees of a swapon by hand. One from fstab goes with its line there.
    """
    found = []
    for block in shown.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("ActiveState") == "active" and unit.get("FragmentPath") and unit.get("SourcePath") != FSTAB:
            found.append(unit["Id"])
    return sorted(set(found))


def apply(changes: Sequence[Change]) -> None:
    """Carry out a plan. Raises HostedKubernetesError that names the module, sysctl or device and the way out."""
    for change in changes:
        try:
            _apply_one(change)
        except OSError as error:
            raise HostedKubernetesError(f"{change.kind} {change.name}: {error.strerror or error}") from error


def _apply_one(change: Change) -> None:
    if change.kind in ("file", "fstab"):
        os.makedirs(os.path.dirname(change.name), exist_ok=True)
        host_files.write(change.name, change.after.encode(), 0o644)
    elif change.kind == "module":
        _load(change.name)
    elif change.kind == "sysctl":
        _set(change.name, change.after)
    elif change.kind == "swap unit":
        hint = (
            f"{change.name} cannot be masked; remove what makes it (its file in /etc/systemd, or zram-generator), or set host_swap to keep"
        )
        _command(["systemctl", "mask", change.name], hint)
    else:
        _command(["swapoff", change.name], f"swap {change.name} cannot be switched off; free memory, or set host_swap to keep")


def _active_swap_units() -> list[str]:
    """Ask systemd; a host without it has no units."""
    command = ["systemctl", "show", "--property=Id,ActiveState,FragmentPath,SourcePath", "*.swap"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=tools.environment())
    except FileNotFoundError:
        return []
    return swap_units(done.stdout.decode(errors="replace"))


def _load(name: str) -> None:
    hint = f"kernel module {name} cannot be loaded; install the kernel's module package, or take it out of host_kernel_modules when the kernel has it built in"
    _command(["modprobe", name], hint)


def _set(name: str, value: str) -> None:
    path = sysctl_path(name)
    if not os.path.exists(path):
        raise HostedKubernetesError(
            f"sysctl {name}: this kernel has no such setting; load the kernel module that brings it (host_kernel_modules), or take it out of host_sysctls"
        )
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(value)


def _command(arguments: Sequence[str], hint: str) -> None:
    try:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=tools.environment())
    except FileNotFoundError as error:
        raise HostedKubernetesError(f"{hint} ({arguments[0]}: not installed)") from error
    if done.returncode != 0:
        raise HostedKubernetesError(f"{hint} ({done.stdout.decode(errors='replace').strip()})")


def _read_raw(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return None


def _read(path: str) -> str | None:
    text = _read_raw(path)
    return None if text is None else text.strip()
