# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a host's network: names, clock, ways to the tenant, ports, firewall."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import (
    CONTAINER,
    ERROR,
    WARNING,
    Finding,
    Reader,
    Wanted,
    is_joined,
)

RESOLV_CONF = "/etc/resolv.conf"
_RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"
# More are left out by the kubelet (pkg/apis/core/validation, MaxDNSNameservers).
_MAXIMUM_NAMESERVERS = 3
_SYNCHRONISED = "/run/systemd/timesync/synchronized"
_FIREWALLS = ("firewalld.service", "ufw.service")
_DROPPED_CHAIN = re.compile(r"type filter hook (input|forward)\b.*policy drop")
_NFT_TABLE = re.compile(r"^table (\S+ \S+) \{")


def dns(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    # kubeadm gives the kubelet resolved's own list where resolved runs.
    path = _RESOLVED_CONF if reader.is_active("systemd-resolved.service") else RESOLV_CONF
    servers = re.findall(r"^nameserver\s+(\S+)", reader.text(path) or "", re.MULTILINE)
    if not servers:
        yield Finding("dns", ERROR, "no nameserver is set, so pods resolve no name outside", path, "add a nameserver")
    elif all(server.startswith("127.") or server == "::1" for server in servers):
        problem = f"the only nameserver is {servers[0]}, which in a pod is the pod itself"
        yield Finding("dns", WARNING, problem, path, "name a server that pods can reach, or set resolvConf in the kubelet's configuration")
    elif len(servers) > _MAXIMUM_NAMESERVERS:
        problem = f"{len(servers)} nameservers, of which pods get {_MAXIMUM_NAMESERVERS}"
        yield Finding("dns", WARNING, problem, path, "take the others out")
    for name in wanted.resolve:
        if not reader.resolves(name):
            yield Finding("dns", ERROR, f"{name} cannot be resolved", path, "correct the name, or the nameservers of the host")


def clock(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if wanted.controller_time_s is not None:
        yield from _offset(reader.time_s() - wanted.controller_time_s, "the controller's", wanted)
    # The clock of a container is its host's.
    if reader.exists(CONTAINER) or reader.exists(_SYNCHRONISED):
        return
    shown = reader.output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if shown is not None and shown.strip() == "no":
        remedy = "run chrony or systemd-timesyncd with servers that the host reaches"
        yield Finding("clock", WARNING, "no time service keeps the clock right", "timedatectl", remedy)


def api_server(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if not wanted.api_server or not wanted.ca:
        return
    answer = reader.ask_api_server(wanted.api_server, wanted.ca)
    if answer.problem:
        remedy = "check routes and firewalls between host and tenant, and the host's clock"
        yield Finding("api_server", ERROR, f"the tenant's API server does not answer: {answer.problem}", wanted.api_server, remedy)
    elif answer.clock_s is not None:
        yield from _offset(reader.time_s() - answer.clock_s, f"that of the API server {wanted.api_server}", wanted)


def reach(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    for target in wanted.connect:
        route = reader.connect(target)
        if route.problem:
            remedy = "check routes and firewalls between them"
            yield Finding("reach", ERROR, f"it cannot be reached by TCP: {route.problem}", target, remedy)
        elif route.mtu is not None and route.mtu < wanted.minimum_mtu:
            problem = f"packets on the way may have {route.mtu} bytes only, {wanted.minimum_mtu} are needed"
            yield Finding("mtu", ERROR, problem, target, "raise the MTU of the interface or tunnel on the way")


def ports(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if is_joined(reader.membership()):
        return
    for port, process in sorted(reader.listeners(wanted.ports).items(), key=lambda item: int(item[0])):
        yield Finding("ports", ERROR, f"TCP port {port} is in use by {process}", port, "stop that program, or give it another port")


def firewall(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    """A firewall may let everything through that a node needs, which nobody can see from here: never an error."""
    remedy = (
        "let through TCP 10250 from the tenant's API server, node ports, the traffic of the pod network (flannel: UDP 8472) and of pods"
    )
    for unit in _FIREWALLS:
        if reader.is_active(unit):
            yield Finding("firewall", WARNING, f"{unit.partition('.')[0]} filters packets", unit, remedy)
            return
    for table, chain in dropping_chains(reader.output("nft", "list", "ruleset") or ""):
        yield Finding("firewall", WARNING, f"{chain} is dropped where no rule says otherwise", f"nft table {table}", remedy)


def dropping_chains(ruleset: str) -> list[tuple[str, str]]:
    """Return (table, hook) for each chain of input and forward, of what `nft list ruleset` prints, whose policy is to drop."""
    found, table = [], ""
    for line in ruleset.splitlines():
        heading = _NFT_TABLE.match(line)
        table = heading[1] if heading else table
        chain = _DROPPED_CHAIN.search(line)
        if chain:
            found.append((table, chain[1]))
    return found


def _offset(offset_s: float, whose: str, wanted: Wanted) -> Iterator[Finding]:
    if abs(offset_s) > wanted.maximum_clock_offset_s:
        problem = f"the clock is {offset_s:+.0f} s off {whose}; certificates would not be valid"
        yield Finding("clock", ERROR, problem, "date", "synchronise it (chrony or systemd-timesyncd)")
