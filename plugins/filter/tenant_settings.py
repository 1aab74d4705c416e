# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter tenant_settings: what plays must know of a TenantControlPlane, by the engine's own rules."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tenant_settings
short_description: What plays must know of a tenant
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Reads a definition of a TenantControlPlane with the defaults that M(hosted.kubernetes.tenant_control_plane) uses.
positional: _input, namespace, kubeconfig_dir
options:
  _input:
    description: The definition, complete or without C(apiVersion) and C(kind).
    type: dict
    required: true
  namespace:
    description:
      - Namespace of a definition that names none.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  kubeconfig_dir:
    description: Directory of the administrators' kubeconfigs on the controller; empty when there are none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the networks of the tenant's pods
  ansible.builtin.debug:
    msg: "{{ (definition | hosted.kubernetes.tenant_settings).pod_cidrs }}"
"""

RETURN = r"""
_value:
  description:
    - C(name) and C(namespace) of the tenant, both as C(key), C(version) of Kubernetes as it is wanted, C(pod_cidrs) in the user's order, C(asleep) when
      it shall have no replica, and C(kubeconfig), the path of its administrator's kubeconfig, empty when C(kubeconfig_dir) is.
  type: dict
  sample:
    name: acme
    namespace: tenants
    key: tenants/acme
    version: v1.36.3
    pod_cidrs: ["10.244.0.0/16"]
    asleep: false
    kubeconfig: /root/acme.kubeconfig
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import Deployment, pod_cidrs
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.definitions import mapping


def tenant_settings(definition: Mapping[str, Any], namespace: str = "default", kubeconfig_dir: str = "") -> dict[str, Any]:
    """Return what plays must know of a tenant. The definition need not be valid as a whole: the module says what is wrong with it."""
    metadata = mapping(definition, "metadata")
    name = metadata.get("name")
    if not name:
        raise AnsibleFilterError("a definition of a TenantControlPlane has no metadata.name; give each tenant a name")
    spec = mapping(definition, "spec")
    deployment = mapping(mapping(spec, "controlPlane"), "deployment")
    namespace = metadata.get("namespace") or namespace
    return {
        "name": name,
        "namespace": namespace,
        "key": f"{namespace}/{name}",
        "version": str(mapping(spec, "kubernetes").get("version") or ""),
        "pod_cidrs": list(pod_cidrs(mapping(spec, "networkProfile"))),
        "asleep": Deployment.parse(dict(deployment)).asleep,
        "kubeconfig": os.path.join(kubeconfig_dir, f"{name}.kubeconfig") if kubeconfig_dir else "",
    }


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"tenant_settings": tenant_settings}
