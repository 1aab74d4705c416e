# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the objects inside a tenant cluster need beside its definition."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port


@dataclass(frozen=True)
class TenantInputs:
    """Where and how a tenant's API server is reached. Every text may hold UNKNOWN: it is formatted, never parsed.

    endpoint_host, endpoint_port: the published endpoint, an address (IPv6 without brackets) or a name.
    ca_certificate_b64: base64 of the PEM of the tenant's certificate authority.
    advertise_address: the IP address behind Service default/kubernetes.
    tunnel_host: where konnectivity is published, when that is not where the API server is.
    image_pull_b64: base64 of the Docker configuration with which the addons' images are pulled.
    over_budget: whether the tenant's data has used up its budget.
    """

    endpoint_host: str
    endpoint_port: int
    ca_certificate_b64: str
    advertise_address: str
    tunnel_host: str = ""
    image_pull_b64: str = field(default="", repr=False)
    over_budget: bool = False

    @property
    def endpoint(self) -> str:
        """host:port, IPv6 addresses in brackets."""
        return host_port(self.endpoint_host, self.endpoint_port)

    @property
    def server(self) -> str:
        """The endpoint as a URL."""
        return f"https://{self.endpoint}"
