#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: datastore
short_description: Datastore that tenant control planes share
description:
  - Creates, changes or deletes a C(DataStore) resource (C(kamaji.clastix.io/v1alpha1)) in the management cluster, and looks whether the
    store behind it can serve tenants. It connects with the given credentials, checks that the store answers (of etcd a majority), that
    it authenticates its users, that this user may administer it, how fast it is, how much of its quota is used, and which alarms it has.
    All endpoints are asked, and those that do not answer are named.
  - The finding is written into the resource's status (C(ready), C(conditions), C(usedBy)) and returned in RV(probe).
  - Endpoints that are names of Services of the management cluster, such as C(etcd.hosted-kubernetes-system.svc:2379), are reached by
    port-forward through its API server, all others directly. TLS is always verified.
  - A store that can serve is what O(state=present) asks for. When it cannot, the resource is still written, its status says why, and the
    module fails with the same message; see O(require_ready).
  - Deleting a C(DataStore) leaves the store itself alone. It is refused while tenant control planes use it, by the management cluster
    too where role P(hosted.kubernetes.tenant_control_plane#role) has installed the definitions.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the DataStore. Tenants that name none use V(default).
    type: str
  state:
    description: Whether the resource exists.
    type: str
    choices: [present, absent]
    default: present
  definition:
    description:
      - The whole resource as a manifest, in place of O(name), O(driver), O(endpoints), O(tls_config), O(basic_auth) and O(capacity).
    type: dict
  driver:
    description:
      - Kind of store. It cannot change.
      - V(PostgreSQL) is 13 or newer. V(MySQL) is MySQL 8.0, MariaDB 10.5 or newer.
      - V(NATS) can be recorded, but not used - its users cannot be made at run time, so that tenants would share one login.
    type: str
    choices: [etcd, MySQL, PostgreSQL, NATS]
  endpoints:
    description: Every member as C(host:port).
    type: list
    elements: str
  tls_config:
    description:
      - C(certificateAuthority) and C(clientCertificate), each with C(certificate) and C(privateKey), as in the resource.
      - Each value has either C(content) (base64) or C(secretReference) with C(namespace), C(name) and C(keyPath).
      - Needed for etcd with all four values. The key of the authority signs the client certificates of tenants.
      - PostgreSQL and MySQL need the certificate of the authority, for TLS is always verified; a client certificate where they demand one.
    type: dict
  basic_auth:
    description:
      - C(username) and C(password), each with C(content) or C(secretReference). Needed for PostgreSQL and MySQL.
      - The user makes users and databases of tenants; its rights are in docs/datastores.md. It should be no superuser.
    type: dict
  capacity:
    description:
      - How far the store is filled with tenants that choose it by its labels (C(spec.dataStoreSelector)). Tenants that name it are not held back.
      - C(tenants) is their number (V(1) keeps the store for a single tenant), C(size) the size of its data, such as C(4Gi), and
        C(latencyMilliseconds) how slow a read may be (250 by default). Four fifths of a quota are never exceeded.
      - C(tenantBudget) is how large the data of any one tenant in an etcd may be, see M(hosted.kubernetes.datastore_budget).
    type: dict
  require_ready:
    description: Whether a store that cannot serve tenants makes the module fail. Otherwise it is a warning.
    type: bool
    default: true
  wait_timeout:
    description: How long to ask a store that does not answer yet, and to wait until a deleted resource is gone, in seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - The store is probed in check mode too; nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 with libpq for PostgreSQL
  - PyMySQL >= 1.2.0 for MySQL and MariaDB
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore_etcd
"""

EXAMPLES = r"""
- name: Record an etcd whose certificates are in Secrets
  hosted.kubernetes.datastore:
    kubeconfig: management.kubeconfig
    name: default
    driver: etcd
    endpoints:
      - etcd-0.example.com:2379
      - etcd-1.example.com:2379
      - etcd-2.example.com:2379
    tls_config:
      certificateAuthority:
        certificate: {secretReference: {namespace: hosted-kubernetes-system, name: etcd-ca, keyPath: ca.crt}}
        privateKey: {secretReference: {namespace: hosted-kubernetes-system, name: etcd-ca, keyPath: ca.key}}
      clientCertificate:
        certificate: {secretReference: {namespace: hosted-kubernetes-system, name: etcd-root, keyPath: tls.crt}}
        privateKey: {secretReference: {namespace: hosted-kubernetes-system, name: etcd-root, keyPath: tls.key}}

- name: Record a PostgreSQL server and its standby
  hosted.kubernetes.datastore:
    kubeconfig: management.kubeconfig
    name: sql
    driver: PostgreSQL
    endpoints:
      - pg-0.example.com:5432
      - pg-1.example.com:5432
    tls_config:
      certificateAuthority:
        certificate: {secretReference: {namespace: hosted-kubernetes-system, name: postgresql, keyPath: ca.crt}}
    basic_auth:
      username: {secretReference: {namespace: hosted-kubernetes-system, name: postgresql, keyPath: username}}
      password: {secretReference: {namespace: hosted-kubernetes-system, name: postgresql, keyPath: password}}

- name: Record a store from its manifest
  hosted.kubernetes.datastore:
    kubeconfig: management.kubeconfig
    definition: "{{ lookup('ansible.builtin.file', 'datastore.yaml') | from_yaml }}"

- name: Forget a store that nobody uses any more
  hosted.kubernetes.datastore:
    kubeconfig: management.kubeconfig
    name: old
    state: absent
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
      description: Each changed field with its value before and after; keys and passwords are redacted.
      type: list
      elements: dict
  sample:
    - {tenant: datastore default, cluster: management, object: DataStore default, action: create, reason: does not exist}
datastore:
  description: The resource after the call; in check mode as it would be recorded now.
  returned: O(state=present)
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    ready:
      description: Whether tenants can use it.
      type: bool
    used_by:
      description: Tenants that use it, as namespace/name.
      type: list
      elements: str
    conditions:
      description: What was found, as in the resource's status.
      type: list
      elements: dict
probe:
  description: What the store said; null when it was not asked or did not answer.
  returned: O(state=present)
  type: dict
  contains:
    healthy:
      description: Whether it can serve tenants.
      type: bool
    version:
      description: The oldest version among its members.
      type: str
    latency_ms:
      description: Duration of the fastest of several reads, of etcd such that need a majority.
      type: float
    db_size_bytes:
      description: Size of the largest member's database; for SQL servers of all databases this user may look at.
      type: int
    quota_bytes:
      description: The size at which it refuses writes; null when it does not say.
      type: int
    free_bytes:
      description: What is left of the quota; null when that is not known.
      type: int
    alarms:
      description: What the store complains about by itself, each with kind (V(NOSPACE) or V(CORRUPT)) and member.
      type: list
      elements: dict
    tenants:
      description: Users in the store besides the administrator; for SQL servers databases of tenants.
      type: int
    members:
      description: Each endpoint with name, version, leader, latency_ms, db_size_bytes, in_use_bytes and error.
      type: list
      elements: dict
    problems:
      description: Why it cannot serve; empty when it can.
      type: list
      elements: str
  sample:
    {healthy: true, version: 3.6.8, latency_ms: 3.1, db_size_bytes: 20480, quota_bytes: 2147483648, free_bytes: 2147463168, alarms: [],
     tenants: 1, problems: [], members: []}
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
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.redaction import without_contents

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "definition": {"type": "dict"},
            "driver": {"type": "str", "choices": ["etcd", "MySQL", "PostgreSQL", "NATS"]},
            "endpoints": {"type": "list", "elements": "str"},
            "tls_config": {"type": "dict"},
            "basic_auth": {"type": "dict", "no_log": False},
            "capacity": {"type": "dict"},
            "require_ready": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 60},
        },
        mutually_exclusive=[["definition", option] for option in ("name", "driver", "endpoints", "tls_config", "basic_auth", "capacity")],
        required_one_of=[["name", "definition"]],
        shown=dict.fromkeys(("definition", "tls_config", "basic_auth"), without_contents),
    )
)
_FIELDS = {"driver": "driver", "endpoints": "endpoints", "tls_config": "tlsConfig", "basic_auth": "basicAuth", "capacity": "capacity"}
_SECRET_PATHS = (
    ("tlsConfig", "certificateAuthority", "privateKey"),
    ("tlsConfig", "clientCertificate", "privateKey"),
    ("basicAuth", "username"),
    ("basicAuth", "password"),
)


def definition_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The resource that the options describe."""
    if params["definition"] is not None:
        return dict(params["definition"])
    spec = {field: params[option] for option, field in _FIELDS.items() if params[option]}
    return {"metadata": {"name": params["name"]}, "spec": spec}


def inline_secrets(definition: Mapping[str, Any]) -> set[str]:
    """Keys and passwords that a definition holds itself; none of them may show in any output."""
    found = set()
    for path in _SECRET_PATHS:
        value: Any = definition.get("spec")
        for part in (*path, "content"):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value:
            found.add(str(value))
    return found


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect

    definition = definition_of(module.params)
    module.no_log_values.update(inline_secrets(definition))
    with connect(ConnectionOptions(**connection_options(module.params))) as client:
        if module.params["state"] == "absent":
            return absent(module, client, definition)
        return present(module, client, definition)


def absent(module: AnsibleModule, client: Any, definition: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import datastores
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff

    name = api.name_of(definition)
    plan = datastores.plan_absent(client.get(resource_of(api.KIND), name), name, datastores.users(client, name))
    if not module.check_mode:
        datastores.remove(client, plan, timeout_s=module.params["wait_timeout"], now=datetime.now(timezone.utc))
    return {"changed": bool(plan), "plan": [change.to_result() for change in plan], "diff": plan_diff(plan)}


def present(module: AnsibleModule, client: Any, definition: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import datastores
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff

    now = datetime.now(timezone.utc)
    observed = datastores.observe(client, dict(definition))
    if not module.check_mode:
        observed = datastores.probe_until_ready(client, observed, timeout_s=module.params["wait_timeout"])
    plan = datastores.plan(observed, now)
    if not module.check_mode:
        observed = datastores.apply(client, observed, plan, now)
    result: dict[str, Any] = {
        "changed": bool(plan),
        "plan": [change.to_result() for change in plan],
        "diff": plan_diff(plan),
        "datastore": datastores.summary(observed, now),
        "probe": datastores.probe_result(observed.probe),
    }
    warnings = list(observed.probe.warnings) if observed.probe else []
    if observed.fault and module.params["require_ready"] and not module.check_mode:
        raise HostedKubernetesError(observed.fault, **result)
    if observed.fault:
        warnings.append(observed.fault)
    return {**result, "warnings": warnings}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
