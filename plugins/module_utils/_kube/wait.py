# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for objects: one list, then a watch, until a predicate is content; the error carries what was last seen.

Nothing polls. A watch that ends or breaks is taken up again with a list, so that no change is missed.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, Resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client, Event
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, GoneError, UnreachableError

Objects = Mapping[tuple[str, str], Json]
"""Objects by (namespace, name)."""

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0


class WaitTimeout(HostedKubernetesError):
    """The time is over. last: the objects as last seen; reason: why they were not as wanted."""

    def __init__(self, what: str, waited_s: float, reason: str, last: Objects) -> None:
        super().__init__(f"{what}: not ready after {waited_s:.0f} s: {reason}", reason=reason)
        self.reason = reason
        self.last = last


def wait_for(
    client: Client,
    resource: Resource,
    name: str,
    namespace: str = "",
    *,
    predicate: Callable[[Json | None], bool],
    deadline: float,
    explain: Callable[[Json], str | None] = problem,
) -> Json | None:
    """Wait until predicate(object) holds; the object is None while it does not exist. Returns the last object.

    deadline: on the clock of time.monotonic(). explain: why an object is not as wanted, for the error; by default why it
    is not ready. Raises WaitTimeout.
    """
    key = (namespace if resource.namespaced else "", name)

    def explained(objects: Objects) -> str:
        found = objects.get(key)
        return "it does not exist" if found is None else (explain(found) or "it is ready, but not as waited for")

    found = wait_until(
        client,
        resource,
        namespace=namespace,
        field_selector=f"metadata.name={name}",
        predicate=lambda objects: predicate(objects.get(key)),
        deadline=deadline,
        what=f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}",
        explain=explained,
    )
    return found.get(key)


def wait_until(
    client: Client,
    resource: Resource,
    *,
    namespace: str | None = None,
    label_selector: str | None = None,
    field_selector: str | None = None,
    predicate: Callable[[Objects], bool],
    deadline: float,
    what: str,
    explain: Callable[[Objects], str],
    sleep: Callable[[float], None] = time.sleep,
) -> Objects:
    """Wait until predicate(all selected objects) holds. Returns the objects.

    predicate: is called after each list and each change. deadline: on the clock of time.monotonic(). what: names the
    objects in the error, explain: says why they are not as wanted. Raises WaitTimeout; an answer that is an error is raised
    at once unless it is a passing fault (429, 5xx).
    """
    started = time.monotonic()
    wait = _Wait(client, resource, _Selection(namespace, label_selector, field_selector), predicate)
    pause_s = _FIRST_PAUSE_S
    while True:
        fault: HostedKubernetesError | None = None
        try:
            if wait.satisfied_before(deadline):
                return wait.objects
            pause_s = _FIRST_PAUSE_S
        except GoneError:
            continue
        except (UnreachableError, ApiError) as error:
            if isinstance(error, ApiError) and not _passing(error.status):
                raise
            fault = error
            sleep(max(0.0, min(pause_s, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if time.monotonic() >= deadline:
            reason = explain(wait.objects) + (f"; at last {fault.msg}" if fault else "")
            raise WaitTimeout(what, time.monotonic() - started, reason, wait.objects) from fault


@dataclass(frozen=True)
class _Selection:
    namespace: str | None
    label_selector: str | None
    field_selector: str | None


class _Wait:
    """What a wait has seen so far."""

    def __init__(self, client: Client, resource: Resource, selection: _Selection, predicate: Callable[[Objects], bool]) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self._client, self._resource, self._selection, self._predicate = client, resource, selection, predicate

    def satisfied_before(self, deadline: float) -> bool:
        """List, then watch until the predicate is content (True) or the watch ends (False)."""
        selection = self._selection
        listed = self._client.list(
            self._resource,
            namespace=selection.namespace,
            label_selector=selection.label_selector,
            field_selector=selection.field_selector,
        )
        self.objects = {_key(item): item for item in listed.items}
        left_s = deadline - time.monotonic()
        if self._predicate(self.objects):
            return True
        if left_s <= 0:
            return False
        events = self._client.watch(
            self._resource,
            namespace=selection.namespace,
            label_selector=selection.label_selector,
            field_selector=selection.field_selector,
            resource_version=listed.resource_version,
            timeout_s=left_s,
        )
        with contextlib.closing(events):
            for event in events:
                if _changed(self.objects, event) and self._predicate(self.objects):
                    return True
                if time.monotonic() >= deadline:
                    return False
        return False


def _passing(status: int) -> bool:
    return status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR


def _changed(objects: dict[tuple[str, str], Json], event: Event) -> bool:
    """Take an event into objects; False when it changes nothing."""
    if event.type == "BOOKMARK":
        return False
    if event.type == "DELETED":
        return objects.pop(_key(event.object), None) is not None
    objects[_key(event.object)] = event.object
    return True


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
