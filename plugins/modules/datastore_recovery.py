#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_recovery
short_description: Give an etcd its space back, also one that is full
version_added: 0.1.0
description:
  - An etcd whose quota is used up refuses all writes of all tenants (alarm C(NOSPACE)) until it has space again and the alarm is disarmed.
    This module drops the history of all keys (compaction), gives free pages back to the disk member by member (defragmentation), the leader
    last, and disarms the alarm. No data is lost.
  - Of a store that is not full only members are defragmented of whose file a quarter or more is free. Nothing is done when there are none.
  - A member does not answer while it has its turn. So all members must answer before, and each one again before the next has its turn.
  - When the data itself fills the quota the alarm is left as it is, and the module fails and says what helps.
  - Members are reached by the addresses they give clients, those in the management cluster by port-forward.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: The DataStore; its driver is C(etcd).
    type: str
    default: default
  defragmentation_timeout:
    description: How long the defragmentation of one member may take, in seconds. It takes about ten for each GiB.
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
      - Says what would be done. Of a full store that every member is defragmented, for what its compaction frees is known only afterwards.
  diff_mode:
    support: none
    details:
      - What changes is the store's file; see RV(freed_bytes).
  idempotent:
    support: full
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore
  - module: hosted.kubernetes.datastore_info
"""

EXAMPLES = r"""
- name: Say what would give the default store its space back
  hosted.kubernetes.datastore_recovery:
    kubeconfig: management.kubeconfig
  check_mode: true

- name: Do it
  hosted.kubernetes.datastore_recovery:
    kubeconfig: management.kubeconfig
    name: default
"""

RETURN = r"""
plan:
  description: The steps in order, made or (in check mode) to be made.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(compact), V(defragment) or V(disarm).
      type: str
    endpoint:
      description: The member that is defragmented, else empty.
      type: str
    reason:
      description: Why.
      type: str
  sample:
    - {action: compact, endpoint: "", reason: the quota is used up (alarm NOSPACE)}
    - {action: defragment, endpoint: "etcd-1.example.com:2379", reason: 1.2 GiB of its 2 GiB are free pages}
    - {action: disarm, endpoint: "", reason: writes are refused until the alarm is disarmed}
probe:
  description: What the store says afterwards, as RV(hosted.kubernetes.datastore#module:probe).
  returned: success
  type: dict
freed_bytes:
  description: By how much the largest file of a member shrank.
  returned: success
  type: int
"""

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
            "defragmentation_timeout": {"type": "int", "default": 300},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.recovery import recover

    params = module.params
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return recover(
            client,
            params["name"] or "default",
            check=module.check_mode,
            timeout_s=params["defragmentation_timeout"],
            say=module.debug,
        )


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
