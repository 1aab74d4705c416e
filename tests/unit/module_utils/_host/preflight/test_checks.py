# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in order gives no finding; each thing that is broken gives its own and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import checks
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import Answer, Disk, Finding, Route
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.preflight.good_host import (
    API,
    CONTAINERD,
    DOCKER,
    JOINED,
    KERNEL,
    NOW_S,
    TUNNEL,
    WANTED,
    GoodHost,
)

Break = Callable[[GoodHost], object]
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t4000000\t{used}\t-2\n"
V1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t1\t1\t1\ncpu\t2\t1\t1\nmemory\t3\t1\t{memory}\npids\t4\t1\t1\n"
DROP = "table inet mine {\n\tchain in {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"


def put(name: str, value: Any) -> Break:
    return lambda host: setattr(host, name, value)


def file(path: str, content: str | None) -> Break:
    return lambda host: host.files.update({path: content})


def all_of(*breaks: Break) -> Break:
    return lambda host: [one(host) for one in breaks]


def cgroup_v1(memory: int = 1) -> Break:
    return all_of(file("/sys/fs/cgroup/cgroup.controllers", None), file("/proc/cgroups", V1.format(memory=memory)))


def look(*breaks: Break, **wanted: Any) -> list[Finding]:
    host = GoodHost()
    for one in breaks:
        one(host)
    return checks.run(host, replace(WANTED, **wanted))


def test_a_host_in_order_gives_no_finding() -> None:
    assert look() == []


# Break → options, check, severity, where, a part of what is said.
Case = tuple[Break, Mapping[str, Any], str, str, str, str]
CASES: dict[str, Case] = {
    "no root": (put("is_root", False), {}, "privileges", "error", "sudo", "does not become root"),
    "old python": (put("python", (3, 8)), {}, "python", "error", "ansible_python_interpreter", "Python 3.8 is too old"),
    "no systemd": (lambda h: h.paths.remove("/run/systemd/system"), {}, "operating_system", "error", "/run/systemd/system", "systemd"),
    "unknown system": (
        file("/etc/os-release", 'ID=void\nPRETTY_NAME="Void"\n'),
        {},
        "operating_system",
        "warning",
        "/etc/os-release",
        "Void is no system this collection knows",
    ),
    "other architecture": (put("architecture", "arm64"), {}, "operating_system", "error", "bundle", "arm64, the bundle is for amd64"),
    "no module": (
        file(f"/lib/modules/{KERNEL}/modules.dep", "kernel/fs/overlayfs/overlay.ko:\n"),
        {},
        "kernel_modules",
        "error",
        f"/lib/modules/{KERNEL}",
        "kernel module br_netfilter is neither loaded nor can it be",
    ),
    "no sysctl": (
        file("/proc/sys/net/ipv4/ip_forward", None),
        {},
        "sysctls",
        "error",
        "/proc/sys/net/ipv4/ip_forward",
        "this kernel has no setting net.ipv4.ip_forward",
    ),
    "sysctl undone": (
        all_of(lambda h: h.folders.update({"/etc/sysctl.d": ["99-zz.conf"]}), file("/etc/sysctl.d/99-zz.conf", "net.ipv4.ip_forward=0\n")),
        {},
        "sysctls",
        "warning",
        "/etc/sysctl.d/99-zz.conf",
        "net.ipv4.ip_forward = 0 would undo 1 at the next boot",
    ),
    "no controller": (
        file("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n"),
        {},
        "cgroups",
        "error",
        "/sys/fs/cgroup/cgroup.controllers",
        "cgroup controller memory is missing",
    ),
    "cgroup v1": (cgroup_v1(), {}, "cgroups", "error", "/sys/fs/cgroup", "cgroup v1, which kubelets of 1.35 and newer refuse"),
    "no controller of v1": (
        cgroup_v1(memory=0),
        {"kubelet_configuration": {"failCgroupV1": False}},
        "cgroups",
        "error",
        "/proc/cgroups",
        "cgroup controller memory is missing",
    ),
    "drivers differ": (
        lambda _h: None,
        {"kubelet_configuration": {"cgroupDriver": "cgroupfs"}},
        "cgroups",
        "error",
        "cgroupDriver",
        "the kubelet makes cgroups by cgroupfs, containerd by systemd",
    ),
    "swap kept": (
        file("/proc/swaps", SWAPS.format(used=0)),
        {"swap_off": False},
        "swap",
        "error",
        "/dev/sda2",
        "swap is on and stays on, and the kubelet refuses it",
    ),
    "swap full": (
        file("/proc/swaps", SWAPS.format(used=3_500_000)),
        {},
        "swap",
        "error",
        "/dev/sda2",
        "3417 MiB are swapped out, more than memory is free",
    ),
    "little memory": (file("/proc/meminfo", "MemTotal: 524288 kB\n"), {}, "memory", "error", "/proc/meminfo", "512 MiB of memory"),
    "no program": (lambda h: h.absent_tools.add("ip"), {}, "programs", "error", "PATH", "ip is not installed"),
    "old kernel": (put("kernel", "4.18.0-553.el8.x86_64"), {"kernel_modules": [], "sysctls": {}}, "kernel", "error", "uname -r", "too old"),
    "kernel too old for v2": (
        put("kernel", "5.4.0-200-generic"),
        {"kernel_modules": [], "sysctls": {}},
        "kernel",
        "warning",
        "uname -r",
        "older than cgroup v2 wants",
    ),
    "node name": (
        lambda _h: None,
        {"node_name": "Worker_1"},
        "hostname",
        "error",
        "/etc/hostname",
        'called "Worker_1", which is no DNS name',
    ),
    "localhost": (
        put("hostname", "localhost.localdomain"),
        {},
        "hostname",
        "warning",
        "/etc/hostname",
        'calls itself "localhost.localdomain"',
    ),
    "selinux": (file("/sys/fs/selinux/enforce", "1"), {}, "security", "error", "/var/lib/selinux", "its policy knows no containers"),
    "apparmor": (
        lambda h: h.absent_tools.add("apparmor_parser"),
        {},
        "security",
        "warning",
        "/sys/kernel/security/apparmor",
        "its parser is not installed",
    ),
    "full disk": (
        lambda h: h.disks.update({"/usr/local/bin": Disk(100, 50_000)}),
        {},
        "disk",
        "error",
        "/usr/local/bin",
        "100 MiB free, 3072 MiB are needed",
    ),
    "few inodes": (
        lambda h: h.disks.update({"/var/lib/containerd": Disk(9_000, 900)}),
        {},
        "disk",
        "warning",
        "/var/lib/containerd",
        "900 files can be made",
    ),
    "slow disk": (put("fsync", 250.0), {}, "disk_speed", "warning", "/var/lib/containerd", "took 250 ms, 100 ms are fair"),
    "leftovers": (
        put("left", ["link cni0", "file /etc/cni/net.d/10-flannel.conflist"]),
        {},
        "leftovers",
        "warning",
        "link cni0, file /etc/cni/net.d/10-flannel.conflist",
        "2 things of a former cluster are left",
    ),
    "containerd of others": (
        file(CONTAINERD, "version = 3\n"),
        {},
        "container_runtime",
        "error",
        f"file {CONTAINERD}",
        "that these roles did not set up",
    ),
    "docker": (lambda h: h.active.add(DOCKER), {}, "container_runtime", "error", f"unit {DOCKER}", "that these roles did not set up"),
    "k3s": (lambda h: h.active.add("k3s-agent.service"), {}, "other_kubernetes", "error", "k3s-agent.service", "another Kubernetes runs"),
    "port": (put("used", {"10250": "python3"}), {}, "ports", "error", "10250", "TCP port 10250 is in use by python3"),
    "no nameserver": (file("/etc/resolv.conf", "search x\n"), {}, "dns", "error", "/etc/resolv.conf", "no nameserver is set"),
    "nameserver of its own": (
        file("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
        {},
        "dns",
        "warning",
        "/etc/resolv.conf",
        "the only nameserver is 127.0.0.1",
    ),
    "many nameservers": (
        file("/etc/resolv.conf", "".join(f"nameserver 192.0.2.{n}\n" for n in range(4))),
        {},
        "dns",
        "warning",
        "/etc/resolv.conf",
        "4 nameservers, of which pods get 3",
    ),
    "no such name": (
        lambda h: h.unknown_names.add("registry.example.com"),
        {},
        "dns",
        "error",
        "/etc/resolv.conf",
        "registry.example.com cannot",
    ),
    "clock": (put("clock_s", NOW_S + 900), {"api_server": ""}, "clock", "error", "date", "+902 s off the controller's"),
    "clock of the tenant": (
        put("answer", Answer(clock_s=NOW_S + 600)),
        {},
        "clock",
        "error",
        "date",
        f"-600 s off that of the API server {API}",
    ),
    "no time service": (
        lambda h: h.programs.update({("timedatectl", "show", "--property=NTPSynchronized", "--value"): "no\n"}),
        {},
        "clock",
        "warning",
        "timedatectl",
        "no time service",
    ),
    "tenant out of reach": (
        lambda h: h.routes.update({TUNNEL: Route("timed out")}),
        {},
        "reach",
        "error",
        TUNNEL,
        "cannot be reached by TCP: timed out",
    ),
    "mtu": (lambda h: h.routes.update({API: Route(mtu=576)}), {}, "mtu", "error", API, "may have 576 bytes only, 1280 are needed"),
    "certificate": (
        put("answer", Answer("self-signed certificate")),
        {},
        "api_server",
        "error",
        API,
        "does not answer: self-signed certificate",
    ),
    "firewalld": (lambda h: h.active.add("firewalld.service"), {}, "firewall", "warning", "firewalld.service", "firewalld filters packets"),
    "nftables": (
        lambda h: h.programs.update({("nft", "list", "ruleset"): DROP}),
        {},
        "firewall",
        "warning",
        "nft table inet mine",
        "forward is dropped",
    ),
    "broken kubelet.conf": (
        put("member", {**JOINED, "kubelet_conf": {**JOINED["kubelet_conf"], "problem": "a certificate in it cannot be read"}}),
        {},
        "leftovers",
        "error",
        "/etc/kubernetes/kubelet.conf",
        "a certificate in it cannot be read",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_breakage_gives_exactly_its_finding(case: Case) -> None:
    broken, wanted, check, severity, where, said = case
    (finding,) = look(broken, **wanted)
    assert (finding.check, finding.severity, finding.where) == (check, severity, where)
    assert said in finding.problem
    assert finding.remedy


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_check_that_is_ignored_says_nothing(case: Case) -> None:
    broken, wanted, check, *_unused = case
    host = GoodHost()
    broken(host)
    assert checks.run(host, replace(WANTED, **wanted), {check}) == []


def test_every_check_has_a_case() -> None:
    assert {case[2] for case in CASES.values()} == set(checks.names())


@pytest.mark.parametrize(
    ("broken", "wanted"),
    [
        # What the role host puts right, and what the user has allowed.
        (file("/proc/swaps", SWAPS.format(used=1000)), {}),
        (file("/proc/swaps", SWAPS.format(used=1000)), {"swap_off": False, "kubelet_configuration": {"failSwapOn": False}}),
        (cgroup_v1(), {"kubelet_configuration": {"failCgroupV1": False}}),
        (lambda _h: None, {"kubelet_configuration": {"cgroupDriver": "cgroupfs"}, "systemd_cgroup": False}),
        # A file system that is built into a kernel without files of modules.
        (
            all_of(
                file(f"/lib/modules/{KERNEL}/modules.dep", "kernel/net/bridge/br_netfilter.ko:\n"),
                file("/proc/filesystems", "nodev\tproc\nnodev\toverlay\n"),
            ),
            {},
        ),
        # A node's ports are in use by its kubelet, its disk by its images, and its CNI has made links.
        (all_of(put("member", JOINED), put("used", {"10250": "kubelet"}), put("left", ["link cni0"])), {}),
        (all_of(put("member", JOINED), lambda h: h.disks.update({"/usr/local/bin": Disk(10, 10)})), {}),
        # Our own containerd, beside a Docker that uses it.
        (
            all_of(
                *(
                    file(path, "# Written by the role hosted.kubernetes.container_runtime; change its variables instead.\n")
                    for path in (CONTAINERD, "/etc/systemd/system/containerd.service")
                ),
                lambda h: h.active.update({DOCKER, "containerd.service"}),
            ),
            {},
        ),
        # resolved's stub is replaced by its own list.
        (
            all_of(
                lambda h: h.active.add("systemd-resolved.service"),
                file("/etc/resolv.conf", "nameserver 127.0.0.53\n"),
                file("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n"),
            ),
            {},
        ),
        # A container has its host's clock and sees its host's AppArmor from outside.
        (
            all_of(
                file("/run/systemd/container", "systemd-nspawn"),
                lambda h: h.programs.update({("timedatectl", "show", "--property=NTPSynchronized", "--value"): "no\n"}),
                lambda h: h.paths.discard("/sys/kernel/security/apparmor"),
                lambda h: h.absent_tools.add("apparmor_parser"),
            ),
            {},
        ),
        (
            all_of(
                file("/sys/fs/selinux/enforce", "1"),
                lambda h: h.folders.update({"/var/lib/selinux/targeted/active/modules/200": ["container"]}),
            ),
            {},
        ),
        (file("/etc/os-release", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'), {}),
        (file("/etc/os-release", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'), {}),
        (put("fsync", None), {}),
        (lambda h: h.routes.update({API: Route(mtu=None)}), {}),
    ],
)
def test_what_is_no_fault(broken: Break, wanted: dict[str, Any]) -> None:
    assert look(broken, **wanted) == []


def test_errors_come_first() -> None:
    found = look(put("fsync", 500.0), put("used", {"10250": "nc"}), lambda h: h.active.add("ufw.service"))
    assert [item.severity for item in found] == ["error", "warning", "warning"]
