#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_etcd
short_description: etcd in the management cluster as a datastore for tenants
description:
  - Runs an etcd of one, three or five members as a StatefulSet in the management cluster, with TLS, client certificates,
    authentication of its users, persistent volumes, a quota, compaction and, on request, regular defragmentation.
  - Makes two authorities, one for clients and one for peers, so that no tenant can speak to the members' peer port, and all certificates.
    Certificates are made again before they end; etcd reads them anew by itself. The authorities are made once. When the Secret of one
    is gone while the store lives, the module fails and says how to bring it back.
  - Waits until every member answers and authentication is on. Record the store with M(hosted.kubernetes.datastore) and RV(datastore).
  - Pods run without root, without a shell, with a read-only root file system and no service-account token (Pod Security Standard
    C(restricted)).
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the etcd and of its StatefulSet and Service.
    type: str
    default: default
  namespace:
    description: Namespace, which is created when it does not exist.
    type: str
    default: hosted-kubernetes-system
  state:
    description:
      - V(absent) removes members, Secrets, claims and local volumes, and with them the data of all tenants. It is refused while a
        C(DataStore) refers to this etcd. Directories of local volumes on the nodes keep their content.
    type: str
    choices: [present, absent]
    default: present
  members:
    description: Number of members, V(1), V(3) or V(5), on as many nodes where there are so many. It cannot change.
    type: int
    default: 3
  image:
    description: Image of etcd 3.6 or newer, with C(etcd) and C(etcdctl). Needed when O(state=present).
    type: str
  storage_class:
    description: StorageClass of the volumes; the default class of the management cluster when neither this nor O(local_volumes) is given.
    type: str
  local_volumes:
    description:
      - One directory per member on nodes of the management cluster, instead of a StorageClass. The directories must exist.
      - Makes the StorageClass C(hosted-kubernetes-local) and a PersistentVolume per member.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: Name of the node. One that the management cluster does not have is refused.
        type: str
        required: true
      path:
        description: Absolute path of the directory on the node.
        type: str
        required: true
  storage_size:
    description: Size of each volume. Twice O(quota_bytes) leaves room for defragmentation and the write-ahead log. It cannot change.
    type: str
    default: 8Gi
  quota_bytes:
    description: Size of the database at which etcd refuses writes, up to 8589934592 (8 GiB).
    type: int
    default: 4294967296
  compaction_retention:
    description: How much history each member keeps, such as V(5m) or V(1h).
    type: str
    default: 5m
  defragmentation_schedule:
    description: Cron expression for defragmentation, one member after the other; an empty string means never.
    type: str
    default: ""
  key_algorithm:
    description: Algorithm of new keys.
    type: str
    choices: [ECDSA-P256, ECDSA-P384, RSA-2048, RSA-3072, RSA-4096]
    default: ECDSA-P256
  certificate_days:
    description: How long certificates other than the authorities' are valid, in days.
    type: int
    default: 365
  renew_before_days:
    description: How many days before their end certificates are made again.
    type: int
    default: 90
  resources:
    description: Requests and limits of a member's container. By default it requests 100m CPU and 256Mi memory.
    type: dict
  node_selector:
    description: Labels of the nodes that members may run on.
    type: dict
  tolerations:
    description: Taints that members tolerate.
    type: list
    elements: dict
    default: []
  priority_class:
    description: PriorityClass of the members' pods; an empty string means none. Every tenant depends on them.
    type: str
    default: system-cluster-critical
  extra_args:
    description: Further flags of etcd as C(--flag=value).
    type: list
    elements: str
    default: []
  wait_timeout:
    description: How long to wait until all members answer, in seconds.
    type: int
    default: 300
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - Whether authentication is on is looked up in a store that runs; of a new store all steps are listed.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore
"""

EXAMPLES = r"""
- name: Run an etcd on the default StorageClass
  hosted.kubernetes.datastore_etcd:
    kubeconfig: management.kubeconfig
    image: registry.k8s.io/etcd:3.6.8-0
  register: etcd

- name: Record it
  hosted.kubernetes.datastore:
    kubeconfig: management.kubeconfig
    definition: "{{ etcd.datastore }}"

- name: Run one member on a directory of a node
  hosted.kubernetes.datastore_etcd:
    kubeconfig: management.kubeconfig
    members: 1
    image: registry.k8s.io/etcd:3.6.8-0
    local_volumes:
      - node: node-1
        path: /var/lib/hosted-kubernetes/etcd/default-0
"""

RETURN = r"""
plan:
  description: The changes in order, made or (in check mode) to be made.
  returned: always
  type: list
  elements: dict
  contains:
    object:
      description: What is changed.
      type: str
    action:
      description: How.
      type: str
    reason:
      description: Why.
      type: str
    fields:
      description: Each changed field with its value before and after.
      type: list
      elements: dict
  sample:
    - tenant: datastore default
      cluster: management
      object: StatefulSet hosted-kubernetes-system/default
      action: create
      reason: does not exist
datastore:
  description: The DataStore resource that records this etcd, for the option O(hosted.kubernetes.datastore#module:definition).
  returned: O(state=present)
  type: dict
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "default": "default"},
            "namespace": {"type": "str", "default": "hosted-kubernetes-system"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "members": {"type": "int", "default": 3},
            "image": {"type": "str"},
            "storage_class": {"type": "str"},
            "local_volumes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"node": {"type": "str", "required": True}, "path": {"type": "str", "required": True}},
            },
            "storage_size": {"type": "str", "default": "8Gi"},
            "quota_bytes": {"type": "int", "default": 4 * 1024**3},
            "compaction_retention": {"type": "str", "default": "5m"},
            "defragmentation_schedule": {"type": "str", "default": ""},
            "key_algorithm": {
                "type": "str",
                "choices": ["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"],
                "default": "ECDSA-P256",
                "no_log": False,
            },
            "certificate_days": {"type": "int", "default": 365},
            "renew_before_days": {"type": "int", "default": 90},
            "resources": {"type": "dict"},
            "node_selector": {"type": "dict"},
            "tolerations": {"type": "list", "elements": "dict", "default": []},
            "priority_class": {"type": "str", "default": "system-cluster-critical"},
            "extra_args": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 300},
        },
        required_if=[["state", "present", ["image"]]],
    )
)
# What identifies an etcd that is to be removed; of the rest only that it is valid counts.
_ANY_IMAGE = "registry.k8s.io/etcd:3.6"


def etcd_of(params: Mapping[str, Any]) -> Any:
    """The etcd that the options describe. Raises InvalidError naming the options that are wrong."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import LocalVolume, ManagedEtcd

    return ManagedEtcd(
        name=params["name"],
        namespace=params["namespace"],
        members=params["members"],
        image=params["image"] or _ANY_IMAGE,
        storage_size=params["storage_size"],
        quota_bytes=params["quota_bytes"],
        storage_class=params["storage_class"] or None,
        local_volumes=tuple(LocalVolume(item["node"], item["path"]) for item in params["local_volumes"] or []),
        compaction_retention=params["compaction_retention"],
        defragmentation_schedule=params["defragmentation_schedule"] or "",
        key_algorithm=params["key_algorithm"],
        resources=params["resources"] or None,
        node_selector=params["node_selector"] or None,
        tolerations=tuple(params["tolerations"] or ()),
        priority_class=params["priority_class"] or None,
        extra_args=tuple(params["extra_args"] or ()),
    )


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect

    etcd = etcd_of(module.params)
    with connect(ConnectionOptions(**connection_options(module.params))) as client:
        if module.params["state"] == "absent":
            return absent(module, client, etcd)
        return present(module, client, etcd)


def absent(module: AnsibleModule, client: Any, etcd: Any) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import etcd_plan, managed_etcd
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff

    plan = etcd_plan.plan_absent(etcd, managed_etcd.observe(client, etcd))
    if plan:
        managed_etcd.refuse_if_recorded(client, etcd)
    if not module.check_mode:
        managed_etcd.remove(client, plan, timeout_s=module.params["wait_timeout"])
    return {"changed": bool(plan), "plan": [change.to_result() for change in plan], "diff": plan_diff(plan)}


def present(module: AnsibleModule, client: Any, etcd: Any) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import etcd_plan, managed_etcd
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff

    validity = etcd_plan.Validity.of_days(module.params["certificate_days"], module.params["renew_before_days"])
    managed_etcd.refuse_unknown_nodes(client, etcd)
    plan = managed_etcd.plan_present(client, etcd, datetime.now(timezone.utc), validity)
    changes = tuple(plan)
    if not module.check_mode:
        changes = managed_etcd.apply(
            client, etcd, plan, now=lambda: datetime.now(timezone.utc), validity=validity, timeout_s=module.params["wait_timeout"]
        )
    return {
        "changed": bool(changes),
        "plan": [change.to_result() for change in changes],
        "diff": plan_diff(changes),
        "datastore": etcd.datastore(),
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
