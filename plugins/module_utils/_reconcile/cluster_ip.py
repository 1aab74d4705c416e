# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services with a fixed cluster IP, and addresses that a request which was cut off left allocated.

An API server allocates the address (an IPAddress object) before it stores the Service. When the client is killed in between, the
address stays taken, and the server's own repair frees it only minutes later.
"""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import InvalidObjectError


def apply_service(client: Client, service: Json, *, field_manager: str) -> Json:
    """Apply a Service with force; an address that was left allocated for this very Service is freed first.

    Raises HostedKubernetesError naming the Service that has the address, when another one has.
    """
    try:
        return client.apply(service, field_manager=field_manager, force=True)
    except InvalidObjectError as error:
        if "already allocated" not in error.message:
            raise
        _free(client, service, error)
    return client.apply(service, field_manager=field_manager, force=True)


def _free(client: Client, service: Json, error: InvalidObjectError) -> None:
    wanted = ObjectRef.of(service)
    resource = client.resource_for("networking.k8s.io/v1", "IPAddress")
    spec = service["spec"]
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        found = client.get(resource, address)
        if found is None:
            continue
        parent = found["spec"]["parentRef"]
        if (parent.get("namespace"), parent.get("name")) != (wanted.namespace, wanted.name):
            raise HostedKubernetesError(
                f"{wanted}: its address {address} is that of Service {parent.get('namespace')}/{parent.get('name')}; delete that Service "
                "or choose another address (networkProfile.dnsServiceIPs)"
            ) from error
        if client.get(resource_of("Service"), wanted.name, wanted.namespace) is None:
            client.delete(resource, address, uid=found["metadata"]["uid"])
