#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: join_info
short_description: What a host must know of a tenant cluster before it joins
description:
  - Reads endpoint, version and CA hashes of a tenant cluster, and whether it has a Node of a given name.
  - Makes no token; see M(hosted.kubernetes.bootstrap_token).
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  node_name:
    description: Name that the host's Node has or will have.
    type: str
    required: true
extends_documentation_fragment:
  - hosted.kubernetes.tenant_cluster
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.attributes.info
"""

EXAMPLES = r"""
- name: Read what the host must know
  hosted.kubernetes.join_info:
    kubeconfig: management.kubeconfig
    tenant: acme
    node_name: worker-1
  register: join
  delegate_to: localhost
"""

RETURN = r"""
target:
  description: The tenant cluster.
  returned: success
  type: dict
  contains:
    tenant:
      description: Namespace and name, or the kubeconfig it was reached with.
      type: str
    endpoint:
      description: URL of the API server that hosts use.
      type: str
      sample: https://198.51.100.20:6443
    ca_hashes:
      description: Hashes of the public keys of the cluster's CA certificates.
      type: list
      elements: str
    version:
      description: Version of the API server.
      type: str
      sample: v1.36.3
    has_node:
      description: Whether a Node of that name exists.
      type: bool
    has_ipv6:
      description: Whether the endpoint is an IPv6 address, or pods or Services have IPv6 networks.
      type: bool
address:
  description: Address and port of the endpoint.
  returned: success
  type: str
  sample: 198.51.100.20:6443
ca:
  description: CA certificates of the cluster (PEM).
  returned: success
  type: str
konnectivity:
  description: Address and port that the agents on workers connect to; empty when the tenant has none.
  returned: success
  type: str
  sample: 198.51.100.20:8132
kubelet_configuration:
  description: The KubeletConfiguration that the cluster has uploaded for its nodes (YAML); empty when it has none.
  returned: success
  type: str
node:
  description: The Node; null when it does not exist.
  returned: success
  type: dict
  contains:
    version:
      description: Version of its kubelet.
      type: str
    cordoned:
      description: Whether it takes no new pods.
      type: bool
    workloads:
      description:
        - The controllers whose pods are on it, as far as all of them are ready now, for O(hosted.kubernetes.node#module:workloads).
      type: list
      elements: dict
tenant_state:
  description:
    - Why the tenant cannot be asked. V(absent) when there is no such TenantControlPlane, V(unfinished) when it has no kubeconfig of an
      administrator yet, V(asleep) when it has no replica.
  returned: when that made the module fail
  type: str
  sample: absent
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client

SPEC = TENANT_CLUSTER.merge(ArgumentSpec(options={"node_name": {"type": "str", "required": True}}))


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers

    source = tenant_source(module.params)
    with workers.tenant_cluster(source) as client:
        target = workers.join_target(client, source, module.params["node_name"])
        kubelet_configuration = workers.kubelet_configuration(client)
        node = _node(client, module.params["node_name"]) if target.has_node else None
    return {
        "changed": False,
        "target": {
            "tenant": target.tenant,
            "endpoint": target.endpoint,
            "ca_hashes": list(target.ca_hashes),
            "version": target.version,
            "has_node": target.has_node,
            "has_ipv6": target.has_ipv6,
        },
        "address": target.endpoint.split("://", 1)[-1].rstrip("/"),
        "ca": target.ca,
        "konnectivity": target.konnectivity,
        "kubelet_configuration": kubelet_configuration,
        "node": node,
    }


def _node(client: Client, name: str) -> dict[str, Any] | None:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import node_health

    found = client.get(resource_of("Node"), name)
    if found is None:
        return None
    return {
        "version": found.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", ""),
        "cordoned": bool(found.get("spec", {}).get("unschedulable")),
        "workloads": [item.to_json() for item in node_health.workloads_on(client, name)],
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
