#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: datastore_snapshot
short_description: Write a snapshot of a whole etcd into a file
description:
  - Has one member of the etcd behind a C(DataStore) stream its database, with the data of all tenants, users and roles, into a file as
    C(etcdctl snapshot save) makes one. C(etcdutl snapshot restore) reads it. It is for the loss of the store; a single tenant is brought back by
    M(hosted.kubernetes.tenant_backup) and M(hosted.kubernetes.tenant_restore).
  - The member is one that answers, is not corrupt and has all that was written before; not the leader, when there is a choice.
  - etcd ends a snapshot with its SHA-256. It is checked while the file is written. A file appears under its name when it is complete and matches, or
    not at all. What a killed run has left is removed by the next one.
  - The login is the client certificate of the C(DataStore), whose user must have the role C(root). That is what the role C(datastore) gives it.
  - B(The file is not encrypted), since etcd's own tools have to read it. Whoever can read it has the Secrets of all tenants that do not encrypt them at
    rest. A directory is made for its owner only.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: The DataStore; its driver is C(etcd).
    type: str
    default: default
  keep:
    description:
      - How many snapshots of this DataStore stay in O(directory) or O(s3), this one included; older ones are removed once this one is complete.
      - V(0) keeps all.
    type: int
    default: 0
  timeout:
    description: How long the snapshot may take, in seconds.
    type: int
    default: 3600
extends_documentation_fragment:
  - hosted.kubernetes.backup_target
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - The datastore is asked which member would give the snapshot; nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run makes another snapshot.
requirements:
  - grpcio >= 1.60.0 and protobuf >= 5.29.0
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.datastore_info
  - module: hosted.kubernetes.tenant_backup
"""

EXAMPLES = r"""
- name: Take a snapshot of the default store, and keep the last 14
  hosted.kubernetes.datastore_snapshot:
    kubeconfig: management.kubeconfig
    directory: /srv/snapshots
    keep: 14

- name: Take one into a bucket
  hosted.kubernetes.datastore_snapshot:
    kubeconfig: management.kubeconfig
    name: default
    s3:
      endpoint: https://s3.example.com:9000
      bucket: backups
      prefix: stores
      access_key: "{{ vault_backup_access_key }}"
      secret_key: "{{ vault_backup_secret_key }}"
      ca_file: /etc/hosted-kubernetes/s3-ca.crt
    keep: 14
"""

RETURN = r"""
snapshot:
  description: What was, or in check mode would be, written.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the file.
      type: str
      sample: default_20261128T050000Z.snapshot.db
    path:
      description: Where it is; C(s3://<bucket>/<prefix>/<name>) in a bucket.
      type: str
    datastore:
      description: Name of the DataStore.
      type: str
    endpoint:
      description: The member that gives it.
      type: str
    revision:
      description: A revision of the store; all that was written up to it is in the snapshot, and perhaps some more.
      type: int
    size:
      description: Size of the file in bytes; not in check mode.
      type: int
    sha256:
      description: SHA-256 of the file, as C(sha256sum) prints it; not in check mode.
      type: str
    storage_version:
      description: Version of etcd's storage that the file has; empty for etcd before 3.6. Not in check mode.
      type: str
    duration:
      description: Seconds that it took.
      type: float
removed:
  description: Paths of older snapshots of this DataStore that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.backup import BACKUP_PLACE, backup_target
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    holder,
    run,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

SPEC = MANAGEMENT_CLUSTER.merge(BACKUP_PLACE).merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "default": "default"},
            "keep": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 3600},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.snapshot import Request, Settings
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.snapshot import run as take

    params = module.params
    if params["keep"] < 0:
        raise InvalidError(f"keep is {params['keep']}; give how many snapshots stay, or 0 for all of them")
    if params["timeout"] < 1:
        raise InvalidError(f"timeout is {params['timeout']}; give seconds from 1 on")
    request = Request(params["name"] or "default", backup_target(params), params["keep"], params["timeout"])
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return take(client, request, Settings(holder=holder(), check=module.check_mode, say=module.debug))


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
