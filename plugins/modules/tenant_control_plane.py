#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_control_plane
short_description: Make the control planes of tenant clusters exist or not exist
version_added: 0.1.0
description:
  - Runs kube-apiserver, kube-scheduler and kube-controller-manager of tenant clusters as pods of a management cluster, exposes them by a
    Service, and puts into each tenant cluster what C(kubeadm) would put there, so that workers can join.
  - Writes the TenantControlPlane resource (C(kamaji.clastix.io/v1alpha1)), makes all changes at once and waits until the control plane
    answers an authenticated C(GET /readyz).
  - One call serves one or many tenants, which are worked on in parallel.
  - An upgrade goes from the version that ran last, one minor at a time, and is refused while a worker's kubelet would be too old for it. The
    workers of a tenant that sleeps cannot be asked.
  - A tenant whose C(spec.dataStoreSelector) picks DataStores by labels goes to the one with most room (see the option C(capacity) of
    M(hosted.kubernetes.datastore)). The choice is recorded in the resource's status and stays. When none has room, the error shows all of them.
  - In check mode returns the very changes a real run would make. What is only known afterwards, such as an address that a load balancer
    gives, is shown as C(known after apply). With C(--diff) a new tenant is its definition and one line for each object made for it; C(-v)
    shows RV(tenants[].plan) with all their fields.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  definition:
    description:
      - One TenantControlPlane manifest, or a list of them. C(apiVersion) and C(kind) may be left out.
      - With O(state=absent) only C(metadata.name), C(metadata.namespace) and where the data is (C(spec.dataStore), C(spec.dataStoreSchema),
        C(spec.dataStoreUsername), C(spec.dataStoreOverrides)) are looked at, and of these only what the stored resource does not say.
    type: raw
  src:
    description: Path of a YAML file with one or more TenantControlPlane manifests.
    type: path
  name:
    description:
      - Name of a tenant whose resource exists already (made by C(kubectl), GitOps or Cluster API); it is taken as it is stored.
      - With O(state=absent) the tenant to delete.
    type: str
  namespace:
    description:
      - Namespace in the management cluster of O(name), and of definitions that name none.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  state:
    description:
      - V(present) makes the tenants what their definitions say.
      - V(absent) stops their control planes, purges their data from the datastore, deletes all their objects, and looks once more whether
        anything is left.
    type: str
    choices: [present, absent]
    default: present
  rollout:
    description:
      - V(changed) replaces control-plane pods only with a change of yours. Differences that come from a newer version of this collection are
        listed in RV(tenants[].deferred) and put off until then.
      - V(now) applies those as well.
    type: str
    choices: [changed, now]
    default: changed
  renew_before:
    description: Certificates that end within this many days are issued anew; V(0) to V(364), as they live a year.
    type: int
    default: 30
  force:
    description: With O(state=absent), delete also when the datastore cannot be reached. The tenant's data stays behind in it.
    type: bool
    default: false
  max_starting:
    description:
      - How many control planes may start or be rolled at a time; V(0) takes as many as the management cluster's nodes have processors that
        no pod has asked for, and at least two. Nodes that are not ready, or cordoned, do not count.
      - One whose pods are held up (no image, no node, a container that keeps ending) lets the next one begin. One that could not begin in time
        fails before its Deployment is touched.
    type: int
    default: 0
  wait:
    description: Wait until the control planes are ready, with no pod of an older template left.
    type: bool
    default: true
  wait_exposed:
    description:
      - With O(wait), wait also until each published endpoint answers from where this module runs, and fail when it does not in time.
      - Say V(false) when only workers have to reach it. The module then reaches the tenant through the management cluster, and
        RV(tenants[].exposed) says what it saw. An address that exists in the management cluster only (C(serviceType) C(ClusterIP) without
        C(networkProfile.address)) is never waited for.
    type: bool
    default: true
  wait_timeout:
    description: How long the whole call may wait, in seconds.
    type: int
    default: 300
  log:
    description:
      - File to which the phases of each tenant that is being changed are added as they come, and whom the call waits for, on the host where
        this module runs.
      - When that is the controller, and the task has no C(become), they are shown as they come, also without this option.
    type: path
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - cryptography >= 42.0.0
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 for PostgreSQL, PyMySQL >= 1.2.0 for MySQL
seealso:
  - module: hosted.kubernetes.tenant_control_plane_info
  - module: hosted.kubernetes.tenant_kubeconfig
"""

EXAMPLES = r"""
- name: Create a tenant cluster's control plane
  hosted.kubernetes.tenant_control_plane:
    kubeconfig: management.kubeconfig
    definition:
      metadata:
        name: acme
        namespace: tenants
      spec:
        dataStore: default
        kubernetes:
          version: v1.36.3
        controlPlane:
          deployment:
            replicas: 2
          service:
            serviceType: LoadBalancer
        addons:
          coreDNS: {}
          kubeProxy: {}
          konnectivity: {}

- name: Delete it with all its data
  hosted.kubernetes.tenant_control_plane:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    state: absent
"""

RETURN = r"""
tenants:
  description: One entry for each tenant, in the order of the definitions.
  returned: always
  type: list
  elements: dict
  contains:
    tenant:
      description: namespace/name.
      type: str
    changed:
      description: Whether anything of this tenant was, or in check mode would be, changed.
      type: bool
    paused:
      description: Whether it was left alone, since its resource carries the annotation C(kamaji.clastix.io/paused). A warning names it.
      type: bool
    plan:
      description: The changes in order, each with cluster, object, action, reason and fields. Secret values are redacted.
      type: list
      elements: dict
    deferred:
      description: Differences of the pods that come from a newer collection and wait for a change of yours or O(rollout=now).
      type: list
      elements: dict
    endpoint:
      description: host:port of the API server, as workers and users reach it.
      type: str
    phase:
      description: The status as shown by C(kubectl get tcp).
      type: str
      sample: Ready
    exposed:
      description: Whether the endpoint answered from where this module ran.
      type: bool
    durations:
      description: Seconds spent on each phase.
      type: dict
    error:
      description: Why this tenant failed, empty when it did not.
      type: str
"""

from contextlib import ExitStack
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    holder,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "definition": {"type": "raw"},
            "src": {"type": "path"},
            "name": {"type": "str"},
            "namespace": {"type": "str", "default": "default"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "rollout": {"type": "str", "choices": ["changed", "now"], "default": "changed"},
            "renew_before": {"type": "int", "default": 30},
            "force": {"type": "bool", "default": False},
            "max_starting": {"type": "int", "default": 0},
            "wait": {"type": "bool", "default": True},
            "wait_exposed": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
            "log": {"type": "path"},
        },
        mutually_exclusive=[["definition", "src", "name"]],
        required_one_of=[["definition", "src", "name"]],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call

    params = module.params
    request = call.Request(
        definition=params["definition"],
        src=params["src"] or None,
        name=params["name"] or None,
        namespace=params["namespace"] or "default",
        absent=params["state"] == "absent",
        rollout_now=params["rollout"] == "now",
        renew_before_days=params["renew_before"],
        force=params["force"],
    )
    with ExitStack() as stack:
        log = stack.enter_context(ProgressLog(params["log"])) if params["log"] else None
        tell = log.step if log else (lambda _text: None)

        def say(text: str) -> None:
            module.warn(text)
            tell(text)

        settings = call.Settings(
            holder=holder(),
            say=say,
            tell=tell,
            check=module.check_mode,
            wait=params["wait"],
            wait_exposed=params["wait_exposed"],
            timeout_s=params["wait_timeout"],
            max_starting=params["max_starting"],
        )
        client = stack.enter_context(connect(ConnectionOptions(**connection_options(params))))
        return call.run(client, request, settings)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
