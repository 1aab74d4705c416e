# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter workers_by_tenant: which hosts of an inventory are workers of which tenant."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workers_by_tenant
short_description: Which hosts are workers of which tenant
description:
  - Groups hosts by the tenant that the role worker lets them join, with that role's default for the namespace. Hosts without a tenant are left out.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the workers of each tenant
  ansible.builtin.debug:
    msg: "{{ groups.workers | default([]) | hosted.kubernetes.workers_by_tenant(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Names of hosts by the tenant's namespace and name.
  type: dict
  sample: {"tenants/acme": ["acme-worker-1", "acme-worker-2"]}
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def workers_by_tenant(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for host in hosts:
        variables = hostvars[host]
        tenant = variables.get("worker_tenant")
        # As in the defaults of the role worker, which a play about other hosts does not see.
        namespace = variables.get("worker_namespace") or variables.get("tenant_control_plane_namespace") or "tenants"
        if tenant:
            found.setdefault(f"{namespace}/{tenant}", []).append(host)
    return found


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"workers_by_tenant": workers_by_tenant}
