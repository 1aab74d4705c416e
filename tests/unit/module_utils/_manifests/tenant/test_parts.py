# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user's choices do to single objects inside the tenant cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.bootstrap import cluster_info
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.coredns import coredns
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kube_proxy import kube_proxy
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubeadm_config import cluster_configuration
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubelet_config import (
    kubelet_config,
    kubelet_configuration,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubernetes_endpoints import kubernetes_endpoints

INPUTS = TenantInputs("api.acme.example", 443, "Q0E=", "198.51.100.10")


def _tenant(**spec: Any) -> TenantControlPlane:
    kubernetes = {**spec.pop("kubernetes", {}), "version": "v1.36.3"}
    return parse({"metadata": {"name": "acme", "namespace": "tenants"}, "spec": {"kubernetes": kubernetes, **spec}})


def _find(built: list[Json], kind: str) -> Json:
    (found,) = [obj for obj in built if obj["kind"] == kind]
    return found


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("198.51.100.10", "https://198.51.100.10:6443"),
        ("api.acme.example", "https://api.acme.example:6443"),
        ("fd00::1", "https://[fd00::1]:6443"),
        (UNKNOWN, f"https://{UNKNOWN}:6443"),
    ],
)
def test_server_of_cluster_info(host: str, server: str) -> None:
    info = _find(cluster_info(TenantInputs(host, 6443, "Q0E=", "198.51.100.10")), "ConfigMap")
    assert set(info["data"]) == {"kubeconfig"}
    kubeconfig = yaml.safe_load(info["data"]["kubeconfig"])
    assert kubeconfig["clusters"] == [{"cluster": {"certificate-authority-data": "Q0E=", "server": server}, "name": ""}]


@pytest.mark.parametrize(
    ("registry", "addon", "image"),
    [
        (None, {}, "registry.k8s.io/coredns/coredns:v1.14.2"),
        ("mirror.example/k8s", {}, "mirror.example/k8s/coredns:v1.14.2"),
        (None, {"imageTag": "v9"}, "registry.k8s.io/coredns/coredns:v9"),
        (None, {"imageRepository": "dns.example"}, "dns.example/coredns:v1.14.2"),
        (None, {"imageRepository": "registry.k8s.io", "imageTag": "v9"}, "registry.k8s.io/coredns/coredns:v9"),
        ("mirror.example/k8s", {"imageRepository": "dns.example", "imageTag": "v9"}, "dns.example/coredns:v9"),
        ("mirror.example/k8s", {"imageRepository": "registry.k8s.io"}, "registry.k8s.io/coredns/coredns:v1.14.2"),
    ],
)
def test_coredns_image(registry: str | None, addon: Json, image: str) -> None:
    deployment = {"registrySettings": {"registry": registry}} if registry else {}
    built = coredns(_tenant(addons={"coreDNS": addon}, controlPlane={"deployment": deployment}))
    assert _find(built, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize(
    ("addon", "image"),
    [
        ({}, "registry.k8s.io/kube-proxy:v1.36.3"),
        ({"imageTag": "v9"}, "registry.k8s.io/kube-proxy:v9"),
        ({"imageRepository": "proxy.example"}, "proxy.example/kube-proxy:v1.36.3"),
        ({"imageRepository": "proxy.example", "imageTag": "v9"}, "proxy.example/kube-proxy:v9"),
    ],
)
def test_kube_proxy_image(addon: Json, image: str) -> None:
    built = kube_proxy(_tenant(addons={"kubeProxy": addon}), INPUTS)
    assert _find(built, "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize(
    ("dns_service_ips", "addresses"),
    [
        (["10.96.0.10"], None),
        (["10.96.0.10", "10.96.0.11"], None),
        (["10.96.0.10", "fd00:96::a"], ["10.96.0.10", "fd00:96::a"]),
        (["fd00:96::a", "10.96.0.10"], ["fd00:96::a", "10.96.0.10"]),
        (["10.96.0.10", "10.96.0.11", "fd00:96::a", "fd00:96::b"], ["10.96.0.10", "fd00:96::a"]),
    ],
)
def test_addresses_of_dns(dns_service_ips: list[str], addresses: list[str] | None) -> None:
    tenant = _tenant(addons={"coreDNS": {}}, networkProfile={"dnsServiceIPs": dns_service_ips})
    spec = _find(coredns(tenant), "Service")["spec"]
    assert spec["clusterIP"] == dns_service_ips[0]
    assert spec.get("clusterIPs") == addresses
    assert spec.get("ipFamilyPolicy") == ("PreferDualStack" if addresses else None)
    assert kubelet_configuration(tenant)["clusterDNS"] == dns_service_ips


def test_the_domain_reaches_corefile_and_kubelet() -> None:
    tenant = _tenant(addons={"coreDNS": {}}, networkProfile={"clusterDomain": "acme.example"})
    corefile = _find(coredns(tenant), "ConfigMap")["data"]["Corefile"]
    assert corefile.count("acme.example") == 3
    assert "@" not in corefile
    assert kubelet_configuration(tenant)["clusterDomain"] == "acme.example"


@pytest.mark.parametrize(("cgroupfs", "driver"), [(None, "systemd"), ("systemd", "systemd"), ("cgroupfs", "cgroupfs")])
def test_cgroup_driver(cgroupfs: str | None, driver: str) -> None:
    assert kubelet_configuration(_tenant(kubernetes={"kubelet": {"cgroupfs": cgroupfs}}))["cgroupDriver"] == driver


@pytest.mark.parametrize(("patches", "signed"), [([], True), ([{"op": "add", "path": "/maxPods", "value": 5}], False)])
def test_a_patched_kubelet_configuration_bears_no_checksum(patches: list[Json], signed: bool) -> None:
    """kubeadm would replace a configuration with a true checksum on the node's upgrade."""
    config = _find(kubelet_config(_tenant(kubernetes={"kubelet": {"configurationJSONPatches": patches}})), "ConfigMap")
    assert ("annotations" in config["metadata"]) is signed
    assert ("maxPods: 5" in config["data"]["kubelet"]) is not signed


def test_the_lab_patches_of_kube_proxy() -> None:
    zeros = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    patches = [
        {"op": "replace", "path": "/mode", "value": "nftables"},
        *({"op": "replace", "path": f"/conntrack/{name}", "value": value} for name, value in zeros.items()),
    ]
    config = _find(kube_proxy(_tenant(addons={"kubeProxy": {"configurationJSONPatches": patches}}), INPUTS), "ConfigMap")
    parsed = yaml.safe_load(config["data"]["config.conf"])
    assert parsed["mode"] == "nftables"
    assert {name: parsed["conntrack"][name] for name in zeros} == zeros
    assert parsed["clusterCIDR"] == "10.244.0.0/16"
    assert "annotations" not in config["metadata"]
    assert "server: https://api.acme.example:443\n" in config["data"]["kubeconfig.conf"]


@pytest.mark.parametrize(
    ("service_cidrs", "bind_address"),
    [
        (["10.96.0.0/16"], "0.0.0.0"),
        (["10.96.0.0/16", "fd00::/112"], "0.0.0.0"),
        (["fd00::/112"], "::"),
        (["fd00::/112", "10.96.0.0/16"], "::"),
    ],
)
def test_kube_proxy_binds_to_the_first_family(service_cidrs: list[str], bind_address: str) -> None:
    tenant = _tenant(addons={"kubeProxy": {}}, networkProfile={"serviceCidrs": service_cidrs})
    config = _find(kube_proxy(tenant, INPUTS), "ConfigMap")
    assert yaml.safe_load(config["data"]["config.conf"])["bindAddress"] == bind_address


@pytest.mark.parametrize(
    ("spec", "path", "value"),
    [
        ({}, ("dns",), {"disabled": True}),
        ({"addons": {"coreDNS": {}}}, ("dns",), {}),
        ({"addons": {"coreDNS": {"imageTag": "v9"}}}, ("dns",), {"imageTag": "v9"}),
        ({"addons": {"coreDNS": {"imageRepository": "dns.example"}}}, ("dns",), {"imageRepository": "dns.example"}),
        ({}, ("proxy",), {"disabled": True}),
        ({"addons": {"kubeProxy": {}}}, ("proxy",), {}),
        ({}, ("controlPlaneEndpoint",), "api.acme.example:443"),
        ({}, ("clusterName",), "acme"),
        ({}, ("encryptionAlgorithm",), "ECDSA-P256"),
        ({"certificates": {"keyAlgorithm": "RSA-2048"}}, ("encryptionAlgorithm",), "RSA-2048"),
        ({"networkProfile": {"certSANs": ["a.example"]}}, ("apiServer",), {"certSANs": ["a.example"]}),
        ({"networkProfile": {"podCidrs": ["fd00::/56", "10.1.0.0/16"]}}, ("networking", "podSubnet"), "fd00::/56,10.1.0.0/16"),
    ],
)
def test_cluster_configuration(spec: Json, path: tuple[str, ...], value: object) -> None:
    found: Any = cluster_configuration(_tenant(**spec), INPUTS)
    for key in path:
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("address", "service_cidr", "address_type"),
    [
        ("198.51.100.10", "10.96.0.0/16", "IPv4"),
        ("fd00::10", "fd00:96::/112", "IPv6"),
        (UNKNOWN, "10.96.0.0/16", "IPv4"),
        (UNKNOWN, "fd00:96::/112", "IPv6"),
    ],
)
def test_endpoints_of_the_api_server(address: str, service_cidr: str, address_type: str) -> None:
    tenant = _tenant(networkProfile={"port": 7443, "serviceCidrs": [service_cidr]})
    endpoints, endpoint_slice = kubernetes_endpoints(tenant, TenantInputs("api.acme.example", 443, "Q0E=", address))
    port = {"name": "https", "port": 7443, "protocol": "TCP"}
    assert endpoints["subsets"] == [{"addresses": [{"ip": address}], "ports": [port]}]
    assert endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert endpoint_slice["addressType"] == address_type
    assert endpoint_slice["endpoints"] == [{"addresses": [address], "conditions": {"ready": True}}]
    assert endpoint_slice["ports"] == [port]
    assert endpoint_slice["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
