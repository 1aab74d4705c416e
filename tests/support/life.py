# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps in the life of a tenant that runs, each one call of the engine as the module makes it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import Request
from ansible_collections.hosted.kubernetes.tests.support.tenants import Run, recorded_run, set_field, settings_of

REPLICAS: Final = "controlPlane.deployment.replicas"
EXTRA_ARGS: Final = "controlPlane.deployment.extraArgs.apiServer"
VERSION: Final = "kubernetes.version"
_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Life:
    """One tenant. client: administrator of the management cluster."""

    client: Client
    namespace: str
    name: str

    def make(self, definition: Json) -> Run:
        """Make it what a definition says."""
        return self._call(definition)

    def change(self, changes: Mapping[str, Any], *, check: bool = False) -> Run:
        """Change fields of the stored definition: path below spec → value, None to remove it."""
        live = self.client.get(resource_of("TenantControlPlane"), self.name, self.namespace)
        assert live is not None, f"tenant {self.namespace}/{self.name} does not exist"
        spec: Json = copy.deepcopy(live["spec"])
        for path, value in changes.items():
            set_field(spec, path, value)
        return self._call({"metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec}, check=check)

    def scale(self, *numbers: int) -> None:
        """Scale to one number of replicas after the other, each until that is done."""
        for number in numbers:
            assert self.change({REPLICAS: number}).changed

    def renew(self) -> Run:
        """Make every certificate and kubeconfig anew, as an administrator asks for it: by an annotation of its Secret."""
        selector = f"{names.LABEL_NAME}={self.name},{names.LABEL_LIFECYCLE}"
        secrets = self.client.list(resource_of("Secret"), namespace=self.namespace, label_selector=selector).items
        for secret in secrets:
            self.client.merge_patch(ObjectRef.of(secret), {"metadata": {"annotations": {names.ANNOTATION_ROTATE: ""}}})
        run = self.change({})
        issued = sorted(item["object"].rpartition("/")[2] for item in run.plan if item["action"] == "issue")
        assert issued == sorted(secret["metadata"]["name"] for secret in secrets)
        return run

    def delete(self) -> Run:
        return self._call({"metadata": {"name": self.name, "namespace": self.namespace}}, absent=True)

    def _call(self, definition: Json, *, check: bool = False, absent: bool = False) -> Run:
        request = Request([definition], None, None, self.namespace, absent, rollout_now=False, renew_before_days=30, force=False)
        return recorded_run(self.client, request, settings_of(timeout_s=_TIMEOUT_S, check=check))
