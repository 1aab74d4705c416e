# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMap kubeadm-config, which `kubeadm join` and `kubeadm upgrade node` read, and the right to read it."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import AddonImage, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.go_yaml import to_yaml
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    BOOTSTRAPPERS,
    KUBE_SYSTEM,
    NODES,
    config_map,
    group,
    read_config_map,
    role_with_binding,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs


def kubeadm_config(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """The objects of `kubeadm init phase upload-config kubeadm`."""
    text = to_yaml(cluster_configuration(tenant, inputs))
    rules, subjects = [read_config_map("kubeadm-config")], [group(BOOTSTRAPPERS), group(NODES)]
    return [
        config_map("kubeadm-config", KUBE_SYSTEM, {"ClusterConfiguration": text}),
        *role_with_binding("kubeadm:nodes-kubeadm-config", KUBE_SYSTEM, rules, subjects),
    ]


def cluster_configuration(tenant: TenantControlPlane, inputs: TenantInputs) -> Json:
    """kubeadm's ClusterConfiguration of a tenant. No etcd: where the data lies is not the tenant's business, and no worker asks."""
    network = tenant.network
    return {
        "apiServer": {"certSANs": list(network.cert_sans)} if network.cert_sans else {},
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "caCertificateValidityPeriod": "87600h0m0s",
        "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": tenant.name,
        "controlPlaneEndpoint": inputs.endpoint,
        "controllerManager": {},
        "dns": _dns(tenant.addons.core_dns),
        "encryptionAlgorithm": str(tenant.key_algorithm),
        "imageRepository": tenant.deployment.registry,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": tenant.version,
        "networking": {
            "dnsDomain": network.cluster_domain,
            "podSubnet": ",".join(network.pod_cidrs),
            "serviceSubnet": ",".join(network.service_cidrs),
        },
        "proxy": {} if tenant.addons.kube_proxy else {"disabled": True},
        "scheduler": {},
    }


def _dns(core_dns: AddonImage | None) -> Json:
    if core_dns is None:
        return {"disabled": True}
    fields = {"imageRepository": core_dns.image_repository, "imageTag": core_dns.image_tag}
    return {key: value for key, value in fields.items() if value}
