# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a tenant's API server is exposed, whether that works, and what to do when it does not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.exposure import load_balancer_step
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import Gateway, Ingress, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import endpoint, own_address, service_addresses
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed


@dataclass(frozen=True)
class Exposure:
    """host, port: what is published; "" and None while there is no host. answers: None when nobody tried. reason: "" when all is well."""

    service_type: str
    route: str
    host: str
    port: int | None
    has_address: bool
    answers: bool | None
    reason: str = ""
    next_step: str = ""

    def to_result(self) -> Json:
        return {
            "service_type": self.service_type,
            "route": self.route,
            "address": self.host,
            "port": self.port,
            "has_address": self.has_address,
            "answers": self.answers,
            "reason": self.reason,
            "next_step": self.next_step,
        }


def exposure_of(desired: Desired, observed: Observed, answered: bool | None) -> Exposure:
    """Return how a tenant is exposed. answered: whether its endpoint did from here, None when that was not tried."""
    tenant = desired.tenant
    published = endpoint(desired, observed)
    service = observed.find("Service", tenant.name)
    has_address = bool(own_address(tenant) or (service and service_addresses(tenant, service)))
    reason, step = _problem(tenant, published, has_service=service is not None, has_address=has_address, answered=answered)
    host, port = published or ("", None)
    return Exposure(tenant.service.service_type, _route(tenant), host, port, has_address, answered, reason, step)


def unanswered_step(tenant: TenantControlPlane) -> str:
    """What to look at when the published endpoint of a tenant that is ready does not answer."""
    if isinstance(tenant.route, Ingress):
        return "look at the Ingress, its controller (which must pass TLS through), the DNS name, and at routes and firewalls on the way"
    if isinstance(tenant.route, Gateway):
        return "look at the Gateway, its TLS listener, the DNS name, and at routes and firewalls on the way"
    if tenant.service.service_type == "LoadBalancer":
        return f"look at the load balancer ({load_balancer_step(tenant.key)}), and at routes and firewalls on the way"
    return "look at routes and firewalls on the way"


def _route(tenant: TenantControlPlane) -> str:
    return type(tenant.route).__name__ if tenant.route else ""


def _problem(
    tenant: TenantControlPlane, published: tuple[str, int] | None, *, has_service: bool, has_address: bool, answered: bool | None
) -> tuple[str, str]:
    if not has_service:
        return f"Service {tenant.key} does not exist", "run the module tenant_control_plane"
    if not has_address or published is None:
        step = "look at the load balancer and its address pool (role hosted.kubernetes.load_balancer), or set spec.networkProfile.address"
        return f"Service {tenant.key} has no address", step
    if answered is None:
        return ("not tried, the tenant sleeps" if tenant.asleep else "not tried, no API server of the tenant is ready"), ""
    if answered:
        return "", ""
    silence = f"{host_port(*published)} does not answer from this machine"
    if not tenant.is_published:
        return f"{silence}; it is an address inside the management cluster", ""
    return silence, unanswered_step(tenant)
