#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_info
short_description: Say how datastores are, and what each tenant uses of them
version_added: 0.1.0
description:
  - Asks the store behind each C(DataStore) of a management cluster, all of its endpoints included, and returns its condition, version, latency,
    size and quota.
  - Of each tenant with data in it returns how many keys it has, how large they are, and how often it writes.
  - Reads only. Nothing is written, neither in the management cluster nor in a store; the C(status) of the resources stays as it is.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Only the DataStore of this name.
    type: str
  usage:
    description:
      - Whether to look what each tenant uses.
      - In etcd all keys and values of tenants are read for that, in pages of some mebibytes, since etcd keeps no account of it.
      - In PostgreSQL each tenant's table is read with the tenant's own login, never with the administrator's.
    type: bool
    default: true
  interval:
    description: How many seconds the writes of tenants are counted, at least; V(0) not at all. All tenants at the same time.
    type: float
    default: 5
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.attributes.info
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 with libpq for PostgreSQL
  - PyMySQL >= 1.2.0 for MySQL and MariaDB
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore
"""

EXAMPLES = r"""
- name: Look at all datastores and their tenants
  hosted.kubernetes.datastore_info:
    kubeconfig: management.kubeconfig
  register: stores

- name: The ten tenants that use most of one store
  ansible.builtin.debug:
    msg: "{{ (stores.datastores | selectattr('name', 'equalto', 'default') | first).tenants | sort(attribute='size_bytes', reverse=true) | first(10) }}"

- name: Only whether one store is in order
  hosted.kubernetes.datastore_info:
    kubeconfig: management.kubeconfig
    name: default
    usage: false
"""

RETURN = r"""
datastores:
  description: One entry for each DataStore.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    driver:
      description: Kind of the store.
      type: str
    endpoints:
      description: Its endpoints as host:port.
      type: list
      elements: str
    labels:
      description: Labels of the resource.
      type: dict
    ready:
      description: Whether tenants can use it now.
      type: bool
    problem:
      description: Why not, and what to do; empty when they can.
      type: str
    warnings:
      description: What else should be looked at.
      type: list
      elements: str
    used_by:
      description: Tenants that use it, as namespace/name.
      type: list
      elements: str
    conditions:
      description: What was found now, as the module M(hosted.kubernetes.datastore) would record it.
      type: list
      elements: dict
    probe:
      description: What the store said, as RV(hosted.kubernetes.datastore#module:probe); null when it did not answer.
      type: dict
    tenants:
      description: What each tenant uses.
      type: list
      elements: dict
      contains:
        tenant:
          description: namespace/name.
          type: str
        schema:
          description: Its prefix or database.
          type: str
        user:
          description: Its user in the store.
          type: str
        keys:
          description: How many keys it has; null when that is not known.
          type: int
        size_bytes:
          description:
            - In etcd keys and values as they are now, without their history.
            - In a database all it takes on disk, history and indexes included.
          type: int
        writes_per_second:
          description: Revisions it made per second, while they were counted; null when that is not known.
          type: float
        error:
          description: Why something is not known, empty when all is.
          type: str
  sample:
    - name: default
      driver: etcd
      endpoints: ["etcd.hosted-kubernetes-system.svc:2379"]
      labels: {}
      ready: true
      problem: ""
      warnings: []
      used_by: [tenants/acme]
      conditions: []
      probe: {healthy: true, version: 3.6.8, latency_ms: 3.1, db_size_bytes: 4210688, quota_bytes: 2147483648, free_bytes: 2143272960}
      tenants:
        - {tenant: tenants/acme, schema: tenants_acme, user: tenants_acme, keys: 612, size_bytes: 1310720, writes_per_second: 2.4, error: ""}
"""

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
            "name": {"type": "str"},
            "usage": {"type": "bool", "default": True},
            "interval": {"type": "float", "default": 5},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastore_info import Question, stores_info

    params = module.params
    if params["interval"] < 0:
        raise InvalidError(f"interval is {params['interval']:g}; give seconds from 0 on")
    question = Question(params["name"] or None, params["usage"], params["interval"])
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return {"changed": False, "datastores": stores_info(client, question, datetime.now(timezone.utc))}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
