# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter tenant_problems: what is wrong with definitions of tenants, before there is any cluster to ask."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tenant_problems
short_description: What is wrong with definitions of tenants
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Holds definitions of TenantControlPlanes against the rules that M(hosted.kubernetes.tenant_control_plane) refuses them by, also against each
    other. What takes the management cluster to decide, such as a datastore that does not exist, is not among them.
positional: _input, namespace
options:
  _input:
    description: The definitions, complete or without C(apiVersion) and C(kind).
    type: list
    elements: dict
    required: true
  namespace:
    description:
      - Namespace of definitions that name none.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
"""

EXAMPLES = r"""
- name: Refuse tenants that cannot be
  ansible.builtin.assert:
    that: tenants | hosted.kubernetes.tenant_problems | length == 0
    fail_msg: "{{ tenants | hosted.kubernetes.tenant_problems | join('; ') }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, empty when there is none.
  type: list
  elements: str
  sample: ["TenantControlPlane tenants/acme: spec.zzz is not a known field"]
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import check_all, complete
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError


def tenant_problems(definitions: Sequence[Any], namespace: str = "default") -> list[str]:
    """Return one sentence for each rule that a definition breaks."""
    try:
        check_all([complete(definition, namespace) for definition in definitions], [])
    except InvalidError as error:
        return list(error.result.get("problems") or [error.msg])
    return []


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"tenant_problems": tenant_problems}
