# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight on lab machines: a machine in order has no finding, and what is broken for real is found, with all hosts looked at.

A container machine shares clock, kernel, swap and firmware with this host: those checks are broken through their reader in the unit tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.tests.support.cluster import DEMO
from ansible_collections.hosted.kubernetes.tests.support.lab import lab_directory, on_machine
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, command, run_command

pytestmark = pytest.mark.long

LAB = "looks"
WORKER, MACHINE = "lab-worker-1", "looks-worker-1"
GOOD, GOOD_MACHINE = "lab-management", "looks-management"
# Check → what breaks it on the machine, and what mends it.
BREAKS = {
    "programs": ("mv /usr/sbin/losetup /root/", "mv /root/losetup /usr/sbin/"),
    "sysctls": ("echo net.ipv4.ip_forward=0 >/etc/sysctl.d/99-zz.conf", "rm /etc/sysctl.d/99-zz.conf"),
    "disk": ("mount -t tmpfs -o size=20m small /usr/local/bin", "umount /usr/local/bin"),
    "container_runtime": ("mkdir -p /etc/containerd; echo 'version = 3' >/etc/containerd/config.toml", "rm /etc/containerd/config.toml"),
    "leftovers": (
        (
            'mkdir -p /etc/cni/net.d /etc/kubernetes/pki; echo \'{"name": "cbr0"}\' >/etc/cni/net.d/10-flannel.conflist; '
            "echo old >/etc/kubernetes/pki/ca.crt; mkdir -p /var/lib/kubelet/pods/x; mount -t tmpfs pod /var/lib/kubelet/pods/x; "
            "ip link add cni0 type bridge; nft add table ip kube-proxy"
        ),
        (
            "umount /var/lib/kubelet/pods/x; rm -r /etc/cni/net.d/10-flannel.conflist /etc/kubernetes/pki /var/lib/kubelet/pods; "
            "ip link delete cni0; nft delete table ip kube-proxy"
        ),
    ),
    "ports": (
        "setsid python3 -m http.server 10250 >/dev/null 2>&1 & sleep 2",
        "kill $(ss -ltnpH 'sport = 10250' | sed 's/.*pid=//; s/,.*//')",
    ),
    "dns": ("cp /etc/resolv.conf /root/; : >/etc/resolv.conf", "cp /root/resolv.conf /etc/resolv.conf"),
    "mtu": ("ip link set host0 mtu 1000", "ip link set host0 mtu 1500"),
    "firewall": (
        "nft add table inet mine; nft 'add chain inet mine through { type filter hook forward priority 0; policy drop; }'",
        "nft delete table inet mine",
    ),
    "hostname": ("hostname localhost", f"hostname {MACHINE}"),
    "other_kubernetes": (
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/run/systemd/system/k3s-agent.service; systemctl daemon-reload; systemctl start k3s-agent",
        "systemctl stop k3s-agent; rm /run/systemd/system/k3s-agent.service; systemctl daemon-reload",
    ),
}


@dataclass(frozen=True)
class Machines:
    """Two bare machines of a lab; one is broken, the other stays in order."""

    bundle: Path
    directory: Path

    def playbook(self, name: str, **variables: Any) -> PlaybookRun:
        every = {
            "lab_name": LAB,
            "lab_groups": ["management", WORKER],
            "demo_dir": str(self.directory),
            "bundle_dir": str(self.bundle),
            **variables,
        }
        return run_command(command(f"hosted.kubernetes.{name}", "--limit", f"localhost,{GOOD},{WORKER}", inventory=DEMO, variables=every))

    def preflight(self) -> PlaybookRun:
        machine = lab_directory(LAB) / "machines" / GOOD_MACHINE / "machine.json"
        address = json.loads(machine.read_text(encoding="utf-8"))["address"]
        return self.playbook("preflight", host_preflight_connect=[f"{address}:22"])


@pytest.fixture(scope="module")
def machines(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    made = Machines(bundle, tmp_path_factory.mktemp("looks"))
    made.playbook("lab", lab_machine_state="absent")
    try:
        assert made.playbook("lab").status == 0
        yield made
    finally:
        made.playbook("lab", lab_machine_state="absent")


def found(done: PlaybookRun) -> set[str]:
    """Names of the checks that are shown as findings."""
    return set(re.findall(r"(?:ERROR|warning) +(\w+) ", done.text))


def test_machines_in_order_have_no_finding(machines: Machines) -> None:
    done = machines.preflight()
    # What this host's disk is like is not the machines' fault.
    assert found(done) <= {"disk_speed"}, done.output[-6000:]
    assert done.status == 0
    assert done.changed == 0


def test_what_is_broken_is_found_and_the_other_host_is_looked_at_too(machines: Machines) -> None:
    for broken, _mended in BREAKS.values():
        on_machine(LAB, MACHINE, broken)
    try:
        done = machines.preflight()
        again = machines.playbook("preflight", host_preflight_ignore=sorted(BREAKS), host_preflight_connect=[])
    finally:
        for _broken, mended in reversed(list(BREAKS.values())):
            on_machine(LAB, MACHINE, mended)
    assert found(done) - {"disk_speed"} == set(BREAKS), done.output[-8000:]
    assert done.status != 0
    assert f"{WORKER}: it cannot be used as it is (" in done.text
    assert f"{GOOD}: it cannot be used" not in done.text
    for part in ("link cni0", "10-flannel.conflist", "mount /var/lib/kubelet/pods/x", "TCP port 10250 is in use by python3", "losetup"):
        assert part in done.text
    assert again.status == 0, again.output[-4000:]
    assert machines.preflight().status == 0


def test_two_hosts_from_one_image_are_told_apart(machines: Machines) -> None:
    twin = on_machine(LAB, GOOD_MACHINE, "cat /etc/machine-id").strip()
    own = on_machine(LAB, MACHINE, f"cat /etc/machine-id; chmod u+w /etc/machine-id; echo {twin} >/etc/machine-id").strip()
    try:
        done = machines.preflight()
    finally:
        on_machine(LAB, MACHINE, f"echo {own} >/etc/machine-id; chmod 444 /etc/machine-id")
    assert found(done) - {"disk_speed"} == {"unique_machine_id"}, done.output[-6000:]
    assert f"{GOOD}, {WORKER}: 2 hosts have the same machine-id" in done.text
