# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the operating system: who we are, kernel, cgroups, swap, memory, programs, names, security modules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, system
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import (
    ERROR,
    WARNING,
    Finding,
    Reader,
    Wanted,
)

_MINIMUM_PYTHON = (3, 9)
_FAMILIES = frozenset({"debian", "ubuntu", "rhel", "centos", "fedora", "rocky", "almalinux", "ol", "amzn", "suse", "opensuse", "sles"})
# kubeadm refuses older ones, and says that cgroup v2 wants 5.10 (k8s.io/system-validators, validators/types_unix.go).
_MINIMUM_KERNEL, _MINIMUM_KERNEL_V2 = (5, 4), (5, 10)
# What the kubelet needs (pkg/kubelet/cm/container_manager_linux.go, requiredControllers); v1 counts CPU time by a controller of its own.
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/lib/sysctl.d")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def privileges(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if not reader.is_root:
        remedy = "give the connecting user sudo, or set ansible_become_password (--ask-become-pass)"
        yield Finding("privileges", ERROR, "the connecting user does not become root", "sudo", remedy)


def python(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if reader.python < _MINIMUM_PYTHON:
        found = ".".join(map(str, reader.python))
        yield Finding(
            "python", ERROR, f"Python {found} is too old", "ansible_python_interpreter", "install Python 3.9 or newer and name it there"
        )


def operating_system(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if not reader.exists("/run/systemd/system"):
        yield Finding("operating_system", ERROR, "it is not booted with systemd", "/run/systemd/system", "choose a Linux host with systemd")
    release = _release(reader.text("/etc/os-release") or reader.text("/usr/lib/os-release") or "")
    if not _FAMILIES & {release.get("ID", ""), *release.get("ID_LIKE", "").split(), release.get("ID", "").partition("-")[0]}:
        name = release.get("PRETTY_NAME") or release.get("ID") or "an unknown system"
        remedy = "any Linux with systemd should do; try it with one host first"
        yield Finding("operating_system", WARNING, f"{name} is no system this collection knows", "/etc/os-release", remedy)
    if wanted.architecture and reader.architecture != wanted.architecture:
        problem = f"the host is {reader.architecture}, the bundle is for {wanted.architecture}"
        yield Finding("operating_system", ERROR, problem, "bundle", "name a bundle for its architecture")


def kernel(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    found = re.match(r"(\d+)\.(\d+)", reader.kernel)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < _MINIMUM_KERNEL:
        yield Finding("kernel", ERROR, f"kernel {reader.kernel} is too old for kubeadm", "uname -r", "boot a kernel of 5.4 or newer")
    elif version < _MINIMUM_KERNEL_V2 and _is_cgroup_v2(reader):
        remedy = "boot a kernel of 5.10 or newer"
        yield Finding("kernel", WARNING, f"kernel {reader.kernel} is older than cgroup v2 wants", "uname -r", remedy)


def kernel_modules(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    folder = f"/lib/modules/{reader.kernel}"
    index = reader.text(f"{folder}/modules.dep") or ""
    for name in wanted.kernel_modules:
        if not _is_loaded(reader, name) and not system.names_module(index, system.normal(name)):
            remedy = "install the kernel's module package, or take it out of host_kernel_modules when nothing needs it"
            yield Finding("kernel_modules", ERROR, f"kernel module {name} is neither loaded nor can it be", folder, remedy)


def sysctls(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    for name in sorted(wanted.sysctls):
        comes_with = "net.bridge." if "br_netfilter" in wanted.kernel_modules else "\0"
        if reader.text(system.sysctl_path(name)) is None and not name.startswith(comes_with):
            remedy = "load the kernel module that brings it (host_kernel_modules), or take it out of host_sysctls"
            yield Finding("sysctls", ERROR, f"this kernel has no setting {name}", system.sysctl_path(name), remedy)
    yield from _undone_at_boot(reader, wanted)


def cgroups(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    is_v2 = _is_cgroup_v2(reader)
    where = "/sys/fs/cgroup/cgroup.controllers" if is_v2 else "/proc/cgroups"
    text = reader.text(where) or ""
    present = set(text.split()) if is_v2 else {line.split()[0] for line in text.splitlines() if line.split()[-1:] == ["1"]}
    for name in _CONTROLLERS:
        if name not in present:
            yield Finding("cgroups", ERROR, f"cgroup controller {name} is missing", where, "switch it on at boot (kernel command line)")
    if not is_v2 and wanted.kubelet_configuration.get("failCgroupV1", True):
        remedy = "boot with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false for the kubelet"
        yield Finding("cgroups", ERROR, "cgroup v1, which kubelets of 1.35 and newer refuse", "/sys/fs/cgroup", remedy)
    driver = wanted.kubelet_configuration.get("cgroupDriver") or "systemd"
    if (driver == "systemd") != wanted.systemd_cgroup:
        theirs = "systemd" if wanted.systemd_cgroup else "cgroupfs"
        remedy = "set container_runtime_systemd_cgroup to the kubelet's cgroupDriver"
        yield Finding("cgroups", ERROR, f"the kubelet makes cgroups by {driver}, containerd by {theirs}", "cgroupDriver", remedy)


def swap(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    """Swap that the role host switches off is none of a user's business, unless memory cannot hold what is in it."""
    table = reader.text("/proc/swaps") or ""
    devices = system.active_swaps(table)
    if not devices:
        return
    if wanted.swap_off:
        used_kb = sum(int(line.split()[3]) for line in table.splitlines()[1:] if len(line.split()) > 3)
        available = re.search(r"^MemAvailable:\s+(\d+) kB", reader.text("/proc/meminfo") or "", re.MULTILINE)
        if available and used_kb > int(available[1]):
            problem = f"{used_kb // 1024} MiB are swapped out, more than memory is free"
            yield Finding("swap", ERROR, problem, ", ".join(devices), "end programs, so that swap can be switched off")
    elif wanted.kubelet_configuration.get("failSwapOn", True):
        remedy = "set host_swap to off, or failSwapOn: false for the kubelet"
        yield Finding("swap", ERROR, "swap is on and stays on, and the kubelet refuses it", ", ".join(devices), remedy)


def memory(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    found = facts.memory_mb(reader.text("/proc/meminfo") or "")
    if found < wanted.minimum_memory_mb:
        problem = f"{found} MiB of memory, {wanted.minimum_memory_mb} MiB are needed"
        yield Finding("memory", ERROR, problem, "/proc/meminfo", "give the host more memory, or lower the minimum")


def programs(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    for name in reader.missing_tools(wanted.tools):
        yield Finding("programs", ERROR, f"{name} is not installed", "PATH", "install the package of your distribution that brings it")


def hostname(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    name = wanted.node_name or reader.hostname
    if not _LABEL.fullmatch(name) or len(name) > 253:
        remedy = "set worker_node_name, or rename the host"
        yield Finding("hostname", ERROR, f'the node would be called "{name}", which is no DNS name in lower case', "/etc/hostname", remedy)
    if reader.hostname.partition(".")[0] in ("", "localhost", "localhost4", "localhost6"):
        yield Finding(
            "hostname", WARNING, f'the host calls itself "{reader.hostname}"', "/etc/hostname", "give it a name of its own (hostnamectl)"
        )


def security(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if (reader.text("/sys/fs/selinux/enforce") or "").strip() == "1" and not any(
        "container" in reader.entries(f"/var/lib/selinux/{policy}/active/modules/{priority}")
        for policy in ("targeted", "minimum", "mls")
        for priority in ("100", "200", "400")
    ):
        remedy = "install container-selinux (of SUSE: selinux-policy-targeted and container-selinux)"
        yield Finding("security", ERROR, "SELinux enforces, and its policy knows no containers", "/var/lib/selinux", remedy)
    # containerd gives containers no profile when it does not find the parser; a container sees its host's kernel, but not securityfs.
    is_on = (reader.text("/sys/module/apparmor/parameters/enabled") or "").strip() == "Y" and reader.exists("/sys/kernel/security/apparmor")
    if is_on and reader.missing_tools(["apparmor_parser"]):
        problem = "AppArmor is on, but containers get no profile, as its parser is not installed"
        yield Finding("security", WARNING, problem, "/sys/kernel/security/apparmor", "install the package apparmor")


def _is_cgroup_v2(reader: Reader) -> bool:
    return reader.exists("/sys/fs/cgroup/cgroup.controllers")


def _is_loaded(reader: Reader, name: str) -> bool:
    return system.is_loaded(system.normal(name), reader.exists, reader.text, reader.kernel)


def _undone_at_boot(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    """Files of sysctl.d are read in the order of their names; what comes after ours wins at the next boot."""
    ours = system.SYSCTL_FILE.rpartition("/")[2]
    for folder in _SYSCTL_FOLDERS:
        for name in reader.entries(folder):
            if not name.endswith(".conf") or name <= ours:
                continue
            text = reader.text(f"{folder}/{name}") or ""
            for setting, value in re.findall(r"^\s*-?([\w./]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE):
                expected = wanted.sysctls.get(setting.replace("/", "."))
                if expected is not None and value.split() != expected.split():
                    problem = f"{setting} = {value} would undo {expected} at the next boot"
                    yield Finding(
                        "sysctls", WARNING, problem, f"{folder}/{name}", f"take the line out, or set it in host_sysctls to {value}"
                    )


def _release(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}
