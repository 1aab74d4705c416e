# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter load_balancer_warnings: which addresses for Services layer 2 may not reach."""

from __future__ import annotations

DOCUMENTATION = r"""
name: load_balancer_warnings
short_description: Which addresses for Services of type LoadBalancer may not be reached
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Finds ranges outside of the networks that the nodes of the management cluster are in. Nodes answer for addresses in their own networks only; others
    work where a router leads them to a node.
positional: _input, networks
options:
  _input:
    description: Ranges and networks, as load_balancer_addresses of the role P(hosted.kubernetes.load_balancer#role) has them.
    type: list
    elements: str
    required: true
  networks:
    description: The networks of all nodes, as M(hosted.kubernetes.host_info) returns them.
    type: list
    elements: dict
    required: true
  interfaces:
    description: Names of the interfaces that answer, empty for all but those of container networks.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Warn of addresses that layer 2 may not reach
  ansible.builtin.debug:
    msg: "{{ load_balancer_addresses | hosted.kubernetes.load_balancer_warnings(seen.host.networks) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each range that is in none of the networks.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.address_pool import pool_warnings


def load_balancer_warnings(
    addresses: Sequence[str] | str, networks: Sequence[Mapping[str, Any]], interfaces: Sequence[str] | None = None
) -> list[str]:
    """Return one sentence for each range outside; a text is taken apart at its commas, as Ansible makes a list of it."""
    entries = addresses.split(",") if isinstance(addresses, str) else addresses
    return [f"load_balancer_addresses: {warning}" for warning in pool_warnings(entries, networks, interfaces or [])]


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"load_balancer_warnings": load_balancer_warnings}
