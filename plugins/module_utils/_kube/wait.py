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
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, Resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client, Event
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, GoneError, UnreachableError

Objects = Mapping[tuple[str, str], Json]
"""Objects by (namespace, name)."""

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0


class WaitTimeoutError(HostedKubernetesError):
    """The time is over. last: the objects as last seen; reason: why they were not content."""

    def __init__(self, what: str, timeout_s: float, reason: str, last: Objects) -> None:
        super().__init__(f"{what}: not ready after {timeout_s:g} s: {reason}", reason=reason)
        self.reason = reason
        self.last = last


def wait_for(
    client: Client,
    resource: Resource,
    name: str,
    namespace: str = "",
    *,
    predicate: Callable[[Json | None], str | None],
    timeout_s: float,
) -> Json | None:
    """Wait until predicate(object) returns None; the object is None while it does not exist. Returns the last object.

    predicate: returns why the object is not as wanted (see _api/readiness.py). Raises WaitTimeoutError.
    """
    key = (namespace if resource.namespaced else "", name)
    found = wait_until(
        client,
        resource,
        namespace=namespace,
        field_selector=f"metadata.name={name}",
        predicate=lambda objects: predicate(objects.get(key)),
        timeout_s=timeout_s,
        what=f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}",
    )
    return found.get(key)


def wait_until(
    client: Client,
    resource: Resource,
    *,
    namespace: str | None = None,
    label_selector: str | None = None,
    field_selector: str | None = None,
    predicate: Callable[[Objects], str | None],
    timeout_s: float,
    what: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Objects:
    """Wait until predicate(all selected objects) returns None. Returns the objects.

    predicate: is called after the first list and after each change; returns the reason for waiting on.
    what: names the objects in the error. Raises WaitTimeoutError; errors other than a passing loss of the server are raised.
    """
    end = time.monotonic() + timeout_s
    wait = _Wait(client, resource, _Selection(namespace, label_selector, field_selector), predicate)
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            if wait.satisfied_before(end):
                return wait.objects
            pause_s, fault, cause = _FIRST_PAUSE_S, "", None
        except GoneError:
            continue
        except (UnreachableError, ApiError) as error:
            if isinstance(error, ApiError) and error.status < http.client.INTERNAL_SERVER_ERROR:
                raise
            fault, cause = f"; then {error.msg}", error
            sleep(max(0, min(pause_s, end - time.monotonic())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if time.monotonic() >= end:
            raise WaitTimeoutError(what, timeout_s, wait.reason + fault, wait.objects) from cause


@dataclass(frozen=True)
class _Selection:
    namespace: str | None
    label_selector: str | None
    field_selector: str | None


class _Wait:
    """What a wait has seen so far."""

    def __init__(self, client: Client, resource: Resource, selection: _Selection, predicate: Callable[[Objects], str | None]) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.reason = "nothing has been seen of it"
        self._client, self._resource, self._selection, self._predicate = client, resource, selection, predicate

    def satisfied_before(self, end: float) -> bool:
        """List, then watch until the predicate is content (True) or the watch ends (False)."""
        selection = self._selection
        listed = self._client.list(
            self._resource,
            namespace=selection.namespace,
            label_selector=selection.label_selector,
            field_selector=selection.field_selector,
        )
        self.objects = {_key(item): item for item in listed.items}
        left_s = end - time.monotonic()
        if self._content():
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
                if _changed(self.objects, event) and self._content():
                    return True
                if time.monotonic() >= end:
                    return False
        return False

    def _content(self) -> bool:
        reason = self._predicate(self.objects)
        self.reason = reason or ""
        return reason is None


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
