# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a virtual machine is run by KVM, and where it is emulated."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.tests.support.virtual_machine import accelerator

INTEL, AMD, NONE = (f"processor : 0\nflags\t\t: fpu {flag} sse\nbugs : vmxed\n" for flag in ("vmx", "svm", "hypervisor"))


@pytest.mark.parametrize(
    ("cpuinfo", "has_device", "kind", "why"),
    [
        (INTEL, True, "kvm", ""),
        (AMD, True, "kvm", ""),
        (AMD, False, "tcg", "there is no /dev/kvm"),
        (NONE, True, "tcg", "neither vmx nor svm"),
    ],
)
def test_accelerator(cpuinfo: str, has_device: bool, kind: str, why: str) -> None:
    options, said = accelerator(cpuinfo, has_device=has_device)
    assert options[:2] == ["-accel", kind]
    assert why in said
    assert bool(said) is (kind == "tcg")
