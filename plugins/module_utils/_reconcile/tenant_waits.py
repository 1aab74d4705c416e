# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what a tenant lacks in the management cluster: an address, ready pods, the end of old ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem, pod_counts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import WaitTimeout, wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import pod_reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import service_addresses


@dataclass(frozen=True)
class TenantWaits:
    """Each wait is a watch, and returns what was seen at its end. Raises HostedKubernetesError that says what is missing and what to do.

    deadline: on the clock of time.monotonic(), seconds.
    """

    client: Client
    tenant: TenantControlPlane
    deadline: float

    def service_with_address(self) -> Json:
        """The tenant's Service, once it has an address."""
        try:
            return self._wait("Service", lambda live: bool(live and service_addresses(self.tenant, live)))
        except WaitTimeout as error:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.tenant.key}: Service {self.tenant.key} got no address; is a load balancer installed (role "
                "hosted.kubernetes.load_balancer) and its address pool not used up? Or set spec.networkProfile.address"
            ) from error

    def first_ready_pod(self) -> Json:
        """The tenant's Deployment, once one of its pods is ready."""
        return self._deployment(lambda live: bool(live and (live.get("status") or {}).get("readyReplicas")))

    def rolled_out(self) -> Json:
        """The tenant's Deployment, once every replica is of the current template and ready."""
        return self._deployment(lambda live: live is not None and deployment_problem(live) is None)

    def pods_left(self, wanted: int) -> tuple[Json, ...]:
        """All pods, once no more are left than are wanted, those that are ending counted."""
        pods = wait_until(
            self.client,
            resource_of("Pod"),
            namespace=self.tenant.namespace,
            label_selector=f"{names.LABEL_NAME}={self.tenant.name}",
            predicate=lambda pods: len(_unfinished(pods)) <= wanted,
            deadline=self.deadline,
            what=f"pods of TenantControlPlane {self.tenant.key}",
            explain=lambda pods: f"old pods are still ending: {', '.join(name for _namespace, name in _unfinished(pods))}",
        )
        return tuple(pods.values())

    def pods(self) -> list[Json]:
        """All pods of the control plane, as they are now."""
        selector = f"{names.LABEL_NAME}={self.tenant.name}"
        return self.client.list(resource_of("Pod"), namespace=self.tenant.namespace, label_selector=selector).items

    def _deployment(self, predicate: Callable[[Json | None], bool]) -> Json:
        try:
            return self._wait("Deployment", predicate)
        except WaitTimeout as error:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.tenant.key}: not ready in time: {pod_reasons(self.pods())} (Deployment: {error.reason})"
            ) from error

    def _wait(self, kind: str, predicate: Callable[[Json | None], bool]) -> Json:
        """Watch the object of the tenant's name until it is as wanted."""
        tenant = self.tenant
        live = wait_for(self.client, resource_of(kind), tenant.name, tenant.namespace, predicate=predicate, deadline=self.deadline)
        if live is None:
            raise HostedKubernetesError(f"TenantControlPlane {tenant.key}: {kind} {tenant.key} vanished; run again")
        return live


def _unfinished(pods: Mapping[tuple[str, str], Json]) -> list[tuple[str, str]]:
    return [key for key, pod in pods.items() if pod_counts(pod)]
