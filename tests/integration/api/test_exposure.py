# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a tenant is published, on a real API server: Service types and addresses, Ingress, routes of the Gateway API."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from cryptography import x509

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import crd_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import read_kubeconfig_client
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, assert_predicted

BALANCER: Final = {"controlPlane.service.serviceType": "LoadBalancer"}
HOST: Final = "acme.example.com"

# The Gateway API is not part of Kubernetes and its definitions are not at hand: this one has the fields we write, under their names.
_ANY: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TLS_ROUTE: Final[Json] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "tlsroutes.gateway.networking.k8s.io",
        # The server wants it for groups of Kubernetes' own name.
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "TLSRoute", "listKind": "TLSRouteList", "plural": "tlsroutes", "singular": "tlsroute"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "hostnames": {"type": "array", "items": {"type": "string"}},
                                    "parentRefs": {"type": "array", "items": _ANY},
                                    "rules": {
                                        "type": "array",
                                        "items": {"type": "object", "properties": {"backendRefs": {"type": "array", "items": _ANY}}},
                                    },
                                },
                            },
                            "status": _ANY,
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def routes_served(ground: Ground) -> Iterator[None]:
    """A management cluster that knows TLSRoute while the test runs."""
    definition = resource_of("CustomResourceDefinition")
    name = TLS_ROUTE["metadata"]["name"]
    ground.client.apply(TLS_ROUTE, force=True)
    wait_for(ground.client, definition, name, predicate=lambda obj: bool(obj and crd_problem(obj) is None), deadline=time.monotonic() + 20)
    yield
    ground.client.delete(definition, name)
    wait_for(ground.client, definition, name, predicate=lambda obj: obj is None, deadline=time.monotonic() + 20)


@contextlib.contextmanager
def balancer(tenant: Tenant, *ingress: Json) -> Iterator[None]:
    """A load balancer's controller: it gives the Service an address as soon as that exists."""

    def assign() -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            service = tenant.get("Service")
            if service and service["spec"]["type"] == "LoadBalancer":
                give(tenant, *ingress)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=assign)
    thread.start()
    yield
    thread.join(20)


def give(tenant: Tenant, *ingress: Json) -> None:
    tenant.patch("Service", {"status": {"loadBalancer": {"ingress": list(ingress)}}}, subresource="status")


def serving_names(tenant: Tenant) -> set[str]:
    """Names and addresses in the API server's certificate."""
    pem = base64.b64decode(tenant.live("Secret", f"acme{names.API_SERVER}")["data"]["apiserver.crt"])
    found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}


def admin_server(tenant: Tenant) -> str:
    data = tenant.live("Secret", f"acme{names.ADMIN_KUBECONFIG}")["data"]
    return read_kubeconfig_client(base64.b64decode(data["admin.conf"]))[0]


def flags(tenant: Tenant) -> list[str]:
    containers = tenant.live("Deployment")["spec"]["template"]["spec"]["containers"]
    found: list[str] = next(item["args"] for item in containers if item["name"] == "kube-apiserver")
    return found


def assert_settled(tenant: Tenant, changes: Mapping[str, Any]) -> None:
    assert not tenant.run(changes=changes).changed
    assert not tenant.run(changes=changes, check=True).changed


# Load balancers


def test_load_balancer_that_has_only_a_name(tenant: Tenant) -> None:
    with balancer(tenant, {"hostname": "lb-7.example.com"}):
        made = tenant.run(changes=BALANCER)
    assert made.tenant["endpoint"] == "lb-7.example.com:6443"
    assert admin_server(tenant) == "https://lb-7.example.com:6443"
    assert "lb-7.example.com" in serving_names(tenant)
    service = tenant.live("Service")
    assert f"--advertise-address={service['spec']['clusterIP']}" in flags(tenant)
    assert_settled(tenant, BALANCER)

    tenant.delete("Service")
    with balancer(tenant, {"hostname": "lb-7.example.com"}):
        again = tenant.run(changes=BALANCER)
    assert again.summary == [("Service acme", "create")]
    assert tenant.live("Service")["spec"]["clusterIP"] == service["spec"]["clusterIP"]
    assert_settled(tenant, BALANCER)


def test_load_balancer_with_addresses_of_both_families(tenant: Tenant) -> None:
    changes = {
        **BALANCER,
        "networkProfile.serviceCidrs": ["fd00:1::/112", "10.100.0.0/16"],
        "networkProfile.podCidrs": ["fd00:2::/56", "10.200.0.0/16"],
    }
    addresses: list[Json] = [{"ip": "198.18.0.200"}, {"ip": "2001:db8::200"}]
    with balancer(tenant, *addresses):
        made = tenant.run(changes=changes)
    assert made.tenant["endpoint"] == "[2001:db8::200]:6443", "Service default/kubernetes inside is IPv6"
    assert {"198.18.0.200", "2001:db8::200"} <= serving_names(tenant)
    assert "--service-cluster-ip-range=fd00:1::/112,10.100.0.0/16" in flags(tenant)
    # This API server has one family only; where it has two, the Service gets both.
    assert tenant.live("Service")["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    give(tenant, *reversed(addresses))
    assert_settled(tenant, changes)


def test_families_the_management_cluster_does_not_have_are_told(tenant: Tenant) -> None:
    changes = {"controlPlane.service.ipFamilies": ["IPv6", "IPv4"], "controlPlane.service.ipFamilyPolicy": "RequireDualStack"}
    with pytest.raises(HostedKubernetesError, match=r"ipFamil"):
        tenant.run(changes=changes)


def test_settings_of_a_load_balancer_come_and_go(tenant: Tenant) -> None:
    ranges = {**BALANCER, "networkProfile.loadBalancerSourceRanges": ["198.18.0.0/15", "2001:db8::/32"]}
    with balancer(tenant, {"ip": "198.18.0.200"}):
        tenant.run(changes={**ranges, "networkProfile.loadBalancerClass": "example.com/lb"})
    spec = tenant.live("Service")["spec"]
    assert (spec["loadBalancerSourceRanges"], spec["loadBalancerClass"]) == (["198.18.0.0/15", "2001:db8::/32"], "example.com/lb")

    without = {**BALANCER, "networkProfile.loadBalancerClass": "example.com/lb"}
    assert tenant.run(changes=without).summary == [("TenantControlPlane acme", "patch"), ("Service acme", "patch")]
    assert "loadBalancerSourceRanges" not in tenant.live("Service")["spec"]
    assert_settled(tenant, without)

    closed = {**without, "controlPlane.service.allocateLoadBalancerNodePorts": False}
    tenant.run(changes=closed)
    assert tenant.live("Service")["spec"]["allocateLoadBalancerNodePorts"] is False
    assert_settled(tenant, closed)


# Other Services

NODES: Final = {
    "controlPlane.service.serviceType": "NodePort",
    "networkProfile.port": 31543,
    "addons.konnectivity.server.port": 31232,
}


@pytest.mark.parametrize("field", ["address", "advertiseAddress"])
def test_node_ports(tenant: Tenant, field: str) -> None:
    changes = {**NODES, f"networkProfile.{field}": "198.18.7.7"}
    made = tenant.run(changes=changes)
    assert made.tenant["endpoint"] == "198.18.7.7:31543"
    ports = {item["name"]: item["nodePort"] for item in tenant.live("Service")["spec"]["ports"]}
    assert ports == {"kube-apiserver": 31543, "konnectivity-server": 31232}
    assert "198.18.7.7" in serving_names(tenant)
    assert_settled(tenant, changes)
    tenant.absent(changes=changes)


def test_node_port_out_of_range_is_told(tenant: Tenant) -> None:
    changes = {**NODES, "networkProfile.address": "198.18.7.7", "networkProfile.port": 6443}
    with pytest.raises(HostedKubernetesError, match=r"spec\.ports\[0\]\.nodePort.*6443.*30000-32767"):
        tenant.run(changes=changes)


def test_external_address_comes_and_goes(tenant: Tenant) -> None:
    plain = {"networkProfile.address": "198.18.7.8"}
    changes = {**plain, "networkProfile.allowAddressAsExternalIP": True}
    tenant.run(changes=changes)
    assert tenant.live("Service")["spec"]["externalIPs"] == ["198.18.7.8"]
    assert_settled(tenant, changes)
    tenant.run(changes=plain)
    assert "externalIPs" not in tenant.live("Service")["spec"]


def test_advertised_address(tenant: Tenant) -> None:
    changes = {"networkProfile.advertiseAddress": "203.0.113.9"}
    made = tenant.run(changes=changes)
    assert made.tenant["endpoint"] == "203.0.113.9:6443"
    assert "--advertise-address=203.0.113.9" in flags(tenant)
    assert {"203.0.113.9", tenant.live("Service")["spec"]["clusterIP"]} <= serving_names(tenant)
    assert_settled(tenant, changes)


def test_type_of_the_service_changes(tenant: Tenant) -> None:
    """The address goes with it, and everything that holds the address."""
    tenant.run()
    with balancer(tenant, {"ip": "198.18.0.210"}):
        changed = tenant.run(changes=BALANCER)
    assert changed.tenant["endpoint"] == "198.18.0.210:6443"
    assert ("Service acme", "patch") in changed.summary
    assert "--advertise-address=198.18.0.210" in flags(tenant)
    assert_settled(tenant, BALANCER)


# Routes by name


def test_ingress(tenant: Tenant) -> None:
    changes = {
        "controlPlane.ingress": {
            "hostname": f"{HOST}:443",
            "ingressClassName": "haproxy",
            "additionalMetadata": {"annotations": {"haproxy.org/ssl-passthrough": "true"}},
        }
    }
    predicted = tenant.run(changes=changes, check=True)
    made = tenant.run(changes=changes)
    assert_predicted(predicted, made)
    assert made.tenant["endpoint"] == f"{HOST}:443"
    assert admin_server(tenant) == f"https://{HOST}:443"
    assert HOST in serving_names(tenant)
    live = tenant.live("Ingress")
    assert live["spec"]["rules"][0]["host"] == HOST
    assert live["metadata"]["annotations"] == {"haproxy.org/ssl-passthrough": "true"}
    assert tenant.live("TenantControlPlane")["status"]["kubernetesResources"]["ingress"]["name"] == "acme"
    assert_settled(tenant, changes)

    tenant.patch("Ingress", {"spec": {"rules": None, "defaultBackend": {"service": {"name": "other", "port": {"number": 1}}}}})
    assert tenant.run(changes=changes).summary == [("Ingress acme", "patch")]
    tenant.delete("Ingress")
    assert tenant.run(changes=changes).summary == [("Ingress acme", "create")]

    removed = tenant.run()
    assert ("Ingress acme", "delete") in removed.summary
    assert tenant.get("Ingress") is None
    assert HOST not in serving_names(tenant)
    assert "ingress" not in tenant.live("TenantControlPlane")["status"]["kubernetesResources"]
    assert_settled(tenant, {})
    tenant.run(changes=changes)
    tenant.absent(changes=changes)
    assert tenant.left() == []


GATEWAY: Final = {"controlPlane.gateway": {"hostname": HOST, "parentRefs": [{"name": "public", "namespace": "gateways"}]}}


def test_gateway_without_its_definitions_is_refused(tenant: Tenant) -> None:
    for check in (True, False):
        with pytest.raises(HostedKubernetesError, match=r"spec\.controlPlane\.gateway needs TLSRoute .*install the Gateway API"):
            tenant.run(changes=GATEWAY, check=check)
    assert tenant.left() == []


@pytest.mark.usefixtures("routes_served")
def test_gateway(tenant: Tenant) -> None:
    predicted = tenant.run(changes=GATEWAY, check=True)
    made = tenant.run(changes=GATEWAY)
    assert_predicted(predicted, made)
    assert made.tenant["endpoint"] == f"{HOST}:6443"
    assert HOST in serving_names(tenant)
    for name, port, section in (("acme", 6443, {}), ("acme-konnectivity", 8132, {"sectionName": "konnectivity-server", "port": 8132})):
        spec = tenant.live("TLSRoute", name)["spec"]
        assert spec["hostnames"] == [HOST]
        assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", **section}]
        assert spec["rules"] == [{"backendRefs": [{"name": "acme", "port": port}]}]
    status = tenant.live("TenantControlPlane")["status"]
    assert status["kubernetesResources"]["gateway"]["accessPoints"][0]["urls"] == [f"https://{HOST}:6443"]
    assert status["addons"]["konnectivity"]["gateway"]["routeRef"] == {"name": "acme-konnectivity"}
    assert_settled(tenant, GATEWAY)

    tenant.delete("TLSRoute", "acme-konnectivity")
    assert tenant.run(changes=GATEWAY).summary == [("TLSRoute acme-konnectivity", "create")]
    tenant.patch("TLSRoute", {"spec": {"hostnames": ["other.example.com"]}})
    assert tenant.run(changes=GATEWAY).summary == [("TLSRoute acme", "patch")]

    assert ("TLSRoute acme-konnectivity", "delete") in tenant.run(changes={**GATEWAY, "addons.konnectivity": None}).summary
    removed = tenant.run()
    assert ("TLSRoute acme", "delete") in removed.summary
    assert_settled(tenant, {})
    tenant.run(changes=GATEWAY)
    tenant.absent(changes=GATEWAY)
    assert tenant.get("TLSRoute") is None
    assert tenant.left() == []


def test_ingress_and_gateway_exclude_each_other(tenant: Tenant) -> None:
    both = {**GATEWAY, "controlPlane.ingress": {"hostname": HOST}}
    with pytest.raises(HostedKubernetesError, match=r"spec\.controlPlane has both ingress and gateway; keep one of them"):
        tenant.run(changes=both)


# Names in the certificate


def test_names_are_added_and_removed_without_touching_a_pod(tenant: Tenant) -> None:
    tenant.run()
    before = tenant.live("Deployment")["metadata"]["generation"]
    changes = {"networkProfile.certSANs": ["api.acme.example.com", "203.0.113.10"]}
    assert [action for name, action in tenant.run(changes=changes).summary if name.startswith("Secret")] == ["issue"]
    assert {"api.acme.example.com", "203.0.113.10"} <= serving_names(tenant)
    assert_settled(tenant, changes)
    tenant.run()
    assert not {"api.acme.example.com", "203.0.113.10"} & serving_names(tenant)
    assert tenant.live("Deployment")["metadata"]["generation"] == before
