# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a lab from outside the collection: commands on its machines, and what it leaves on this host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_supervisor import supervisor_for_host
from ansible_collections.hosted.kubernetes.tests.support.bundle import cache_directory


def lab_directory(lab: str) -> Path:
    return cache_directory() / "lab" / lab


def machine_root(lab: str, machine: str) -> Path:
    """The root file system of a machine, without what is mounted in it, such as /run."""
    return lab_directory(lab) / "machines" / machine / "root"


def on_machine(lab: str, machine: str, command: str) -> str:
    """Run a shell command as root on a machine of a lab; return its output."""
    directory = lab_directory(lab)
    address = json.loads((directory / "machines" / machine / "machine.json").read_text(encoding="utf-8"))["address"]
    ssh = ["ssh", "-F", "/dev/null", "-i", str(directory / "id_ed25519"), "-o", f"UserKnownHostsFile={directory / 'known_hosts'}"]
    done = subprocess.run(
        [*ssh, f"lab@{address}", "sudo sh -e"], input=command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def power_off(lab: str, machine: str) -> None:
    """End a machine as a power cut does; the playbook lab boots it again."""
    supervisor_for_host(lab).kill(machine, 60)


def traces(lab: str) -> list[str]:
    """Everything on this host that carries the lab's name: processes, mounts, groups, interfaces, firewall tables, files."""
    commands = {
        "process": ["pgrep", "--full", "--list-full", f"machine={lab}-|lab/{lab}/"],
        "interface": ["sh", "-c", f"ip -brief link | grep -E '^(hk|vb)-{lab}'"],
        "table": ["sh", "-c", f"nft list tables | grep hk_{lab}"],
        "mount": ["grep", f"lab/{lab}/", "/proc/self/mounts"],
        "group": ["find", "/sys/fs/cgroup", "-maxdepth", "3", "-name", f"hk-{lab}*"],
        "file": ["sh", "-c", f"ls -d {lab_directory(lab)} {lab_directory(lab).parent}/.{lab}.lock 2>/dev/null"],
        "systemd": ["sh", "-c", f"find /run/systemd/nspawn -name '{lab}-*' 2>/dev/null"],
    }
    found = []
    for kind, command in commands.items():
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        found += [f"{kind}: {line}" for line in output.splitlines()]
    return found
