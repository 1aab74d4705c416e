# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision about a host: one row per state a host can be in, and one per reason to refuse it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.join import (
    JoinAction,
    JoinRequirements,
    JoinTarget,
    Owner,
    plan_join,
    uses_ipv6,
)

NOW_S = 1_800_000_000
OURS, THEIRS = "sha256:aa", "sha256:bb"
TARGET = JoinTarget(tenant="default/acme", endpoint="https://198.51.100.20:6443", ca_hashes=(OURS,), version="v1.36.3", has_node=True)
WANTED = JoinRequirements(node_name="worker-1", bundle_version="v1.36.3", bundle_arch="amd64", minimum_free_mb=3072, minimum_memory_mb=900)
FRESH: dict[str, Any] = {
    "hostname": "worker-1",
    "clock_offset_s": 0,
    "architecture": "amd64",
    "is_root": True,
    "is_systemd": True,
    "memory_mb": 4096,
    "missing_tools": [],
    "ports": {},
    "free_mb": {"/var/lib/kubelet": 10_000},
    "unreachable": [],
    "membership": {
        "kubelet_conf": None,
        "has_bootstrap_conf": False,
        "has_admin_conf": False,
        "kubelet_version": None,
        "leftovers": [],
        "is_reset_unfinished": False,
        "static_pods": [],
    },
}
CONF = {
    "server": "https://198.51.100.20:6443",
    "ca_hashes": [OURS],
    "ca_names": ["kubernetes"],
    "client_not_after_s": NOW_S + 86_400,
    "problem": None,
}


def facts(membership: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    result = copy.deepcopy(FRESH)
    result["membership"].update(membership or {})
    return {**result, **changed}


@pytest.mark.parametrize(
    ("membership", "target", "action"),
    [
        pytest.param({}, replace(TARGET, has_node=False), JoinAction.JOIN, id="fresh"),
        pytest.param({}, TARGET, JoinAction.JOIN, id="fresh, the node of an earlier life is still there"),
        pytest.param({"kubelet_conf": CONF}, TARGET, JoinAction.NONE, id="joined here"),
        pytest.param({"kubelet_conf": {**CONF, "ca_hashes": [THEIRS, OURS]}}, TARGET, JoinAction.NONE, id="trusts an old and the new CA"),
        pytest.param({"kubelet_conf": CONF}, replace(TARGET, has_node=False), JoinAction.REJOIN, id="node deleted"),
        pytest.param({"kubelet_conf": {**CONF, "client_not_after_s": NOW_S}}, TARGET, JoinAction.REJOIN, id="certificate expired"),
        pytest.param({"kubelet_conf": {**CONF, "client_not_after_s": None}}, TARGET, JoinAction.REJOIN, id="no certificate"),
        pytest.param({"kubelet_conf": {**CONF, "ca_hashes": []}}, TARGET, JoinAction.REJOIN, id="no CA"),
        pytest.param({"kubelet_conf": {**CONF, "problem": "broken", "ca_hashes": []}}, TARGET, JoinAction.REJOIN, id="unreadable"),
        pytest.param({"is_reset_unfinished": True}, TARGET, JoinAction.REJOIN, id="killed during a reset"),
        pytest.param({"is_reset_unfinished": True, "kubelet_conf": CONF}, TARGET, JoinAction.REJOIN, id="killed early in a reset"),
        pytest.param({"has_bootstrap_conf": True}, TARGET, JoinAction.REJOIN, id="killed during the TLS bootstrap"),
        pytest.param({"leftovers": ["/etc/kubernetes/pki/ca.crt"]}, TARGET, JoinAction.REJOIN, id="killed before the TLS bootstrap"),
    ],
)
def test_action(membership: dict[str, Any], target: JoinTarget, action: JoinAction) -> None:
    assert plan_join("worker-1", facts(membership), target, WANTED, now_s=NOW_S).action is action


def test_a_host_that_joined_elsewhere_is_refused_with_both_clusters_named() -> None:
    foreign = {**CONF, "server": "https://192.0.2.1:6443", "ca_hashes": [THEIRS], "ca_names": ["other"]}
    with pytest.raises(InvalidError) as caught:
        plan_join("worker-1", facts({"kubelet_conf": foreign}), TARGET, WANTED, now_s=NOW_S)
    assert caught.value.msg == (
        "host worker-1: it has joined another cluster: https://192.0.2.1:6443 with CA other (sha256:bb), not tenant default/acme at "
        "https://198.51.100.20:6443 (sha256:aa); take it out of that one first (playbook worker_reset with that cluster as worker_tenant or "
        "worker_tenant_kubeconfig), or choose another host"
    )


FOREIGN = {**CONF, "server": "https://192.0.2.1:6443", "ca_hashes": [THEIRS], "ca_names": ["other"]}
BLUE, RED = Owner("tenants", "blue", "192.0.2.1:6443"), Owner("tenants", "red", "192.0.2.2:6443")


def test_a_node_of_another_tenant_is_refused_with_the_way_to_move_it() -> None:
    with pytest.raises(InvalidError, match=r"that is tenant tenants/blue: move the host from there \(playbook worker_move\), or choose"):
        plan_join("worker-1", facts({"kubelet_conf": FOREIGN}), TARGET, WANTED, now_s=NOW_S, owners=[BLUE])


def test_a_node_of_another_tenant_is_moved_when_it_may_be() -> None:
    seen = facts({"kubelet_conf": FOREIGN, "kubelet_version": "v1.35.4"}, ports={"10250": "kubelet"})
    plan = plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S, owners=[BLUE], may_move=True)
    assert (plan.action, plan.leaves) == (JoinAction.MOVE, BLUE)
    assert plan.reason == "it is a node of tenant tenants/blue and becomes one of tenant default/acme"


def test_tenants_with_one_ca_are_told_apart_by_their_addresses() -> None:
    seen = facts({"kubelet_conf": FOREIGN})
    assert plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S, owners=[BLUE, RED], may_move=True).leaves == BLUE
    unknown = facts({"kubelet_conf": {**FOREIGN, "server": "https://192.0.2.3:6443"}})
    with pytest.raises(InvalidError, match="that CA is shared by tenants tenants/blue, tenants/red, none of which has that address"):
        plan_join("worker-1", unknown, TARGET, WANTED, now_s=NOW_S, owners=[BLUE, RED], may_move=True)


@pytest.mark.parametrize(
    ("seen", "owners", "said"),
    [
        pytest.param(
            facts({"kubelet_conf": FOREIGN}),
            [],
            r"https://192.0.2.1:6443 with CA other \(sha256:bb\), not tenant .*no tenant of this management cluster has that CA: take it out",
            id="no tenant",
        ),
        pytest.param(
            facts({"kubelet_conf": FOREIGN, "static_pods": ["kube-apiserver.yaml"]}), [BLUE], "it runs a control plane", id="control plane"
        ),
        pytest.param(
            facts({"kubelet_conf": FOREIGN}, unreachable=["198.51.100.20:6443"]), [BLUE], "cannot reach tenant default/acme", id="route"
        ),
        pytest.param(facts({"kubelet_conf": FOREIGN}, free_mb={"/var": 1}), [BLUE], "1 MiB free", id="room"),
    ],
)
def test_what_is_in_the_way_of_a_move_is_told_before_the_node_is_touched(seen: dict[str, Any], owners: list[Owner], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S, owners=owners, may_move=True)


def test_a_host_in_order_is_not_moved() -> None:
    seen = facts({"kubelet_conf": CONF})
    assert plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S, owners=[BLUE], may_move=True).action is JoinAction.NONE
    assert plan_join("worker-1", facts(), TARGET, WANTED, now_s=NOW_S, may_move=True).action is JoinAction.JOIN


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        pytest.param(facts(is_root=False), WANTED, "does not become root; give it sudo", id="sudo"),
        pytest.param(facts(is_systemd=False), WANTED, "not booted with systemd", id="systemd"),
        pytest.param(facts(architecture="arm64"), WANTED, "it is arm64, the bundle is for amd64", id="architecture"),
        pytest.param(facts(missing_tools=["mount (volumes)"]), WANTED, r"not installed: mount \(volumes\)", id="tools"),
        pytest.param(facts(free_mb={"/var/lib/kubelet": 12}), WANTED, "/var/lib/kubelet: 12 MiB free, 3072 MiB are needed", id="disk"),
        pytest.param(facts(memory_mb=512), WANTED, "512 MiB of memory, 900 MiB are needed", id="memory"),
        pytest.param(facts(ports={"10250": "nginx"}), WANTED, "TCP port 10250 is in use by nginx; stop it", id="port"),
        pytest.param(
            facts(unreachable=["198.51.100.20:6443"]), WANTED, "cannot reach tenant default/acme at 198.51.100.20:6443", id="route"
        ),
        pytest.param(
            facts(unreachable=["198.51.100.20:6443"]),
            WANTED,
            "whether the load balancer of the management cluster answers for that address: 'kubectl -n default describe service acme'",
            id="load balancer",
        ),
        pytest.param(facts(clock_offset_s=-3600), WANTED, "its clock is -3600 s off", id="clock"),
        pytest.param(facts(), replace(WANTED, node_name="Worker_1"), 'node name "Worker_1" is not a DNS name', id="name"),
        pytest.param(
            facts(), replace(WANTED, bundle_version="v1.37.0"), "kubelet v1.37.0 is newer than the API server v1.36.3", id="newer"
        ),
        pytest.param(facts(), replace(WANTED, bundle_version="v1.32.0"), "more than 3 minors older", id="older"),
        pytest.param(
            facts({"static_pods": ["kube-apiserver.yaml"], "kubelet_conf": {**CONF, "server": "https://192.0.2.1:6443"}}),
            WANTED,
            r"it runs a control plane \(https://192.0.2.1:6443\)",
            id="control plane",
        ),
    ],
)
def test_refusals_name_the_host_and_what_to_do(seen: dict[str, Any], wanted: JoinRequirements, said: str) -> None:
    with pytest.raises(InvalidError, match=f"^host worker-1: .*{said}"):
        plan_join("worker-1", seen, TARGET, wanted, now_s=NOW_S)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as caught:
        plan_join("worker-1", facts(memory_mb=1, free_mb={"/var": 0}, ports={"10250": "x"}), TARGET, WANTED, now_s=NOW_S)
    assert len(caught.value.result["problems"]) == 3


def test_a_node_may_have_filled_its_disk_and_uses_its_port() -> None:
    seen = facts({"kubelet_conf": CONF}, free_mb={"/var/lib/kubelet": 1}, ports={"10250": "kubelet"})
    assert plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S).action is JoinAction.NONE


def test_a_half_joined_host_may_hold_the_port_but_needs_room() -> None:
    half = {"has_bootstrap_conf": True}
    seen = facts(half, ports={"10250": "kubelet"})
    assert plan_join("worker-1", seen, TARGET, WANTED, now_s=NOW_S).action is JoinAction.REJOIN
    with pytest.raises(InvalidError, match="MiB free"):
        plan_join("worker-1", facts(half, free_mb={"/var": 1}), TARGET, WANTED, now_s=NOW_S)


def test_a_node_is_not_moved_to_another_minor_but_to_another_patch() -> None:
    older = replace(WANTED, bundle_version="v1.35.4")
    with pytest.raises(
        InvalidError, match=r"kubelet v1\.36\.3, the bundle is of v1\.35\.4; .*set worker_bundle_dir to a bundle of 1\.36, or take"
    ):
        plan_join("worker-1", facts({"kubelet_conf": CONF, "kubelet_version": "v1.36.3"}), TARGET, older, now_s=NOW_S)

    with pytest.raises(
        InvalidError, match=r"the bundle is of v1\.36\.3; bring it there drained \(playbook worker_upgrade\), or set worker_bundle_dir"
    ):
        plan_join("worker-1", facts({"kubelet_conf": CONF, "kubelet_version": "v1.35.4"}), TARGET, WANTED, now_s=NOW_S)

    patch = facts({"kubelet_conf": CONF, "kubelet_version": "v1.36.1"})
    assert plan_join("worker-1", patch, TARGET, WANTED, now_s=NOW_S).action is JoinAction.NONE
    # One that joins again is empty.
    again = facts({"has_bootstrap_conf": True, "kubelet_version": "v1.36.3"})
    assert plan_join("worker-1", again, TARGET, older, now_s=NOW_S).action is JoinAction.REJOIN


@pytest.mark.parametrize(
    ("endpoint", "configuration", "expected"),
    [
        ("https://198.51.100.20:6443", "networking:\n  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/16\n", False),
        ("https://api.example.com:6443", "", False),
        ("https://[2001:db8::1]:6443", "", True),
        ("https://198.51.100.20:6443", "networking:\n  podSubnet: 10.244.0.0/16,fd00:10:244::/56\n", True),
        ("https://198.51.100.20:6443", 'networking:\n  serviceSubnet: "fd00::/112"\n', True),
    ],
)
def test_uses_ipv6(endpoint: str, configuration: str, expected: bool) -> None:
    assert uses_ipv6(endpoint, configuration) is expected
