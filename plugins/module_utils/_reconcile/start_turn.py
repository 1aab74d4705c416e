# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tenant's turn to start pods, of which a cluster has few at a time: taken, kept until they are ready, given away when they are held up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import refuses_its_flags
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import pod_reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import TurnPending
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.slots import NoTurn, Slots
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.starting import is_held_up
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_waits import TenantWaits


@dataclass
class StartTurn:
    """working: whose turn it is at all; starting: whose new pods may start."""

    waits: TenantWaits
    working: Slots
    starting: Slots
    tell: Callable[[str], None]
    _before: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def _key(self) -> str:
        return self.waits.tenant.key

    @property
    def is_taken(self) -> bool:
        return self.starting.is_held_by(self._key)

    def take(self, pods: Iterable[Json]) -> None:
        """Wait until new pods may start. pods: those that are there. Raises HostedKubernetesError at the deadline, before any was asked for."""
        try:
            self.starting.take(self._key, self.waits.deadline)
        except NoTurn as error:
            raise HostedKubernetesError(
                f"TenantControlPlane {self._key}: no time was left to start its pods, and its Deployment was not changed; "
                f"{error.limit} control planes may start at a time (max_starting), and at the deadline (wait_timeout) these were starting: "
                f"{', '.join(error.holders) or 'none'}; look at their pods, allow more time or more at a time, and run again"
            ) from error
        self._before = frozenset(pod["metadata"]["uid"] for pod in pods)

    def take_now(self) -> None:
        """The same for who does not wait. Raises TurnPending."""
        try:
            self.starting.try_take(self._key)
        except NoTurn as error:
            raise TurnPending(
                f"TenantControlPlane {self._key}: {error.limit} control planes may start at a time, these do: {', '.join(error.holders)}"
            ) from error

    def give_way(self, wanted: int) -> None:
        """Let others have this tenant's turns as soon as its pods are held up by what does not pass by itself.

        wanted: how many new pods are to be ready. Raises HostedKubernetesError when waiting cannot help.
        """
        if not self.is_taken:
            return
        tenant, waits = self.waits.tenant, self.waits
        if is_held_up(waits.client, tenant.namespace, tenant.name, before=self._before, wanted=wanted, deadline=waits.deadline):
            self.end()
            self.working.give_back(self._key)
            self._tell_of_trouble()

    def end(self) -> None:
        self.starting.give_back(self._key)

    def _tell_of_trouble(self) -> None:
        pods = [pod for pod in self.waits.pods() if pod["metadata"]["uid"] not in self._before]
        reasons = pod_reasons(pods)
        if any(map(refuses_its_flags, pods)):
            raise HostedKubernetesError(
                f"TenantControlPlane {self._key}: its pods cannot start: {reasons}; correct the flag (extraArgs) in the definition and run again"
            )
        self.tell(f"{self._key}: waits for pods that are held up: {reasons}")
