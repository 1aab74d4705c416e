# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses a load balancer may give out: ranges and networks, held against each other and against where hosts are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeAlias

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_WRITE: Final = "write a range such as 192.0.2.10-192.0.2.50 or a network such as 192.0.2.64/26"
# Interfaces that MetalLB leaves out as the role load_balancer sets it up (its ConfigMap metallb-excludel2), by how their names begin.
EXCLUDED_INTERFACES: Final = (
    "docker",
    "cbr",
    "dummy",
    "virbr",
    "lxcbr",
    "veth",
    "cali",
    "tunl",
    "flannel",
    "kube-ipvs",
    "cni",
    "nodelocaldns",
)


@dataclass(frozen=True)
class AddressRange:
    """All addresses from first to last, both included and of one family. text: as the user wrote it."""

    text: str
    first: Address
    last: Address

    def __contains__(self, address: Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def overlaps(self, other: AddressRange) -> bool:
        return other.first in self or self.first in other

    def is_within(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
        return self.first in network and self.last in network


def parse_range(text: str) -> AddressRange:
    """Read "first-last" or a network. Raises InvalidError that says what to write instead."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if dash:
        return _from_ends(text, first, last)
    if is_address(first):
        address = ipaddress.ip_address(first)
        raise InvalidError(f'"{text}" is a single address; write {address}/{address.max_prefixlen}')
    try:
        # Bits of hosts are ignored, as MetalLB ignores them.
        network = ipaddress.ip_network(first, strict=False)
    except ValueError as error:
        raise InvalidError(f'"{text}" is neither a range nor a network; {_WRITE}') from error
    return _usable(AddressRange(text, network[0], network[-1]))


def _from_ends(text: str, first: str, last: str) -> AddressRange:
    for end in (first, last):
        if not is_address(end):
            raise InvalidError(f'"{text}" is no range, "{end}" is not an IPv4 or IPv6 address; {_WRITE}')
    begin, end_ = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if begin.version != end_.version:
        raise InvalidError(f'"{text}" has addresses of two families; write a range for each')
    if int(begin) > int(end_):
        raise InvalidError(f'"{text}" is reversed; write {end_}-{begin}')
    return _usable(AddressRange(text, begin, end_))


def _usable(found: AddressRange) -> AddressRange:
    for address in (found.first, found.last):
        if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local:
            raise InvalidError(f'"{found.text}" has {address}, which no Service can be reached at; {_WRITE}')
    return found


def pool_problems(entries: Sequence[str], hosts: Mapping[str, str]) -> list[str]:
    """Return one sentence for each thing wrong with the addresses of a pool. hosts: address (names do not count) by host."""
    ranges, problems = _parse_all(entries)
    problems += [
        f'"{one.text}" and "{other.text}" overlap; leave one of them out, or make them end before each other'
        for one, other in combinations(ranges, 2)
        if one.overlaps(other)
    ]
    for host, address in hosts.items():
        if is_address(address):
            held = [found for found in ranges if ipaddress.ip_address(address) in found]
            problems += [f'"{found.text}" has {address}, which is the address of host {host}; nothing else may use them' for found in held]
    return problems


def pool_warnings(entries: Sequence[str], networks: Sequence[Mapping[str, Any]], interfaces: Sequence[str]) -> list[str]:
    """Return one sentence for each part of a pool that layer 2 may not reach. Entries that are wrong are left to pool_problems().

    networks: what module host_info says of all nodes. interfaces: those that answer, empty for all that MetalLB takes.
    """
    usable = [item for item in networks if _answers(item["interface"], interfaces)]
    known = [ipaddress.ip_network(item["network"]) for item in usable]
    where = ", ".join(sorted({f"{item['network']} ({item['interface']})" for item in usable})) or "none that counts"
    return [
        f'"{found.text}" is not of a network that a node of the management cluster is in ({where}): hosts there look for these addresses in vain '
        "unless something routes them to the nodes; take addresses of the nodes' own network that nothing else uses"
        for found in _parse_all(entries)[0]
        if not any(found.first.version == network.version and found.is_within(network) for network in known)
    ]


def _answers(interface: str, interfaces: Sequence[str]) -> bool:
    return interface in interfaces if interfaces else not interface.startswith(EXCLUDED_INTERFACES)


def _parse_all(entries: Sequence[str]) -> tuple[list[AddressRange], list[str]]:
    problems: list[str] = []
    return list(_parsed(entries, problems)), problems


def _parsed(entries: Sequence[str], problems: list[str]) -> Iterator[AddressRange]:
    for entry in entries:
        try:
            yield parse_range(str(entry))
        except InvalidError as error:
            problems.append(error.msg)
