# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine on the bridge of a lab: a kernel of its own, cgroup v2, systemd, and none of the lab's restrictions.

QEMU runs it. Where this host's KVM cannot run an ordinary kernel, QEMU emulates the processor: several times slower, and the same machine.
The root file system is that of the lab's machines with a kernel; it is made once and kept in the cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab_rootfs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import LabNetwork
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import run
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, cache_directory
from ansible_collections.hosted.kubernetes.tests.support.processes import running

KERNEL = ("linux-image-cloud-amd64", "initramfs-tools", "udev")
MEMORY_MB, DISK_GB = 2048, 12
BOOT_TIMEOUT_S = 300
_INTERFACE = "eth0"
# The machine's only interface comes with its driver, after the service of the lab's other machines would have looked for it.
_NETWORK_UNIT = f"""\
[Unit]
Description=Address on the lab's bridge
Requires=sys-subsystem-net-devices-{_INTERFACE}.device
After=sys-subsystem-net-devices-{_INTERFACE}.device
Wants=network.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/etc/lab-network.env
ExecStart=/usr/sbin/ip address replace ${{ADDRESS}} dev {_INTERFACE}
ExecStart=/usr/sbin/ip link set {_INTERFACE} up
ExecStart=/usr/sbin/ip route replace default via ${{GATEWAY}}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class VirtualMachine:
    """A running machine. address: on the lab's bridge; user: who may become root with sudo; key, known_hosts: for ssh."""

    name: str
    address: str
    user: str
    key: Path
    known_hosts: Path

    @property
    def ssh_arguments(self) -> list[str]:
        """What ssh needs to reach it, without the name of user and host."""
        return ["-F", "/dev/null", "-i", str(self.key), "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "ConnectTimeout=5"]

    def tried(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        argv = ["ssh", *self.ssh_arguments, "-o", "BatchMode=yes", f"{self.user}@{self.address}", "sudo sh -e"]
        return subprocess.run(argv, input=command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def run(self, command: str) -> str:
        done = self.tried(command)
        assert done.returncode == 0, done.stdout
        return done.stdout


def accelerator(cpuinfo: str, *, has_device: bool) -> tuple[list[str], str]:
    """Return QEMU's options for the processor, and why it is emulated; "" when KVM runs it.

    cpuinfo: the text of /proc/cpuinfo. A KVM without the processor's own virtualisation (PVM) runs no kernel that does not know it.
    """
    flags = {flag for line in cpuinfo.splitlines() if line.startswith("flags") for flag in line.split(":", 1)[-1].split()}
    emulated = ["-accel", "tcg", "-cpu", "max"]
    if not has_device:
        return emulated, "there is no /dev/kvm"
    if not flags & {"vmx", "svm"}:
        return emulated, "the processor shows neither vmx nor svm, without which /dev/kvm runs no ordinary kernel"
    return ["-accel", "kvm", "-cpu", "host"], ""


def root_file_system() -> lab_rootfs.RootFs:
    """What the machine is made of: the lab's machines, and a kernel."""
    defaults = yaml.safe_load((COLLECTION / "roles/lab_machine/defaults/main.yml").read_text(encoding="utf-8"))
    packages = (*defaults["lab_machine_packages"], *KERNEL)
    return lab_rootfs.RootFs(defaults["lab_machine_suite"], defaults["lab_machine_mirror"], packages, defaults["lab_machine_user"])


@contextlib.contextmanager
def running_machine(name: str, network: LabNetwork, number: int, folder: Path) -> Iterator[VirtualMachine]:
    """Boot a machine on a bridge that is there; it answers over SSH inside the block and leaves nothing behind.

    number: of its address in the network. folder: for its disk, its keys, and console.log, which stays. Needs root.
    """
    rootfs, cache = root_file_system(), cache_directory() / "rootfs"
    cache.mkdir(parents=True, exist_ok=True)
    lab_rootfs.build(rootfs, str(cache), log=str(cache / f"{rootfs.name}.log"))
    source = cache / rootfs.name
    machine = VirtualMachine(name, network.address(number), rootfs.user, folder / "id_ed25519", folder / "known_hosts")
    options, why = accelerator(Path("/proc/cpuinfo").read_text(encoding="utf-8"), has_device=Path("/dev/kvm").exists())
    print(f"machine {name}: {f'emulated, and slow, since {why}' if why else 'run by KVM'}", flush=True)
    with _disk(machine, network, source, folder), _tap(network) as tap:
        argv = _argv(source, folder, tap, options)
        with running(argv, folder / "qemu.log", lambda: machine.tried("true").returncode == 0, timeout_s=BOOT_TIMEOUT_S):
            yield machine


def _argv(source: Path, folder: Path, tap: str, options: list[str]) -> list[str]:
    kernel = next((source / "boot").glob("vmlinuz-*"))
    return [
        *("qemu-system-x86_64", *options, "-smp", "1", "-m", str(MEMORY_MB)),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{folder / 'console.log'}"),
        *("-kernel", str(kernel), "-initrd", str(kernel.with_name(kernel.name.replace("vmlinuz", "initrd.img")))),
        *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0"),
        *("-drive", f"file={folder / 'disk.img'},format=raw,if=virtio,cache=unsafe"),
        *("-netdev", f"tap,id=bridge,ifname={tap},script=no,downscript=no"),
        *("-device", "virtio-net-pci,netdev=bridge,romfile=,mac=52:54:00:00:00:32", "-device", "virtio-rng-pci"),
    ]


@contextlib.contextmanager
def _tap(network: LabNetwork) -> Iterator[str]:
    name = f"vt-{network.bridge.removeprefix('hk-')}"
    run(["ip", "tuntap", "add", "dev", name, "mode", "tap"])
    try:
        run(["ip", "link", "set", name, "master", network.bridge, "up"])
        yield name
    finally:
        run(["ip", "link", "delete", name])


@contextlib.contextmanager
def _disk(machine: VirtualMachine, network: LabNetwork, source: Path, folder: Path) -> Iterator[None]:
    """The root file system in an image, with what makes the machine this one; the image is gone after the block."""
    disk = folder / "disk.img"
    try:
        _make_disk(machine, network, source, disk)
        yield
    finally:
        disk.unlink(missing_ok=True)


def _make_disk(machine: VirtualMachine, network: LabNetwork, source: Path, disk: Path) -> None:
    root = disk.with_name("root")
    run(["cp", "--archive", "--reflink=auto", str(source), str(root)], timeout_s=300)
    try:
        _write_identity(machine, network, root)
        with disk.open("wb") as stream:
            stream.truncate(DISK_GB << 30)
        run(["mkfs.ext4", "-q", "-d", str(root), str(disk)], timeout_s=300)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _write_identity(machine: VirtualMachine, network: LabNetwork, root: Path) -> None:
    for key in (machine.key, root / "etc/ssh/ssh_host_ed25519_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", machine.name, "-f", str(key)])
    host_key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="utf-8")
    machine.known_hosts.write_text(f"{machine.address} {' '.join(host_key.split()[:2])}\n", encoding="utf-8")
    home = root / "home" / machine.user
    keys = home / ".ssh/authorized_keys"
    keys.parent.mkdir(mode=0o700)
    texts = {
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/hostname": f"{machine.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{machine.address} {machine.name}\n",
        "etc/resolv.conf": f"nameserver {network.gateway}\n",
        "etc/lab-network.env": f"ADDRESS={machine.address}/{network.prefix_length}\nGATEWAY={network.gateway}\n",
        "etc/systemd/system/lab-network.service": _NETWORK_UNIT,
        str(keys.relative_to(root)): machine.key.with_suffix(".pub").read_text(encoding="utf-8"),
    }
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")
    owner = home.stat()
    for own in (keys.parent, keys):
        os.chown(own, owner.st_uid, owner.st_gid)
