# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ConfigMap of a roll-out: how far it is, for people, and whether somebody wants it to pause. It goes when the roll-out has ended well.

No decision rests on it but the pause; kubectl patch configmap NAME.rollout --type merge -p '{"data":{"paused":"true"}}' is one too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import AlreadyExistsError, NotFoundError

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,98}[a-z0-9])?")
_CONFIG_MAP: Final = resource_of("ConfigMap")
# A ConfigMap holds 1 MiB; characters may take several bytes.
_MOST_TEXT: Final = 250_000


@dataclass(frozen=True)
class Record:
    """The record of one roll-out. namespace: must exist."""

    client: Client
    namespace: str
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidError(f'name "{self.name}" cannot be the name of a roll-out; write at most 100 of a-z, 0-9, "-" and "."')

    @property
    def reference(self) -> ObjectRef:
        return ObjectRef(_CONFIG_MAP.api_version, _CONFIG_MAP.kind, self.namespace, f"{self.name}.rollout")

    def read(self) -> Json | None:
        """What the record holds; None when there is none: the roll-out has not begun, or has ended."""
        live = self.client.get(_CONFIG_MAP, self.reference.name, self.namespace)
        return None if live is None else live.get("data") or {}

    def note(self, progress: str, table: Sequence[str]) -> Json:
        """Write how far the roll-out is; return what the record holds now, a pause that somebody asked for included."""
        return self._write({"progress": progress, "tenants": "\n".join(table)[:_MOST_TEXT]})

    def pause(self, *, paused: bool) -> Json:
        """Ask for a pause, or for its end; return what the record holds now."""
        return self._write({"paused": str(paused).lower()})

    def delete(self) -> None:
        self.client.delete(_CONFIG_MAP, self.reference.name, self.namespace)

    def _write(self, data: Json) -> Json:
        try:
            live = self.client.merge_patch(self.reference, {"data": data})
        except NotFoundError:
            live = self._create(data)
        written: Json = live["data"]
        return written

    def _create(self, data: Json) -> Json:
        labels = {names.LABEL_PROJECT: names.PROJECT, names.LABEL_COMPONENT: "rollout"}
        metadata = {"name": self.reference.name, "namespace": self.namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"paused": "false", **data}}
        try:
            return self.client.create(body)
        except AlreadyExistsError:
            return self.client.merge_patch(self.reference, {"data": data})
        except NotFoundError as error:
            raise InvalidError(f'record_namespace "{self.namespace}" does not exist; name a namespace that does') from error


def is_paused(data: Json | None) -> bool:
    """Whether somebody asked for a pause; anything but "false" is taken for it."""
    return str((data or {}).get("paused") or "false").lower() != "false"
