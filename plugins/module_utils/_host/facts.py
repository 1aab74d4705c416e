# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is like before it joins, read without changing anything: resources, tools, ports, and where it has joined.

Every fact is JSON-able; whether it is good enough is decided by _api/join.py, on the controller.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import interfaces, networks, system, tools, x509

KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
SERVING_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-server-current.pem"
BOOTSTRAP_CONF = "/etc/kubernetes/bootstrap-kubelet.conf"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
# What a join leaves on a host, besides the two above.
LEFTOVERS = ("/etc/kubernetes/pki/ca.crt", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env")
# There from the beginning of a reset to its end, which a kill may keep away.
RESET_RECORD = "/var/lib/hosted-kubernetes/reset.json"
MANIFESTS = "/etc/kubernetes/manifests"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
_LISTEN = "0A"
_NODE_USER = "system:node:"

Json = dict[str, Any]


def read(
    wanted_tools: Sequence[str],
    ports: Sequence[int],
    disks: Sequence[str],
    connect: Sequence[str],
    connect_timeout_s: float,
    controller_time_s: float | None = None,
) -> Json:
    """Read all facts of this host.

    wanted_tools: see tools.missing. ports: TCP ports that should be free. disks: paths whose free space counts;
    the nearest existing parent is measured. connect: "address:port" that this host should reach. controller_time_s: seconds since the
    epoch on the controller's clock a moment ago; the difference is in clock_offset_s, positive when this host is ahead.
    """
    offset_s = None if controller_time_s is None else round(time.time() - controller_time_s)
    return {
        "hostname": socket.gethostname(),
        "addresses": read_addresses(),
        "clock_offset_s": offset_s,
        "python": platform.python_version(),
        "architecture": architecture(),
        "kernel": platform.release(),
        "is_root": os.geteuid() == 0,
        "is_systemd": os.path.isdir("/run/systemd/system"),
        "cpus": os.cpu_count() or 0,
        "memory_mb": memory_mb(_text("/proc/meminfo")),
        "swaps": system.active_swaps(_text("/proc/swaps")),
        "cgroup_version": 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1,
        "missing_tools": [tools.describe(names) for names in tools.missing(wanted_tools)],
        "ports": used_ports(ports, _text("/proc/net/tcp") + _text("/proc/net/tcp6")),
        "networks": networks.on_link(_text("/proc/net/route"), _text("/proc/net/ipv6_route")),
        "free_mb": {path: _free_mb(path) for path in disks},
        "unreachable": [target for target in connect if not _can_connect(target, connect_timeout_s)],
        "membership": read_membership(),
    }


def architecture() -> str:
    """This host's architecture as bundles name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def read_membership() -> Json:
    """Read where this host has joined: kubelet_conf is None when it has not; problem is set when it cannot be read."""
    return {
        "kubelet_conf": describe_kubelet_conf(_text(KUBELET_CONF)) if os.path.exists(KUBELET_CONF) else None,
        "has_bootstrap_conf": os.path.exists(BOOTSTRAP_CONF),
        "has_admin_conf": os.path.exists(ADMIN_CONF),
        "leftovers": [path for path in LEFTOVERS if os.path.exists(path)],
        "is_reset_unfinished": os.path.exists(RESET_RECORD),
        "static_pods": sorted(os.listdir(MANIFESTS)) if os.path.isdir(MANIFESTS) else [],
        "is_kubelet_running": is_active("kubelet.service"),
        "kubelet_version": _kubelet_version(),
        "serving_not_after_s": serving_not_after_s(_text(SERVING_CERTIFICATE)),
    }


def describe_kubelet_conf(text: str) -> Json:
    """Describe a kubelet.conf as kubeadm and the kubelet write it, certificate files included.

    Returns server, ca_hashes, ca_names, client_not_after_s and node_name (None when the kubelet has no client certificate) and problem.
    """
    found: Json = {
        "server": _value(text, "server"),
        "ca_hashes": [],
        "ca_names": [],
        "client_not_after_s": None,
        "node_name": None,
        "problem": None,
    }
    try:
        authorities = x509.read_pem(authority_of(text))
        clients = x509.read_pem(_pem(text, "client-certificate"))
    except (x509.DerError, binascii.Error, UnicodeDecodeError) as error:
        return {**found, "problem": f"a certificate in it cannot be read: {error}"}
    found["ca_hashes"] = sorted({item.public_key_hash for item in authorities})
    found["ca_names"] = sorted({item.common_name for item in authorities})
    if clients:
        found["client_not_after_s"] = int(clients[0].not_after.timestamp())
        found["node_name"] = _node_name(clients[0].common_name)
    return found


def _node_name(user: str) -> str | None:
    """The Node that a kubelet's user stands for (https://kubernetes.io/docs/reference/access-authn-authz/node/); None when it is no kubelet's."""
    return user[len(_NODE_USER) :] or None if user.startswith(_NODE_USER) else None


def authority_of(conf: str) -> str:
    """Return the CA certificates (PEM) that a kubeconfig trusts. Raises binascii.Error or UnicodeDecodeError when they are no text."""
    return _pem(conf, "certificate-authority")


def serving_not_after_s(text: str) -> int | None:
    """Return when the certificate (PEM) ends that the kubelet got from its cluster to be known by; None when it has none that can be read."""
    try:
        found = x509.read_pem(text)
    except x509.DerError:
        return None
    return int(found[0].not_after.timestamp()) if found else None


def read_addresses() -> list[str]:
    """Return the addresses of this host's own interfaces that others can reach it by; none when its ip command is too old to say it."""
    ip = tools.find("ip")
    if ip is None:
        return []
    done = subprocess.run([ip, "-json", "address"], capture_output=True, check=False, env=tools.environment())
    try:
        return interfaces.addresses(json.loads(done.stdout.decode(errors="replace") or "[]"))
    except ValueError:
        return []


def memory_mb(meminfo: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB, 0 when it has none."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else 0


def used_ports(ports: Sequence[int], proc_net_tcp: str) -> dict[str, str]:
    """Return the process (or "another process") that listens on each of ports; keys are text, as JSON wants them."""
    inodes = {}
    for line in proc_net_tcp.splitlines():
        columns = line.split()
        if len(columns) > 9 and columns[3] == _LISTEN:
            inodes[int(columns[1].rsplit(":", 1)[1], 16)] = columns[9]
    taken = {port: inodes[port] for port in ports if port in inodes}
    owners = _socket_owners(set(taken.values())) if taken else {}
    return {str(port): owners.get(inode, "another process") for port, inode in taken.items()}


def _socket_owners(inodes: set[str]) -> Mapping[str, str]:
    owners = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for inode in inodes & _sockets(pid):
            owners[inode] = _text(f"/proc/{pid}/comm").strip()
    return owners


def _sockets(pid: str) -> set[str]:
    """Inodes of the sockets of a process; files that close and processes that end meanwhile are left out."""
    found: set[str] = set()
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return found
    for number in numbers:
        with contextlib.suppress(OSError):
            link = os.readlink(os.path.join(folder, number))
            if link.startswith("socket:["):
                found.add(link[len("socket:[") : -1])
    return found


def _pem(text: str, key: str) -> str:
    """Return the PEM text that a kubeconfig key holds inline or names by path; "" when it has neither."""
    inline = _value(text, f"{key}-data")
    if inline:
        return base64.b64decode(inline).decode()
    path = _value(text, key)
    return _text(path) if path else ""


def _value(text: str, key: str) -> str | None:
    found = re.search(rf'(?:^|[\s{{,"]){key}"?:\s*"?([^\s",}}]+)', text, re.MULTILINE)
    return found.group(1) if found else None


def text_of(path: str) -> str | None:
    """Return the text of a file, None when there is none."""
    return _text(path) if os.path.exists(path) else None


def nearest(path: str) -> str:
    """Return the nearest parent that exists, on whose file system a path lies or will lie."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def split_target(target: str) -> tuple[str, int]:
    """Split "address:port"; an IPv6 address stands in brackets. Raises ValueError."""
    host, port = target.rsplit(":", 1)
    return host.strip("[]"), int(port)


def is_active(unit: str) -> bool:
    """Whether systemd says that a unit is active; not so on a host without systemd."""
    try:
        done = subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False, stderr=subprocess.DEVNULL, env=tools.environment())
    except FileNotFoundError:
        return False
    return done.returncode == 0


def _free_mb(path: str) -> int:
    seen = os.statvfs(nearest(path))
    return seen.f_bavail * seen.f_frsize // (1 << 20)


def _can_connect(target: str, timeout_s: float) -> bool:
    try:
        with socket.create_connection(split_target(target), timeout=timeout_s):
            return True
    except OSError:
        return False


def _kubelet_version() -> str | None:
    kubelet = tools.find("kubelet")
    if kubelet is None:
        return None
    done = subprocess.run([kubelet, "--version"], capture_output=True, check=False)
    found = re.search(r"v\d+\.\d+\.\d+\S*", done.stdout.decode(errors="replace"))
    return found.group(0) if found else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
