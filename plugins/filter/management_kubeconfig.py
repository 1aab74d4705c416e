# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter management_kubeconfig: where the management cluster's kubeconfig is when nobody said it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: management_kubeconfig
short_description: Where the kubeconfig of the management cluster is by default
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
description:
  - Returns the path C(.kube/management.kubeconfig) beside the inventory (in it, when it is a directory, of which Ansible reads no hidden parts), or in
    the working directory when the inventory is no file. It is of the cluster that the hosts of the group C(management) have.
  - Returns an empty text when that group has no host. The cluster is one of your own then, and modules take it from the environment.
  - Roles and playbooks use it where C(management_cluster_kubeconfig) is not defined.
positional: groups
options:
  _input:
    description: The inventories that Ansible was given, the variable C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
  groups:
    description: The groups of the inventory, the variable C(groups).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show where it is
  ansible.builtin.debug:
    msg: "{{ management_cluster_kubeconfig | default(ansible_inventory_sources | hosted.kubernetes.management_kubeconfig(groups)) }}"
"""

RETURN = r"""
_value:
  description: An absolute path, or an empty text.
  type: str
  sample: /root/my-site/.kube/management.kubeconfig
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def management_kubeconfig(sources: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    """Return where the kubeconfig of the cluster of the group management is; "" without such hosts. The first inventory counts."""
    if not groups.get("management"):
        return ""
    first = sources[0] if sources else ""
    beside = os.path.dirname(first) if os.path.isfile(first) else ""
    folder = first if os.path.isdir(first) else beside
    return os.path.join(os.path.abspath(folder), ".kube", "management.kubeconfig")


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"management_kubeconfig": management_kubeconfig}
