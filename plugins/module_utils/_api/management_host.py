# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host may become, or is, the control plane of the management cluster: asked before anything on it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ManagementHostRequirements:
    """What is asked of the host.

    bundle_arch: architecture of the bundle it gets. is_own: the role's own record lies on it, of a cluster it made or began to make.
    """

    bundle_arch: str
    is_own: bool
    minimum_free_mb: int
    minimum_memory_mb: int


def host_problems(facts: Mapping[str, Any], wanted: ManagementHostRequirements) -> list[str]:
    """Return one sentence for each reason not to touch the host; none when the role may go on.

    facts: what module host_info returned. Room and ports count only for a host that the role has not begun with.
    """
    problems = _system_problems(facts, wanted)
    if wanted.is_own:
        return problems
    taken = _taken(facts["membership"])
    return [*problems, *([taken] if taken else _room_problems(facts, wanted))]


def _system_problems(facts: Mapping[str, Any], wanted: ManagementHostRequirements) -> list[str]:
    problems = []
    if not facts["is_root"]:
        problems.append("the connecting user does not become root; give it sudo, or set ansible_become_password")
    if not facts["is_systemd"]:
        problems.append("it is not booted with systemd; choose a Linux host with systemd")
    if facts["architecture"] != wanted.bundle_arch:
        problems.append(
            f"it is {facts['architecture']}, the bundle is for {wanted.bundle_arch}; set management_cluster_bundle_dir to a bundle for its "
            "architecture"
        )
    if facts["missing_tools"]:
        problems.append(f"not installed: {', '.join(facts['missing_tools'])}; install the packages of your distribution that bring them")
    return problems


def _taken(membership: Mapping[str, Any]) -> str:
    """Say which cluster has the host already; "" when none has."""
    conf = membership["kubelet_conf"] or {}
    server = conf.get("server") or "a cluster"
    if membership["has_admin_conf"] or membership["static_pods"]:
        found = [*(["/etc/kubernetes/admin.conf"] if membership["has_admin_conf"] else []), *membership["static_pods"]]
        return (
            f"it is a control plane of {server} that this role did not make (found {', '.join(found)}); choose another host, or use that "
            "cluster as it is: leave the group management empty and set management_cluster_kubeconfig to its kubeconfig"
        )
    if membership["kubelet_conf"] is not None:
        names = ", ".join(conf.get("ca_names") or []) or "unknown"
        return (
            f"it is a node of {server} (CA {names}, found kubelet.conf); choose another host, or take it out of that cluster first "
            "(playbook worker_reset)"
        )
    left = [*membership["leftovers"], *(["bootstrap-kubelet.conf"] if membership["has_bootstrap_conf"] else [])]
    if left:
        return f"something of another cluster is left on it (found {', '.join(left)}); choose another host, or run kubeadm reset on it"
    return ""


def _room_problems(facts: Mapping[str, Any], wanted: ManagementHostRequirements) -> list[str]:
    problems = [
        f"{path}: {free} MiB free, {wanted.minimum_free_mb} MiB are needed; free some, or set management_cluster_minimum_free_mb"
        for path, free in sorted(facts["free_mb"].items())
        if free < wanted.minimum_free_mb
    ]
    if facts["memory_mb"] < wanted.minimum_memory_mb:
        problems.append(
            f"{facts['memory_mb']} MiB of memory, {wanted.minimum_memory_mb} MiB are needed; give it more, or set "
            "management_cluster_minimum_memory_mb"
        )
    return problems + [f"TCP port {port} is in use by {process}; stop it" for port, process in sorted(facts["ports"].items())]
