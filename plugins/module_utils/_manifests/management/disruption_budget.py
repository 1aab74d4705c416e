# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many control-plane pods of a tenant a drain may take away at once."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs


def disruption_budget(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return the PodDisruptionBudget: one at a time; pods that are not healthy anyway do not hold up a drain."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": common.metadata(tenant, tenant.name, "disruption-budget", inputs.uid),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": common.selector(tenant)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
