#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_budget
short_description: Measure what tenants use of a shared etcd, and limit those that are over their budget
version_added: 0.1.0
description:
  - A tenant has a budget when its definition names one (C(spec.dataStoreBudget) of the C(TenantControlPlane)) or its etcd does
    (C(spec.capacity.tenantBudget) of the C(DataStore)). Of each such tenant all keys and values are read, counted and forgotten.
  - From 80 percent on the tenant's condition C(WithinBudget) is false, and the module warns.
  - From 100 percent on, new objects and changes are refused inside the tenant by the policy that also keeps C(spec.writePermissions), which is not
    touched and holds beside it. Deletions, C(kube-system), leases, kubelets' certificates and the controllers of the control plane stay free, so that
    what runs goes on running and space can be made. Below 90 percent the limit is lifted.
  - Nothing else of a tenant is changed, and nothing at all in one that is paused or being restored. Of a tenant that sleeps the limit is noted and in
    force when it wakes.
  - Run it on a schedule. The controller does the same about every ten minutes.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Only the tenants in the DataStore of this name.
    type: str
  wait_timeout:
    description: How long to wait for another run that is working on a tenant, in seconds.
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
      - Measures, and says what would be limited or lifted.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A tenant's status is written when what is to be said of it changes, or when its share of the budget has moved by five points or more.
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore_info
  - module: hosted.kubernetes.tenant_control_plane
"""

EXAMPLES = r"""
- name: Keep the budgets of all tenants
  hosted.kubernetes.datastore_budget:
    kubeconfig: management.kubeconfig
  register: budgets

- name: Who has used up 80 percent or more
  ansible.builtin.debug:
    msg: "{{ budgets.budgets | rejectattr('state', 'equalto', 'WithinBudget') | map(attribute='tenant') }}"

- name: Only say what would be limited in one store
  hosted.kubernetes.datastore_budget:
    kubeconfig: management.kubeconfig
    name: default
  check_mode: true
"""

RETURN = r"""
budgets:
  description: One entry for each tenant and each of its DataStores in which it has a budget.
  returned: always
  type: list
  elements: dict
  contains:
    tenant:
      description: namespace/name.
      type: str
    datastore:
      description: Name of the DataStore.
      type: str
    budget_bytes:
      description: Its budget there; null when what is written is no size.
      type: int
    size_bytes:
      description: Keys and values as they are now, without their history; null when that is not known.
      type: int
    keys:
      description: How many keys; null when that is not known.
      type: int
    used_percent:
      description: The size in percent of the budget, rounded down; null when that is not known.
      type: int
    state:
      description: V(WithinBudget), V(NearlyUsedUp), V(UsedUp), or V(Unknown) when it was never measured.
      type: str
    write_limited:
      description: Whether writing is, or in check mode would be, limited.
      type: bool
    error:
      description: Why something is not known, empty when all is.
      type: str
  sample:
    - tenant: tenants/acme
      datastore: default
      budget_bytes: 536870912
      size_bytes: 541065216
      keys: 40213
      used_percent: 100
      state: UsedUp
      write_limited: true
      error: ""
plan:
  description: The changes in order, made or (in check mode) to be made.
  returned: always
  type: list
  elements: dict
  sample:
    - tenant: tenants/acme
      cluster: tenant
      object: ValidatingAdmissionPolicy kamaji-write-permissions
      action: create
      reason: does not exist
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

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 300},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.budgets import Scope, keep_budgets
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings

    params = module.params
    settings = Settings(holder=holder(), check=module.check_mode, timeout_s=params["wait_timeout"], say=module.debug)
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return keep_budgets(client, settings, Scope(params["name"] or None))


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
