# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an API server that is told to verify kubelets will find certificates that it can verify."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.json_patches import apply_json_patches
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.arguments import flag_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubelet_config import (
    PATCHES_FIELD,
    kubelet_configuration,
)

FLAG: Final = "--kubelet-certificate-authority"


def unverifiable_kubelets(tenant: TenantControlPlane) -> list[str]:
    """Say of the user's flag by which the API server verifies kubelets that this definition lets them sign their certificates themselves.

    What the certificates of nodes that have joined are like cannot be seen from a definition; the text says what to do about them.
    """
    extra = tenant.deployment.extra_args.get("apiServer", ())
    given = [index for index, argument in enumerate(extra) if flag_name(f"--{argument.lstrip('-')}") == FLAG]
    if not given or _ask_for_certificates(tenant):
        return []
    return [
        (
            f"TenantControlPlane {tenant.key}: spec.controlPlane.deployment.extraArgs.apiServer[{given[0]}] {FLAG} makes the API server verify kubelets, "
            f"but {PATCHES_FIELD} lets them sign their certificates themselves: logs, exec and port-forward of pods fail on every node that does; "
            "take the flag away, add {op: add, path: /serverTLSBootstrap, value: true} there, run playbook worker_refresh for all workers, "
            "then set the flag again"
        )
    ]


def _ask_for_certificates(tenant: TenantControlPlane) -> bool:
    try:
        document = apply_json_patches(kubelet_configuration(tenant), tenant.kubelet.configuration_json_patches, PATCHES_FIELD)
    except InvalidError:
        return True  # A patch that does not apply is refused elsewhere, and nothing is known of the rest.
    return document.get("serverTLSBootstrap") is True
