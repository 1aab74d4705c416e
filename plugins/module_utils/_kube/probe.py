# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a cluster there, ready and new enough? Asked before anything is made in it."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, find_resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, UnreachableError

MINIMUM_MANAGEMENT_VERSION: Final = (1, 33)
_INTERVAL_S: Final = 0.5


@dataclass(frozen=True)
class ClusterFacts:
    """What a cluster says of itself. version as "v1.36.3"; nodes: every Node by name, with its Ready condition."""

    version: str
    nodes: dict[str, bool]


def cluster_facts(
    client: Client, *, timeout_s: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> ClusterFacts:
    """Wait until the API server says that it is ready, then read version and nodes.

    Only what passes by itself is waited for: no answer, and "not ready". Raises at once when certificate, credentials or
    rights are wrong; the last error when timeout_s is over.
    """
    deadline = clock() + timeout_s
    while True:
        try:
            client.get_raw("/readyz")
            break
        except (UnreachableError, ApiError) as error:
            passing = isinstance(error, UnreachableError) or error.status >= 500
            if not passing or clock() >= deadline:
                raise
        sleep(_INTERVAL_S)
    version = str(client.request("GET", "/version").get("gitVersion", ""))
    nodes = find_resource("v1", "Node")
    found = client.list(nodes).items if nodes else []
    return ClusterFacts(version, {node["metadata"]["name"]: _is_ready(node) for node in found})


def _is_ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def certificate_ends(client: Client) -> dict[str, datetime]:
    """Return when the certificates of a connection end, UTC: "server", and "client" when the kubeconfig has one. Opens a connection."""
    with client.transport.dial() as connection:
        found = connection.getpeercert() or {}
    ends = {"server": datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)}
    if client.access.client_certificate:
        from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import not_after

        ends["client"] = not_after(client.access.client_certificate)
    return ends


def certificate_warnings(origin: str, ends: Mapping[str, datetime], *, now: datetime, before_days: int) -> list[str]:
    """Return one sentence for each certificate that ends within so many days. origin: how the server was reached."""
    names = {"server": "certificate of the API server", "client": "client certificate of the kubeconfig"}
    return [
        f"{origin}: the {names[kind]} ends at {end:%Y-%m-%dT%H:%M:%SZ}, in {(end - now).days} days; renew it. On a control-plane host of "
        "kubeadm: 'kubeadm certs renew all', then restart its static pods; the role management_cluster does so on its host within "
        "management_cluster_renew_before_days"
        for kind, end in ends.items()
        if end - now < timedelta(days=before_days)
    ]


def check_management_version(origin: str, version: str) -> None:
    """Raise HostedKubernetesError when a management cluster of this version is not supported. origin: how it was reached."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        raise HostedKubernetesError(f"{origin}: the server calls its version {version!r}; is this a Kubernetes API server?")
    if (int(found[1]), int(found[2])) < MINIMUM_MANAGEMENT_VERSION:
        wanted = ".".join(map(str, MINIMUM_MANAGEMENT_VERSION))
        raise HostedKubernetesError(
            f"{origin}: management cluster runs {version}; {wanted} or newer is needed: upgrade it, or use another cluster"
        )
