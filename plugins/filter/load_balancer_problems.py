# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter load_balancer_problems: what is wrong with the addresses for Services."""

from __future__ import annotations

DOCUMENTATION = r"""
name: load_balancer_problems
short_description: What is wrong with the addresses for Services of type LoadBalancer
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Finds ranges that are reversed, malformed or overlap, and those that have the address of a host.
positional: _input, hosts
options:
  _input:
    description: Ranges and networks, as load_balancer_addresses of the role P(hosted.kubernetes.load_balancer#role) has them.
    type: list
    elements: str
    required: true
  hosts:
    description: Addresses of hosts by their names. Names in place of addresses are ignored.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Refuse addresses that cannot be
  ansible.builtin.assert:
    that: load_balancer_addresses | hosted.kubernetes.load_balancer_problems | length == 0
    fail_msg: "{{ load_balancer_addresses | hosted.kubernetes.load_balancer_problems | join('; ') }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, empty when there is none.
  type: list
  elements: str
  sample: ['load_balancer_addresses: "192.0.2.60-192.0.2.50" is reversed; write 192.0.2.50-192.0.2.60']
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.address_pool import pool_problems


def load_balancer_problems(addresses: Sequence[str] | str, hosts: Mapping[str, str] | None = None) -> list[str]:
    """Return one sentence for each problem; a text is taken apart at its commas, as Ansible makes a list of it."""
    entries = addresses.split(",") if isinstance(addresses, str) else addresses
    return [f"load_balancer_addresses: {problem}" for problem in pool_problems(entries, hosts or {})]


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"load_balancer_problems": load_balancer_problems}
