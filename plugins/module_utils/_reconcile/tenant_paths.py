# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to a tenant's API server, one by one: the published endpoint, and each control-plane replica behind it.

A load balancer picks a replica by chance. What shall hold with every replica is tried with each of them instead, by port-forward
to its pod through the management cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_counts, pod_ready, will_not_start
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import answers, pod_reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import (
    Administrator,
    TenantSource,
    administrator,
    own_access,
)


@dataclass(frozen=True)
class Path:
    """One way to the API server. open: returns a client with no connection yet; who calls it closes the client."""

    label: str
    open: Callable[[], Client]


@dataclass(frozen=True)
class Paths:
    """All ways. With only a kubeconfig of the tenant, nothing is known of its replicas.

    replicas: pods of the control plane that are ready, the last ways. problems: why others are not, "" when all that are wanted are and no other
    pod is held up.
    """

    all: tuple[Path, ...]
    replicas: tuple[str, ...] = ()
    problems: str = ""

    def __str__(self) -> str:
        others = [path.label for path in self.all[: len(self.all) - len(self.replicas)]]
        return " and ".join([*others, *([f"each of {len(self.replicas)} replicas"] if self.replicas else [])])


@contextmanager
def tenant_paths(source: TenantSource) -> Iterator[Paths]:
    """Find the ways to a tenant's API server and keep them open. Raises HostedKubernetesError when there is none."""
    if source.kubeconfig:
        data = own_access(source)
        yield Paths((Path("kubeconfig", lambda: client_from_kubeconfig(data)),))
        return
    with connect(source.management) as management, ExitStack() as stack:
        admin = administrator(management, source)
        replicas, problems = _replicas(management, admin.tenant)
        ways = []
        if admin.endpoint and answers(*admin.endpoint):
            ways.append(_way(f"endpoint {admin.endpoint[0]}:{admin.endpoint[1]}", admin, admin.endpoint))
        for name in replicas:
            forward = stack.enter_context(PortForward(management, admin.tenant.namespace, name, admin.tenant.network.port))
            ways.append(_way(f"replica {name}", admin, forward.address))
        yield Paths(tuple(ways), replicas, problems)


def _way(label: str, admin: Administrator, address: tuple[str, int]) -> Path:
    server = admin.tenant.service_url
    return Path(label, lambda: client_from_kubeconfig(admin.kubeconfig, server=server, resolve_to=address))


def _replicas(management: Client, tenant: TenantControlPlane) -> tuple[tuple[str, ...], str]:
    """Names of the ready control-plane pods, and why there are fewer than wanted."""
    selector = f"{names.LABEL_NAME}={tenant.name}"
    pods = management.list(resource_of("Pod"), namespace=tenant.namespace, label_selector=selector).items
    ready = tuple(sorted(pod["metadata"]["name"] for pod in pods if pod_ready(pod)))
    if not ready:
        raise HostedKubernetesError(
            f"TenantControlPlane {tenant.key}: no control-plane pod is ready: {pod_reasons(pods)}; run the tenant's playbook until it is Ready"
        )
    if len(ready) >= tenant.deployment.replicas:
        stuck = [pod for pod in pods if pod_counts(pod) and will_not_start(pod)]
        return ready, f"a roll-out is stuck: {pod_reasons(stuck)}" if stuck else ""
    return ready, f"{len(ready)} of {tenant.deployment.replicas} replicas are ready: {pod_reasons(pods)}"
