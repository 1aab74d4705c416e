# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a proof in a tenant cluster: a namespace that is thrown away, one pod on each worker, and a Service before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import tenant_check
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

# Any number will do that is not root's: the image has files of root only, readable by all.
_NOBODY: Final = 65534
_POD_LABELS: Final = {"app.kubernetes.io/name": tenant_check.NAME, tenant_check.LABEL: ""}


def namespace(name: str) -> Json:
    """The strictest Pod Security level, so that the pods run wherever ordinary ones may."""
    labels = {tenant_check.LABEL: "", "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(namespace_name: str, image: str, nodes: Sequence[str]) -> Json:
    """One pod of `agnhost netexec` on each of the nodes."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": tenant_check.NAME, "namespace": namespace_name, "labels": _POD_LABELS},
        "spec": {
            "replicas": len(nodes),
            "selector": {"matchLabels": _POD_LABELS},
            "template": {"metadata": {"labels": _POD_LABELS}, "spec": _pod(image, nodes)},
        },
    }


def service(namespace_name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": tenant_check.NAME, "namespace": namespace_name, "labels": _POD_LABELS},
        "spec": {
            "selector": _POD_LABELS,
            "ports": [{"name": "http", "port": tenant_check.SERVICE_PORT, "targetPort": tenant_check.POD_PORT, "protocol": "TCP"}],
        },
    }


def _pod(image: str, nodes: Sequence[str]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        # A worker's own taints are no reason to leave it out; cordoned ones are not among the nodes.
        "tolerations": [{"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_is_node(name) for name in nodes]}},
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _POD_LABELS}}
                ]
            },
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(image)],
    }


def _is_node(name: str) -> Json:
    # A node's label kubernetes.io/hostname need not be its name.
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}


def _container(image: str) -> Json:
    return {
        "name": "agnhost",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", f"--http-port={tenant_check.POD_PORT}"],
        "ports": [{"name": "http", "containerPort": tenant_check.POD_PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 30},
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
