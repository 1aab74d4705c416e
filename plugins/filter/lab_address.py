# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a lab, computed from its name so that an inventory can state them before the lab exists."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_address
short_description: Address with a number in the subnet of a lab
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Returns an address in the /24 that M(hosted.kubernetes.lab_machine) derives from a lab's name.
positional: _number
options:
  _input:
    description: Name of the lab.
    type: str
    required: true
  _number:
    description: Number of the address in the subnet. 1 is the bridge on the host.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show the first address a load balancer may use
  ansible.builtin.debug:
    msg: "{{ 'demo' | hosted.kubernetes.lab_address(200) }}"
"""

RETURN = r"""
_value:
  description: The address.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import lab_network


def lab_address(name: str, number: int) -> str:
    """Return the address with this number in the subnet of the lab."""
    try:
        return lab_network(name).address(int(number))
    except HostedKubernetesError as error:
        raise AnsibleFilterError(error.msg) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {"lab_address": lab_address}
