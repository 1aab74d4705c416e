# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a lab are called and which addresses they use: everything derives from the lab's name."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

# Reserved for benchmarks (RFC 2544), so it is in nobody's real network: 512 subnets of 256 addresses.
LAB_RANGE = ipaddress.ip_network("198.18.0.0/15")
_SUBNETS = 512
_LAB_NAME = re.compile(r"^[a-z][a-z0-9]{0,11}$")
_MACHINE_NAME = re.compile(r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")


@dataclass(frozen=True)
class LabNetwork:
    """The network of one lab. bridge: interface name on the host (at most 15 characters, the kernel's limit)."""

    bridge: str
    subnet: str
    gateway: str
    prefix_length: int

    def address(self, number: int) -> str:
        """Return the address with this number in the subnet; the gateway has number 1."""
        return str(ipaddress.ip_network(self.subnet)[number])


@dataclass(frozen=True)
class Machine:
    """One machine of a lab: its host name and its address on the lab's bridge."""

    name: str
    address: str


def check_lab_name(name: str) -> str:
    """Return the name, or raise InvalidError: it must fit interface names and be no prefix of another lab's objects."""
    if not _LAB_NAME.match(name):
        raise InvalidError(f'lab name "{name}": use 1 to 12 lower-case letters and digits, beginning with a letter')
    return name


def lab_network(name: str, subnet: str = "") -> LabNetwork:
    """Return the network of the lab. subnet: an IPv4 /24 to use instead of the one derived from the name."""
    check_lab_name(name)
    if not subnet:
        number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % _SUBNETS
        subnet = str(list(LAB_RANGE.subnets(new_prefix=24))[number])
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise InvalidError(f'lab {name}: subnet "{subnet}" is not an IPv4 network ({error}); write one such as 198.18.7.0/24') from error
    return LabNetwork(bridge=f"hk-{name}", subnet=str(network), gateway=str(network[1]), prefix_length=network.prefixlen)


def check_machines(lab: str, network: LabNetwork, machines: tuple[Machine, ...]) -> None:
    """Raise InvalidError with every problem of the list of machines: names, addresses, repetitions."""
    problems = []
    subnet = ipaddress.ip_network(network.subnet)
    for machine in machines:
        if not _MACHINE_NAME.match(machine.name):
            problems.append(f'machine name "{machine.name}" is not a host name of lower-case letters, digits and hyphens')
        try:
            inside = ipaddress.ip_address(machine.address) in subnet
        except ValueError:
            inside = False
        if not inside or machine.address == network.gateway:
            problems.append(f'machine {machine.name}: address "{machine.address}" is not a free address of {network.subnet}')
    for field in ("name", "address"):
        values = [getattr(machine, field) for machine in machines]
        problems.extend(
            f'the {field} "{value}" is given to more than one machine' for value in sorted({v for v in values if values.count(v) > 1})
        )
    if problems:
        raise InvalidError.from_problems(f"lab {lab}", problems)
