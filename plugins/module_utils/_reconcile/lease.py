# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer per tenant: a Lease that is created to take it, renewed while work goes on, and deleted to give it back.

Replicas of a program elect the one that works by the same means.

Whether a holder still lives is judged by how long its renewTime stays the same on our clock, for clocks of machines differ; only
one that is longer ago than clocks may differ is taken for dead at once.
Source: https://kubernetes.io/docs/concepts/architecture/leases/; times are RFC 3339 with microseconds (MicroTime).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending

DURATION_S: Final = 15
_RENEW_S: Final = 5.0
_RETRY_S: Final = 1.0
_CLOCK_SKEW_S: Final = 60
_LEASE: Final = resource_of("Lease")


Sightings = MutableMapping[str, tuple[str, float]]
"""Of Leases of others, by namespace/name: the renewTime that was seen last, and when it was seen first (monotonic, seconds)."""


class LeaseHeldError(Pending):
    """Somebody else has the Lease."""


class HeldLease:
    """Hold a Lease inside a `with` block.

    subject: what it guards, for messages. holder: who we are, shown to others who wait; a Lease that it holds already is its own.
    say: told once whom we wait for. sightings: kept by a caller that tries again and again, so that each try knows what earlier ones saw.
    Raises LeaseHeldError when somebody else keeps it until the deadline.
    """

    # Renewed for the last time, on the monotonic clock.
    _renewed_at: float

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        subject: str,
        labels: Mapping[str, str],
        holder: str,
        now: Callable[[], datetime],
        wait_s: float,
        say: Callable[[str], None],
        sightings: Sightings | None = None,
    ) -> None:
        self._client, self._namespace, self.name = client, namespace, name
        self._subject, self._labels = subject, labels
        self._holder, self._now, self._wait_s, self._say = holder, now, wait_s, say
        self._sightings: Sightings = {} if sightings is None else sightings
        self._live: Json = {}
        self._released = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> HeldLease:
        self._acquire()
        self._renewer = threading.Thread(target=self._renew, name=f"lease {self.name}", daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._released.set()
        if self._renewer:
            self._renewer.join()
        # Somebody else has it now, or the server cannot be reached: then it runs out by itself.
        with suppress(HostedKubernetesError):
            own = self._live["metadata"]
            self._client.delete(_LEASE, self.name, self._namespace, uid=own["uid"], resource_version=own["resourceVersion"])

    def check(self) -> None:
        """Raises HostedKubernetesError when the Lease could not be kept: another run may be working on the tenant by now."""
        if time.monotonic() > self._renewed_at + DURATION_S:
            raise HostedKubernetesError(
                f"{self._subject}: Lease {self._namespace}/{self.name} could not be renewed for "
                f"{DURATION_S} s, another run may have taken it over; stopped before the next change, run again"
            )

    def _acquire(self) -> None:
        deadline = self._now() + timedelta(seconds=self._wait_s)
        told = False
        while True:
            holder = self._try()
            if holder is None:
                return
            if self._now() >= deadline:
                raise LeaseHeldError(
                    f"{self._subject}: {holder} is working on it (Lease "
                    f"{self._namespace}/{self.name}) and did not finish within {self._wait_s:.0f} s; run again later"
                )
            if not told:
                self._say(f"waiting for {holder}, who is working on {self._subject.partition(' ')[2]}")
                told = True
            self._released.wait(_RETRY_S)

    def _try(self) -> str | None:
        """Take the Lease if it is free; return its holder otherwise."""
        try:
            self._took(self._client.create(self._body()))
            return None
        except AlreadyExistsError:
            live = self._client.get(_LEASE, self.name, self._namespace)
        if live is None:
            return "somebody"
        if not self._expired(live) and live["spec"].get("holderIdentity") != self._holder:
            return str(live["spec"].get("holderIdentity", "somebody"))
        body = self._body()
        body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        try:
            self._took(self._client.replace(body))
            return None
        except (ConflictError, NotFoundError):
            return str(live["spec"].get("holderIdentity", "somebody"))

    def _took(self, live: Json) -> None:
        self._sightings.pop(f"{self._namespace}/{self.name}", None)
        self._live, self._renewed_at = live, time.monotonic()

    def _renew(self) -> None:
        while not self._released.wait(_RENEW_S):
            body = self._body()
            body["metadata"]["resourceVersion"] = self._live["metadata"]["resourceVersion"]
            # The next round tries again; others wait DURATION_S before they take over, and check() stops us by then.
            with suppress(HostedKubernetesError):
                self._took(self._client.replace(body))

    def _expired(self, live: Json) -> bool:
        renewed, duration = live["spec"].get("renewTime"), live["spec"].get("leaseDurationSeconds") or DURATION_S
        if not renewed:
            return True
        if self._now() - datetime.fromisoformat(renewed) > timedelta(seconds=duration + _CLOCK_SKEW_S):
            return True
        key = f"{self._namespace}/{self.name}"
        seen, since = self._sightings.get(key, ("", 0.0))
        if renewed != seen:
            since = time.monotonic()
            self._sightings[key] = renewed, since
        return time.monotonic() - since > duration

    def _body(self) -> Json:
        renewed = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": _LEASE.api_version,
            "kind": _LEASE.kind,
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": dict(self._labels),
            },
            "spec": {"holderIdentity": self._holder, "leaseDurationSeconds": DURATION_S, "renewTime": renewed},
        }


class TenantLease(HeldLease):
    """Hold the Lease of one tenant inside a `with` block."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        tenant: str,
        *,
        holder: str,
        now: Callable[[], datetime],
        wait_s: float,
        say: Callable[[str], None],
        sightings: Sightings | None = None,
    ) -> None:
        super().__init__(
            client,
            namespace,
            f"{tenant}.tenantcontrolplane",
            subject=f"TenantControlPlane {namespace}/{tenant}",
            labels={names.LABEL_PROJECT: names.PROJECT, names.LABEL_NAME: tenant},
            holder=holder,
            now=now,
            wait_s=wait_s,
            say=say,
            sightings=sightings,
        )
