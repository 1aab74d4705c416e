#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_check
short_description: Prove that tenant clusters work
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
  tenants:
    description:
      - Several tenants in the management cluster, instead of O(tenant). One that fails does not hold up the others; the module then fails at its
        end with the reasons of each.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the TenantControlPlane.
        type: str
        required: true
      namespace:
        description: Its namespace; the option O(namespace) when this is missing or empty.
        type: str
      minimum_nodes:
        description: As O(minimum_nodes), which counts when this is missing.
        type: int
  at_once:
    description: How many of O(tenants) are proved at a time. Each costs this host and the management cluster many connections.
    type: int
    default: 4
  log:
    description:
      - File to which a line is added for each of O(tenants) that is done, on the host where this module runs.
      - When that is the controller, and the task has no C(become), they are shown as they come, also without this option.
    type: path
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

- name: Prove several, eight of them at a time
  hosted.kubernetes.tenant_check:
    kubeconfig: management.kubeconfig
    namespace: tenants
    tenants:
      - name: acme
      - name: beta
        minimum_nodes: 0
    at_once: 8

- name: The same with a kubeconfig of the tenant alone, and an image of one's own registry
  hosted.kubernetes.tenant_check:
    tenant_kubeconfig: acme.kubeconfig
    image: registry.example.com/e2e-test-images/agnhost:2.63.0
"""

RETURN = r"""
tenants:
  description: One entry for each of O(tenants), in the given order, also when some failed.
  returned: O(tenants) is given
  type: list
  elements: dict
  contains:
    tenant:
      description: As RV(tenant).
      type: str
    changed:
      description: Always V(false).
      type: bool
    replicas:
      description: As RV(replicas).
      type: list
      elements: str
    nodes:
      description: As RV(nodes).
      type: list
      elements: str
    checks:
      description: As RV(checks); empty for a tenant that could not be reached.
      type: list
      elements: dict
    error:
      description: What is wrong with this tenant, empty when nothing is.
      type: str
tenant:
  description: Which tenant it was.
  returned: without O(tenants)
  type: str
  sample: tenants/acme
replicas:
  description: Pods of the control plane that were tried one by one; empty with O(tenant_kubeconfig).
  returned: without O(tenants)
  type: list
  elements: str
nodes:
  description: Nodes on which a pod was tried.
  returned: without O(tenants)
  type: list
  elements: str
checks:
  description: Every check with its outcome.
  returned: without O(tenants)
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

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import Options, Report

SPEC = TENANT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "tenants": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "namespace": {"type": "str"},
                    "minimum_nodes": {"type": "int"},
                },
            },
            "at_once": {"type": "int", "default": 4},
            "log": {"type": "path"},
            "minimum_nodes": {"type": "int", "default": 1},
            "image": {"type": "str", "default": "registry.k8s.io/e2e-test-images/agnhost:2.63.0"},
            "repeats": {"type": "int", "default": 3},
            "wait_timeout": {"type": "int", "default": 120},
            "check_timeout": {"type": "int", "default": 30},
        },
        mutually_exclusive=[["tenant", "tenants"], ["tenant_kubeconfig", "tenants"]],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    if module.params["tenants"] is not None:
        return several(module)
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import check_tenant

    report = check_tenant(tenant_source(module.params), options(module, module.params["minimum_nodes"]))
    found = {"changed": False, **report.as_dict()}
    if module.check_mode:
        return looked(found, [report])
    if report.error:
        raise HostedKubernetesError(report.error, **found)
    return found


def several(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import refuse_twice, result_of
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import check_tenants

    params = module.params
    if params["at_once"] < 1:
        raise InvalidError(f"at_once is {params['at_once']}; at least one tenant has to be proved at a time")
    proofs = []
    for item in params["tenants"]:
        source = tenant_source({**params, "tenant": item["name"], "namespace": item["namespace"] or params["namespace"]})
        least = params["minimum_nodes"] if item["minimum_nodes"] is None else item["minimum_nodes"]
        proofs.append((source, options(module, least)))
    refuse_twice([(source.namespace, source.name) for source, _unused in proofs])
    with ExitStack() as stack:
        log = stack.enter_context(ProgressLog(params["log"])) if params["log"] else None
        reports = check_tenants(proofs, at_once=params["at_once"], tell=log.step if log else lambda _text: None)
    entries = [{**report.as_dict(), "changed": False, "error": report.error or ""} for report in reports]
    return looked({"changed": False, "tenants": entries}, reports) if module.check_mode else result_of(entries)


def options(module: AnsibleModule, minimum_nodes: int) -> Options:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_check import Options

    params = module.params
    return Options(
        image=params["image"] or SPEC.options["image"]["default"],
        minimum_nodes=minimum_nodes,
        repeats=params["repeats"],
        wait_timeout_s=params["wait_timeout"],
        settle_s=params["check_timeout"],
        read_only=module.check_mode,
    )


def looked(found: dict[str, Any], reports: list[Report]) -> dict[str, Any]:
    """The result in check mode: what is wrong may be what earlier tasks would have mended."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import NEED_PODS

    return {**found, "skipped_checks": list(NEED_PODS), "warnings": [report.error for report in reports if report.error]}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
