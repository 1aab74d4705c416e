# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab run does, decided from what exists: nothing, everything, and every state that a killed run can leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab as labs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import Machine, lab_network
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_network import NetworkState
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_rootfs import RootFs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_supervisor import Start
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import LabError

ROOTFS = RootFs("trixie", "http://deb.example.com/debian", ("systemd", "sudo"), "lab")
LAB = labs.Lab("demo", lab_network("demo"), (Machine("demo-a", "198.19.108.10"), Machine("demo-b", "198.19.108.11")), ROOTFS, "/cache")

NO_MACHINE = labs.MachineState(record={}, mounted=False, running=False, left=False, stale=("etc/hosts",))
RUNNING = labs.MachineState(record={"address": "198.19.108.10", "rootfs": ROOTFS.name}, mounted=True, running=True, left=True, stale=())
NO_NETWORK = NetworkState(bridge=False, bridge_left=False, table=False)
NETWORK = NetworkState(bridge=True, bridge_left=True, table=True)
NOTHING = labs.LabState(
    rootfs=False,
    key=False,
    known_hosts=False,
    network=NO_NETWORK,
    settings_kept=False,
    other_labs=False,
    groups=False,
    directory=False,
    machines={"demo-a": NO_MACHINE, "demo-b": NO_MACHINE},
)
EVERYTHING = labs.LabState(
    rootfs=True,
    key=True,
    known_hosts=True,
    network=NETWORK,
    settings_kept=True,
    other_labs=False,
    groups=True,
    directory=True,
    machines={"demo-a": RUNNING, "demo-b": replace(RUNNING, record={"address": "198.19.108.11", "rootfs": ROOTFS.name})},
)


def words(steps: list[labs.Step]) -> list[str]:
    return [f"{step.action} {step.kind} {step.name}" if step.kind == "machine" else f"{step.action} {step.kind}" for step in steps]


def test_from_nothing_everything_is_made_in_an_order_that_works() -> None:
    assert words(labs.plan_present(LAB, NOTHING)) == [
        "build root file system",
        "keep kernel settings",
        "create SSH key",
        "create bridge",
        "create firewall table",
        "create machine demo-a",
        "mount machine demo-a",
        "write machine demo-a",
        "start machine demo-a",
        "create machine demo-b",
        "mount machine demo-b",
        "write machine demo-b",
        "start machine demo-b",
        "write known hosts",
    ]


def test_nothing_is_done_when_all_of_it_runs() -> None:
    assert labs.plan_present(LAB, EVERYTHING) == []


def changed(**machine: object) -> labs.LabState:
    return replace(EVERYTHING, machines={**EVERYTHING.machines, "demo-a": replace(RUNNING, **machine)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (changed(running=False), ["start machine demo-a"]),
        (changed(running=False, mounted=False), ["mount machine demo-a", "start machine demo-a"]),
        (changed(stale=("etc/hosts",)), ["write machine demo-a", "write known hosts"]),
        (replace(EVERYTHING, network=replace(NETWORK, bridge=False)), ["create bridge"]),
        (replace(EVERYTHING, network=replace(NETWORK, table=False)), ["create firewall table"]),
        (replace(EVERYTHING, known_hosts=False), ["write known hosts"]),
        (replace(EVERYTHING, settings_kept=False), ["keep kernel settings"]),
        # Another list of packages: running machines keep the root file system they were made with.
        (replace(EVERYTHING, rootfs=False), []),
        # The public key is in every machine.
        (
            replace(EVERYTHING, key=False),
            ["create SSH key", "write machine demo-a", "write machine demo-b", "write known hosts"],
        ),
    ],
)
def test_only_what_is_missing_is_mended(state: labs.LabState, steps: list[str]) -> None:
    assert words(labs.plan_present(LAB, state)) == steps


def test_machines_that_are_not_named_are_left_alone() -> None:
    state = replace(EVERYTHING, machines={**EVERYTHING.machines, "demo-old": RUNNING})
    assert labs.plan_present(LAB, state) == []


def test_everything_is_removed_the_kernel_s_settings_last() -> None:
    state = replace(EVERYTHING, machines={**EVERYTHING.machines, "demo-old": RUNNING})
    assert words(labs.plan_absent(LAB, state)) == [
        "remove machine demo-a",
        "remove machine demo-b",
        "remove machine demo-old",
        "remove groups",
        "remove bridge",
        "remove firewall table",
        "remove directory",
        "restore kernel settings",
    ]


def test_nothing_is_removed_when_nothing_is_there() -> None:
    assert labs.plan_absent(LAB, NOTHING) == []


def test_the_kernel_s_settings_stay_while_another_lab_needs_them() -> None:
    assert "restore kernel settings" not in words(labs.plan_absent(LAB, replace(EVERYTHING, other_labs=True)))


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (replace(NOTHING, network=replace(NO_NETWORK, bridge_left=True)), ["remove bridge"]),
        (replace(NOTHING, groups=True), ["remove groups"]),
        (replace(NOTHING, machines={"demo-a": replace(NO_MACHINE, left=True)}), ["remove machine demo-a"]),
        (replace(NOTHING, settings_kept=True), ["restore kernel settings"]),
    ],
)
def test_what_a_killed_run_left_is_found(state: labs.LabState, steps: list[str]) -> None:
    assert words(labs.plan_absent(LAB, state)) == steps


def test_another_address_for_an_existing_machine_is_refused() -> None:
    lab = replace(LAB, machines=(Machine("demo-a", "198.19.108.20"), LAB.machines[1]))
    with pytest.raises(LabError, match=r"demo-a was made with the address 198\.19\.108\.10, now 198\.19\.108\.20 is wanted"):
        labs.check(lab, EVERYTHING)


def test_a_subnet_that_this_host_uses_already_is_refused() -> None:
    state = replace(EVERYTHING, network=replace(NETWORK, conflict="hk-other"))
    with pytest.raises(LabError, match=r"interface hk-other of this host already has an address in 198\.19\.108\.0/24"):
        labs.check(LAB, state)


def test_the_root_file_system_is_named_after_its_content() -> None:
    assert replace(ROOTFS, packages=("sudo", "systemd", "sudo")).name == ROOTFS.name
    assert len({replace(ROOTFS, packages=("systemd",)).name, replace(ROOTFS, user="other").name, ROOTFS.name}) == 3


def test_the_command_starts_the_machine_with_plain_directories_and_nothing_of_the_host_s_settings() -> None:
    start = Start("demo-a", "/cache/root", "hk-demo", "1234", (("/cache/containerd", "/var/lib/containerd"),), "/cache/log")
    argv = start.argv()
    assert argv[0] == "systemd-nspawn"
    assert {"--boot", "--settings=no", "--directory=/cache/root", "--network-bridge=hk-demo"} <= set(argv)
    assert "--bind=/cache/containerd:/var/lib/containerd" in argv
