# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a host by name, and how all of them are run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import network_checks, state_checks, system_checks
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import ERROR, Finding, Reader, Wanted

Check = Callable[[Reader, Wanted], Iterator[Finding]]

# In the order in which a person mends things.
CHECKS: Mapping[str, Check] = {
    "privileges": system_checks.privileges,
    "python": system_checks.python,
    "operating_system": system_checks.operating_system,
    "kernel": system_checks.kernel,
    "programs": system_checks.programs,
    "kernel_modules": system_checks.kernel_modules,
    "sysctls": system_checks.sysctls,
    "cgroups": system_checks.cgroups,
    "swap": system_checks.swap,
    "memory": system_checks.memory,
    "disk": state_checks.disk,
    "disk_speed": state_checks.disk_speed,
    "hostname": system_checks.hostname,
    "clock": network_checks.clock,
    "security": system_checks.security,
    "container_runtime": state_checks.container_runtime,
    "other_kubernetes": state_checks.other_kubernetes,
    "leftovers": state_checks.leftovers,
    "ports": network_checks.ports,
    "dns": network_checks.dns,
    "reach": network_checks.reach,
    "api_server": network_checks.api_server,
    "firewall": network_checks.firewall,
}


def run(reader: Reader, wanted: Wanted, ignored: Collection[str] = ()) -> list[Finding]:
    """Look at a host. Returns the findings, errors first, in the order of CHECKS; those of ignored checks are left out.

    Findings of mtu come from the check reach. Of one and the same finding of several checks (clock) the first is kept.
    """
    found = [finding for name, check in CHECKS.items() if name not in ignored for finding in check(reader, wanted)]
    return sorted((finding for finding in dict.fromkeys(found) if finding.check not in ignored), key=lambda item: item.severity != ERROR)


def names() -> list[str]:
    """Names that findings carry, and by which they can be ignored."""
    return [*CHECKS, "mtu"]
