# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses behind Service default/kubernetes.

The API servers run with --endpoint-reconciler-type=none and leave them to us: all replicas advertise one address, and
a stopping API server would otherwise empty the list for seconds.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import metadata
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs


def kubernetes_endpoints(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """Endpoints and EndpointSlice as an API server's own reconciler would write them, one slice for the address's family."""
    address = inputs.advertise_address
    port = {"name": "https", "port": tenant.network.port, "protocol": "TCP"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            # We write the EndpointSlice ourselves, so it must not be mirrored from here.
            "metadata": metadata("kubernetes", "default", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}),
            "subsets": [{"addresses": [{"ip": address}], "ports": [port]}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata("kubernetes", "default", labels={"kubernetes.io/service-name": "kubernetes"}),
            "addressType": _address_type(tenant, address),
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [port],
        },
    ]


def _address_type(tenant: TenantControlPlane, address: str) -> str:
    """IPv4 or IPv6. An address not known yet will be of the family of the first Service network, as Kubernetes demands."""
    if has_unknown(address):
        return f"IPv{ipaddress.ip_network(tenant.network.service_cidrs[0], strict=False).version}"
    return "IPv6" if ":" in address else "IPv4"
