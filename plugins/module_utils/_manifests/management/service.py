# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Service that exposes a tenant's API server and its konnectivity server."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs


def service(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return the Service, named as the tenant. With NodePort the node ports equal the ports, as workers expect them."""
    kind, network = tenant.service.service_type, tenant.network
    spec: Json = {"type": kind, "selector": common.selector(tenant), "ports": _ports(tenant), **_families(tenant)}
    if kind == "LoadBalancer":
        spec["allocateLoadBalancerNodePorts"] = tenant.service.allocate_node_ports
        if network.load_balancer_class:
            spec["loadBalancerClass"] = network.load_balancer_class
        if network.load_balancer_source_ranges:
            spec["loadBalancerSourceRanges"] = list(network.load_balancer_source_ranges)
    elif network.allow_address_as_external_ip and network.address:
        spec["externalIPs"] = [network.address]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": common.metadata(tenant, tenant.name, "service", inputs.uid, tenant.service.metadata),
        "spec": spec,
    }


def _families(tenant: TenantControlPlane) -> Json:
    """Address families, the user's order kept. A dual-stack tenant gets both where the management cluster has both."""
    wanted, dual_stack = tenant.service, len(tenant.network.service_cidrs) == 2
    policy = wanted.ip_family_policy or ("PreferDualStack" if dual_stack and not wanted.ip_families else None)
    fields: Json = {"ipFamilies": list(wanted.ip_families), "ipFamilyPolicy": policy}
    return {key: value for key, value in fields.items() if value}


def _ports(tenant: TenantControlPlane) -> list[Json]:
    ports = [_port(tenant, common.API_SERVER, tenant.network.port)]
    if tenant.addons.konnectivity:
        ports.append(_port(tenant, common.KONNECTIVITY, tenant.addons.konnectivity.server.port))
    return ports + [{"protocol": "TCP", "targetPort": port["port"], **port} for port in tenant.service.additional_ports]


def _port(tenant: TenantControlPlane, name: str, number: int) -> Json:
    port: Json = {"name": name, "protocol": "TCP", "port": number, "targetPort": number}
    if tenant.service.service_type == "NodePort":
        port["nodePort"] = number
    return port
