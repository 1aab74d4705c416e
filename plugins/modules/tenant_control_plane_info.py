#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_control_plane_info
short_description: Say how tenant control planes are, and why one is not ready
version_added: 0.1.0
description:
  - Looks at the tenants of a management cluster, inside those that are awake as well, and returns how each is.
  - Says how each is exposed, and whether its published endpoint answers from where the module runs. RV(tenants[].ready) does not depend on
    that, since a tenant may be ready at an address that only its workers reach, or that a load balancer does not announce.
  - For one that is not ready names the first phase that fails, the reason (down to the pod and container), and the next step.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Only the tenant of this name.
    type: str
  namespace:
    description: Only tenants of this namespace; all namespaces by default.
    type: str
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.attributes.info
requirements:
  - cryptography >= 42.0.0
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 for PostgreSQL, PyMySQL >= 1.2.0 for MySQL
seealso:
  - module: hosted.kubernetes.tenant_control_plane
"""

EXAMPLES = r"""
- name: Look at all tenants
  hosted.kubernetes.tenant_control_plane_info:
    kubeconfig: management.kubeconfig
  register: fleet

- name: Look at one tenant
  hosted.kubernetes.tenant_control_plane_info:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
  register: acme

- name: Refuse to go on with tenants that are ready, but do not answer at their published endpoint
  ansible.builtin.assert:
    that: silent | length == 0
    fail_msg: "{{ silent | map(attribute='exposure.reason') | join('; ') }}"
  vars:
    silent: "{{ fleet.tenants | selectattr('ready') | rejectattr('exposure.answers') | list }}"
"""

RETURN = r"""
tenants:
  description: One entry for each tenant.
  returned: always
  type: list
  elements: dict
  contains:
    tenant:
      description: namespace/name.
      type: str
    ready:
      description: Whether it is awake, complete and answers in the management cluster. RV(tenants[].exposure) says whether it can be reached.
      type: bool
    asleep:
      description: Whether it has no replicas on purpose.
      type: bool
    phase:
      description: The status last recorded in the resource.
      type: str
    version:
      description: The Kubernetes version wanted.
      type: str
    installed_version:
      description: The Kubernetes version that runs.
      type: str
    endpoint:
      description: host:port of its API server.
      type: str
    exposure:
      description: How its API server is exposed.
      type: dict
      contains:
        service_type:
          description: Type of its Service, V(ClusterIP), V(NodePort) or V(LoadBalancer).
          type: str
        route:
          description: What passes TLS on to the Service under a host name, V(Ingress) or V(Gateway), empty when the Service itself is published.
          type: str
        address:
          description: The published address or host name, empty while there is none.
          type: str
        port:
          description: The published port, none while there is no address.
          type: int
        has_address:
          description: Whether the Service has its address, from a load balancer, the cluster or the definition.
          type: bool
        answers:
          description:
            - Whether the published endpoint answered from where the module runs. None when it was not tried, because the tenant sleeps or none of
              its API servers is ready.
          type: bool
        reason:
          description: What is missing, empty when it answers.
          type: str
        next_step:
          description: What to do about it, empty when nothing needs to be done.
          type: str
      sample:
        service_type: LoadBalancer
        route: ""
        address: 192.0.2.200
        port: 6443
        has_address: true
        answers: true
        reason: ""
        next_step: ""
    failing_phase:
      description:
        - The first phase that fails, empty when the tenant is ready or asleep.
        - One of V(deletion), V(paused), V(datastore), V(definition), V(address), V(management_objects), V(pods), V(api_server),
          V(tenant_objects).
      type: str
    reason:
      description: What is wrong there.
      type: str
    next_step:
      description: What to do about it.
      type: str
    datastore:
      description: Name of its DataStore.
      type: str
    certificates_expire:
      description: When the first of its certificates ends, ISO 8601.
      type: str
    drift:
      description: What the module tenant_control_plane would change.
      type: list
      elements: dict
    deferred:
      description: Differences of the pods that come from a newer collection and wait for a change of yours.
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    holder,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(ArgumentSpec(options={"name": {"type": "str"}, "namespace": {"type": "str"}}))


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.info import tenants_info

    settings = Settings(holder=holder(), check=True)
    with connect(ConnectionOptions(**connection_options(module.params))) as client:
        tenants = tenants_info(client, settings, module.params["name"] or None, module.params["namespace"] or None)
    return {"changed": False, "tenants": tenants}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
