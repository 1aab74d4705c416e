# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that all machines of a lab share as the lower layer of their overlay.

It is built once by debootstrap and kept in the cache under a name that says what is in it (suite and a fingerprint of the recipe),
so a changed list of packages makes a new one and leaves machines that run on the old one alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import LabError, exclusive, remove_tree, run, write_file

# Raise when customise() changes.
_RECIPE = 1
_BUILD_TIMEOUT_S = 1800

# Machines have no devices and no way out: units that wait for either would only delay the boot.
_MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    # Each machine is given its host key before it boots, so that it is known before the first connection.
    "sshd-keygen.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-timesyncd.service",
)

# systemd-nspawn mounts the v1 hierarchies read-only, and the kubelet makes groups in all of them; containers share mounts with the machine.
# With cgroup v2 the machine has a writable hierarchy of its own already.
_KERNEL_INTERFACES_UNIT = """\
[Unit]
Description=Make cgroups writable and mounts shared for the kubelet and containers
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'mount --make-rshared /; \\
    [ ! -e /sys/fs/cgroup/cgroup.controllers ] || exit 0; \\
    for hierarchy in /sys/fs/cgroup/*; do \\
        if [ ! -L "$hierarchy" ] && mountpoint -q "$hierarchy"; then mount -o remount,bind,rw "$hierarchy"; fi; \\
    done'

[Install]
WantedBy=sysinit.target
"""

# A default route although it leads nowhere: without one the kernel refuses addresses of Services before they can be translated.
_NETWORK_UNIT = """\
[Unit]
Description=Address on the lab's bridge
DefaultDependencies=no
Wants=network.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/etc/lab-network.env
ExecStart=/usr/sbin/ip address replace ${ADDRESS} dev host0
ExecStart=/usr/sbin/ip link set host0 up
ExecStart=/usr/sbin/ip route replace default via ${GATEWAY}

[Install]
WantedBy=multi-user.target
"""

_FILES = {
    "etc/systemd/system/lab-kernel-interfaces.service": (0o644, _KERNEL_INTERFACES_UNIT),
    "etc/systemd/system/lab-network.service": (0o644, _NETWORK_UNIT),
    "etc/ssh/sshd_config.d/lab.conf": (0o644, "PasswordAuthentication no\nPermitRootLogin no\nMaxSessions 100\nMaxStartups 100\n"),
    "etc/fstab": (0o644, ""),
}


@dataclass(frozen=True)
class RootFs:
    """What the shared root file system is made of. user: the ordinary account with sudo that Ansible logs in as."""

    suite: str
    mirror: str
    packages: tuple[str, ...]
    user: str

    @property
    def name(self) -> str:
        """Directory name in the cache: the suite and a fingerprint of everything that decides the content."""
        recipe = [_RECIPE, self.suite, sorted(set(self.packages)), self.user, _MASKED_UNITS, _FILES]
        return f"{self.suite}-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"


def build(rootfs: RootFs, directory: str, *, log: str) -> None:
    """Build the root file system in the directory <directory>/<rootfs.name> unless it is there; callers wait for each other.

    log: file that receives debootstrap's output. Raises LabError with its last lines when it fails; nothing half-built is left.
    """
    target = os.path.join(directory, rootfs.name)
    with exclusive(f"{target}.lock"):
        if os.path.isdir(target):
            return
        building = f"{target}.building"
        remove_tree(building)
        try:
            _debootstrap(rootfs, building, log)
            _customise(rootfs, building)
            os.rename(building, target)
        finally:
            remove_tree(building)


def _debootstrap(rootfs: RootFs, target: str, log: str) -> None:
    packages = ",".join(sorted(set(rootfs.packages)))
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", rootfs.suite, target, rootfs.mirror]
    # A mount namespace of its own: killed in the middle, /proc of the half-built tree is unmounted by the kernel.
    script = 'exec >"$1" 2>&1; shift; exec "$@"'
    try:
        run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", log, *command], timeout_s=_BUILD_TIMEOUT_S)
    except LabError as error:
        raise LabError(
            f"debootstrap could not build the {rootfs.suite} root file system from {rootfs.mirror}: {_tail(log)}; "
            "check that the mirror answers and carries the packages, see " + log
        ) from error


def _customise(rootfs: RootFs, target: str) -> None:
    for path, (mode, content) in _FILES.items():
        write_file(os.path.join(target, path), content, mode)
    _in_root(target, "useradd", "--create-home", "--shell", "/bin/bash", rootfs.user)
    write_file(os.path.join(target, "etc/sudoers.d", rootfs.user), f"{rootfs.user} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    _in_root(target, "systemctl", "enable", "lab-kernel-interfaces.service", "lab-network.service", "ssh.service")
    _in_root(target, "systemctl", "mask", *_MASKED_UNITS)
    _in_root(target, "apt-get", "clean")
    lists = os.path.join(target, "var/lib/apt/lists")
    shutil.rmtree(lists)
    os.makedirs(os.path.join(lists, "partial"))
    # Each machine brings its own; one key for all would make them indistinguishable.
    for entry in os.listdir(os.path.join(target, "etc/ssh")):
        if entry.startswith("ssh_host_"):
            os.unlink(os.path.join(target, "etc/ssh", entry))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(target, "etc/resolv.conf"))


def _in_root(target: str, *command: str) -> None:
    run(["chroot", target, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *command], timeout_s=120)


def _tail(path: str, characters: int = 800) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read()[-characters:].strip()
    except FileNotFoundError:
        return "it did not start"
