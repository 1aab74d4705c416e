# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in order, as a Reader: recorded from a Debian 12 virtual machine, and broken by tests in one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import Answer, Disk, Route, Wanted

NOW_S = 1_800_000_000.0
API, TUNNEL = "198.51.100.20:6443", "198.51.100.20:8132"
CONTAINERD, DOCKER = "/etc/containerd/config.toml", "docker.service"
KERNEL = "6.1.0-28-amd64"
NOT_JOINED: dict[str, Any] = {"kubelet_conf": None, "static_pods": [], "kubelet_version": None}
JOINED: dict[str, Any] = {
    "kubelet_conf": {"server": f"https://{API}", "ca_hashes": ["sha256:aa"], "problem": None},
    "static_pods": [],
    "kubelet_version": "v1.36.3",
}
FILES = {
    "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "/etc/machine-id": "6d2c5e0f6a0b4c0e8f3d1a2b3c4d5e6f\n",
    "/etc/resolv.conf": "search example.com\nnameserver 192.0.2.53\n",
    "/proc/meminfo": "MemTotal:        4026000 kB\nMemFree:          300000 kB\nMemAvailable:    3000000 kB\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/sys/class/dmi/id/product_uuid": "5E1D0A7C-0000-4000-8000-000000000001\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/proc/sys/net/ipv4/ip_forward": "0\n",
    f"/lib/modules/{KERNEL}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
    f"/lib/modules/{KERNEL}/modules.dep": "kernel/fs/overlayfs/overlay.ko:\nkernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n",
}
PROGRAMS = {
    ("timedatectl", "show", "--property=NTPSynchronized", "--value"): "yes\n",
    (
        "nft",
        "list",
        "ruleset",
    ): "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n",
    ("ip", "-json", "address"): (
        '[{"ifname":"lo","link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","scope":"host"}]},'
        '{"ifname":"ens3","link_type":"ether","address":"52:54:00:12:34:56","addr_info":[{"family":"inet","local":"192.0.2.11","scope":"global"},'
        '{"family":"inet6","local":"fe80::1","scope":"link"}]},'
        '{"ifname":"docker0","link_type":"ether","address":"02:42:00:00:00:01","addr_info":[{"local":"172.17.0.1","scope":"global"}]}]'
    ),
    ("ip", "-json", "-4", "route"): (
        '[{"dst":"default","gateway":"192.0.2.1","dev":"ens3"},{"dst":"192.0.2.0/24","dev":"ens3","protocol":"kernel"},'
        '{"dst":"172.17.0.0/16","dev":"docker0","protocol":"kernel"},{"dst":"10.244.3.0/24","dev":"cni0","protocol":"kernel"}]'
    ),
    ("ip", "-json", "-6", "route"): '[{"dst":"fe80::/64","dev":"ens3","protocol":"kernel"}]',
}
WANTED = Wanted(
    node_name="worker-1",
    architecture="amd64",
    kernel_modules=["overlay", "br_netfilter"],
    sysctls={"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"},
    tools=["ip", "iptables|nft"],
    ports=[10250],
    disks=["/var/lib/containerd", "/usr/local/bin"],
    minimum_free_mb=3072,
    minimum_memory_mb=900,
    maximum_fsync_ms=100,
    connect=[API, TUNNEL],
    resolve=["registry.example.com"],
    api_server=API,
    ca="a certificate",
    controller_time_s=NOW_S - 2,
)


class GoodHost:
    """Tests set an attribute, or an entry of files, programs or active, to break it."""

    def __init__(self) -> None:
        self.python = (3, 11)
        self.is_root = True
        self.architecture = "amd64"
        self.kernel = KERNEL
        self.hostname = "worker-1"
        self.files: dict[str, str | None] = dict(FILES)
        self.paths = {"/run/systemd/system", "/sys/kernel/security/apparmor"}
        self.folders: dict[str, list[str]] = {}
        self.programs: dict[tuple[str, ...], str | None] = dict(PROGRAMS)
        self.active: set[str] = set()
        self.absent_tools: set[str] = set()
        self.clock_s = NOW_S
        self.disks: dict[str, Disk] = {}
        self.fsync: float | None = 3.0
        self.used: dict[str, str] = {}
        self.unknown_names: set[str] = set()
        self.routes: dict[str, Route] = {}
        self.answer = Answer(clock_s=NOW_S + 1)
        self.member = NOT_JOINED
        self.left: list[str] = []

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.paths or self.files.get(path) is not None

    def entries(self, folder: str) -> list[str]:
        return self.folders.get(folder, [])

    def output(self, *arguments: str) -> str | None:
        return self.programs.get(arguments)

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def missing_tools(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.absent_tools]

    def time_s(self) -> float:
        return self.clock_s

    def disk(self, path: str) -> Disk:
        return self.disks.get(path, Disk(free_mb=20_000, free_inodes=1_000_000))

    def fsync_ms(self, path: str) -> float | None:
        return self.fsync

    def listeners(self, ports: Sequence[int]) -> dict[str, str]:
        return {port: process for port, process in self.used.items() if int(port) in ports}

    def resolves(self, name: str) -> bool:
        return name not in self.unknown_names

    def connect(self, target: str) -> Route:
        return self.routes.get(target, Route(mtu=1500))

    def ask_api_server(self, target: str, ca: str) -> Answer:
        return self.answer

    def membership(self) -> dict[str, Any]:
        return self.member

    def leftovers(self) -> list[str]:
        return self.left
