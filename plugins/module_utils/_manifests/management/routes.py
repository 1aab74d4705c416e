# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What publishes a tenant under a host name: an Ingress, or TLSRoutes of the Gateway API.

Both only pass TLS on: clients authenticate with certificates, which nothing on the way could present for them. How an Ingress
controller is told so is its own affair (annotations, which the user gives).
"""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import Gateway, Ingress, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs

# Name of the Gateway's listener for konnectivity, as in the reference.
_TUNNEL_SECTION: Final = "konnectivity-server"


def routes(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    """Return the Ingress or the TLSRoutes of a tenant; none when its Service itself is published."""
    if tenant.ingress:
        return [_ingress(tenant, tenant.ingress, inputs)]
    if tenant.gateway:
        return _tls_routes(tenant, tenant.gateway, inputs)
    return []


def _ingress(tenant: TenantControlPlane, wanted: Ingress, inputs: ManagementInputs) -> Json:
    backend = {"service": {"name": tenant.name, "port": {"number": tenant.network.port}}}
    spec: Json = {
        "rules": [{"host": wanted.hostname, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    }
    if wanted.class_name:
        spec["ingressClassName"] = wanted.class_name
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": common.metadata(tenant, tenant.name, "ingress", inputs.uid, wanted.metadata),
        "spec": spec,
    }


def _tls_routes(tenant: TenantControlPlane, wanted: Gateway, inputs: ManagementInputs) -> list[Json]:
    result = [_tls_route(tenant, wanted, inputs, tenant.name, tenant.network.port, list(wanted.parent_refs))]
    if tenant.addons.konnectivity:
        port = tenant.addons.konnectivity.server.port
        parents: list[Json] = []
        for parent in wanted.parent_refs:
            parents += [item for item in [{**parent, "sectionName": _TUNNEL_SECTION, "port": port}] if item not in parents]
        result.append(_tls_route(tenant, wanted, inputs, tenant.name + names.TUNNEL_ROUTE, port, parents))
    return result


def _tls_route(tenant: TenantControlPlane, wanted: Gateway, inputs: ManagementInputs, name: str, port: int, parents: list[Json]) -> Json:
    component = "gateway" + name.removeprefix(tenant.name)
    spec: Json = {"hostnames": [wanted.hostname], "rules": [{"backendRefs": [{"name": tenant.name, "port": port}]}]}
    if parents:
        spec["parentRefs"] = parents
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "TLSRoute",
        "metadata": common.metadata(tenant, name, component, inputs.uid, wanted.metadata),
        "spec": spec,
    }
