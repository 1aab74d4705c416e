# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a proof."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests import tenant_check

DEPLOYMENT = tenant_check.deployment("space", "registry.example/agnhost:1", ["w1", "w2"])
POD = DEPLOYMENT["spec"]["template"]["spec"]


def test_one_pod_for_each_node_and_for_no_other() -> None:
    assert DEPLOYMENT["spec"]["replicas"] == 2
    terms = POD["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["w1"], ["w2"]]
    (apart,) = POD["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"] == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]


def test_the_service_selects_the_pods_and_no_port_is_privileged() -> None:
    spec = tenant_check.service("space")["spec"]
    assert spec["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"] == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert spec["ports"][0]["targetPort"] == POD["containers"][0]["ports"][0]["containerPort"] > 1023


def test_pods_keep_to_the_level_that_the_namespace_enforces() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    assert tenant_check.namespace("space")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 0
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = POD["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(POD)
