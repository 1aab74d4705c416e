#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_check
short_description: Prove that a tenant cluster works
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Runs one pod on each worker of a tenant cluster, in a namespace that is thrown away, and tries what users of the cluster rely on.
  - "Checks, in this order: V(control-plane) (replicas are ready), V(nodes) (Ready), V(system) (DaemonSets and Deployments of kube-system are
    ready), V(pods) (a pod runs on every worker), V(logs), V(exec) (with stdin), V(port-forward), V(pod-to-pod) (between workers), V(service)
    (each worker gets answers of all pods through a Service), V(dns) (each worker resolves and reaches the Service and the API server by
    name), V(proxy) (of the API server to a Service), V(removal)."
  - What goes through konnectivity (logs, exec, port-forward, proxy) is tried with fresh connections through the published endpoint and through
    each replica of the control plane on its own, so that no replica can hide behind another one.
  - All checks are done even when one fails; the module then fails with the reason and the remedy of each.
  - Everything it makes is removed at the end, also after a failure; what a killed run has left is removed by the next one. Two runs on one
    tenant at the same time would disturb each other.
options:
  minimum_nodes:
    description:
      - How many workers must have joined. V(0) is content with a tenant that has none; what runs on workers is not looked at then.
    type: int
    default: 1
  image:
    description:
      - Image of agnhost, Kubernetes' own test program. The role P(hosted.kubernetes.bundle#role) has it in its bundle, and the role
        P(hosted.kubernetes.worker#role) brings it to workers when C(worker_images) lists C(agnhost); otherwise workers pull it.
    type: str
    default: registry.k8s.io/e2e-test-images/agnhost:2.63.0
  repeats:
    description: How many more fresh connections are tried on each way to each pod once the first has worked; each must succeed at once.
    type: int
    default: 3
  wait_timeout:
    description: Seconds to wait for nodes, for system pods, for the pods of the check, and for the removal, each.
    type: int
    default: 120
  check_timeout:
    description: Seconds until each of the other checks must have worked for the first time, on each way.
    type: int
    default: 30
extends_documentation_fragment:
  - hosted.kubernetes.tenant_cluster
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - Only does the checks V(control-plane), V(nodes) and V(system), as things are now, and says so in RV(skipped_checks).
      - Warns instead of failing, since what is missing may be what earlier tasks would have made.
  diff_mode:
    support: N/A
    details:
      - Nothing is left changed.
  idempotent:
    support: full
    details:
      - Never reports a change.
seealso:
  - module: hosted.kubernetes.tenant_control_plane
  - module: hosted.kubernetes.node
"""

EXAMPLES = r"""
- name: Prove that a tenant and its workers work
  hosted.kubernetes.tenant_check:
    kubeconfig: management.kubeconfig
    tenant: acme
    namespace: tenants
    minimum_nodes: 2

- name: The same with a kubeconfig of the tenant alone, and an image of one's own registry
  hosted.kubernetes.tenant_check:
    tenant_kubeconfig: acme.kubeconfig
    image: registry.example.com/e2e-test-images/agnhost:2.63.0
"""

RETURN = r"""
tenant:
  description: Which tenant it was.
  returned: always
  type: str
  sample: tenants/acme
replicas:
  description: Pods of the control plane that were tried one by one; empty with O(tenant_kubeconfig).
  returned: always
  type: list
  elements: str
nodes:
  description: Nodes on which a pod was tried.
  returned: always
  type: list
  elements: str
checks:
  description: Every check with its outcome.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check.
      type: str
    ok:
      description: Whether it has succeeded.
      type: bool
    ms:
      description: Milliseconds it took, with all waiting.
      type: int
    message:
      description: What was seen; for a failed check which node or way, why, and what to do.
      type: str
skipped_checks:
  description: Names of checks that need pods and are left out in check mode.
  returned: in check mode
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import Report

SPEC = TENANT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "minimum_nodes": {"type": "int", "default": 1},
            "image": {"type": "str", "default": "registry.k8s.io/e2e-test-images/agnhost:2.63.0"},
            "repeats": {"type": "int", "default": 3},
            "wait_timeout": {"type": "int", "default": 120},
            "check_timeout": {"type": "int", "default": 30},
        },
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import NEED_PODS
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import Options, check_tenant

    params = module.params
    options = Options(
        image=params["image"] or SPEC.options["image"]["default"],
        minimum_nodes=params["minimum_nodes"],
        repeats=params["repeats"],
        wait_timeout_s=params["wait_timeout"],
        settle_s=params["check_timeout"],
        read_only=module.check_mode,
    )
    report = check_tenant(tenant_source(params), options)
    if module.check_mode:
        return {**result(report), "skipped_checks": list(NEED_PODS), "warnings": [report.error] if report.error else []}
    if report.error:
        raise HostedKubernetesError(report.error, **result(report))
    return result(report)


def result(report: Report) -> dict[str, Any]:
    return {"changed": False, **report.as_dict()}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
