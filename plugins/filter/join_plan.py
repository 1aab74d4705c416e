# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter join_plan: what must happen to a host so that it is a node of its tenant cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: join_plan
short_description: Decide whether a host joins a tenant cluster
description:
  - Compares the facts of a host with the tenant cluster and says whether to join, to reset and join again, or to leave the host alone.
  - Refuses with everything that is in the way, such as a host that has joined another cluster.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: _input
options:
  _input:
    description: The facts that M(hosted.kubernetes.host_info) returned.
    type: dict
    required: true
  host:
    description: Name of the host for messages.
    type: str
    required: true
  target:
    description: The tenant cluster that M(hosted.kubernetes.join_info) returned.
    type: dict
    required: true
  requirements:
    description: What is asked of the host.
    type: dict
    required: true
  owners:
    description: What M(hosted.kubernetes.tenant_ca_info) returned of a host that trusts another CA than the tenant's.
    type: list
    elements: dict
    default: []
  may_move:
    description: Whether a host that is a node of one of these may be taken out of it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Decide
  ansible.builtin.set_fact:
    plan: "{{ facts.host | hosted.kubernetes.join_plan(host=inventory_hostname, target=tenant.target, requirements=requirements) }}"
"""

RETURN = r"""
_value:
  description:
    - The decision with its reason; C(action) is V(join), V(rejoin), V(move), V(none) or V(refuse).
    - C(leaves) has C(namespace) and C(name) of the tenant that a host is moved from.
  type: dict
  sample:
    action: join
    reason: the host has not joined any cluster
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.join import JoinRequirements, JoinTarget, Owner, plan_join


def join_plan(
    facts: Mapping[str, Any],
    host: str,
    target: Mapping[str, Any],
    requirements: Mapping[str, Any],
    owners: Sequence[Mapping[str, Any]] = (),
    may_move: bool = False,
) -> dict[str, Any]:
    found = [Owner(str(item["namespace"]), str(item["name"]), str(item.get("endpoint") or "")) for item in owners]
    try:
        plan = plan_join(
            host,
            facts,
            JoinTarget(**target),
            _requirements(requirements),
            now_s=int(time.time()),
            owners=found,
            may_move=may_move,
        )
    except HostedKubernetesError as error:
        return {"action": "refuse", "reason": error.msg}
    leaves = {"leaves": {"namespace": plan.leaves.namespace, "name": plan.leaves.name}} if plan.leaves else {}
    return {"action": plan.action.value, "reason": plan.reason, **leaves}


def _requirements(given: Mapping[str, Any]) -> JoinRequirements:
    """Before ansible-core 2.19 a template gives text where it means a number."""
    return JoinRequirements(
        **{**given, "minimum_free_mb": int(given["minimum_free_mb"]), "minimum_memory_mb": int(given["minimum_memory_mb"])}
    )


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"join_plan": join_plan}
