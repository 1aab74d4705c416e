# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules, sysctls and swap: the plan, and the texts it reads and writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import system, tools
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.system import Seen, Wanted

WANTED = Wanted(kernel_modules=["overlay", "br_netfilter"], sysctls={"net.ipv4.ip_forward": "1"}, swap_off=True)
FSTAB = "UUID=1 / ext4 defaults 0 1\n"
READY = Seen(
    loaded=frozenset({"overlay", "br_netfilter"}),
    sysctls={"net.ipv4.ip_forward": "1"},
    swaps=[],
    fstab=FSTAB,
    files=dict(WANTED.files()),
)


@pytest.mark.parametrize(
    ("seen", "changes"),
    [
        pytest.param(READY, [], id="ready"),
        pytest.param(replace(READY, loaded=frozenset({"overlay"})), ["module br_netfilter"], id="module"),
        pytest.param(replace(READY, sysctls={"net.ipv4.ip_forward": "0"}), ["sysctl net.ipv4.ip_forward"], id="sysctl"),
        pytest.param(replace(READY, sysctls={"net.ipv4.ip_forward": None}), ["sysctl net.ipv4.ip_forward"], id="sysctl of a module"),
        pytest.param(replace(READY, swaps=["/swap"]), ["swap /swap"], id="swap on"),
        pytest.param(replace(READY, fstab=FSTAB + "/swap none swap sw 0 0\n"), ["fstab /etc/fstab"], id="swap at boot"),
        pytest.param(
            replace(READY, swaps=["/dev/zram0"], swap_units=["dev-zram0.swap"]),
            ["swap unit dev-zram0.swap", "swap /dev/zram0"],
            id="swap of systemd",
        ),
        pytest.param(
            replace(READY, files={}), [f"file {system.MODULES_FILE}", f"file {system.SYSCTL_FILE}"], id="set, but not for the next boot"
        ),
    ],
)
def test_plan(seen: Seen, changes: list[str]) -> None:
    assert [f"{change.kind} {change.name}" for change in system.plan(WANTED, seen)] == changes


def test_swap_is_left_alone_when_asked() -> None:
    seen = replace(READY, swaps=["/swap"], swap_units=["swap.swap"])
    assert system.plan(replace(WANTED, swap_off=False), seen) == []


def test_values_of_several_words_are_compared_by_words() -> None:
    wanted = Wanted([], {"net.ipv4.ip_local_port_range": "32768 60999"}, swap_off=False)
    seen = replace(READY, sysctls={"net.ipv4.ip_local_port_range": "32768\t60999"}, files=wanted.files())
    assert system.plan(wanted, seen) == []


def test_fstab_keeps_every_other_byte() -> None:
    text = "# swap of old\n/dev/sda1\t/  ext4 defaults 0 1\n/swap none swap sw 0 0\n"
    assert system.fstab_without_swap(text) == (
        "# swap of old\n/dev/sda1\t/  ext4 defaults 0 1\n# hosted.kubernetes: /swap none swap sw 0 0\n"
    )
    assert system.fstab_without_swap(system.fstab_without_swap(text)) == system.fstab_without_swap(text)


def test_active_swaps() -> None:
    text = "Filename\tType\tSize\tUsed\tPriority\n/swapfile  file\t1048572\t0\t-2\n/dev/zram0 partition 1 0 100\n"
    assert system.active_swaps(text) == ["/swapfile", "/dev/zram0"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.10/forwarding", "/proc/sys/net/ipv4/conf/eth0.10/forwarding"),
    ],
)
def test_sysctl_path(name: str, path: str) -> None:
    assert system.sysctl_path(name) == path


def test_swap_units() -> None:
    """As systemd 257 shows zram-generator's unit, a line of fstab, an administrator's own unit, and a file that was given to swapon."""
    shown = """\
Id=dev-zram0.swap
ActiveState=active
FragmentPath=/run/systemd/generator/dev-zram0.swap
SourcePath=

Id=swapfile.swap
ActiveState=active
FragmentPath=/run/systemd/generator/swapfile.swap
SourcePath=/etc/fstab

Id=var-swap.swap
ActiveState=active
FragmentPath=/etc/systemd/system/var-swap.swap

Id=dev-zram1.swap
ActiveState=inactive
FragmentPath=/run/systemd/generator/dev-zram1.swap

Id=tmp-swap.swap
ActiveState=active
FragmentPath=
SourcePath=
"""
    assert system.swap_units(shown) == ["dev-zram0.swap", "var-swap.swap"]
    assert system.swap_units("") == []


def test_a_unit_is_masked_before_its_swap_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("systemctl", "swapoff"):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/called\n')
        tool.chmod(0o755)
    monkeypatch.setattr(tools, "PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    system.apply(system.plan(WANTED, replace(READY, swaps=["/dev/zram0"], swap_units=["dev-zram0.swap"])))
    assert (tmp_path / "called").read_text() == "systemctl mask dev-zram0.swap\nswapoff /dev/zram0\n"
