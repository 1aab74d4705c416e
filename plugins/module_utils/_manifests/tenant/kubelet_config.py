# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMap kubelet-config, from which joining nodes take the kubelet's configuration, and the right to read it."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.go_yaml import to_yaml
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.json_patches import apply_json_patches
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    BOOTSTRAPPERS,
    KUBE_SYSTEM,
    NODES,
    config_map,
    group,
    read_config_map,
    role_with_binding,
)

# kubeadm writes the whole Go structure: zero values mean "the kubelet's default", which each kubelet version fills in itself.
_LOGGING: Final[Json] = {
    "flushFrequency": 0,
    "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
    "verbosity": 0,
}
_ZERO_DURATIONS: Final = (
    "cpuManagerReconcilePeriod",
    "evictionPressureTransitionPeriod",
    "fileCheckFrequency",
    "httpCheckFrequency",
    "imageMaximumGCAge",
    "imageMinimumGCAge",
    "nodeStatusReportFrequency",
    "nodeStatusUpdateFrequency",
    "runtimeRequestTimeout",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "streamingConnectionIdleTimeout",
    "syncFrequency",
    "volumeStatsAggPeriod",
)
PATCHES_FIELD: Final = "spec.kubernetes.kubelet.configurationJSONPatches"


def kubelet_config(tenant: TenantControlPlane) -> list[Json]:
    """The objects of `kubeadm init phase upload-config kubelet`. Raises InvalidError when a patch does not apply."""
    patches = tenant.kubelet.configuration_json_patches
    document = apply_json_patches(kubelet_configuration(tenant), patches, PATCHES_FIELD)
    rules, subjects = [read_config_map("kubelet-config")], [group(NODES), group(BOOTSTRAPPERS)]
    return [
        config_map("kubelet-config", KUBE_SYSTEM, {"kubelet": to_yaml(document)}, signed=not patches),
        *role_with_binding("kubeadm:kubelet-config", KUBE_SYSTEM, rules, subjects),
    ]


def kubelet_configuration(tenant: TenantControlPlane) -> Json:
    """kubeadm's KubeletConfiguration of a tenant, before the user's patches."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"cacheTTL": "0s", "enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"}},
        "cgroupDriver": tenant.kubelet.cgroup_driver or "systemd",
        "clusterDNS": list(tenant.network.dns_service_ips),
        "clusterDomain": tenant.network.cluster_domain,
        "containerRuntimeEndpoint": "",
        "crashLoopBackOff": {},
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "kind": "KubeletConfiguration",
        "logging": _LOGGING,
        "memorySwap": {},
        "rotateCertificates": True,
        "staticPodPath": "/etc/kubernetes/manifests",
        **dict.fromkeys(_ZERO_DURATIONS, "0s"),
    }
