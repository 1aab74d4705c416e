# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open connections to a tenant's control-plane pods."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs


def network_policy(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return a NetworkPolicy that lets in what the Service exposes, from anywhere, and nothing else.

    The ports of scheduler, controller manager and the health checks stay closed to pods; probes come from the node and
    are always let in. What leaves the pods is not limited: webhooks, identity providers and datastores are the tenant's.
    """
    ports: list[Json] = [{"protocol": "TCP", "port": tenant.network.port}]
    if tenant.addons.konnectivity:
        ports.append({"protocol": "TCP", "port": tenant.addons.konnectivity.server.port})
    for port in tenant.service.additional_ports:
        item = {"protocol": port.get("protocol") or "TCP", "port": port.get("targetPort") or port["port"]}
        if item not in ports:
            ports.append(item)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": common.metadata(tenant, tenant.name, "network-policy", inputs.uid),
        "spec": {
            "podSelector": {"matchLabels": common.selector(tenant)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": ports}],
        },
    }
