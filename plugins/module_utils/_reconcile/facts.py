# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that follow from what is desired and observed together: address, names in the datastore, checksums. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import load_balancer_hosts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import (
    Desired,
    Observed,
)


@dataclass(frozen=True)
class Facts:
    """uid, address and advertise_address may be UNKNOWN. checksums: Secret suffix → checksum, UNKNOWN while not made.

    overrides: API resource → endpoints of the other etcd that keeps it.
    """

    uid: str
    address: str
    advertise_address: str
    schema: str
    user: str
    checksums: Mapping[str, str]
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def derive(desired: Desired, observed: Observed) -> Facts:
    """Work out the values that several objects share; checksums are filled in by the planner."""
    tenant = desired.tenant
    share = share_of(tenant.manifest(), observed.status)
    address = control_plane_address(tenant, observed) or UNKNOWN
    return Facts(
        uid=observed.uid or UNKNOWN,
        address=address,
        advertise_address=tenant.network.advertise_address or address,
        schema=share.schema,
        user=share.user,
        checksums={},
        overrides={
            resource: view.endpoints
            for resource, name in sorted(tenant.data_store_overrides.items())
            if (view := observed.overrides.get(name)) is not None
        },
    )


def control_plane_address(tenant: TenantControlPlane, observed: Observed) -> str | None:
    """The address under which the API server is published; None while nobody has given one.

    Order: the user's own, the Service's. While the Service is away, the address that status recorded stands in for it.
    """
    if tenant.network.address:
        return tenant.network.address
    service = observed.find("Service", tenant.name)
    return (service_address(tenant, service) if service else None) or _recorded_address(observed.status)


def service_address(tenant: TenantControlPlane, service: Json) -> str | None:
    """The address a live Service has: its cluster IP, or the load balancer's first address or name."""
    if tenant.service.service_type == "ClusterIP":
        cluster_ip: str | None = service.get("spec", {}).get("clusterIP")
        return cluster_ip
    return next(iter(load_balancer_hosts(service)), None)


def _recorded_address(status: Json) -> str | None:
    endpoint: str = status.get("controlPlaneEndpoint") or ""
    host = endpoint.rpartition(":")[0].strip("[]")
    return host or None
