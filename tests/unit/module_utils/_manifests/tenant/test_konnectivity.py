# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Konnectivity agents and the rights that go with them."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.konnectivity import konnectivity

INPUTS = TenantInputs("198.51.100.10", 6443, "Q0E=", "198.51.100.10")
ARGUMENTS = [
    "--logtostderr=true",
    "--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    "--proxy-server-host=198.51.100.10",
    "--proxy-server-port=8132",
    "--admin-server-port=8133",
    "--health-server-port=8134",
    "--service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token",
    "--count-server-leases=true",
    "--lease-namespace=kube-system",
    "--lease-label=k8s-app=konnectivity-server",
    "--keepalive-time=1m",
]


def _tenant(version: str = "v1.36.3", **konnectivity_spec: Json) -> TenantControlPlane:
    addons = {"konnectivity": konnectivity_spec}
    return parse({"metadata": {"name": "acme"}, "spec": {"kubernetes": {"version": version}, "addons": addons}})


def _workload(tenant: TenantControlPlane, inputs: TenantInputs = INPUTS) -> Json:
    return konnectivity(tenant, inputs)[-1]


def _pod(tenant: TenantControlPlane, inputs: TenantInputs = INPUTS) -> Json:
    pod: Json = _workload(tenant, inputs)["spec"]["template"]["spec"]
    return pod


def _arguments(tenant: TenantControlPlane, inputs: TenantInputs = INPUTS) -> list[str]:
    arguments: list[str] = _pod(tenant, inputs)["containers"][0]["args"]
    return arguments


def test_all_arguments_by_default() -> None:
    assert _arguments(_tenant()) == ARGUMENTS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--v=4"], [*ARGUMENTS, "--v=4"]),
        (["--keepalive-time=5m"], [*ARGUMENTS[:-1], "--keepalive-time=5m"]),
        (
            ["--agent-identifiers=host=a", "--agent-identifiers=host=b"],
            [*ARGUMENTS, "--agent-identifiers=host=a", "--agent-identifiers=host=b"],
        ),
    ],
)
def test_arguments_of_the_user(given: list[str], expected: list[str]) -> None:
    assert _arguments(_tenant(agent={"extraArgs": given})) == expected


@pytest.mark.parametrize(
    ("server", "agent", "counts"),
    [({}, {}, True), ({"version": "v0.30.3"}, {}, False), ({}, {"version": "v0.30.3"}, False), ({"version": "v0.33.0"}, {}, True)],
)
def test_leases_are_counted_only_when_both_sides_know_them(server: Json, agent: Json, counts: bool) -> None:
    arguments = _arguments(_tenant(server=server, agent=agent))
    assert ("--count-server-leases=true" in arguments) is counts
    assert any(argument.startswith("--lease-") for argument in arguments) is counts


def test_the_agent_needs_neither_kube_proxy_nor_coredns_to_come_up() -> None:
    pod = _pod(_tenant(), TenantInputs("api.acme.example", 443, "Q0E=", "198.51.100.10", tunnel_host="198.51.100.10"))
    assert pod["containers"][0]["env"] == [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "api.acme.example"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": "443"},
    ]
    assert "--proxy-server-host=198.51.100.10" in pod["containers"][0]["args"]
    assert pod["dnsPolicy"] == "Default"


def test_ports_and_ipv6_host() -> None:
    inputs = TenantInputs("fd00::1", 6443, "Q0E=", "fd00::1")
    arguments = _arguments(_tenant(server={"port": 9132}), inputs)
    assert "--proxy-server-host=fd00::1" in arguments
    assert "--proxy-server-port=9132" in arguments


@pytest.mark.parametrize(
    ("version", "agent", "image"),
    [
        ("v1.36.3", {}, "registry.k8s.io/kas-network-proxy/proxy-agent:v0.36.0"),
        ("v1.35.0", {}, "registry.k8s.io/kas-network-proxy/proxy-agent:v0.34.0"),
        ("v1.36.3", {"version": "v0.33.0"}, "registry.k8s.io/kas-network-proxy/proxy-agent:v0.33.0"),
        ("v1.36.3", {"image": "mirror.example/agent"}, "mirror.example/agent:v0.36.0"),
    ],
)
def test_image(version: str, agent: Json, image: str) -> None:
    container = _pod(_tenant(version, agent=agent))["containers"][0]
    assert container["image"] == image
    assert container["command"] == ["/proxy-agent"]


@pytest.mark.parametrize(
    ("agent", "kind", "replicas"),
    [
        ({}, "DaemonSet", None),
        ({"mode": "DaemonSet"}, "DaemonSet", None),
        ({"mode": "Deployment"}, "Deployment", 2),
        ({"mode": "Deployment", "replicas": 3}, "Deployment", 3),
        ({"mode": "Deployment", "replicas": 0}, "Deployment", 0),
    ],
)
def test_mode(agent: Json, kind: str, replicas: int | None) -> None:
    workload = _workload(_tenant(agent=agent))
    assert workload["kind"] == kind
    assert workload["spec"].get("replicas") == replicas
    assert ("affinity" in workload["spec"]["template"]["spec"]) is (kind == "Deployment")


@pytest.mark.parametrize(
    ("agent", "strategy"),
    [
        ({}, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        ({"hostNetwork": True}, None),
        ({"mode": "Deployment"}, None),
    ],
)
def test_a_new_agent_serves_before_the_old_one_goes_where_ports_allow_it(agent: Json, strategy: Json | None) -> None:
    assert _workload(_tenant(agent=agent))["spec"].get("updateStrategy") == strategy


@pytest.mark.parametrize(
    ("agent", "key", "value"),
    [
        ({}, "tolerations", [{"key": "CriticalAddonsOnly", "operator": "Exists"}]),
        ({"tolerations": []}, "tolerations", []),
        ({"tolerations": [{"operator": "Exists"}]}, "tolerations", [{"operator": "Exists"}]),
        ({}, "hostNetwork", None),
        ({"hostNetwork": True}, "hostNetwork", True),
    ],
)
def test_pod_settings(agent: Json, key: str, value: object) -> None:
    assert _pod(_tenant(agent=agent)).get(key) == value


def test_the_pod_is_hardened() -> None:
    pod = _pod(_tenant())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_the_token_is_for_the_server_only_and_short_lived() -> None:
    (volume,) = _pod(_tenant())["volumes"]
    (source,) = volume["projected"]["sources"]
    token = {"path": "konnectivity-agent-token", "audience": "system:konnectivity-server", "expirationSeconds": 3600}
    assert source == {"serviceAccountToken": token}


def test_rights() -> None:
    built = konnectivity(_tenant(), INPUTS)
    roles = {obj["metadata"]["name"]: obj["rules"] for obj in built if obj["kind"] == "Role"}
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    assert roles == {
        "system:konnectivity-server": [{**leases, "verbs": ["create", "delete", "get", "list", "update"]}],
        "konnectivity-agent": [{**leases, "verbs": ["list", "watch"]}],
    }
    (binding,) = [obj for obj in built if obj["kind"] == "ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert [subject["name"] for subject in binding["subjects"]] == ["system:konnectivity-server"]
