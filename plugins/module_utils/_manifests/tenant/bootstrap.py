# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs to become a node with a bootstrap token, and who administers a tenant cluster.

Tokens themselves are not made here: a worker's join makes one for itself and deletes it after use.
"""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.go_yaml import to_yaml
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    BOOTSTRAPPERS,
    KUBE_PUBLIC,
    NODES,
    cluster_role,
    cluster_role_binding,
    config_map,
    group,
    read_config_map,
    role_with_binding,
    rule,
    user,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs

_SIGNING_REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"


def cluster_admins() -> list[Json]:
    """The binding that makes admin.conf (group kubeadm:cluster-admins) an administrator, as `kubeadm init` does first."""
    return [cluster_role_binding("kubeadm:cluster-admins", "cluster-admin", [group("kubeadm:cluster-admins")])]


def bootstrap(inputs: TenantInputs) -> list[Json]:
    """The objects of `kubeadm init phase bootstrap-token`, but for the token."""
    return [
        cluster_role("kubeadm:get-nodes", [rule("", ["nodes"], ["get"])]),
        cluster_role_binding("kubeadm:get-nodes", "kubeadm:get-nodes", [group(BOOTSTRAPPERS)]),
        cluster_role_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", [group(BOOTSTRAPPERS)]),
        cluster_role_binding("kubeadm:node-autoapprove-bootstrap", f"{_SIGNING_REQUESTS}:nodeclient", [group(BOOTSTRAPPERS)]),
        cluster_role_binding("kubeadm:node-autoapprove-certificate-rotation", f"{_SIGNING_REQUESTS}:selfnodeclient", [group(NODES)]),
        cluster_role_binding("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin", [user("kube-apiserver-kubelet-client")]),
        *cluster_info(inputs),
    ]


def cluster_info(inputs: TenantInputs) -> list[Json]:
    """ConfigMap cluster-info, readable by anyone. Only its key `kubeconfig` is ours: the controller manager signs it in others."""
    kubeconfig: Json = {
        "apiVersion": "v1",
        "clusters": [
            {
                "cluster": {"certificate-authority-data": inputs.ca_certificate_b64, "server": inputs.server},
                "name": "",
            }
        ],
        "contexts": None,
        "current-context": "",
        "kind": "Config",
        "users": None,
    }
    return [
        config_map("cluster-info", KUBE_PUBLIC, {"kubeconfig": to_yaml(kubeconfig)}),
        *role_with_binding(
            "kubeadm:bootstrap-signer-clusterinfo", KUBE_PUBLIC, [read_config_map("cluster-info")], [user("system:anonymous")]
        ),
    ]
