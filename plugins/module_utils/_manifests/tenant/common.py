# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small parts that all objects inside a tenant cluster are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown

KUBE_SYSTEM: Final = "kube-system"
KUBE_PUBLIC: Final = "kube-public"
RBAC_GROUP: Final = "rbac.authorization.k8s.io"
RBAC_API: Final = f"{RBAC_GROUP}/v1"
BOOTSTRAPPERS: Final = "system:bootstrappers:kubeadm:default-node-token"
NODES: Final = "system:nodes"
# kubeadm replaces a component's configuration on upgrade only while this checksum is true: no user has touched it.
COMPONENT_HASH: Final = "kubeadm.kubernetes.io/component-config.hash"


def metadata(
    name: str, namespace: str = "", *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> Json:
    """Metadata of an object of ours: the project's label is on all of them, so that LISTs and clean-up find them."""
    result: Json = {"name": name, "labels": {names.LABEL_PROJECT: names.PROJECT, **(labels or {})}}
    if namespace:
        result["namespace"] = namespace
    if annotations:
        result["annotations"] = dict(annotations)
    return result


def config_map(
    name: str, namespace: str, data: Mapping[str, str], *, labels: Mapping[str, str] | None = None, signed: bool = False
) -> Json:
    """A ConfigMap; signed ones carry kubeadm's checksum of their data."""
    annotations = {COMPONENT_HASH: component_hash(data)} if signed else None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name, namespace, labels=labels, annotations=annotations),
        "data": dict(data),
    }


def component_hash(data: Mapping[str, str]) -> str:
    """kubeadm's checksum of a ConfigMap (componentconfigs/checksums.go); UNKNOWN while a text is."""
    if has_unknown(dict(data)):
        return UNKNOWN
    return "sha256:" + hashlib.sha256("".join(data[key] for key in sorted(data)).encode()).hexdigest()


def service_account(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, KUBE_SYSTEM)}


def group(name: str) -> Json:
    return {"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}


def user(name: str) -> Json:
    return {"apiGroup": RBAC_GROUP, "kind": "User", "name": name}


def service_account_subject(name: str) -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": KUBE_SYSTEM}


def rule(api_group: str, resources: Sequence[str], verbs: Sequence[str], resource_names: Sequence[str] = ()) -> Json:
    """One rule of a Role or ClusterRole."""
    result: Json = {"apiGroups": [api_group], "resources": list(resources), "verbs": list(verbs)}
    if resource_names:
        result["resourceNames"] = list(resource_names)
    return result


def cluster_role(name: str, rules: Sequence[Json]) -> Json:
    return {"apiVersion": RBAC_API, "kind": "ClusterRole", "metadata": metadata(name), "rules": list(rules)}


def cluster_role_binding(name: str, role: str, subjects: Sequence[Json]) -> Json:
    return {
        "apiVersion": RBAC_API,
        "kind": "ClusterRoleBinding",
        "metadata": metadata(name),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


def role_with_binding(name: str, namespace: str, rules: Sequence[Json], subjects: Sequence[Json]) -> list[Json]:
    """A Role and a RoleBinding of the same name, as kubeadm pairs them."""
    role = {"apiVersion": RBAC_API, "kind": "Role", "metadata": metadata(name, namespace), "rules": list(rules)}
    binding = {
        "apiVersion": RBAC_API,
        "kind": "RoleBinding",
        "metadata": metadata(name, namespace),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": name},
        "subjects": list(subjects),
    }
    return [role, binding]


def read_config_map(name: str) -> Json:
    """The rule that lets one ConfigMap be read."""
    return rule("", ["configmaps"], ["get"], [name])
