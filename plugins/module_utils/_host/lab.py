# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab: machines on this host that look like real ones over SSH, made and removed as observe, plan, apply.

A machine is an overlay on the shared root file system, booted by systemd-nspawn on a bridge that leads nowhere else. Everything that
belongs to a lab lies below one directory of the cache; groups, bridge and firewall table carry the lab's name. So what exists can always
be found again, whichever step an earlier run died in.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import uuid
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab_network as network_
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab_rootfs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import LabNetwork, Machine
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_supervisor import Start, Supervisor
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import (
    LabError,
    mounts_below,
    read_file,
    remove_tree,
    run,
    write_file,
)

# On an overlay containerd cannot stack its own, and local volumes of pods deserve a plain file system.
_PLAIN_DIRECTORIES = {"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet"}
_KILL_TIMEOUT_S = 30.0
# Settings of the kernel, which machines share with this host, that a kubelet changes.
_KERNEL_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_NAMESPACE = uuid.UUID("5d3e8e0c-5a0b-4d9e-9c0e-4f1f7a5f3c11")


@dataclass(frozen=True)
class Lab:
    """The desired lab. cache: directory that holds root file systems and, below lab/<name>, everything of this lab."""

    name: str
    network: LabNetwork
    machines: tuple[Machine, ...]
    rootfs: lab_rootfs.RootFs
    cache: str

    @property
    def directory(self) -> str:
        """Everything of the lab that lies in files."""
        return os.path.join(self.cache, "lab", self.name)

    @property
    def rootfs_directory(self) -> str:
        """Where the shared root file systems are kept, also when no lab exists."""
        return os.path.join(self.cache, "rootfs")

    @property
    def kernel_settings(self) -> str:
        """What the kernel's settings were before the first lab of this host; the last lab to go puts them back."""
        return os.path.join(self.cache, "lab", "kernel-settings.json")

    @property
    def lock(self) -> str:
        """Lock file: one run at a time changes a lab."""
        return os.path.join(self.cache, "lab", f".{self.name}.lock")

    @property
    def private_key(self) -> str:
        """The SSH key of the ordinary user."""
        return os.path.join(self.directory, "id_ed25519")

    @property
    def known_hosts(self) -> str:
        """The host keys of all machines, known before the first connection."""
        return os.path.join(self.directory, "known_hosts")

    def path(self, machine: str, *parts: str) -> str:
        """Return a path of one machine."""
        return os.path.join(self.directory, "machines", machine, *parts)


@dataclass(frozen=True)
class MachineState:
    """What exists of one machine. record: what it was made with; stale: files whose content differs; left: anything at all exists."""

    record: dict[str, str]
    mounted: bool
    running: bool
    left: bool
    stale: tuple[str, ...]


@dataclass(frozen=True)
class LabState:
    """What exists of the lab; machines also holds those that are no longer desired."""

    rootfs: bool
    key: bool
    known_hosts: bool
    network: network_.NetworkState
    settings_kept: bool
    other_labs: bool
    groups: bool
    directory: bool
    machines: dict[str, MachineState] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One change: action (build, keep, create, write, mount, start, remove, restore), what it is about, and which one."""

    action: str
    kind: str
    name: str

    def as_json(self) -> dict[str, str]:
        """Return the shape that results carry."""
        return {"action": self.action, "kind": self.kind, "name": self.name}


def observe(lab: Lab, supervisor: Supervisor) -> LabState:
    """Read what exists of the lab; changes nothing."""
    grouped = set(supervisor.machines())
    wanted = {machine.name: machine for machine in lab.machines}
    return LabState(
        rootfs=os.path.isdir(os.path.join(lab.rootfs_directory, lab.rootfs.name)),
        key=all(os.path.exists(path) for path in (lab.private_key, f"{lab.private_key}.pub")),
        known_hosts=read_file(lab.known_hosts) == _known_hosts(lab),
        network=network_.observe(lab.network),
        settings_kept=os.path.exists(lab.kernel_settings),
        other_labs=_other_labs(lab),
        groups=supervisor.left(),
        directory=os.path.isdir(lab.directory),
        machines={
            name: _observe_machine(lab, supervisor, name, wanted.get(name), name in grouped)
            for name in sorted({*wanted, *grouped, *_listed(lab)})
        },
    )


def _other_labs(lab: Lab) -> bool:
    try:
        names = os.listdir(os.path.join(lab.cache, "lab"))
    except FileNotFoundError:
        return False
    return any(name != lab.name and os.path.isdir(os.path.join(lab.cache, "lab", name)) for name in names)


def _listed(lab: Lab) -> set[str]:
    try:
        return set(os.listdir(os.path.join(lab.directory, "machines")))
    except FileNotFoundError:
        return set()


def _observe_machine(lab: Lab, supervisor: Supervisor, name: str, wanted: Machine | None, grouped: bool) -> MachineState:
    files = _machine_files(lab, wanted) if wanted else {}
    stale = [path for path, (_unused, content) in files.items() if read_file(lab.path(name, "upper", path)) != content]
    if wanted and not os.path.exists(lab.path(name, "upper", _HOST_KEY)):
        stale.append(_HOST_KEY)
    return MachineState(
        record=json.loads(read_file(lab.path(name, "machine.json")) or "{}"),
        mounted=lab.path(name, "root") in mounts_below(lab.path(name)),
        running=grouped and supervisor.running(name),
        left=grouped or os.path.isdir(lab.path(name)),
        stale=tuple(sorted(stale)),
    )


def check(lab: Lab, state: LabState) -> None:
    """Raise LabError when what exists cannot become what is desired without losing a machine."""
    network_.check(lab.name, lab.network, state.network)
    for machine in lab.machines:
        record = state.machines[machine.name].record
        if record and record["address"] != machine.address:
            raise LabError(
                f"lab {lab.name}: machine {machine.name} was made with the address {record['address']}, now {machine.address} is wanted; "
                "a machine keeps its address: remove the lab (state: absent) and make it again"
            )


def plan_present(lab: Lab, state: LabState) -> list[Step]:
    """Return the steps that make every desired machine run; empty when they do. Machines not named are left alone."""
    seen = {machine.name: state.machines[machine.name] for machine in lab.machines}
    shared = [
        (not state.rootfs and not all(machine.record for machine in seen.values()), Step("build", "root file system", lab.rootfs.name)),
        (not state.settings_kept, Step("keep", "kernel settings", lab.kernel_settings)),
        (not state.key, Step("create", "SSH key", lab.private_key)),
        (not state.network.bridge, Step("create", "bridge", lab.network.bridge)),
        (not state.network.table, Step("create", "firewall table", network_.table_name(lab.network))),
    ]
    steps = [step for needed, step in shared if needed]
    for name, machine in seen.items():
        wanted = [
            (not machine.record, "create"),
            (not machine.mounted, "mount"),
            # The files hold the public key, so a new key makes them stale.
            (bool(machine.stale) or not state.key, "write"),
            (not machine.running, "start"),
        ]
        steps += [Step(action, "machine", name) for needed, action in wanted if needed]
    if not state.known_hosts or any(step.action == "write" for step in steps):
        steps.append(Step("write", "known hosts", lab.known_hosts))
    return steps


def plan_absent(lab: Lab, state: LabState) -> list[Step]:
    """Return the steps that remove everything of the lab; the shared root file system stays in the cache."""
    steps = [Step("remove", "machine", name) for name, machine in state.machines.items() if machine.left]
    shared = [
        (state.groups, Step("remove", "groups", lab.name)),
        (state.network.bridge_left, Step("remove", "bridge", lab.network.bridge)),
        (state.network.table, Step("remove", "firewall table", network_.table_name(lab.network))),
        (state.directory, Step("remove", "directory", lab.directory)),
        (state.settings_kept and not state.other_labs, Step("restore", "kernel settings", lab.kernel_settings)),
    ]
    return steps + [step for needed, step in shared if needed]


def apply(lab: Lab, supervisor: Supervisor, steps: list[Step]) -> None:
    """Make the steps of a plan; each can be repeated."""
    for step in steps:
        _apply(lab, supervisor, step)


def _apply(lab: Lab, supervisor: Supervisor, step: Step) -> None:
    if step.action == "remove":
        _remove(lab, supervisor, step)
    elif step.kind == "machine":
        _apply_to_machine(lab, supervisor, step)
    elif step.kind == "root file system":
        os.makedirs(lab.rootfs_directory, exist_ok=True)
        lab_rootfs.build(lab.rootfs, lab.rootfs_directory, log=os.path.join(lab.rootfs_directory, f"{lab.rootfs.name}.log"))
    elif step.kind == "kernel settings":
        (_keep_kernel_settings if step.action == "keep" else _restore_kernel_settings)(lab.kernel_settings)
    elif step.kind == "SSH key":
        _create_key(lab.private_key, f"hosted.kubernetes lab {lab.name}")
    elif step.kind == "bridge":
        network_.create_bridge(lab.network)
    elif step.kind == "firewall table":
        network_.create_table(lab.network)
    else:
        write_file(lab.known_hosts, _known_hosts(lab), 0o644)


def _apply_to_machine(lab: Lab, supervisor: Supervisor, step: Step) -> None:
    machine = next(machine for machine in lab.machines if machine.name == step.name)
    if step.action == "create":
        _create_machine(lab, machine)
    elif step.action == "mount":
        _mount(lab, machine)
    elif step.action == "write":
        _write_files(lab, machine)
    else:
        supervisor.start(_start(lab, machine))


def _keep_kernel_settings(path: str) -> None:
    values = {name: read_file(f"/proc/sys/{name}") for name in _KERNEL_SETTINGS}
    write_file(path, json.dumps({name: value.strip() for name, value in values.items() if value is not None}), 0o644)


def _restore_kernel_settings(path: str) -> None:
    for name, value in json.loads(read_file(path) or "{}").items():
        if (read_file(f"/proc/sys/{name}") or "").strip() != value:
            with open(f"/proc/sys/{name}", "w", encoding="utf-8") as setting:
                setting.write(value)
    os.unlink(path)


def _create_key(path: str, comment: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    for leftover in (path, f"{path}.pub"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(leftover)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def _create_machine(lab: Lab, machine: Machine) -> None:
    for name in ("upper", "work", "root", *_PLAIN_DIRECTORIES):
        os.makedirs(lab.path(machine.name, name), mode=0o755, exist_ok=True)
    record = {"address": machine.address, "rootfs": lab.rootfs.name}
    write_file(lab.path(machine.name, "machine.json"), json.dumps(record), 0o644)


def _mount(lab: Lab, machine: Machine) -> None:
    record = json.loads(read_file(lab.path(machine.name, "machine.json")) or "{}")
    lower = os.path.join(lab.rootfs_directory, record["rootfs"])
    if not os.path.isdir(lower):
        raise LabError(
            f"machine {machine.name}: its root file system {lower} is gone from the cache; remove the lab (state: absent) and make it again"
        )
    upper, work, root = (lab.path(machine.name, name) for name in ("upper", "work", "root"))
    try:
        run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", root])
    except LabError as error:
        raise LabError(
            f"machine {machine.name}: cannot mount an overlay below {lab.cache} ({error.msg}); the cache must lie on a plain local file system "
            "such as ext4 or xfs, not on an overlay or network file system"
        ) from error


_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


def _machine_files(lab: Lab, machine: Machine) -> dict[str, tuple[int, str]]:
    """Return what makes the machine this one: path in the machine -> (mode, content)."""
    others = "".join(f"{other.address} {other.name}\n" for other in lab.machines)
    address = f"{machine.address}/{lab.network.prefix_length}"
    return {
        "etc/machine-id": (0o444, f"{_machine_uuid(lab, machine).hex}\n"),
        "etc/hostname": (0o644, f"{machine.name}\n"),
        "etc/hosts": (0o644, f"127.0.0.1 localhost\n::1 localhost\n{others}"),
        # Nothing answers there: names of the outside fail at once instead of after a timeout.
        "etc/resolv.conf": (0o644, f"nameserver {lab.network.gateway}\n"),
        "etc/lab-network.env": (0o644, f"ADDRESS={address}\nGATEWAY={lab.network.gateway}\n"),
        f"home/{lab.rootfs.user}/.ssh/authorized_keys": (0o644, read_file(f"{lab.private_key}.pub") or ""),
    }


def _machine_uuid(lab: Lab, machine: Machine) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, lab.path(machine.name))


def _write_files(lab: Lab, machine: Machine) -> None:
    root = lab.path(machine.name, "root")
    for path, (mode, content) in _machine_files(lab, machine).items():
        write_file(os.path.join(root, path), content, mode)
    host_key = os.path.join(root, _HOST_KEY)
    if not os.path.exists(host_key):
        _create_key(host_key, machine.name)


def _known_hosts(lab: Lab) -> str:
    lines = []
    for machine in lab.machines:
        public_key = (read_file(lab.path(machine.name, "upper", f"{_HOST_KEY}.pub")) or "").split()[:2]
        lines.append(" ".join([machine.address, *public_key]) + "\n")
    return "".join(lines)


def _start(lab: Lab, machine: Machine) -> Start:
    binds = [(lab.path(machine.name, name), target) for name, target in _PLAIN_DIRECTORIES.items()]
    binds += [(path, path) for path in ("/dev/kmsg", "/lib/modules") if os.path.exists(path)]
    return Start(
        machine=machine.name,
        root=lab.path(machine.name, "root"),
        bridge=lab.network.bridge,
        uuid=str(_machine_uuid(lab, machine)),
        binds=tuple(binds),
        log=lab.path(machine.name, "console.log"),
    )


def _remove(lab: Lab, supervisor: Supervisor, step: Step) -> None:
    if step.kind == "machine":
        supervisor.kill(step.name, _KILL_TIMEOUT_S)
        remove_tree(lab.path(step.name))
    elif step.kind == "groups":
        supervisor.clear(_KILL_TIMEOUT_S)
    elif step.kind == "bridge":
        network_.delete_bridge(lab.network)
    elif step.kind == "firewall table":
        network_.delete_table(lab.network)
    else:
        _end_ssh_masters(lab)
        remove_tree(lab.directory)


def _end_ssh_masters(lab: Lab) -> None:
    """End the shared SSH connections that Ansible keeps: they would outlive the machines they lead to."""
    sockets = os.path.join(lab.directory, "ssh")
    for entry in os.listdir(sockets) if os.path.isdir(sockets) else ():
        run(["ssh", "-O", "exit", "-o", f"ControlPath={os.path.join(sockets, entry)}", "lab"], check=False)


def wait_ready(lab: Lab, supervisor: Supervisor, *, timeout_s: float) -> None:
    """Wait until every machine lets the ordinary user in over SSH; raise LabError with the console's last lines when one does not."""
    deadline = time.monotonic() + timeout_s
    for machine in lab.machines:
        while not _answers(lab, machine):
            if not supervisor.running(machine.name):
                raise LabError(f"lab {lab.name}: machine {machine.name} ended while it booted: {_console(lab, machine)}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"lab {lab.name}: machine {machine.name} does not answer on SSH at {machine.address} after {timeout_s:.0f} s: {_console(lab, machine)}"
                )
            time.sleep(0.1)


def _answers(lab: Lab, machine: Machine) -> bool:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "2",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": lab.known_hosts,
        "ControlPath": "none",
    }
    command = ["ssh", "-F", "/dev/null", "-i", lab.private_key, *(f"-o{key}={value}" for key, value in options.items())]
    try:
        done = subprocess.run(
            [*command, f"{lab.rootfs.user}@{machine.address}", "sudo", "-n", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _console(lab: Lab, machine: Machine) -> str:
    text = (read_file(lab.path(machine.name, "console.log")) or "").strip()[-800:]
    return text or "its console is empty"


def check_capacity(lab: Lab, *, memory_mb: int, disk_mb: int) -> None:
    """Raise LabError when this host has less free memory or disk (MiB) than the lab needs."""
    problems = []
    with open("/proc/meminfo", encoding="utf-8") as source:
        available = next(int(line.split()[1]) // 1024 for line in source if line.startswith("MemAvailable:"))
    if available < memory_mb:
        problems.append(f"{available} MiB of memory are free, {memory_mb} MiB are needed: end other programs or take a larger host")
    existing = lab.cache
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    stat = os.statvfs(existing)
    free = stat.f_bavail * stat.f_frsize // 2**20
    if free < disk_mb:
        problems.append(
            f"{free} MiB are free below {existing}, {disk_mb} MiB are needed: free some or point the cache elsewhere (XDG_CACHE_HOME)"
        )
    if problems:
        raise LabError(f"lab {lab.name}: this host is too small: {'; '.join(problems)}", problems=problems)
