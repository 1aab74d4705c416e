# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host may become the management cluster: one row per state it can be in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.filter.management_host_problems import management_host_problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.management_host import ManagementHostRequirements, host_problems
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._api.test_join import CONF, facts

WANTED = ManagementHostRequirements(bundle_arch="amd64", is_own=False, minimum_free_mb=3072, minimum_memory_mb=1700)
OWN = replace(WANTED, is_own=True)
CONTROL_PLANE = {"kubelet_conf": CONF, "static_pods": ["etcd.yaml", "kube-apiserver.yaml"], "has_admin_conf": True}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        pytest.param(facts(), WANTED, id="fresh"),
        pytest.param(facts(CONTROL_PLANE, ports={"6443": "kube-apiserver"}, free_mb={"/var": 1}), OWN, id="made by the role"),
        pytest.param(facts({"leftovers": ["/etc/kubernetes/pki/ca.crt"]}), OWN, id="begun by the role"),
    ],
)
def test_nothing_is_in_the_way(seen: dict[str, Any], wanted: ManagementHostRequirements) -> None:
    assert host_problems(seen, wanted) == []


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        pytest.param(
            facts(CONTROL_PLANE),
            r"control plane of https://198\.51\.100\.20:6443 .*found /etc/kubernetes/admin\.conf, etcd\.yaml, kube-apiserver\.yaml.*leave the "
            "group management empty",
            id="control plane of another kubeadm",
        ),
        pytest.param(facts({"static_pods": ["etcd.yaml"]}), r"control plane of a cluster .*found etcd\.yaml", id="etcd alone"),
        pytest.param(facts({"has_admin_conf": True}), r"found /etc/kubernetes/admin\.conf", id="administrator's kubeconfig"),
        pytest.param(
            facts({"kubelet_conf": CONF}), r"a node of https://198\.51\.100\.20:6443 \(CA kubernetes.*playbook worker_reset", id="worker"
        ),
        pytest.param(facts({"has_bootstrap_conf": True}), "found bootstrap-kubelet.conf.*kubeadm reset", id="half a worker"),
        pytest.param(facts({"leftovers": ["/var/lib/kubelet/config.yaml"]}), "found /var/lib/kubelet/config.yaml", id="leftovers"),
        pytest.param(facts(architecture="arm64"), "it is arm64, the bundle is for amd64; set management_cluster_bundle_dir", id="arm"),
        pytest.param(facts(memory_mb=512), "512 MiB of memory, 1700 MiB are needed.*management_cluster_minimum_memory_mb", id="memory"),
        pytest.param(facts(free_mb={"/var/lib/etcd": 12}), "/var/lib/etcd: 12 MiB free.*management_cluster_minimum_free_mb", id="disk"),
        pytest.param(facts(ports={"6443": "haproxy"}), "TCP port 6443 is in use by haproxy; stop it", id="port"),
        pytest.param(facts(missing_tools=["mount (volumes)"]), r"not installed: mount \(volumes\); install", id="tools"),
        pytest.param(facts(is_root=False), "does not become root; give it sudo", id="sudo"),
        pytest.param(facts(is_systemd=False), "not booted with systemd", id="systemd"),
    ],
)
def test_what_is_in_the_way_is_named_with_its_remedy(seen: dict[str, Any], said: str) -> None:
    (problem,) = host_problems(seen, WANTED)
    assert re.search(said, problem)


def test_the_cluster_that_runs_may_have_filled_its_host_but_gets_no_other_architecture() -> None:
    (problem,) = host_problems(facts(CONTROL_PLANE, architecture="arm64", free_mb={"/var": 0}), OWN)
    assert problem.startswith("it is arm64")


def test_the_filter_takes_numbers_as_text() -> None:
    requirements = {"bundle_arch": "amd64", "is_own": False, "minimum_free_mb": "3072", "minimum_memory_mb": "1700"}
    assert management_host_problems(facts(), requirements) == []
