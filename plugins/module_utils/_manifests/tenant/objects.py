# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All objects of ours inside a tenant cluster."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.bootstrap import bootstrap, cluster_admins
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.coredns import coredns
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.image_pull import SECRET, image_pull
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.konnectivity import konnectivity
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kube_proxy import kube_proxy
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubeadm_config import kubeadm_config
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubelet_config import kubelet_config
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.kubernetes_endpoints import kubernetes_endpoints
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import (
    BINDING,
    POLICY,
    write_permissions,
)

# To observe a tenant cluster: LISTs of these kinds by names.PROJECT_SELECTOR in all namespaces, and GETs of these objects.
LISTED_KINDS: Final = (
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)
READ_OBJECTS: Final = (
    ObjectRef("v1", "Service", "kube-system", "kube-dns"),
    ObjectRef("v1", "Endpoints", "default", "kubernetes"),
    ObjectRef("discovery.k8s.io/v1", "EndpointSlice", "default", "kubernetes"),
    POLICY,
    BINDING,
    SECRET,
)
# In a tenant that the reference made: its operator is asked about each write by these, and refuses all when it is away.
REFERENCE_GUARDS: Final = tuple(
    ObjectRef("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", name)
    for name in ("kamaji-freeze", "kamaji-write-permissions")
)


def objects(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """Return what we want inside a tenant cluster, in order of application: rights and configuration before what uses them.

    An addon that is off contributes nothing: what it left in the cluster is found by its label and removed.
    Raises InvalidError for an unsupported version and for patches that do not apply.
    """
    return [
        *kubernetes_endpoints(tenant, inputs),
        *cluster_admins(),
        *kubeadm_config(tenant, inputs),
        *kubelet_config(tenant),
        *bootstrap(inputs),
        *image_pull(tenant, inputs),
        *konnectivity(tenant, inputs),
        *kube_proxy(tenant, inputs),
        *coredns(tenant),
        *write_permissions(tenant, over_budget=inputs.over_budget),
    ]
