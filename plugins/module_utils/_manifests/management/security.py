# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security contexts of the control-plane pods: the "restricted" Pod Security Standard, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane

# "nonroot" of the distroless images the upstream images are built on.
USER_ID: Final = 65532
# Upstream's kube-apiserver carries this as a file capability; its exec fails where the capability cannot be had.
API_SERVER_CAPABILITIES: Final = ("NET_BIND_SERVICE",)


def pod_security_context(tenant: TenantControlPlane) -> Json:
    """The pod's context: ours, with the user's fields on top. The group may read the mounted keys."""
    ours = {"fsGroup": USER_ID, "seccompProfile": {"type": "RuntimeDefault"}}
    return _merged(tenant, ours, tenant.deployment.pod_security_context)


def container_security_context(tenant: TenantControlPlane, given: Mapping[str, Any] | None, add: Sequence[str] = ()) -> Json:
    """A container's context: ours, with the user's fields on top. Containers the user adds keep what they bring."""
    capabilities: Json = {"drop": ["ALL"]}
    if add:
        capabilities["add"] = list(add)
    ours = {
        "allowPrivilegeEscalation": False,
        "capabilities": capabilities,
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER_ID,
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
    }
    return _merged(tenant, ours, given)


def _merged(tenant: TenantControlPlane, ours: Json, given: Mapping[str, Any] | None) -> Json:
    return {**(ours if tenant.deployment.hardening == "restricted" else {}), **(given or {})}
