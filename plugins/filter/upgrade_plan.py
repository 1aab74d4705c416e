# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter upgrade_plan: what must happen to a worker so that it runs what the bundle has."""

from __future__ import annotations

DOCUMENTATION = r"""
name: upgrade_plan
short_description: Decide whether a worker is upgraded
description:
  - Compares a worker with its tenant and the bundle, and says whether to upgrade it, to go on with an upgrade, or to leave it alone.
  - Refuses with everything that is in the way, such as a kubelet that would be newer than the API server.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: _input
options:
  _input:
    description:
      - What was read, with the keys C(facts) (M(hosted.kubernetes.host_info)), C(snapshot) (facts of M(hosted.kubernetes.host_snapshot)),
        C(pending) (files that differ from the bundle's) and C(cordoned).
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
    description: What is asked of the host, as for P(hosted.kubernetes.join_plan#filter).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Decide
  ansible.builtin.set_fact:
    plan: "{{ seen | hosted.kubernetes.upgrade_plan(host=inventory_hostname, target=tenant.target, requirements=requirements) }}"
"""

RETURN = r"""
_value:
  description:
    - The decision with its reason; C(action) is V(upgrade), V(resume), V(none) or V(refuse). C(before) and C(after) are versions, C(cordoned) says
      whether the node took no pods before.
  type: dict
  sample: {action: upgrade, reason: kubelet v1.36.3 becomes v1.37.2, before: v1.36.3, after: v1.37.2, cordoned: false}
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.join import JoinRequirements, JoinTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.worker_upgrade import HostUpgrade, plan_upgrade


def upgrade_plan(seen: Mapping[str, Any], host: str, target: Mapping[str, Any], requirements: Mapping[str, Any]) -> dict[str, Any]:
    # Before ansible-core 2.19 a template gives text where it means a number.
    wanted = JoinRequirements(
        **{
            **requirements,
            "minimum_free_mb": int(requirements["minimum_free_mb"]),
            "minimum_memory_mb": int(requirements["minimum_memory_mb"]),
        }
    )
    try:
        plan = plan_upgrade(host, HostUpgrade(**seen), JoinTarget(**target), wanted, now_s=int(time.time()))
    except HostedKubernetesError as error:
        return {"action": "refuse", "reason": error.msg, "before": "", "after": "", "cordoned": False}
    return {**plan.__dict__, "action": plan.action.value}


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"upgrade_plan": upgrade_plan}
