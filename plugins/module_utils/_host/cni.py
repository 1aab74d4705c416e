# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks of Kubernetes left on a host, told from those of other software, such as Podman, that uses the same places.

Configurations are told by the names that CNIs for Kubernetes give them. The rest follows from the names of their networks: files of
host-local and of libcni's cache carry them, and so do the comments of rules.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection

CONFIGURATIONS = "/etc/cni/net.d"
STATE = "/var/lib/cni"
# File names of CNIs that are made for Kubernetes.
_CONFIGURATION = re.compile(
    r"^(\d+-)?(flannel|calico|canal|cilium|kindnet|kube-?router|kubernetes|antrea|weave|multus|ovn-kubernetes|whereabouts)\b"
)
# Networks by name, for hosts whose configuration has gone already: of flannel, of Calico, and containerd's own for loopback interfaces.
NETWORKS = frozenset({"cbr0", "k8s-pod-network", "cni-loopback", "cilium"})
# Folders of STATE that hold one thing for each network or container.
_NETWORKS, _RESULTS = "networks", "results"

_CHAIN = re.compile(r"^CNI-")
_COMMENT = re.compile(r'name: \\?"([^"\\]+)\\?"')


def networks() -> frozenset[str]:
    """Names of the networks of Kubernetes, those of the configurations that are still there included."""
    own = (name for name in _entries(CONFIGURATIONS) if _CONFIGURATION.match(name))
    return NETWORKS | {_network(os.path.join(CONFIGURATIONS, name)) for name in own} - {""}


def files(names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the paths that belong to networks of these names, and those that belong to other software."""
    own: list[str] = []
    kept: list[str] = []
    for name in _entries(CONFIGURATIONS):
        (own if _CONFIGURATION.match(name) else kept).append(os.path.join(CONFIGURATIONS, name))
    for name in _entries(STATE):
        path = os.path.join(STATE, name)
        if name == _NETWORKS:
            for network in _entries(path):
                (own if network in names else kept).append(os.path.join(path, network))
        elif name == _RESULTS:
            for result in _entries(path):
                (own if _is_result(result, names) else kept).append(os.path.join(path, result))
        else:
            (own if name == "flannel" else kept).append(path)
    return own, kept


def chains(saved: str, names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the chains of CNI plugins in what iptables-save prints: those of networks of these names, and those of other software.

    Chains that all networks share, such as CNI-HOSTPORT-DNAT, are other software's as long as it has one of its own.
    """
    owners: dict[str, set[str]] = {}
    for line in saved.splitlines():
        if line.startswith(":") and _CHAIN.match(line[1:]):
            owners.setdefault(line[1:].split()[0], set())
    for line in saved.splitlines():
        comment = _COMMENT.search(line)
        if comment and line.startswith("-A "):
            for chain in owners.keys() & set(line.split()):
                if not chain.startswith("CNI-HOSTPORT-"):
                    owners[chain].add(comment.group(1))
    foreign = {chain for chain, found in owners.items() if found - set(names)}
    kept = [chain for chain, found in owners.items() if chain in foreign or (foreign and not found)]
    return [chain for chain in owners if chain not in kept], kept


def _network(path: str) -> str:
    """Name of a configuration's network; "" when the file is none, or cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return ""
    return str(found.get("name") or "") if isinstance(found, dict) else ""


def _is_result(file: str, names: Collection[str]) -> bool:
    """libcni calls it NETWORK-CONTAINER-INTERFACE."""
    return any(file.startswith(f"{name}-") for name in names)


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
