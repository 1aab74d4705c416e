# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service, ConfigMaps, NetworkPolicy, PodDisruptionBudget, and which of them a tenant has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, find_resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, tenant

ALL = [
    "Service acme",
    "ConfigMap acme-kubeadmconfig",
    "ConfigMap acme-konnectivity-egress-selector-configuration",
    "NetworkPolicy acme",
    "PodDisruptionBudget acme",
    "Deployment acme",
]
SERVICE = "controlPlane__service__"


def made(**spec: Any) -> dict[str, Json]:
    return {f"{item['kind']} {item['metadata']['name']}": item for item in objects(tenant(**spec), inputs())}


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ({}, []),
        ({"addons__konnectivity": None}, [ALL[2]]),
        ({"controlPlane__deployment__hardening": "none"}, [ALL[3]]),
        ({"controlPlane__deployment__replicas": 1}, [ALL[4]]),
        ({"controlPlane__deployment__replicas": 0}, [ALL[4]]),
    ],
)
def test_which_objects(spec: dict[str, Any], missing: list[str]) -> None:
    assert list(made(**spec)) == [name for name in ALL if name not in missing]


def test_an_autoscaled_tenant_has_a_budget() -> None:
    assert "PodDisruptionBudget" in [item["kind"] for item in objects(tenant(), inputs(replicas=None))]


def test_all_belong_to_the_tenant_and_are_kinds_the_engine_knows() -> None:
    for item in objects(tenant(), inputs()):
        assert find_resource(item["apiVersion"], item["kind"])
        assert item["metadata"]["namespace"] == "tenants"
        assert item["metadata"]["labels"]["kamaji.clastix.io/name"] == "acme"
        assert [owner["uid"] for owner in item["metadata"]["ownerReferences"]] == ["8d0f"]


def test_unknown_values_only_travel() -> None:
    unknown = inputs(uid=UNKNOWN, addresses=(UNKNOWN,), advertise_address=UNKNOWN, endpoint=f"{UNKNOWN}:6443", checksums={"ca": UNKNOWN})
    assert all(has_unknown(item) for item in objects(tenant(), unknown))


def test_load_balancer_service() -> None:
    spec = made(
        controlPlane__service__allocateLoadBalancerNodePorts=False,
        controlPlane__service__additionalPorts=[
            {"name": "extra", "port": 80, "targetPort": 8080},
            {"name": "same", "port": 53, "protocol": "UDP", "appProtocol": "dns"},
        ],
        networkProfile__loadBalancerClass="example.com/lb",
        networkProfile__loadBalancerSourceRanges=["198.18.0.0/15"],
    )["Service acme"]["spec"]
    assert spec == {
        "type": "LoadBalancer",
        "selector": {"kamaji.clastix.io/name": "acme"},
        "allocateLoadBalancerNodePorts": False,
        "loadBalancerClass": "example.com/lb",
        "loadBalancerSourceRanges": ["198.18.0.0/15"],
        "ports": [
            {"name": "kube-apiserver", "protocol": "TCP", "port": 6443, "targetPort": 6443},
            {"name": "konnectivity-server", "protocol": "TCP", "port": 8132, "targetPort": 8132},
            {"name": "extra", "protocol": "TCP", "port": 80, "targetPort": 8080},
            {"name": "same", "protocol": "UDP", "port": 53, "targetPort": 53, "appProtocol": "dns"},
        ],
    }


def test_node_port_service_uses_the_same_number_on_the_nodes() -> None:
    spec = made(controlPlane__service__serviceType="NodePort", networkProfile__port=30443, addons__konnectivity__server={"port": 30132})[
        "Service acme"
    ]["spec"]
    assert [(port["port"], port["nodePort"]) for port in spec["ports"]] == [(30443, 30443), (30132, 30132)]
    assert "allocateLoadBalancerNodePorts" not in spec


@pytest.mark.parametrize(
    ("kind", "allowed", "expected"),
    [("ClusterIP", True, ["192.0.2.7"]), ("NodePort", True, ["192.0.2.7"]), ("ClusterIP", False, None), ("LoadBalancer", True, None)],
)
def test_external_address(kind: str, allowed: bool, expected: list[str] | None) -> None:
    spec = {SERVICE + "serviceType": kind, "networkProfile__address": "192.0.2.7", "networkProfile__allowAddressAsExternalIP": allowed}
    assert made(**spec)["Service acme"]["spec"].get("externalIPs") == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {}),
        (
            {"networkProfile__serviceCidrs": ["fd00:1::/112", "10.96.0.0/16"]},
            {"ipFamilyPolicy": "PreferDualStack"},
        ),
        (
            {SERVICE + "ipFamilies": ["IPv6", "IPv4"], SERVICE + "ipFamilyPolicy": "RequireDualStack"},
            {"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack"},
        ),
        (
            {SERVICE + "ipFamilies": ["IPv6"], "networkProfile__serviceCidrs": ["fd00:1::/112", "10.96.0.0/16"]},
            {"ipFamilies": ["IPv6"]},
        ),
    ],
)
def test_address_families_of_the_service(spec: dict[str, Any], expected: Json) -> None:
    found = made(**spec)["Service acme"]["spec"]
    assert {key: value for key, value in found.items() if key.startswith("ipFamil")} == expected


def test_ingress() -> None:
    wanted = {"hostname": "acme.example.com:443", "ingressClassName": "haproxy", "additionalMetadata": {"annotations": {"pass": "tls"}}}
    ingress = made(controlPlane__ingress=wanted)["Ingress acme"]
    assert ingress["metadata"]["annotations"] == {"pass": "tls"}
    assert ingress["metadata"]["labels"]["kamaji.clastix.io/component"] == "ingress"
    assert ingress["spec"] == {
        "ingressClassName": "haproxy",
        "rules": [
            {
                "host": "acme.example.com",
                "http": {
                    "paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "acme", "port": {"number": 6443}}}}]
                },
            }
        ],
    }
    assert "ingressClassName" not in made(controlPlane__ingress={"hostname": "a.example"})["Ingress acme"]["spec"]


def test_routes_of_a_gateway() -> None:
    parents = [{"name": "public", "sectionName": "kube-apiserver"}, {"name": "public", "sectionName": "other"}]
    wanted = {"hostname": "acme.example.com:443", "parentRefs": parents, "additionalMetadata": {"labels": {"a": "b"}}}
    found = made(controlPlane__gateway=wanted)
    assert found["TLSRoute acme"]["spec"] == {
        "hostnames": ["acme.example.com"],
        "parentRefs": parents,
        "rules": [{"backendRefs": [{"name": "acme", "port": 6443}]}],
    }
    assert found["TLSRoute acme-konnectivity"]["spec"] == {
        "hostnames": ["acme.example.com"],
        "parentRefs": [{"name": "public", "sectionName": "konnectivity-server", "port": 8132}],
        "rules": [{"backendRefs": [{"name": "acme", "port": 8132}]}],
    }
    assert {found[name]["metadata"]["labels"]["kamaji.clastix.io/component"] for name in found if name.startswith("TLSRoute")} == {
        "gateway",
        "gateway-konnectivity",
    }
    assert all(found[name]["metadata"]["labels"]["a"] == "b" for name in found if name.startswith("TLSRoute"))


def test_a_gateway_without_konnectivity_has_one_route() -> None:
    found = made(controlPlane__gateway={"hostname": "acme.example.com"}, addons__konnectivity=None)
    assert [name for name in found if name.startswith("TLSRoute")] == ["TLSRoute acme"]
    assert "parentRefs" not in found["TLSRoute acme"]["spec"]


def test_names_of_a_route_reach_the_kubeadm_configuration() -> None:
    data = made(controlPlane__ingress={"hostname": "acme.example.com"})["ConfigMap acme-kubeadmconfig"]["data"]
    assert "acme.example.com" in json.loads(data["ClusterConfiguration"])["apiServer"]["certSANs"]


def test_metadata_of_the_user_reaches_the_service_and_cannot_hide_ours() -> None:
    user = {"labels": {"a": "b", "kamaji.clastix.io/name": "x"}, "annotations": {"metallb.io/address-pool": "p"}}
    metadata = made(**{SERVICE + "additionalMetadata": user})["Service acme"]["metadata"]
    assert metadata["labels"]["a"] == "b"
    assert metadata["labels"]["kamaji.clastix.io/name"] == "acme"
    assert metadata["annotations"] == {"metallb.io/address-pool": "p"}


def test_network_policy_lets_in_what_the_service_exposes() -> None:
    ports = [{"name": "extra", "port": 80, "targetPort": "web"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    spec = made(**{SERVICE + "additionalPorts": ports})["NetworkPolicy acme"]["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [
        {
            "ports": [
                {"protocol": "TCP", "port": 6443},
                {"protocol": "TCP", "port": 8132},
                {"protocol": "TCP", "port": "web"},
                {"protocol": "UDP", "port": 53},
            ]
        }
    ]


def test_kubeadm_configuration() -> None:
    data = made(networkProfile__certSANs=["acme.example"])["ConfigMap acme-kubeadmconfig"]["data"]
    cluster = json.loads(data["ClusterConfiguration"])
    assert cluster["controlPlaneEndpoint"] == "198.18.0.200:6443"
    assert cluster["networking"] == {"dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"}
    assert cluster["apiServer"]["certSANs"] == ["acme.example", "acme", "acme.tenants.svc", "198.18.0.200"]
    assert json.loads(data["InitConfiguration"])["localAPIEndpoint"] == {"advertiseAddress": "198.18.0.200", "bindPort": 6443}


def test_egress_selector_and_server_share_the_socket() -> None:
    result = made()
    data = result["ConfigMap acme-konnectivity-egress-selector-configuration"]["data"]["egress-selector-configuration.yaml"]
    assert json.loads(data)["egressSelections"] == [
        {
            "name": "cluster",
            "connection": {"proxyProtocol": "GRPC", "transport": {"uds": {"udsName": "/run/konnectivity/konnectivity-server.socket"}}},
        }
    ]
    sharing = {
        item["name"]
        for item in result["Deployment acme"]["spec"]["template"]["spec"]["containers"]
        if any(mount["mountPath"] == "/run/konnectivity" for mount in item["volumeMounts"])
    }
    assert sharing == {"kube-apiserver", "konnectivity-server"}


def test_disruption_budget() -> None:
    assert made()["PodDisruptionBudget acme"]["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"kamaji.clastix.io/name": "acme"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
