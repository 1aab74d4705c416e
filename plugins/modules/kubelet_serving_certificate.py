#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_serving_certificate
short_description: Serving certificates of kubelets, signed by their tenant
description:
  - Approves the requests with which kubelets that have C(serverTLSBootstrap) in their configuration ask the tenant for serving certificates, of
    one or many nodes in one call, and waits until they are signed.
  - A request is approved when its user is the node, its usages are those of such a certificate, and each name and address in it is among those
    that are given here. Any other request stays pending, and there is a warning that says what is wrong with it.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  nodes:
    description: The nodes, each once.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the Node. It may stand in the certificate.
        type: str
        required: true
      dns_names:
        description: Other names of the host that may stand in it.
        type: list
        elements: str
        default: []
      ip_addresses:
        description: Addresses of the host, all of those that may stand in it.
        type: list
        elements: str
        default: []
      missing:
        description:
          - The kubelet has no such certificate yet, so that it will ask for one. This is waited for, and a request that must not be approved is a
            failure.
        type: bool
        default: false
  wait:
    description: Wait until requests have come, as far as they must, and until approved ones are signed.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for all of them.
    type: int
    default: 60
extends_documentation_fragment:
  - hosted.kubernetes.tenant_cluster
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - A request that has not come yet cannot be looked at. That it will be, when the host lacks a certificate, is a change.
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Approve what the kubelets of two hosts ask for, by what the inventory knows of them
  hosted.kubernetes.kubelet_serving_certificate:
    kubeconfig: ~/.kube/hosted-kubernetes/management.kubeconfig
    tenant: acme
    namespace: tenants
    nodes:
      - name: acme-worker-1
        ip_addresses: [192.0.2.11]
      - name: acme-worker-2
        ip_addresses: [192.0.2.12, '2001:db8::12']
"""

RETURN = r"""
nodes:
  description: One entry for each node, in the given order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    approved:
      description: Names of the requests that were approved, or would be.
      type: list
      elements: str
    refused:
      description: Why requests were left pending, by their names.
      type: dict
    error:
      description: Why it has no certificate although it lacks one, empty otherwise.
      type: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.kubelet_serving import Outcome

SPEC = TENANT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "dns_names": {"type": "list", "elements": "str", "default": []},
                    "ip_addresses": {"type": "list", "elements": "str", "default": []},
                    "missing": {"type": "bool", "default": False},
                },
            },
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 60},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_serving import ServingHost
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import kubelet_serving, workers

    params = module.params
    hosts = [ServingHost.parse(item) for item in params["nodes"]]
    names = [host.name for host in hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidError(f"nodes names {', '.join(twice)} more than once; leave one entry for each node")
    with workers.tenant_cluster(tenant_source(params)) as client:
        outcomes = kubelet_serving.approve(client, hosts, wait=params["wait"], timeout_s=params["wait_timeout"], check=module.check_mode)
    result = _result(outcomes)
    failed = [f"Node {outcome.host.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    if failed:
        raise HostedKubernetesError("; ".join(failed), **result)
    told = [
        f"Node {outcome.host.name}: request {name} is left pending: {why}" for outcome in outcomes for name, why in outcome.refused.items()
    ]
    return {**result, "warnings": told}


def _result(outcomes: list[Outcome]) -> dict[str, Any]:
    lines = [f"Node {outcome.host.name}: request {name} approved\n" for outcome in outcomes for name in outcome.approved]
    lines += [f"Node {outcome.host.name}: its request approved, when it has come\n" for outcome in outcomes if outcome.is_expected]
    entries = [
        {"name": outcome.host.name, "approved": outcome.approved, "refused": outcome.refused, "error": outcome.error}
        for outcome in outcomes
    ]
    result: dict[str, Any] = {"changed": bool(lines), "nodes": entries}
    return {**result, "diff": {"prepared": "".join(lines)}} if lines else result


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
