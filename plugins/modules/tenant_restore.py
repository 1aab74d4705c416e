#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_restore
short_description: Restore one tenant from a backup
description:
  - Puts the data of a backup of module M(hosted.kubernetes.tenant_backup) back, in place or as a new tenant. Neighbours in the same
    datastore are neither read nor written.
  - First the whole file is read, and everything that keeps it from being restored there is told. A file that ends too early, is altered, or needs
    another key is refused; nothing has been changed then.
  - With O(in_place) the control plane is put to sleep (all its pods end), keys that differ from the backup are written and removed, and it wakes as its
    definition says. The definition stays as it is. Authorities and keys of the tenant that are missing are made from the backup; when
    they are others than in the backup, it is refused.
  - Without it, a tenant that does not exist is made from the backup, with the definition, the authorities and the keys of then, in this or another
    management cluster, also under another name. Certificates, kubeconfigs and its share of the datastore are new, and so is its address,
    unless O(spec) or the definition names one. Workers that shall follow must find it at the address they know, or join again.
  - The datastore may be of another driver than that of the backup. Where keys of the backup cannot be held there, it is refused before anything is changed.
    Revisions of a new tenant begin after those of the backup, but for an etcd that is behind them, which is warned of.
  - While it works, the tenant carries a mark, with which nobody else wakes or changes it. A run that was interrupted anywhere is finished by running
    it again. The tenant stays asleep until then.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the TenantControlPlane that gets the data.
    type: str
    required: true
  namespace:
    description:
      - Its namespace; made when it does not exist.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  file:
    description:
      - Name of the backup in O(directory) or O(s3).
      - When it is left out, the newest one of that tenant is taken.
    type: str
  in_place:
    description:
      - Replace the data of a tenant that exists. What was changed in it since the backup is lost.
      - V(false) refuses to touch a tenant that exists, other than one whose restore was interrupted. One that was made from this very backup is only
        completed, and its data is left alone.
    type: bool
    default: false
  spec:
    description:
      - For a tenant that is made, a merge patch of the C(spec) in the backup (null removes a field), such as another C(dataStore) or another
        C(networkProfile.address).
      - Another C(dataStore) may be of another driver, such as PostgreSQL for a tenant that was on etcd.
    type: dict
  renew_before:
    description: Certificates that end within this many days are issued anew; V(0) to V(364).
    type: int
    default: 30
  wait:
    description: Wait until the control plane is ready.
    type: bool
    default: true
  wait_exposed:
    description: With O(wait), wait also until the published endpoint answers from where this module runs.
    type: bool
    default: true
  wait_timeout:
    description: How long each wait may take (pods to end, the control plane to be ready), in seconds. Writing data is not limited.
    type: int
    default: 300
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
      - The backup is read and proven, and the data that is there now compared with it; nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(in_place), a tenant that sleeps and holds the data of the backup is not changed. One that is awake goes on writing, so a second
        run replaces that again.
requirements:
  - cryptography >= 42.0.0
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
  - psycopg >= 3.2.0 with libpq for PostgreSQL
  - PyMySQL >= 1.2.0 for MySQL and MariaDB
seealso:
  - module: hosted.kubernetes.tenant_backup
  - module: hosted.kubernetes.tenant_control_plane
"""

EXAMPLES = r"""
- name: Bring the data of a tenant back to what it was
  hosted.kubernetes.tenant_restore:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    directory: /srv/backups
    file: tenants_acme_20261128T050000Z.hkbackup
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    in_place: true

- name: Look at the backup in a tenant beside it
  hosted.kubernetes.tenant_restore:
    kubeconfig: management.kubeconfig
    name: acme-of-yesterday
    namespace: tenants
    directory: /srv/backups
    file: tenants_acme_20261128T050000Z.hkbackup
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    spec:
      networkProfile:
        address: null
      controlPlane:
        deployment:
          replicas: 1

- name: Make a tenant that was on etcd anew on PostgreSQL, once it was backed up asleep and deleted
  hosted.kubernetes.tenant_restore:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    directory: /srv/backups
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    spec:
      dataStore: postgresql

- name: Bring the data of a tenant back to its newest backup in a bucket, with the login of the environment
  hosted.kubernetes.tenant_restore:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    s3:
      bucket: backups
      region: eu-central-1
    encryption_key_file: /etc/hosted-kubernetes/backup.key
    in_place: true
"""

RETURN = r"""
backup:
  description: The backup that was restored.
  returned: success
  type: dict
  contains:
    path:
      description: Where it is; C(s3://<bucket>/<prefix>/<name>) in a bucket.
      type: str
    tenant:
      description: namespace/name of the tenant that it was made of.
      type: str
    created:
      description: When it was made, UTC, ISO 8601.
      type: str
    keys:
      description: Number of keys in it.
      type: int
    bytes:
      description: Size of all keys and values.
      type: int
    revision:
      description: Revision of the datastore at which they were read.
      type: int
    sha256:
      description: SHA-256 of the file, as C(sha256sum) prints it.
      type: str
plan:
  description: The changes of the restore itself in order, each with cluster, object, action, reason and fields.
  returned: success
  type: list
  elements: dict
tenant:
  description:
    - What else was done to the tenant, as an entry of RV(hosted.kubernetes.tenant_control_plane#module:tenants).
    - V(null) in check mode when a tenant that exists is restored.
  returned: success
  type: dict
duration:
  description: Seconds that it took.
  returned: success
  type: float
"""

from datetime import timedelta
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

SPEC = MANAGEMENT_CLUSTER.merge(BACKUP_TARGET).merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "default"},
            "file": {"type": "str"},
            "in_place": {"type": "bool", "default": False},
            "spec": {"type": "dict"},
            "renew_before": {"type": "int", "default": 30},
            "wait": {"type": "bool", "default": True},
            "wait_exposed": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
        },
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import restore

    params = module.params
    request = restore.Request(
        namespace=params["namespace"] or "default",
        name=params["name"],
        place=backup_target(params),
        file=params["file"] or "",
        key=encryption_key(params),
        in_place=params["in_place"],
        spec=params["spec"],
        renew_before=timedelta(days=params["renew_before"]),
    )
    settings = restore.Settings(
        holder=holder(),
        check=module.check_mode,
        wait=params["wait"],
        wait_exposed=params["wait_exposed"],
        timeout_s=params["wait_timeout"],
        say=module.warn,
    )
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return restore.run(client, request, settings)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
