# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of Kubernetes about what was done and what failed. One that says the same as the last one about an object is not sent again."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client

NORMAL: Final = "Normal"
WARNING: Final = "Warning"
_API_VERSION: Final = "events.k8s.io/v1"
_LONGEST_NOTE: Final = 1000  # the server takes 1024 bytes
_AGAIN_AFTER_S: Final = 3600.0
_CLUSTER_SCOPED_IN: Final = "default"

_log = logging.getLogger("hosted_kubernetes.controller")


class Recorder:
    """Sends events (events.k8s.io/v1). instance: who we are. Safe to use from many threads, about different objects."""

    def __init__(self, client: Client, instance: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client, self._instance, self._now = client, instance, now
        self._last: dict[str, tuple[str, str, float]] = {}

    def record(self, resource: Json, kind: str, reason: str, note: str) -> None:
        """Tell of an object. kind: NORMAL or WARNING. An event that cannot be sent is no failure of what it tells of."""
        uid = resource["metadata"]["uid"]
        last_reason, last_note, at = self._last.get(uid, ("", "", 0.0))
        if (last_reason, last_note) == (reason, note) and time.monotonic() < at + _AGAIN_AFTER_S:
            return
        self._last[uid] = reason, note, time.monotonic()
        try:
            self._client.create(self._event(resource, kind, reason, note))
        except HostedKubernetesError as error:
            _log.info("an event could not be sent: %s", error.msg)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._last.pop(uid, None)

    def _event(self, resource: Json, kind: str, reason: str, note: str) -> Json:
        ref, metadata = ObjectRef.of(resource), resource["metadata"]
        regarding = {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name, "uid": metadata["uid"]}
        regarding["resourceVersion"] = metadata["resourceVersion"]
        if ref.namespace:
            regarding["namespace"] = ref.namespace
        return {
            "apiVersion": _API_VERSION,
            "kind": resource_of("Event").kind,
            "metadata": {"name": f"{ref.name}.{secrets.token_hex(8)}", "namespace": ref.namespace or _CLUSTER_SCOPED_IN},
            "eventTime": self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": kind,
            "reason": reason,
            "note": note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "action": "Reconcile",
            "regarding": regarding,
            "reportingController": f"{FIELD_MANAGER}.io/controller",
            "reportingInstance": self._instance[:128],
        }
