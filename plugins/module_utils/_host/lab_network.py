# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge of a lab and the firewall table that keeps its machines from reaching anything else."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import LabNetwork
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import LabError, run


@dataclass(frozen=True)
class NetworkState:
    """What is there now. bridge: complete and up; bridge_left: in any state; conflict: another interface with addresses of the subnet."""

    bridge: bool
    bridge_left: bool
    table: bool
    conflict: str = ""


def table_name(network: LabNetwork) -> str:
    """Return the name of the nftables table (family inet) that belongs to the lab."""
    return network.bridge.replace("-", "_")


def observe(network: LabNetwork) -> NetworkState:
    """Read the host's interfaces and firewall tables."""
    interfaces = json.loads(run(["ip", "-json", "address"]).stdout or "[]")
    subnet = ipaddress.ip_network(network.subnet)
    conflict = ""
    bridge = False
    bridge_left = False
    for interface in interfaces:
        addresses = [entry["local"] for entry in interface.get("addr_info", []) if entry.get("family") == "inet"]
        if interface["ifname"] == network.bridge:
            bridge_left = True
            bridge = network.gateway in addresses and "UP" in interface.get("flags", [])
        elif any(ipaddress.ip_address(address) in subnet for address in addresses):
            conflict = interface["ifname"]
    table = run(["nft", "list", "table", "inet", table_name(network)], check=False).returncode == 0
    return NetworkState(bridge=bridge, bridge_left=bridge_left, table=table, conflict=conflict)


def check(lab: str, network: LabNetwork, state: NetworkState) -> None:
    """Raise LabError when another interface already uses the subnet."""
    if state.conflict:
        raise LabError(
            f"lab {lab}: the interface {state.conflict} of this host already has an address in {network.subnet}; "
            "take the other lab down, choose another lab name, or set another subnet"
        )


def create_bridge(network: LabNetwork) -> None:
    """Make the bridge, or complete one that a killed run left unfinished."""
    if run(["ip", "link", "show", network.bridge], check=False).returncode != 0:
        run(["ip", "link", "add", network.bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
    run(["ip", "address", "replace", f"{network.gateway}/{network.prefix_length}", "dev", network.bridge])
    run(["ip", "link", "set", network.bridge, "up"])


def create_table(network: LabNetwork) -> None:
    """Drop what would be forwarded between the bridge and anything else, whatever else turns forwarding on; refuse name lookups at once."""
    name = table_name(network)
    bridge = network.bridge
    # Declared, deleted and declared again in one transaction: the same result from any earlier state.
    run(
        ["nft", "-f", "-"],
        stdin=f"""
table inet {name}
delete table inet {name}
table inet {name} {{
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        iifname "{bridge}" oifname != "{bridge}" drop
        oifname "{bridge}" iifname != "{bridge}" drop
    }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iifname "{bridge}" meta l4proto {{ tcp, udp }} th dport 53 reject
    }}
}}
""",
    )


def delete_bridge(network: LabNetwork) -> None:
    """Remove the bridge if it is there."""
    if run(["ip", "link", "show", network.bridge], check=False).returncode == 0:
        run(["ip", "link", "delete", network.bridge])


def delete_table(network: LabNetwork) -> None:
    """Remove the firewall table if it is there."""
    if run(["nft", "list", "table", "inet", table_name(network)], check=False).returncode == 0:
        run(["nft", "delete", "table", "inet", table_name(network)])
