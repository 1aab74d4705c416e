# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tenants of a management cluster have a CA that a host trusts: that is whose node it is. Nothing inside a tenant is asked."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bootstrap_token import certificates
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.join import Owner
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import ca_hash
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import not_served
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants


def owners_of(management: Client, ca_hashes: Collection[str]) -> list[Owner]:
    """Return the tenants that have one of these CAs, in the order of their names; also those that sleep.

    ca_hashes: as "sha256:…", see ca_hash. Two LISTs, whatever the number of tenants.
    Raises HostedKubernetesError when the management cluster does not answer or has no resource definitions.
    """
    try:
        resources = management.list(resource_of(KIND)).items
    except NotFoundError as error:
        raise not_served(resource_of(KIND)) from error
    keys = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in resources]
    stored = StoredTenants(management, keys, names.CA, resources=resources)
    found = []
    for resource, (namespace, name) in zip(resources, keys, strict=True):
        authority = decoded(stored.secret(parse(resource)) or {}).get("ca.crt", b"")
        if any(ca_hash(pem) in ca_hashes for pem in certificates(authority)):
            found.append(Owner(namespace, name, str((resource.get("status") or {}).get("controlPlaneEndpoint") or "")))
    return sorted(found, key=str)
