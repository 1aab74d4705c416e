#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Nodes of a tenant cluster
description:
  - Waits for Nodes, keeps their labels and taints, cordons, drains and deletes them; one or many nodes in one call.
  - Only labels and taints that this module has set are ever taken away; those of the kubelet, of controllers and of other people stay.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  names:
    description: Names of the Nodes.
    type: list
    elements: str
    required: true
    aliases: [name]
  state:
    description:
      - V(present) waits until the Nodes exist; a host makes its Node itself when it joins.
      - V(drained) cordons the Nodes and evicts their pods, honouring disruption budgets.
      - V(absent) deletes the Nodes. It does not touch the hosts, which may be dead.
    type: str
    choices: [present, drained, absent]
    default: present
  labels:
    description: Labels. One that this module has set and that is no longer here is removed. Left alone when not given.
    type: dict
  taints:
    description: Taints. One that this module has set and that is no longer here is removed. Left alone when not given.
    type: list
    elements: dict
    suboptions:
      key:
        description: Key of the taint.
        type: str
        required: true
      value:
        description: Value of the taint.
        type: str
      effect:
        description: What it does to pods that do not tolerate it.
        type: str
        choices: [NoSchedule, PreferNoSchedule, NoExecute]
        required: true
  cordoned:
    description: Whether the Nodes take no new pods. Left alone when not given.
    type: bool
  wait:
    description: Wait until the Nodes are Ready, when O(state=present).
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for the Nodes.
    type: int
    default: 300
  version:
    description:
      - Wait, when O(state=present), until the kubelets are of this version and alive. A Node stays Ready for a while after its kubelet died, so
        that O(wait) alone does not see what has just happened to it.
    type: str
  workloads:
    description:
      - Wait, when O(state=present), until these controllers have all their pods ready, of a DaemonSet those on O(names), such as
        M(hosted.kubernetes.join_info) returned them before the Nodes were changed. One that is gone is not waited for.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Kind of the controller.
        type: str
        choices: [ReplicaSet, StatefulSet, DaemonSet]
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  drain_timeout:
    description: Seconds to wait for the pods of one node to go.
    type: int
    default: 300
  grace_period:
    description: Seconds that evicted pods get to end; their own setting when not given.
    type: int
  force:
    description: Evict pods that no controller will make again.
    type: bool
    default: false
  delete_empty_dir_data:
    description: Evict pods that keep data in emptyDir volumes, which is lost.
    type: bool
    default: false
extends_documentation_fragment:
  - hosted.kubernetes.tenant_cluster
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - Waits for nothing; a Node that does not exist yet counts as one to be changed.
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Wait for two nodes and label them
  hosted.kubernetes.node:
    kubeconfig: management.kubeconfig
    tenant: acme
    names: [worker-1, worker-2]
    labels:
      node-role.kubernetes.io/worker: ""

- name: Empty a node
  hosted.kubernetes.node:
    tenant_kubeconfig: acme.kubeconfig
    names: [worker-1]
    state: drained
    delete_empty_dir_data: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode, by name of the node.
  returned: always
  type: dict
  sample:
    worker-1: [label tier=web]
nodes:
  description: Version and addresses of the Nodes by name.
  returned: when O(state=present)
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client

SPEC = TENANT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "names": {"type": "list", "elements": "str", "required": True, "aliases": ["name"]},
            "state": {"type": "str", "choices": ["present", "drained", "absent"], "default": "present"},
            "labels": {"type": "dict"},
            "taints": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "value": {"type": "str"},
                    "effect": {"type": "str", "required": True, "choices": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                },
            },
            "cordoned": {"type": "bool"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
            "version": {"type": "str"},
            "workloads": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "kind": {"type": "str", "required": True, "choices": ["ReplicaSet", "StatefulSet", "DaemonSet"]},
                    "namespace": {"type": "str", "required": True},
                    "name": {"type": "str", "required": True},
                },
            },
            "drain_timeout": {"type": "int", "default": 300},
            "grace_period": {"type": "int"},
            "force": {"type": "bool", "default": False},
            "delete_empty_dir_data": {"type": "bool", "default": False},
        }
    )
)


def make_present(module: AnsibleModule, client: Client) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api import node
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers

    params = module.params
    taints = params["taints"]
    wanted = node.WantedNode(
        labels=None if params["labels"] is None else {key: str(value) for key, value in params["labels"].items()},
        taints=None if taints is None else [node.Taint.parse(taint) for taint in taints],
        cordoned=params["cordoned"],
    )
    if module.check_mode:
        live = {name: client.get(resource_of("Node"), name) for name in params["names"]}
    else:
        live = dict(workers.wait_for_nodes(client, params["names"], ready=False, timeout_s=params["wait_timeout"]))
    changes: dict[str, list[str]] = {}
    for name, found in live.items():
        # In check mode it may not have joined yet.
        patch = node.node_patch(wanted, found or {"metadata": {"resourceVersion": ""}})
        if patch:
            changes[name] = node.describe(patch)
        if patch and not module.check_mode:
            workers.patch_node(client, wanted, name)
    if params["wait"] and not module.check_mode:
        live = dict(workers.wait_for_nodes(client, params["names"], ready=True, timeout_s=params["wait_timeout"]))
    if not module.check_mode:
        live = {**live, **_healthy(params, client)}
    return {**_result(changes), "nodes": {name: _summary(found) for name, found in live.items() if found}}


def _healthy(params: dict[str, Any], client: Client) -> dict[str, Any]:
    """Wait as version and workloads ask. Returns the Nodes that were waited for."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.node_health import DAEMON_SET, Workload
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import node_health

    deadline = node_health.deadline_in(params["wait_timeout"])
    workloads = [Workload.parse(item) for item in params["workloads"]]
    daemon_sets = {item for item in workloads if item.kind == DAEMON_SET}
    found = {}
    if params["version"]:
        for name in params["names"]:
            found[name] = node_health.wait_until_alive(client, name, params["version"], deadline=deadline)
    for name in params["names"] if daemon_sets else ():
        node_health.wait_for_pods_of_node(client, name, daemon_sets, deadline=deadline)
    node_health.wait_for_workloads(client, workloads, deadline=deadline)
    return found


def make_drained(module: AnsibleModule, client: Client) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api import node
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers

    params = module.params
    changes: dict[str, list[str]] = {}
    for name in params["names"]:
        live = client.get(resource_of("Node"), name)
        if live is None:
            raise HostedKubernetesError(f"Node {name}: does not exist; correct the name, or take it out of the list")
        pods, problems = node.pods_to_evict(
            workers.pods_on(client, name), force=params["force"], delete_empty_dir_data=params["delete_empty_dir_data"]
        )
        if problems:
            raise HostedKubernetesError(f"Node {name}: {'; '.join(problems)}")
        patch = node.node_patch(node.WantedNode(cordoned=True), live)
        words = [*(node.describe(patch) if patch else []), *(f"pod {_full_name(pod)} evicted" for pod in pods)]
        if words:
            changes[name] = words
        if not module.check_mode:
            workers.patch_node(client, node.WantedNode(cordoned=True), name)
            workers.drain(client, name, pods, timeout_s=params["drain_timeout"], grace_period_s=params["grace_period"])
    return _result(changes)


def make_absent(module: AnsibleModule, client: Client) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of

    nodes = resource_of("Node")
    changes: dict[str, list[str]] = {}
    for name in module.params["names"]:
        if client.get(nodes, name, metadata_only=True) is None:
            continue
        changes[name] = ["deleted"]
        if not module.check_mode:
            client.delete(nodes, name)
    return _result(changes)


def _full_name(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    status = found.get("status", {})
    addresses = [item["address"] for item in status.get("addresses") or [] if item["type"].endswith("IP")]
    return {"version": status.get("nodeInfo", {}).get("kubeletVersion", ""), "addresses": addresses}


def _result(changes: dict[str, list[str]]) -> dict[str, Any]:
    lines = "".join(f"Node {name}: {word}\n" for name, words in changes.items() for word in words)
    result: dict[str, Any] = {"changed": bool(changes), "changes": changes}
    return {**result, "diff": {"prepared": lines}} if changes else result


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers

    act = {"present": make_present, "drained": make_drained, "absent": make_absent}[module.params["state"]]
    with workers.tenant_cluster(tenant_source(module.params)) as client:
        return act(module, client)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
