# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a tenant's API server: the published endpoint when it answers, else a port-forward through the management API."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_problem, pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import read_kubeconfig_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.serving import presented

_ADMINISTRATOR_KEY: Final = "super-admin.svc"
_CONNECT_S: Final = 1.0
# An address that was given a moment ago may not be announced yet, and a connection is tried again by the kernel only after a second.
_NEW_CONNECT_S: Final = 0.2


def administrator_kubeconfig(tenant: TenantControlPlane, data: Mapping[str, bytes] | None) -> bytes:
    """The kubeconfig that the engine itself uses. data: of the tenant's Secret with its administrators' kubeconfigs. Raises HostedKubernetesError."""
    kubeconfig = (data or {}).get(_ADMINISTRATOR_KEY)
    if kubeconfig is None:
        secret = tenant.secret_name(names.ADMIN_KUBECONFIG)
        raise HostedKubernetesError(f"TenantControlPlane {tenant.key}: Secret {secret} has no {_ADMINISTRATOR_KEY}")
    return kubeconfig


def answers(host: str, port: int, *, timeout_s: float = _CONNECT_S) -> bool:
    """Whether something accepts TCP connections there within that time, by default a second."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def presents(host: str, port: int, authority: bytes) -> bool:
    """Whether a server there shows a certificate of that name by that authority (PEM) within seconds.

    What routes by name (an Ingress controller, a Gateway) accepts connections for any; only the certificate tells who is behind it.
    """
    return presented((host, port), host, authority) is not None


class TenantAccess:
    """A connection to one tenant's API server, kept for the length of a `with` block.

    kubeconfig: of an administrator of the tenant (bytes, secret). endpoint: (host, port) published for workers, None while
    it is not known; new: whether it is published since a moment only, so that a port-forward is not to wait for it. exposed says
    afterwards whether that endpoint answered from here.
    """

    def __init__(
        self, management: Client, tenant: TenantControlPlane, kubeconfig: bytes, endpoint: tuple[str, int] | None, *, new: bool = False
    ) -> None:
        self._management, self._tenant, self._kubeconfig = management, tenant, kubeconfig
        self._stack = ExitStack()
        self.exposed = self.answers(endpoint, timeout_s=_NEW_CONNECT_S if new else _CONNECT_S)
        self._endpoint = endpoint if self.exposed else None

    def answers(self, endpoint: tuple[str, int] | None, *, timeout_s: float = _CONNECT_S) -> bool:
        """Whether the tenant answers from here at what is published. timeout_s: for an address; a name that is routed by has its own."""
        if endpoint is None:
            return False
        if self._tenant.route is None:
            return answers(*endpoint, timeout_s=timeout_s)
        return presents(*endpoint, self.authority)

    @property
    def authority(self) -> bytes:
        """PEM of whom the tenant's certificates are signed by."""
        return read_kubeconfig_client(self._kubeconfig)[1]

    def __enter__(self) -> Client:
        if self._endpoint and self._tenant.route:
            # By any other name it would be led elsewhere.
            server, target = f"https://{self._endpoint[0]}:{self._endpoint[1]}", self._endpoint
        else:
            server, target = self._tenant.service_url, self._endpoint or self._forward()
        client = client_from_kubeconfig(self._kubeconfig, server=server, resolve_to=target)
        return self._stack.enter_context(client)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _forward(self) -> tuple[str, int]:
        pods = self._management.list(
            resource_of("Pod"),
            namespace=self._tenant.namespace,
            label_selector=f"{names.LABEL_NAME}={self._tenant.name}",
        ).items
        pod = next((pod for pod in pods if pod_ready(pod)), None)
        if pod is None:
            raise HostedKubernetesError(f"TenantControlPlane {self._tenant.key}: no control-plane pod is ready: {pod_reasons(pods)}")
        forward = PortForward(self._management, self._tenant.namespace, pod["metadata"]["name"], self._tenant.network.port)
        return self._stack.enter_context(forward).address


def pod_reasons(pods: list[Json]) -> str:
    """Why control-plane pods are not ready, one clause per pod."""
    reasons = [f"pod {pod['metadata']['name']}: {pod_problem(pod)}" for pod in pods if not pod_ready(pod)]
    return "; ".join(reasons) or "no pod exists (see the events of its ReplicaSet)"
