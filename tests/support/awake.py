# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants that are awake without kubelets: a test does what the controllers and the kubelet of the management cluster would do."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.tests.support.control_plane import api_server_of
from ansible_collections.hosted.kubernetes.tests.support.processes import running
from ansible_collections.hosted.kubernetes.tests.support.tenants import Tenant


def own_address() -> str:
    """An address of this host that is no loopback one, which Endpoints may not have. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


def contents(tenant: Tenant) -> dict[str, dict[str, bytes]]:
    """name → key → content of its Secrets and ConfigMaps."""

    def items(kind: str) -> list[Json]:
        return tenant.ground.client.list(resource_of(kind), namespace=tenant.namespace).items

    found = {item["metadata"]["name"]: {key: base64.b64decode(text) for key, text in item["data"].items()} for item in items("Secret")}
    texts = {item["metadata"]["name"]: {key: text.encode() for key, text in item["data"].items()} for item in items("ConfigMap")}
    return {**texts, **found}


def say_ready(tenant: Tenant, ready: int) -> None:
    """As the controllers of Deployments and the kubelet do."""
    generation = tenant.live("Deployment")["metadata"]["generation"]
    status = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready}
    tenant.patch("Deployment", {"status": status}, subresource="status")


@contextlib.contextmanager
def pod_of(tenant: Tenant, bundle: Path, directory: Path) -> Iterator[Client]:
    """Its API server as a process of this host, with a client for it; the Deployment is ready inside the block."""
    port = tenant.live("Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    argv = api_server_of(tenant.live("Deployment"), contents(tenant), bundle, directory)
    kubeconfig = contents(tenant)[tenant.name + names.ADMIN_KUBECONFIG]["super-admin.svc"]
    server = f"https://{tenant.name}.{tenant.namespace}.svc:{port}"
    with client_from_kubeconfig(kubeconfig, server=server, resolve_to=("127.0.0.1", port)) as inside:

        def is_ready() -> bool:
            with contextlib.suppress(Exception):
                return inside.get_raw("/readyz") == "ok"
            return False

        with running(argv, directory / "tenant.log", is_ready) as process:
            say_ready(tenant, 1)
            try:
                yield inside
            finally:
                # It would serve for some seconds more, as it is told to.
                process.kill()


def administrator(tenant: Tenant) -> Client:
    """A client of the kind that a tenant's own administrators have: cluster-admin, but not of system:masters. Close it after use."""
    port = tenant.live("Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    kubeconfig = contents(tenant)[tenant.name + names.ADMIN_KUBECONFIG]["admin.conf"]
    server = f"https://{tenant.name}.{tenant.namespace}.svc:{port}"
    return client_from_kubeconfig(kubeconfig, server=server, resolve_to=("127.0.0.1", port))
