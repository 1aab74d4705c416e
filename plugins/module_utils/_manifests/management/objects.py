# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All objects of a tenant in the management cluster, except its Secrets."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.config_maps import (
    api_server_configuration,
    egress_selector,
    kubeadm_config,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.deployment import deployment, replicas
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.disruption_budget import disruption_budget
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.network_policy import network_policy
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.routes import routes
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.service import service


def objects(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    """Return the wanted objects in order of application; an object that is missing here is not wanted."""
    result = [service(tenant, inputs), *routes(tenant, inputs), kubeadm_config(tenant, inputs)]
    if tenant.addons.konnectivity:
        result.append(egress_selector(tenant, inputs))
    configuration = api_server_configuration(tenant, inputs)
    if configuration:
        result.append(configuration)
    if tenant.deployment.hardening == "restricted":
        result.append(network_policy(tenant, inputs))
    count = replicas(tenant, inputs)
    # Of a number that an autoscaler owns nothing is known; with one replica the budget would still allow its eviction.
    if count is None or count >= 2:
        result.append(disruption_budget(tenant, inputs))
    return [*result, deployment(tenant, inputs)]
