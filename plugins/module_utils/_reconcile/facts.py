# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several objects of a tenant share, worked out of the definition and what is observed. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import load_balancer_hosts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import (
    Desired,
    Observed,
)


@dataclass(frozen=True)
class Facts:
    """Texts may be UNKNOWN, but for schema and user.

    addresses: where the Service is reached, IPs and names; the first is the one that is published. advertise_address: an IP.
    endpoint_host, endpoint_port: where workers and people find the API server. tunnel_host: where agents find konnectivity.
    checksums: Secret suffix → checksum, UNKNOWN while not made. overrides: API resource → endpoints of the other etcd that
    keeps it.
    """

    uid: str
    addresses: tuple[str, ...]
    advertise_address: str
    endpoint_host: str
    endpoint_port: int
    tunnel_host: str
    schema: str
    user: str
    checksums: Mapping[str, str]
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.addresses[0]


def derive(desired: Desired, observed: Observed) -> Facts:
    """Work out the values that several objects share; checksums are filled in by the planner."""
    tenant = desired.tenant
    share = share_of(tenant.manifest(), observed.status)
    addresses = control_plane_addresses(tenant, observed) or (UNKNOWN,)
    published = tenant.network.advertise_address or addresses[0]
    host, port = (tenant.route.hostname, tenant.route.port) if tenant.route else (published, None)
    return Facts(
        uid=observed.uid or UNKNOWN,
        addresses=addresses,
        advertise_address=_advertised(tenant, observed, addresses[0]),
        endpoint_host=host,
        endpoint_port=port or tenant.network.port,
        # An Ingress knows one port only.
        tunnel_host=published if tenant.ingress else host,
        schema=share.schema,
        user=share.user,
        checksums={},
        overrides={
            resource: view.endpoints
            for resource, name in sorted(tenant.data_store_overrides.items())
            if (view := observed.overrides.get(name)) is not None
        },
    )


def isolation_of(share: Share, observed: Observed, tenant: str) -> Isolation:
    """A tenant's share as datastore drivers take it, with its password when the Secret that keeps it was read. tenant: its name."""
    state = observed.secrets.get(tenant + names.DATASTORE_CONFIG)
    password = ((state.data if state else None) or {}).get("DB_PASSWORD")
    return Isolation(share.schema, share.user, password.decode() if password else None)


def endpoint(desired: Desired, observed: Observed) -> tuple[str, int] | None:
    """(host, port) under which the API server is published; None while nobody has given it an address."""
    facts = derive(desired, observed)
    return None if has_unknown(facts.endpoint_host) else (facts.endpoint_host, facts.endpoint_port)


def control_plane_addresses(tenant: TenantControlPlane, observed: Observed) -> tuple[str, ...]:
    """Where the API server's Service is reached, the published address first; empty while nobody has given one.

    Order: the user's own, the Service's. While the Service is away, the addresses that status recorded stand in for it.
    """
    own = own_address(tenant)
    if own:
        return (own,)
    service = observed.find("Service", tenant.name)
    recorded = _recorded(observed.status, tenant)
    return (service_addresses(tenant, service, recorded) if service else ()) or recorded


def own_address(tenant: TenantControlPlane) -> str | None:
    """The address that the definition says the Service is reached at; None when it leaves that to others."""
    # With node ports only the user knows which nodes are reached, and how.
    return tenant.network.address or (tenant.network.advertise_address if tenant.service.service_type == "NodePort" else None)


def service_addresses(tenant: TenantControlPlane, service: Json, recorded: Sequence[str] = ()) -> tuple[str, ...]:
    """The addresses a live Service has: its cluster IPs, or the load balancer's addresses and names.

    The first one stays the first as long as the Service has it (workers and certificates know it); without such a record it is one
    of the family of the tenant's first Service network, since Service default/kubernetes in the tenant points there.
    """
    kind, spec = tenant.service.service_type, service.get("spec", {})
    found: list[str] = []
    if kind == "ClusterIP":
        found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    elif kind == "LoadBalancer":
        found = load_balancer_hosts(service)
    return tuple(sorted(dict.fromkeys(found), key=lambda item: (item not in recorded[:1], *_rank(tenant, item))))


def _rank(tenant: TenantControlPlane, host: str) -> tuple[int, ...]:
    """IPs of the tenant's first family come first, then other IPs, then names."""
    if not is_address(host):
        return (2,)
    family = ipaddress.ip_network(tenant.network.service_cidrs[0], strict=False).version
    return (0,) if ipaddress.ip_address(host).version == family else (1,)


def _advertised(tenant: TenantControlPlane, observed: Observed, address: str) -> str:
    """The IP the API server calls itself. Where only a name is published, it is the Service's own."""
    if tenant.network.advertise_address:
        return tenant.network.advertise_address
    if has_unknown(address) or is_address(address):
        return address
    service = observed.find("Service", tenant.name)
    if service is None:
        return (observed.status.get("hosted") or {}).get("advertiseAddress") or UNKNOWN
    own: str = service.get("spec", {}).get("clusterIP") or UNKNOWN
    return own


def _recorded(status: Json, tenant: TenantControlPlane) -> tuple[str, ...]:
    addresses = (status.get("hosted") or {}).get("addresses")
    if addresses:
        return tuple(addresses)
    host = str(status.get("controlPlaneEndpoint") or "").rpartition(":")[0].strip("[]")
    return (host,) if host and not tenant.route else ()
