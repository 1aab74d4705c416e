#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_machine
short_description: Machines for demonstrations and tests on this host
description:
  - Makes machines that look like real ones over SSH, with systemd, sshd and an ordinary user who may use sudo. They run in
    C(systemd-nspawn) on the host the module runs on, which must be root there.
  - All machines of a lab share one root file system, built once by C(debootstrap) and kept in the cache. Each is an overlay on it.
    C(/var/lib/containerd) and C(/var/lib/kubelet) are plain directories of the host.
  - They share a bridge that nothing else is connected to. A firewall table of the lab drops everything that would be forwarded from
    it or to it, so that the machines have no way out.
  - Everything is named after the lab, so labs live side by side. Whatever an earlier run left, finished or killed, is completed by
    O(state=present) and removed by O(state=absent).
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  lab_name:
    description:
      - Name of the lab, 1 to 12 lower-case letters and digits, beginning with a letter.
      - The bridge is called C(hk-) and this name. The subnet, a /24 in 198.18.0.0/15, is derived from it.
    type: str
    required: true
  state:
    description:
      - V(present) makes every machine of O(machines) run and wait until it lets the user in over SSH. Others of the lab are left alone.
      - V(absent) removes the whole lab with all machines, also those O(machines) does not name, and everything they hold.
    type: str
    choices: [present, absent]
    default: present
  machines:
    description: The machines. Needed when O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Host name.
        type: str
        required: true
      address:
        description: Address in the lab's subnet. It never changes while the machine exists.
        type: str
        required: true
  subnet:
    description: IPv4 network to use instead of the one derived from O(lab_name).
    type: str
  cache_dir:
    description: Directory for root file systems and for everything of the lab. It must be on a plain local file system.
    type: path
    required: true
  user:
    description: Name of the ordinary user that may become root with sudo.
    type: str
    default: lab
  suite:
    description: Debian release of the machines.
    type: str
    default: trixie
  mirror:
    description: Debian mirror that the root file system is built from.
    type: str
    default: http://deb.debian.org/debian
  packages:
    description: Debian packages in the root file system besides the essential ones.
    type: list
    elements: str
    required: true
  memory_mb:
    description: Free memory in MiB that a lab which does not run yet needs. 0 switches the check off.
    type: int
    default: 0
  disk_mb:
    description: Free disk space in MiB below O(cache_dir) that a lab which does not run yet needs. 0 switches the check off.
    type: int
    default: 0
  timeout:
    description: How long to wait until all machines let the user in, in seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Start two machines
  hosted.kubernetes.lab_machine:
    lab_name: demo
    cache_dir: ~/.cache/hosted-kubernetes
    packages: [systemd, systemd-sysv, dbus, openssh-server, sudo, python3, iproute2]
    machines:
      - name: demo-management
        address: "{{ 'demo' | hosted.kubernetes.lab_address(10) }}"
      - name: demo-worker-1
        address: "{{ 'demo' | hosted.kubernetes.lab_address(11) }}"

- name: Remove the lab without a trace
  hosted.kubernetes.lab_machine:
    lab_name: demo
    cache_dir: ~/.cache/hosted-kubernetes
    packages: []
    state: absent
"""

RETURN = r"""
steps:
  description: The changes in order, made or (in check mode) to be made.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: What is done.
      type: str
    kind:
      description: To what kind of thing.
      type: str
    name:
      description: To which one.
      type: str
  sample:
    - {action: create, kind: bridge, name: hk-demo}
    - {action: start, kind: machine, name: demo-management}
network:
  description: Bridge, subnet and gateway of the lab.
  returned: always
  type: dict
  sample: {bridge: hk-demo, gateway: 198.18.7.1, prefix_length: 24, subnet: 198.18.7.0/24}
private_key_file:
  description: SSH key of the user.
  returned: always
  type: str
known_hosts_file:
  description: Host keys of the machines.
  returned: always
  type: str
"""

import os
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab as labs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import Machine, check_machines, lab_network
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_rootfs import RootFs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_supervisor import supervisor_for_host
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_system import LabError, exclusive

SPEC = ArgumentSpec(
    options={
        "lab_name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "machines": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
        },
        "subnet": {"type": "str"},
        "cache_dir": {"type": "path", "required": True},
        "user": {"type": "str", "default": "lab"},
        "suite": {"type": "str", "default": "trixie"},
        "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
        "packages": {"type": "list", "elements": "str", "required": True},
        "memory_mb": {"type": "int", "default": 0},
        "disk_mb": {"type": "int", "default": 0},
        "timeout": {"type": "int", "default": 60},
    }
)


def parse(params: dict[str, Any]) -> labs.Lab:
    network = lab_network(params["lab_name"], params["subnet"] or "")
    machines = tuple(Machine(item["name"], item["address"]) for item in params["machines"])
    check_machines(params["lab_name"], network, machines)
    return labs.Lab(
        name=params["lab_name"],
        network=network,
        machines=machines,
        rootfs=RootFs(suite=params["suite"], mirror=params["mirror"], packages=tuple(params["packages"]), user=params["user"]),
        cache=params["cache_dir"],
    )


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    lab = parse(params)
    if os.geteuid() != 0:
        raise LabError(f"lab {lab.name}: only root can make machines; run the play on this host as root or with become")
    if module.check_mode:
        steps = reconcile(lab, params, dry_run=True)
    else:
        with exclusive(lab.lock):
            steps = reconcile(lab, params, dry_run=False)
    return {
        "changed": bool(steps),
        "steps": [step.as_json() for step in steps],
        "network": asdict(lab.network),
        "private_key_file": lab.private_key,
        "known_hosts_file": lab.known_hosts,
    }


def reconcile(lab: labs.Lab, params: dict[str, Any], *, dry_run: bool) -> list[labs.Step]:
    supervisor = supervisor_for_host(lab.name)
    state = labs.observe(lab, supervisor)
    if params["state"] == "absent":
        steps = labs.plan_absent(lab, state)
        if not dry_run:
            labs.apply(lab, supervisor, steps)
        return steps
    labs.check(lab, state)
    steps = labs.plan_present(lab, state)
    if any(step.action == "start" for step in steps):
        labs.check_capacity(lab, memory_mb=params["memory_mb"], disk_mb=params["disk_mb"])
    if not dry_run:
        labs.apply(lab, supervisor, steps)
        labs.wait_ready(lab, supervisor, timeout_s=params["timeout"])
    return steps


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
