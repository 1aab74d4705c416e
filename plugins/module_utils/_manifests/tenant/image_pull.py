# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secret with which the addons' images are pulled. Everybody who may read Secrets of kube-system in the tenant cluster can read it."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.pull_secrets import DATA_KEY, TYPE
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import KUBE_SYSTEM, metadata
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs

NAME: Final = "hosted-kubernetes-image-pull"
SECRET: Final = ObjectRef("v1", "Secret", KUBE_SYSTEM, NAME)


def image_pull(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """The Secret; nothing when the definition names none to take the registries from."""
    if not tenant.addons.image_pull_secrets:
        return []
    data = {DATA_KEY: inputs.image_pull_b64}
    return [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata(NAME, KUBE_SYSTEM), "type": TYPE, "data": data}]


def pod_part(tenant: TenantControlPlane) -> Json:
    """The part of a pod's spec that names the Secret, empty without one."""
    return {"imagePullSecrets": [{"name": NAME}]} if tenant.addons.image_pull_secrets else {}
