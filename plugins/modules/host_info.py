#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: What a host is like before it joins a cluster
description:
  - Reads resources, tools, ports and where the host has joined, and changes nothing.
  - Needs Python's standard library only. Run as root, since the kubelet's files are readable for root only.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  tools:
    description: Programs to look for besides those every node needs; alternatives are separated by C(|).
    type: list
    elements: str
    default: []
  ports:
    description: TCP ports that should be free.
    type: list
    elements: int
    default: []
  disks:
    description: Paths whose free space counts; the nearest existing parent is measured.
    type: list
    elements: path
    default: []
  connect:
    description: Targets such as V(198.51.100.10:6443) that the host should reach by TCP.
    type: list
    elements: str
    default: []
  connect_timeout:
    description: Seconds to wait for each connection.
    type: float
    default: 5
  texts:
    description: Files whose text is returned. They must hold no secrets.
    type: list
    elements: path
    default: []
  controller_time:
    description:
      - Seconds since the epoch on the controller's clock when the task starts, such as V({{ '%s' | ansible.builtin.strftime }}). The host's clock
        is compared with it; the time it takes to reach the host counts as a difference.
    type: float
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
  - hosted.kubernetes.attributes.info
"""

EXAMPLES = r"""
- name: Read the facts of a host
  hosted.kubernetes.host_info:
    tools: [runc]
    ports: [10250]
    disks: [/var/lib]
  become: true
  register: host
"""

RETURN = r"""
host:
  description: The facts.
  returned: always
  type: dict
  contains:
    hostname:
      description: Name of the host.
      type: str
    addresses:
      description: Addresses of the host's own interfaces that others can reach it by.
      type: list
      elements: str
    architecture:
      description: Architecture as bundles name it.
      type: str
      sample: amd64
    clock_offset_s:
      description: By how many seconds the host's clock is ahead of O(controller_time), null without it.
      type: int
    free_mb:
      description: Free space in MiB by path.
      type: dict
    memory_mb:
      description: Memory in MiB.
      type: int
    membership:
      description: Where the host has joined; C(kubelet_conf) is null when it has not.
      type: dict
    networks:
      description: Networks that the host reaches without a router, each with C(interface) and C(network).
      type: list
      elements: dict
    ports:
      description: Name of the process by port, for ports in use.
      type: dict
    swaps:
      description: Active swap devices and files.
      type: list
      elements: str
    missing_tools:
      description: Programs that are not installed.
      type: list
      elements: str
    texts:
      description: Text by path of O(texts); null for a file that does not exist.
      type: dict
    unreachable:
      description: Those of O(connect) that the host cannot reach.
      type: list
      elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.tools import REQUIRED

SPEC = ArgumentSpec(
    options={
        "tools": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "list", "elements": "int", "default": []},
        "disks": {"type": "list", "elements": "path", "default": []},
        "connect": {"type": "list", "elements": "str", "default": []},
        "connect_timeout": {"type": "float", "default": 5},
        "texts": {"type": "list", "elements": "path", "default": []},
        "controller_time": {"type": "float"},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    host = facts.read(
        [*REQUIRED, *params["tools"]],
        params["ports"],
        params["disks"],
        params["connect"],
        params["connect_timeout"],
        params["controller_time"],
    )
    return {"changed": False, "host": {**host, "texts": {path: facts.text_of(path) for path in params["texts"]}}}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
