# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the objects of a tenant in the management cluster need to know beside the tenant itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DatastoreInputs:
    """The datastore of one tenant. endpoints: host:port of each member; the checksums are those of the two Secrets.

    overrides: API resource ("/events", "group/resource") → endpoints of the other etcd that keeps it. client_certificate: whether the tenant
    has one for the datastore, beside its authority.
    """

    name: str
    driver: str
    endpoints: tuple[str, ...]
    schema: str
    user: str
    config_checksum: str
    certificate_checksum: str
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    client_certificate: bool = True


@dataclass(frozen=True)
class ManagementInputs:
    """Facts that come from the cluster. Any text may hold the UNKNOWN marker.

    uid: of the TenantControlPlane. addresses: where its Service is reached, IPs and names, the published one first.
    advertise_address: what the API server calls itself, an IP. endpoint: "host:port" as workers use it. checksums: component →
    checksum of the Secret, for those whose change has to restart the pods. replicas: the number to write into the Deployment when the
    definition names none; None leaves the number to whoever owns it (an autoscaler). encryption_checksum: of the Secret with the
    encryption configuration, "" when the API server uses none.
    """

    uid: str
    addresses: tuple[str, ...]
    advertise_address: str
    endpoint: str
    checksums: Mapping[str, str]
    datastore: DatastoreInputs
    replicas: int | None
    encryption_checksum: str = ""
