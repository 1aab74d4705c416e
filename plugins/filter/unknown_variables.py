# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter unknown_variables: which variables of an inventory are probably misspelt options of our roles."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
short_description: Which variables of hosts are probably misspelt options of the roles
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Finds variables that begin with the name of a role of this collection and are no option of it, and those that are one but for a letter or two.
  - Names that playbooks and roles of this collection use themselves, results that tasks registered, and names that begin with an underscore are left
    out.
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
- name: Show what is probably misspelt
  ansible.builtin.debug:
    msg: "{{ groups.all | hosted.kubernetes.unknown_variables(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each variable, empty when there is none.
  type: list
  elements: str
  sample: ["worker_tennat (acme-worker-1): role worker has no such option; did you mean worker_tenant?"]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.variables import unknown_variables as find
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.role_options import known_variables


class HostVariables(Protocol):
    """The part of Ansible's hostvars that is used: variables as they are written, so that no template is evaluated."""

    def raw_get(self, host_name: str) -> Mapping[str, Any]: ...


def unknown_variables(hosts: Iterable[str], hostvars: HostVariables) -> list[str]:
    return find({host: list(_given(hostvars.raw_get(host))) for host in hosts}, known_variables())


def _given(variables: Mapping[str, Any]) -> Iterator[str]:
    for name, value in variables.items():
        is_result = isinstance(value, Mapping) and {"changed", "failed"} <= set(value)
        if not is_result:
            yield name


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unknown_variables": unknown_variables}
