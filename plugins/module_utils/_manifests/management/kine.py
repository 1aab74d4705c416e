# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kine, which shows a database to the API server as an etcd: its image, and where it finds the database.

Where kine v0.17.5 takes its settings from: pkg/app and pkg/drivers of github.com/k3s-io/kine.
"""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD, MYSQL, Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import DEFAULT_REGISTRY, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.common import KINE
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs

SOCKET_DIR: Final = "/uds"
SOCKET: Final = f"{SOCKET_DIR}/kine"
COMMAND: Final = "/bin/kine"
METRICS_PORT: Final = 8135
METRICS_PATH: Final = "/metrics"
# The variable kine reads the database's address from. The kubelet puts the credentials into it, from variables of the Secret: so they stand
# neither in the pod's definition nor on a command line, which every process of the node can read. MySQL's credentials can come from here
# only; a file, which PostgreSQL could also have them from, would be read by the same people as this variable.
ENDPOINT_VARIABLE: Final = "KINE_ENDPOINT"

_REPOSITORY: Final = "k3s-io/kine"
_UPSTREAM_REGISTRY: Final = "ghcr.io"
# As in the bundle.
_TAG: Final = "v0.17.5-nocgo"
_CREDENTIALS: Final = "$(DB_USER):$(DB_PASSWORD)"


def is_used(datastore: DatastoreInputs) -> bool:
    """Whether API servers reach this datastore through kine."""
    return datastore.driver != ETCD


def image(tenant: TenantControlPlane) -> str:
    """The image the user gives kine under its name in additionalContainers, else upstream's, from the user's registry if there is one."""
    given = next((item for item in tenant.deployment.additional_containers if item["name"] == KINE), {})
    registry = _UPSTREAM_REGISTRY if tenant.deployment.registry == DEFAULT_REGISTRY else tenant.deployment.registry
    return str(given.get("image") or f"{registry}/{_REPOSITORY}:{_TAG}")


def endpoint(datastore: DatastoreInputs) -> str:
    """Where kine finds the database, with references to the Secret's variables in place of what they hold.

    Of several PostgreSQL servers it takes the first that accepts writes; of MySQL the Secret names one.
    """
    if datastore.driver == MYSQL:
        return f"mysql://{_CREDENTIALS}@tcp($(DB_CONNECTION_STRING))/$(DB_SCHEMA)"
    servers = [Endpoint.parse(text) for text in datastore.endpoints]
    if len(servers) == 1:
        return f"postgres://{_CREDENTIALS}@$(DB_CONNECTION_STRING)/$(DB_SCHEMA)"
    # Go takes one host only in that place of a URL.
    hosts, ports = ",".join(item.host for item in servers), ",".join(str(item.port) for item in servers)
    return f"postgres://{_CREDENTIALS}@/$(DB_SCHEMA)?host={hosts}&port={ports}&target_session_attrs=read-write"
