#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bootstrap_token
short_description: Short-lived token with which one host joins a tenant cluster
description:
  - Creates a bootstrap token for one host and waits until the controller-manager has signed C(kube-public/cluster-info) with it, so that
    a join can begin at once.
  - The token lives for 15 minutes at most. Delete it with O(state=absent) after use; one that was forgotten is removed by the tenant's
    token cleaner when it has expired, or by the next call for the same host.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  for_host:
    description: Name of the host that joins. Each host has a token of its own.
    type: str
    required: true
  state:
    description:
      - V(present) makes a new token and deletes earlier ones of the host.
      - V(absent) deletes all tokens of the host.
    type: str
    choices: [present, absent]
    default: present
  ttl:
    description: Lifetime in seconds, from 60 to 900.
    type: int
    default: 900
extends_documentation_fragment:
  - hosted.kubernetes.tenant_cluster
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Each call with O(state=present) makes a new token.
"""

EXAMPLES = r"""
- name: Make a token for this host
  hosted.kubernetes.bootstrap_token:
    kubeconfig: management.kubeconfig
    tenant: acme
    for_host: "{{ inventory_hostname }}"
  register: token
  no_log: true
  delegate_to: localhost
"""

RETURN = r"""
token:
  description: The token. Keep it out of logs with C(no_log).
  returned: when a token was made
  type: str
  sample: abcdef.0123456789abcdef
token_id:
  description: The public part of the token.
  returned: when a token was made
  type: str
  sample: abcdef
expires:
  description: When the token ends, UTC.
  returned: when a token was made
  type: str
  sample: "2026-11-22T12:00:00Z"
"""

from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.tenant_cluster import TENANT_CLUSTER, tenant_source

SPEC = TENANT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "for_host": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "ttl": {"type": "int", "default": 900},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bootstrap_token import check_ttl
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import workers

    params = module.params
    host = params["for_host"]
    check_ttl(params["ttl"])
    with workers.tenant_cluster(tenant_source(params)) as client:
        present = workers.token_names(client, host)
        before = "".join(f"Secret {name}\n" for name in present)
        if params["state"] == "absent":
            if not module.check_mode:
                workers.delete_tokens(client, present)
            return {"changed": bool(present), "diff": {"before": before, "after": ""}}
        diff = {"before": before, "after": f"a new bootstrap token for host {host}\n"}
        if module.check_mode:
            return {"changed": True, "diff": diff}
        token = workers.create_token(client, host, ttl_s=params["ttl"], now=datetime.now(timezone.utc))
    return {
        "changed": True,
        "diff": diff,
        "token": token.text,
        "token_id": token.id,
        "expires": token.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
