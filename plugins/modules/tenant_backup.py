#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_backup
short_description: Back up one tenant of a shared datastore
description:
  - Writes all keys of one tenant at one revision of its datastore into one file, compressed, checksummed and encrypted, together with its
    TenantControlPlane and what cannot be made again, which are its certificate authorities, its ServiceAccount keys and the keys of its
    encryption at rest. The tenant goes on working meanwhile. Neighbours in the same datastore are not read.
  - When an etcd drops that revision in the meantime (compaction), it begins again at a new one, three times at most. A database keeps it.
  - Of PostgreSQL, MySQL and MariaDB the table of kine is read with the tenant's own login, also while the tenant sleeps.
  - A file appears under its name when it is complete and on the disk, or not at all. What a killed run has left is removed by the next one. In a bucket
    that is an upload that was not completed; those of the same tenant are ended, so let one backup of a tenant end before the next begins.
  - Certificates and kubeconfigs are not kept, since a restore makes new ones. Neither are objects of yours beside the tenant, such as
    Secrets that its definition names for images or configuration files.
  - Tenants with C(dataStoreOverrides) are refused.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the TenantControlPlane.
    type: str
    required: true
  namespace:
    description:
      - Its namespace.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  unencrypted:
    description:
      - What may be written without O(encryption_key_file). With a key everything is written, whatever this says.
      - V(refused) writes nothing without a key.
      - V(data) leaves the authorities and keys of the tenant out. Such a backup can be restored in place only, while they are there. Its keys hold
        the Secrets of the tenant's own users in plain text, unless the tenant encrypts them at rest.
      - V(everything) writes all of it in plain text. Whoever reads the file can be administrator of the tenant.
    type: str
    choices: [refused, data, everything]
    default: refused
  keep:
    description:
      - How many backups of this tenant stay in O(directory) or O(s3), this one included; older ones are removed once this one is complete.
      - V(0) keeps all.
    type: int
    default: 0
extends_documentation_fragment:
  - hosted.kubernetes.backup_target
  - hosted.kubernetes.backup_target.key
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - The datastore is asked for the number of keys; nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run makes another backup.
requirements:
  - cryptography >= 42.0.0
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 with libpq for PostgreSQL
  - PyMySQL >= 1.2.0 for MySQL and MariaDB
seealso:
  - module: hosted.kubernetes.tenant_restore
"""

EXAMPLES = r"""
- name: Back up a tenant, and keep the last 14 backups
  hosted.kubernetes.tenant_backup:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    directory: /srv/backups
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    keep: 14

- name: Back up a tenant into a bucket
  hosted.kubernetes.tenant_backup:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    s3:
      endpoint: https://s3.example.com:9000
      bucket: backups
      prefix: tenants
      access_key: "{{ vault_backup_access_key }}"
      secret_key: "{{ vault_backup_secret_key }}"
      ca_file: /etc/hosted-kubernetes/s3-ca.crt
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    keep: 14
"""

RETURN = r"""
backup:
  description: What was, or in check mode would be, written.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the file.
      type: str
      sample: tenants_acme_20261128T050000Z.hkbackup
    path:
      description: Where it is; C(s3://<bucket>/<prefix>/<name>) in a bucket.
      type: str
    tenant:
      description: namespace/name.
      type: str
    keys:
      description: Number of keys; in check mode as many as there are now.
      type: int
    bytes:
      description: Size of all keys and values; not in check mode.
      type: int
    size:
      description: Size of the file in bytes; not in check mode.
      type: int
    revision:
      description: Revision of the datastore at which all keys were read; not in check mode.
      type: int
    sha256:
      description: SHA-256 of the file, as C(sha256sum) prints it; not in check mode.
      type: str
    encrypted:
      description: Whether it is encrypted.
      type: bool
    secrets:
      description: Names of the tenant's Secrets whose content is in it.
      type: list
      elements: str
    duration:
      description: Seconds that it took.
      type: float
removed:
  description: Paths of older backups of this tenant that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.backup import BACKUP_TARGET, backup_target, encryption_key
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    holder,
    run,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

SPEC = MANAGEMENT_CLUSTER.merge(BACKUP_TARGET).merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "default"},
            "unencrypted": {"type": "str", "choices": ["refused", "data", "everything"], "default": "refused"},
            "keep": {"type": "int", "default": 0},
        },
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup

    params = module.params
    key, unencrypted = encryption_key(params), params["unencrypted"]
    if key is None and unencrypted == "refused":
        raise InvalidError(
            "encryption_key_file is missing, and a backup holds all secrets of the tenant; make a key (umask 077; openssl rand -base64 32 > FILE), "
            "or say with unencrypted what may be written in plain text"
        )
    if params["keep"] < 0:
        raise InvalidError(f"keep is {params['keep']}; give the number of backups that stay, or 0 for all")
    request = backup.Request(
        namespace=params["namespace"] or "default",
        name=params["name"],
        place=backup_target(params),
        key=key,
        pki=key is not None or unencrypted == "everything",
        keep=params["keep"],
    )
    settings = backup.Settings(holder=holder(), check=module.check_mode, say=module.warn)
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return backup.run(client, request, settings)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
