# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one decision about a host and a tenant cluster: join, join again, leave alone, or refuse.

A host belongs to the cluster whose CA its kubelet trusts (kubelet.conf). Names and addresses may change, the key of the
CA may not, so keys are compared, by the hash that kubeadm pins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.exposure import load_balancer_step
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import is_dns_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import kubelet_problem, parse_version

# Certificates are valid from five minutes before they are issued (k8s.io/kubernetes/pkg/controller/certificates).
_CLOCK_TOLERANCE_S: Final = 240
_IPV6_SUBNET: Final = re.compile(r"^\s*(?:podSubnet|serviceSubnet):[^\n]*[0-9a-fA-F]*:[0-9a-fA-F:]*/\d", re.MULTILINE)


class JoinAction(StrEnum):
    """NONE: the host is a node of this tenant. REJOIN: reset first, what an earlier join left is of no use. MOVE: of another tenant, to be left first."""

    JOIN = "join"
    REJOIN = "rejoin"
    MOVE = "move"
    NONE = "none"


@dataclass(frozen=True)
class Owner:
    """A tenant of the management cluster whose CA a host trusts. endpoint: "address:port" it publishes, "" while unknown."""

    namespace: str
    name: str
    endpoint: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class JoinTarget:
    """The tenant cluster as it answers.

    ca_hashes as "sha256:…"; endpoint is a URL; has_node: a Node of that name exists; has_ipv6: see uses_ipv6. ca: its CA certificates (PEM).
    konnectivity: "address:port" that agents on workers connect to, "" when there are none.
    """

    tenant: str
    endpoint: str
    ca_hashes: Sequence[str]
    version: str
    has_node: bool
    has_ipv6: bool = False
    ca: str = ""
    konnectivity: str = ""


@dataclass(frozen=True)
class JoinRequirements:
    """What is asked of a host, and of which version and architecture the bundle is that it gets."""

    node_name: str
    bundle_version: str
    bundle_arch: str
    minimum_free_mb: int
    minimum_memory_mb: int


@dataclass(frozen=True)
class JoinPlan:
    """leaves: the tenant that the host is a node of now, when it is to be moved."""

    action: JoinAction
    reason: str
    leaves: Owner | None = None


def uses_ipv6(endpoint: str, cluster_configuration: str) -> bool:
    """Whether nodes must forward IPv6: the endpoint is an IPv6 address, or pods or Services have such networks.

    endpoint: URL. cluster_configuration: kubeadm's ClusterConfiguration as YAML; "" when a cluster was made without kubeadm.
    """
    return "://[" in endpoint or _IPV6_SUBNET.search(cluster_configuration) is not None


def plan_join(
    host: str,
    facts: Mapping[str, Any],
    target: JoinTarget,
    wanted: JoinRequirements,
    *,
    now_s: int,
    owners: Sequence[Owner] = (),
    may_move: bool = False,
) -> JoinPlan:
    """Decide what must happen to one host so that it is a node of its tenant cluster.

    host: inventory name, for messages. facts: what module host_info returned. now_s: controller's clock, seconds since the epoch, for
    certificates that end; how far the host's clock is off was measured when the facts were read. owners: tenants of the management cluster
    whose CA a host trusts that does not trust the target's. may_move: whether it may be taken out of one of them.
    Raises InvalidError with all that is in the way, when something is; nothing has been changed then.
    """
    membership = facts["membership"]
    problems = basic_problems(facts, wanted)
    problems += foreign_problems(membership, target, owners, may_move)
    skew = kubelet_problem(target.version, wanted.bundle_version)
    problems += [f"bundle of {wanted.bundle_version}, tenant of {target.version}: {skew}"] if skew else []
    if problems:
        raise InvalidError.from_problems(f"host {host}", problems)
    leaves = owner_of(membership, owners) if _is_foreign(membership, target) else None
    plan = _move(leaves, target) if leaves else decide(membership, target, now_s=now_s)
    if plan.action is JoinAction.NONE:
        problems = _upgrade_problems(membership["kubelet_version"], wanted)
    else:
        problems = _room_problems(facts, wanted, target, is_fresh=plan.action is JoinAction.JOIN)
    if problems:
        raise InvalidError.from_problems(f"host {host}", problems)
    return plan


def owner_of(membership: Mapping[str, Any], owners: Sequence[Owner]) -> Owner | None:
    """Return whose node a host is. Tenants that were given one CA are told apart by their endpoints; None when they cannot be."""
    if len(owners) > 1:
        server = str((membership["kubelet_conf"] or {}).get("server")).split("://", 1)[-1].rstrip("/")
        owners = [owner for owner in owners if owner.endpoint == server]
    return owners[0] if len(owners) == 1 else None


def _move(leaves: Owner, target: JoinTarget) -> JoinPlan:
    return JoinPlan(JoinAction.MOVE, f"it is a node of tenant {leaves} and becomes one of tenant {target.tenant}", leaves)


def decide(membership: Mapping[str, Any], target: JoinTarget, *, now_s: int) -> JoinPlan:
    """Decide by where a host has joined alone. membership: see _host/facts.py; of another cluster than the target's it must not be."""
    conf = membership["kubelet_conf"]
    if membership["is_reset_unfinished"]:
        return JoinPlan(JoinAction.REJOIN, "a reset of the host did not finish")
    if conf is None:
        left = list(membership["leftovers"]) + (["bootstrap-kubelet.conf"] if membership["has_bootstrap_conf"] else [])
        if left:
            return JoinPlan(JoinAction.REJOIN, f"an earlier join did not finish (found {', '.join(left)}, no kubelet.conf)")
        return JoinPlan(JoinAction.JOIN, "the host has not joined any cluster")
    if conf["problem"]:
        return JoinPlan(JoinAction.REJOIN, f"kubelet.conf: {conf['problem']}")
    if not conf["ca_hashes"]:
        return JoinPlan(JoinAction.REJOIN, "kubelet.conf has no CA certificate")
    if conf["client_not_after_s"] is None:
        return JoinPlan(JoinAction.REJOIN, "the kubelet never got its client certificate")
    if conf["client_not_after_s"] <= now_s:
        return JoinPlan(JoinAction.REJOIN, "the kubelet's client certificate has expired")
    if not target.has_node:
        return JoinPlan(JoinAction.REJOIN, "the tenant has no Node of this name any more")
    return JoinPlan(JoinAction.NONE, f"joined to tenant {target.tenant}")


def basic_problems(facts: Mapping[str, Any], wanted: JoinRequirements) -> list[str]:
    """Return why no role can work on a host at all."""
    problems = []
    if not is_dns_name(wanted.node_name) or len(wanted.node_name) > 253:
        problems.append(f'node name "{wanted.node_name}" is not a DNS name in lower case; set worker_node_name')
    if not facts["is_root"]:
        problems.append("the connecting user does not become root; give it sudo, or set ansible_become_password")
    if not facts["is_systemd"]:
        problems.append("it is not booted with systemd; only Linux hosts with systemd can become workers")
    if facts["architecture"] != wanted.bundle_arch:
        problems.append(f"it is {facts['architecture']}, the bundle is for {wanted.bundle_arch}; name a bundle for its architecture")
    if facts["missing_tools"]:
        missing = ", ".join(facts["missing_tools"])
        problems.append(f"not installed: {missing}; install the packages of your distribution that bring them")
    return problems


def foreign_problems(membership: Mapping[str, Any], target: JoinTarget, owners: Sequence[Owner] = (), may_move: bool = False) -> list[str]:
    """Return why a host is somebody else's: a control plane, or a node of another cluster. owners, may_move: see plan_join."""
    conf = membership["kubelet_conf"]
    if any(name.startswith("kube-apiserver") for name in membership["static_pods"]):
        where = conf["server"] if conf else "its own cluster"
        return [f"it runs a control plane ({where}) and cannot become a worker of tenant {target.tenant}; choose another host"]
    if not _is_foreign(membership, target) or (may_move and owner_of(membership, owners)):
        return []
    theirs = f"{conf['server']} with CA {', '.join(conf['ca_names'])} ({', '.join(conf['ca_hashes'])})"
    ours = f"tenant {target.tenant} at {target.endpoint} ({', '.join(target.ca_hashes)})"
    return [f"it has joined another cluster: {theirs}, not {ours}; {_foreign_remedy(membership, owners, may_move)}"]


def _foreign_remedy(membership: Mapping[str, Any], owners: Sequence[Owner], may_move: bool) -> str:
    other = "or choose another host"
    out = "take it out of that one first (playbook worker_reset with that cluster as worker_tenant or worker_tenant_kubeconfig)"
    if len(owners) > 1 and not owner_of(membership, owners):
        return f"that CA is shared by tenants {', '.join(map(str, owners))}, none of which has that address: {out}, {other}"
    if owners:
        return f"that is tenant {owner_of(membership, owners)}: move the host from there (playbook worker_move), {other}"
    return f"{'no tenant of this management cluster has that CA: ' if may_move else ''}{out}, {other}"


def _is_foreign(membership: Mapping[str, Any], target: JoinTarget) -> bool:
    """Whether a host trusts CA certificates, none of which is the target's."""
    trusted = set((membership["kubelet_conf"] or {}).get("ca_hashes") or ())
    return bool(trusted) and not trusted & set(target.ca_hashes)


def _upgrade_problems(kubelet: str | None, wanted: JoinRequirements) -> list[str]:
    """A kubelet of another minor is to be replaced on a drained node only; a patch release may be while its pods run on."""
    here, there = parse_version(kubelet or wanted.bundle_version), parse_version(wanted.bundle_version)
    if here.minor_text == there.minor_text:
        return []
    problem = f"it is a node with kubelet {kubelet}, the bundle is of {wanted.bundle_version}"
    if here < there:
        return [f"{problem}; bring it there drained (playbook worker_upgrade), or set worker_bundle_dir to a bundle of {here.minor_text}"]
    return [
        f"{problem}; set worker_bundle_dir to a bundle of {here.minor_text}, or take the host out (playbook worker_reset) and join it again"
    ]


def _room_problems(facts: Mapping[str, Any], wanted: JoinRequirements, target: JoinTarget, *, is_fresh: bool) -> list[str]:
    """What only matters when the host is going to join: a node that has joined uses its port and may have filled its disk."""
    problems = [
        f"{path}: {free} MiB free, {wanted.minimum_free_mb} MiB are needed; free some, or set worker_minimum_free_mb"
        for path, free in sorted(facts["free_mb"].items())
        if free < wanted.minimum_free_mb
    ]
    if facts["memory_mb"] < wanted.minimum_memory_mb:
        problems.append(f"{facts['memory_mb']} MiB of memory, {wanted.minimum_memory_mb} MiB are needed")
    if is_fresh:
        problems += [f"TCP port {port} is in use by {process}; stop it" for port, process in sorted(facts["ports"].items())]
    problems += [
        f"it cannot reach tenant {target.tenant} at {where}; check routes and firewalls between them, and whether the load balancer of the "
        f"management cluster answers for that address: {load_balancer_step(target.tenant)}"
        for where in facts["unreachable"]
    ]
    offset_s = facts["clock_offset_s"]
    if offset_s is not None and abs(offset_s) > _CLOCK_TOLERANCE_S:
        problems.append(f"its clock is {offset_s:+d} s off the controller's; certificates would not be valid; synchronise it")
    return problems
