# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a host out of a cluster without a trace: look for what a join and its pods leave, remove it, look again.

`kubeadm reset` does a part of it (it says so itself): CNI configuration, network links, rules of netfilter and mounts of
pods stay. Installed programs, containerd and, unless told otherwise, images stay as well, on purpose: the host is ready to join again. So
does what other software than Kubernetes has made in the places that CNI plugins share (cni.py); it is named.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import (
    cni,
    facts,
    interfaces,
    kubeadm,
    kubelet_client,
    pod_containers,
    snapshots,
    tools,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.pod_containers import Containerd

# Folders whose content belongs to the cluster. The folders themselves may be mount points.
EMPTIED = (
    "/etc/kubernetes",
    "/var/lib/kubelet",
    "/run/flannel",
    "/var/log/pods",
    "/var/log/containers",
    # What an upgrade kept of the host's life in this cluster must not be put back in the next one.
    snapshots.ROOT,
    *pod_containers.NOTES,
)
# Single files that belong to the cluster.
REMOVED = (kubelet_client.MARKER,)
CHAINS = re.compile(r"^(KUBE|FLANNEL|CALI|cali|CILIUM)[-_]")
TABLES = re.compile(r"^(kube-proxy|flannel-ipv[46]|cni_hostport|cni_portmap)$")
NAMESPACES = re.compile(r"^cni-")
_NOT_IN_KERNEL = re.compile(r"Protocol not supported|Failed to initialize nft|do you need to insmod|Table does not exist")
_IPTABLES = ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")
_MOUNTS_BELOW = ("/var/lib/kubelet/", "/run/netns/cni-", "/var/run/netns/cni-", *pod_containers.MOUNTS)


@dataclass(frozen=True)
class Leftover:
    """One thing to remove; kind is unit, container, layer, image, mount, file, link, rules, table or namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def observe(containerd: Containerd) -> list[Leftover]:
    """Look for everything a join and its pods leave, in the order in which it can be removed.

    Raises HostedKubernetesError when something cannot be looked at: a host is not clean because nobody can say otherwise.
    """
    membership, networks = facts.read_membership(), cni.networks()
    found = [Leftover("unit", "kubelet.service")] if membership["is_kubelet_running"] else []
    found += [Leftover("container", name) for name in containerd.containers()]
    found += [Leftover("mount", path) for path in mounts(_text("/proc/self/mounts"))]
    found += [Leftover("layer", name) for name in containerd.layers()]
    found += [Leftover("image", name) for name in containerd.images()]
    found += [Leftover("namespace", name) for name in _entries("/run/netns") if NAMESPACES.match(name)]
    found += [Leftover("file", os.path.join(folder, name)) for folder in EMPTIED for name in _entries(folder)]
    found += [Leftover("file", path) for path in REMOVED if os.path.exists(path)]
    found += [Leftover("link", name) for name in _entries("/sys/class/net") if interfaces.POD_NETWORK.match(name)]
    found += [Leftover("rules", tool) for tool in _firewalls() if own_chains(_rules([f"{tool}-save"]), networks)]
    if tools.find("nft"):
        found += [Leftover("table", name) for name in own_tables(_rules(["nft", "list", "tables"]))]
    # Late, and configurations last: what belongs to a network is known by its name, which they hold.
    found += [Leftover("file", path) for path in reversed(cni.files(networks)[0])]
    # Last of all: as long as it is there, a reset has not ended.
    return found + ([Leftover("file", facts.RESET_RECORD)] if os.path.exists(facts.RESET_RECORD) else [])


def places(containerd: Containerd) -> list[str]:
    """Return where `observe` looks on this host, as words for a report. Firewalls that it has no tool for, it has no rules of."""
    found = ["kubelet.service", *EMPTIED, *REMOVED, cni.CONFIGURATIONS, cni.STATE, "mounts of pods", "network namespaces", "network links"]
    if containerd.has_run:
        found += ["containers of pods", "layers of containers", *(["images"] if containerd.kept_images is not None else [])]
    return found + [f"rules of {tool}" for tool in _firewalls()] + (["tables of nft"] if tools.find("nft") else [])


def observe_kept() -> list[str]:
    """Return what a reset leaves in the places of CNI plugins, since other software than Kubernetes has made it: paths, "tool chain"."""
    networks = cni.networks()
    found = cni.files(networks)[1]
    return found + [f"{tool} {chain}" for tool in _firewalls() for chain in cni.chains(_rules([f"{tool}-save"]), networks)[1]]


def refuse_control_plane() -> None:
    """Raise when this host runs a control plane, whose etcd a reset would destroy."""
    membership = facts.read_membership()
    if any(name.startswith("kube-apiserver") for name in membership["static_pods"]):
        server = (membership["kubelet_conf"] or {}).get("server")
        raise HostedKubernetesError(f"this host runs the control plane of {server}; it is no worker and is not reset")


def reset(kubeadm_path: str, containerd: Containerd) -> list[Leftover]:
    """Take the host out of its cluster. Returns what was removed; nothing when the host was clean.

    A record says on the host that this has begun. Killed anywhere, the next one goes on, with the images too that this one was to remove.
    Raises HostedKubernetesError that lists what could not be removed.
    """
    refuse_control_plane()
    containerd = resumed(containerd)
    found = observe(containerd)
    if not found:
        return []
    _record(containerd)
    if os.path.exists(kubeadm_path) and os.path.exists(containerd.socket):
        kubeadm.run(kubeadm_path, ["reset", "--force", "--cri-socket", f"unix://{containerd.socket}"])
    record = Leftover("file", facts.RESET_RECORD)
    reasons = [reason for item in observe(containerd) if item != record for reason in _removed(item, containerd)]
    left = [item for item in observe(containerd) if item != record]
    if left:
        raise HostedKubernetesError(
            f"not removed: {', '.join(str(item) for item in left)}; {'; '.join(reasons) or 'something makes it again'}; boot the host and run again",
            left=[str(item) for item in left],
        )
    host_files.remove(facts.RESET_RECORD)
    return found


def resumed(containerd: Containerd) -> Containerd:
    """Return what a reset is to do with images when an earlier one was to remove them and did not end."""
    try:
        with open(facts.RESET_RECORD, encoding="utf-8") as stream:
            kept = json.load(stream)["kept_images"]
    except (OSError, ValueError, KeyError, TypeError):
        return containerd
    return replace(containerd, kept_images=kept) if containerd.kept_images is None and isinstance(kept, list) else containerd


def _record(containerd: Containerd) -> None:
    kept = None if containerd.kept_images is None else sorted(containerd.kept_images)
    os.makedirs(os.path.dirname(facts.RESET_RECORD), mode=0o755, exist_ok=True)
    host_files.write(facts.RESET_RECORD, json.dumps({"kept_images": kept}).encode(), 0o644)


def mounts(proc_mounts: str) -> list[str]:
    """Return mount points of pods and their network namespaces, the deepest first."""
    points = (line.split()[1].replace("\\040", " ") for line in proc_mounts.splitlines() if line.strip())
    return sorted({point for point in points if point.startswith(_MOUNTS_BELOW)}, reverse=True)


def own_chains(saved: str, networks: Collection[str]) -> list[str]:
    """Return the chains of Kubernetes, and of CNI plugins for its networks, in what iptables-save prints."""
    own = [line[1:].split()[0] for line in saved.splitlines() if line.startswith(":") and CHAINS.match(line[1:])]
    return own + cni.chains(saved, networks)[0]


def without_chains(saved: str, networks: Collection[str]) -> str:
    """Return what iptables-save prints without those chains and every rule that belongs to or names one of them."""
    chains = set(own_chains(saved, networks))
    return "".join(line for line in saved.splitlines(keepends=True) if not _names_a_chain(line, chains))


def own_tables(listed: str) -> list[str]:
    """Return "family name" of the tables of kube-proxy and CNI plugins in what `nft list tables` prints."""
    rows = (line.split() for line in listed.splitlines())
    return [f"{row[1]} {row[2]}" for row in rows if len(row) == 3 and TABLES.match(row[2])]


def _names_a_chain(line: str, chains: set[str]) -> bool:
    words = line.split()
    if line.startswith(":"):
        return words[0][1:] in chains
    return bool(words) and words[0] == "-A" and not chains.isdisjoint(words)


def _removed(item: Leftover, containerd: Containerd) -> Iterable[str]:
    """Remove one thing; yields why it could not be."""
    removers: Mapping[str, Callable[[str], None]] = {
        "unit": lambda name: _run(["systemctl", "stop", name]),
        "container": containerd.remove_container,
        "layer": containerd.remove_layer,
        "image": containerd.remove_image,
        "mount": lambda name: _run(["umount", "--lazy", name]),
        "namespace": lambda name: _run(["ip", "netns", "delete", name]),
        "file": host_files.remove,
        "link": lambda name: _run(["ip", "link", "delete", name]),
        "rules": _remove_rules,
        "table": lambda name: _run(["nft", "delete", "table", *name.split()]),
    }
    try:
        removers[item.kind](item.name)
    except (OSError, HostedKubernetesError) as error:
        yield f"{item}: {error}"


def _firewalls() -> list[str]:
    return [tool for tool in _IPTABLES if tools.find(f"{tool}-save")]


def _remove_rules(tool: str) -> None:
    saved = _output([f"{tool}-save"])
    _run([f"{tool}-restore"], stdin=without_chains(saved, cni.networks()))


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _rules(arguments: Sequence[str]) -> str:
    """What a tool of the firewall prints; nothing when the kernel has no such firewall, whose rules cannot exist then."""
    try:
        return _output(arguments)
    except HostedKubernetesError as error:
        if _NOT_IN_KERNEL.search(error.msg):
            return ""
        raise


def _output(arguments: Sequence[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, check=False, env=tools.environment())
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise HostedKubernetesError(f"{' '.join(arguments)} ended with status {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def _run(arguments: Sequence[str], *, stdin: str = "") -> None:
    done = subprocess.run(
        arguments, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=tools.environment()
    )
    if done.returncode != 0:
        raise HostedKubernetesError(done.stdout.decode(errors="replace").strip()[-300:])


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
