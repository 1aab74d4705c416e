#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_kubeconfig
short_description: Write a kubeconfig of a tenant cluster for a person or program
version_added: 0.1.0
description:
  - Writes a kubeconfig file with a client certificate of its own, signed by the tenant's authority.
  - What its owner may do is decided by RBAC in the tenant cluster, by O(user) and O(groups).
  - A client certificate cannot be revoked; keep O(lifetime) short. An existing file is written anew when less than a third of O(lifetime) is
    left, when it is good for longer than that, or when it does not fit the options, the tenant's authority or its endpoint any more.
  - The content never appears in the result.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the tenant.
    type: str
    required: true
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
"""

RETURN = r"""
dest:
  description: Path of the file.
  returned: always
  type: str
reason:
  description: Why the file was written or removed, empty when it was left alone.
  returned: always
  type: str
expires:
  description: When its client certificate ends, UTC, ISO 8601.
  returned: O(state=present), and not in check mode when the file would be written
  type: str
server:
  description: URL of the tenant's API server in the file.
  returned: O(state=present)
  type: str
"""

from datetime import datetime, timedelta, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import private_files

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "default"},
            "dest": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "user": {"type": "str", "default": "kubernetes-admin"},
            "groups": {"type": "list", "elements": "str", "default": ["kubeadm:cluster-admins"]},
            "lifetime": {"type": "int", "default": 480},
            "inside": {"type": "bool", "default": False},
        },
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    return absent(module) if module.params["state"] == "absent" else present(module)


def absent(module: AnsibleModule) -> dict[str, Any]:
    dest = module.params["dest"]
    exists = private_files.exists(dest)
    if exists and not module.check_mode:
        private_files.remove(dest)
    return result(dest, "state is absent" if exists else "", {"before": f"{dest}\n" if exists else "", "after": ""})


def present(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import tenant_user

    params, now = module.params, datetime.now(timezone.utc)
    user = tenant_user.User(params["user"], tuple(params["groups"]), timedelta(minutes=params["lifetime"]))
    tenant_user.check(user)
    with connect(ConnectionOptions(**connection_options(params))) as client:
        authority = tenant_user.read_authority(client, params["namespace"] or "default", params["name"], inside=params["inside"])
    content = private_files.read(params["dest"])
    reason = tenant_user.problem(content, authority, user, now) or private_files.problem(params["dest"])
    before = describe(params["dest"], "" if content is None else "as it is")
    if reason and not module.check_mode:
        content = tenant_user.issue(authority, user, now)
        private_files.write(params["dest"], content)
    facts: dict[str, Any] = {"server": authority.server}
    if content is not None and not (reason and module.check_mode):
        facts["expires"] = tenant_user.expires(content).isoformat()
    after = (
        describe(params["dest"], f"user {user.name}, groups {', '.join(user.groups)}, {params['lifetime']} minutes") if reason else before
    )
    return {**result(params["dest"], reason or "", {"before": before, "after": after}), **facts}


def result(dest: str, reason: str, diff: dict[str, str]) -> dict[str, Any]:
    return {"changed": bool(reason), "dest": dest, "reason": reason, "diff": diff}


def describe(dest: str, text: str) -> str:
    return f"{dest}: {text}\n" if text else ""


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
