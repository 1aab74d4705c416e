#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_kubeconfig
short_description: Write kubeconfigs of tenant clusters for a person or program
version_added: 0.1.0
description:
  - Writes a kubeconfig file with a client certificate of its own, signed by the tenant's authority; for one tenant, or for many in one call.
  - What its owner may do is decided by RBAC in the tenant cluster, by O(user) and O(groups).
  - A client certificate cannot be revoked; keep O(lifetime) short. An existing file is written anew when less than a third of O(lifetime) is
    left, when it is good for longer than that, or when it does not fit the options, the tenant's authority or its endpoint any more.
  - The content never appears in the result.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the tenant, of a single one. O(dest) belongs to it.
    type: str
  namespace:
    description:
      - Namespace of the tenant in the management cluster.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  dest:
    description: Path of the file, on the host the module runs on. It is written with mode 0600.
    type: path
  tenants:
    description:
      - Several tenants, instead of O(name) and O(dest). All other options count for each.
      - All of them take two LISTs, whatever their number. One that fails does not hold up the others; the module then fails at its end with the
        reason of each.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the tenant.
        type: str
        required: true
      namespace:
        description: Its namespace; the option O(namespace) when this is missing or empty.
        type: str
      dest:
        description: As O(dest); every file needs a path of its own.
        type: path
        required: true
  state:
    description: V(absent) removes the file.
    type: str
    choices: [present, absent]
    default: present
  user:
    description: User name that the tenant's API server sees, at most 64 bytes.
    type: str
    default: kubernetes-admin
  groups:
    description: Groups of the user. V(kubeadm:cluster-admins) may do everything; V(system:masters) is refused, since RBAC cannot limit it.
    type: list
    elements: str
    default: ['kubeadm:cluster-admins']
  lifetime:
    description: How long the kubeconfig is good, in minutes, from 10 to 525600. It never outlives the tenant's authority.
    type: int
    default: 480
  inside:
    description: Use the address that works inside the management cluster, instead of the published endpoint.
    type: bool
    default: false
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows path, user and end of validity, never the content.
  idempotent:
    support: full
requirements:
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.tenant_control_plane
"""

EXAMPLES = r"""
- name: Write a kubeconfig for the administrator of a tenant, good for eight hours
  hosted.kubernetes.tenant_kubeconfig:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    dest: acme.kubeconfig

- name: Write a kubeconfig for a developer, good for one hour
  hosted.kubernetes.tenant_kubeconfig:
    kubeconfig: management.kubeconfig
    name: acme
    namespace: tenants
    dest: jane.kubeconfig
    user: jane
    groups: [developers]
    lifetime: 60

- name: Write one for the administrator of each of several tenants
  hosted.kubernetes.tenant_kubeconfig:
    kubeconfig: management.kubeconfig
    namespace: tenants
    tenants:
      - name: acme
        dest: acme.kubeconfig
      - name: beta
        dest: beta.kubeconfig
"""

RETURN = r"""
dest:
  description: Path of the file.
  returned: O(name) is given
  type: str
reason:
  description: Why the file was written or removed, empty when it was left alone.
  returned: O(name) is given
  type: str
expires:
  description: When its client certificate ends, UTC, ISO 8601.
  returned: O(name) is given, O(state=present), and not in check mode when the file would be written
  type: str
server:
  description: URL of the tenant's API server in the file.
  returned: O(name) is given, and O(state=present)
  type: str
tenants:
  description: One entry for each tenant, in the given order, also when some failed.
  returned: O(tenants) is given
  type: list
  elements: dict
  contains:
    tenant:
      description: Namespace and name.
      type: str
      sample: tenants/acme
    changed:
      description: Whether the file was written or removed.
      type: bool
    dest:
      description: As RV(dest).
      type: str
    reason:
      description: As RV(reason).
      type: str
    expires:
      description: As RV(expires).
      type: str
    server:
      description: As RV(server).
      type: str
    error:
      description: Why this tenant failed, empty when it did not.
      type: str
"""

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.kubeconfig_files import File, Outcome

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str"},
            "namespace": {"type": "str", "default": "default"},
            "dest": {"type": "path"},
            "tenants": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "namespace": {"type": "str"},
                    "dest": {"type": "path", "required": True},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "user": {"type": "str", "default": "kubernetes-admin"},
            "groups": {"type": "list", "elements": "str", "default": ["kubeadm:cluster-admins"]},
            "lifetime": {"type": "int", "default": 480},
            "inside": {"type": "bool", "default": False},
        },
        mutually_exclusive=[["name", "tenants"], ["dest", "tenants"]],
        required_one_of=[["name", "tenants"]],
        required_together=[["name", "dest"]],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    outcomes = keep(module.params, check=module.check_mode)
    return single(outcomes[0]) if module.params["tenants"] is None else several(outcomes)


def keep(params: dict[str, Any], *, check: bool) -> list[Outcome]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.kubeconfig_files import keep_files, remove_files
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import User

    if params["state"] == "absent":
        return remove_files(files(params), check=check)
    user = User(params["user"], tuple(params["groups"]), timedelta(minutes=params["lifetime"]))
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return keep_files(client, files(params), user, inside=params["inside"], check=check, now=datetime.now(timezone.utc))


def files(params: dict[str, Any]) -> list[File]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.kubeconfig_files import File

    if params["tenants"] is None and not (params["name"] and params["dest"]):
        raise InvalidError("no tenant given: set name and dest, or tenants")
    given = [params] if params["tenants"] is None else params["tenants"]
    return [File(item["namespace"] or params["namespace"] or "default", item["name"], item["dest"]) for item in given]


def single(outcome: Outcome) -> dict[str, Any]:
    if outcome.error:
        raise outcome.error
    return {"changed": bool(outcome.reason), **outcome.to_result(), "diff": outcome.to_diff()}


def several(outcomes: list[Outcome]) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import result_of

    return result_of([outcome.to_entry() for outcome in outcomes], diff=[outcome.to_diff() for outcome in outcomes if outcome.reason])


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
