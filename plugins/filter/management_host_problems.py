# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter management_host_problems: why a host must not be made the management cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: management_host_problems
short_description: Why a host must not be made the management cluster
description:
  - Compares the facts of a host with what the role management_cluster asks of it, and says what is in the way, such as a control plane or a
    node of another cluster, another architecture, or too little memory.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: _input
options:
  _input:
    description: The facts that M(hosted.kubernetes.host_info) returned.
    type: dict
    required: true
  requirements:
    description:
      - What is asked of the host, with the keys C(bundle_arch), C(is_own) (the role has made or begun a cluster on it), C(minimum_free_mb) and
        C(minimum_memory_mb).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse a host that is in use
  ansible.builtin.assert:
    that: seen.host | hosted.kubernetes.management_host_problems(requirements) | length == 0
  vars:
    requirements: {bundle_arch: amd64, is_own: false, minimum_free_mb: 3072, minimum_memory_mb: 1700}
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
  sample: ["it is arm64, the bundle is for amd64; set management_cluster_bundle_dir to a bundle for its architecture"]
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.management_host import ManagementHostRequirements, host_problems


def management_host_problems(facts: Mapping[str, Any], requirements: Mapping[str, Any]) -> list[str]:
    # Before ansible-core 2.19 a template gives text where it means a number.
    wanted = ManagementHostRequirements(
        bundle_arch=requirements["bundle_arch"],
        is_own=requirements["is_own"],
        minimum_free_mb=int(requirements["minimum_free_mb"]),
        minimum_memory_mb=int(requirements["minimum_memory_mb"]),
    )
    return host_problems(facts, wanted)


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"management_host_problems": management_host_problems}
