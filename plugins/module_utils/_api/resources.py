# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST resources of the kinds this collection writes, so that no discovery call is needed for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One REST resource: api_version as in manifests ("v1", "apps/v1"), plural as in the URL."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, or of one object or subresource of it."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


@dataclass(frozen=True, order=True)
class ObjectRef:
    """Identity of one object within one cluster. namespace is "" for cluster-scoped objects."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, obj: Json) -> ObjectRef:
        metadata = obj.get("metadata", {})
        return cls(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


KAMAJI_API_VERSION: Final = "kamaji.clastix.io/v1alpha1"

_RESOURCES: Final = (
    Resource("v1", "ConfigMap", "configmaps", True),
    Resource("v1", "Endpoints", "endpoints", True),
    Resource("v1", "Event", "events", True),
    Resource("v1", "Namespace", "namespaces", False),
    Resource("v1", "Node", "nodes", False),
    Resource("v1", "PersistentVolume", "persistentvolumes", False),
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True),
    Resource("v1", "Pod", "pods", True),
    Resource("v1", "Secret", "secrets", True),
    Resource("v1", "Service", "services", True),
    Resource("v1", "ServiceAccount", "serviceaccounts", True),
    Resource("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False),
    Resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False),
    Resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False),
    Resource("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False),
    Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    Resource("apps/v1", "DaemonSet", "daemonsets", True),
    Resource("apps/v1", "Deployment", "deployments", True),
    Resource("apps/v1", "ReplicaSet", "replicasets", True),
    Resource("apps/v1", "StatefulSet", "statefulsets", True),
    Resource("batch/v1", "CronJob", "cronjobs", True),
    Resource("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", False),
    Resource("coordination.k8s.io/v1", "Lease", "leases", True),
    Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", True),
    Resource("gateway.networking.k8s.io/v1", "TLSRoute", "tlsroutes", True),
    Resource("networking.k8s.io/v1", "Ingress", "ingresses", True),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False),
    Resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Resource("rbac.authorization.k8s.io/v1", "Role", "roles", True),
    Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True),
    Resource("storage.k8s.io/v1", "StorageClass", "storageclasses", False),
    Resource(KAMAJI_API_VERSION, "DataStore", "datastores", False),
    Resource(KAMAJI_API_VERSION, "KubeconfigGenerator", "kubeconfiggenerators", False),
    Resource(KAMAJI_API_VERSION, "TenantControlPlane", "tenantcontrolplanes", True),
)
_BY_KIND: Final = {(item.api_version, item.kind): item for item in _RESOURCES}


def find_resource(api_version: str, kind: str) -> Resource | None:
    """Return the resource of a kind this collection knows by heart, None for any other kind."""
    return _BY_KIND.get((api_version, kind))


def resource_of(kind: str) -> Resource:
    """Return the resource of a known kind; kinds are unique in the table. Raises KeyError for any other kind."""
    for item in _RESOURCES:
        if item.kind == kind:
            return item
    raise KeyError(kind)
