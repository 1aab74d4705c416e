#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_system
short_description: Kernel modules, sysctls and swap of a host, now and at the next boot
description:
  - Loads kernel modules, sets sysctls and switches swap off, and writes the files that keep this over a boot.
  - A module that the kernel has built in counts as loaded.
  - Fails before anything is changed when a program that every node needs is not installed.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  kernel_modules:
    description: Kernel modules to load, kept in C(/etc/modules-load.d/90-hosted-kubernetes.conf).
    type: list
    elements: str
    default: []
  sysctls:
    description: Value by name, kept in C(/etc/sysctl.d/99-z-hosted-kubernetes.conf).
    type: dict
    default: {}
  swap:
    description:
      - V(off) switches all swap off, comments out the swap lines of C(/etc/fstab), and masks the units of systemd that are active and would
        bring swap back at boot, such as those of zram-generator.
      - V(keep) leaves swap alone. The kubelet then needs C(failSwapOn=false).
    type: str
    choices: ["off", keep]
    default: "off"
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Prepare a host for Kubernetes
  hosted.kubernetes.host_system:
    kernel_modules: [overlay, br_netfilter]
    sysctls:
      net.ipv4.ip_forward: "1"
  become: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: [sysctl net.ipv4.ip_forward]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import system, tools

SPEC = ArgumentSpec(
    options={
        "kernel_modules": {"type": "list", "elements": "str", "default": []},
        "sysctls": {"type": "dict", "default": {}},
        "swap": {"type": "str", "choices": ["off", "keep"], "default": "off"},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    wanted = system.Wanted(
        kernel_modules=params["kernel_modules"],
        sysctls={name: str(value) for name, value in params["sysctls"].items()},
        swap_off=params["swap"] == "off",
    )
    lacking = [tools.describe(names) for names in tools.missing(tools.REQUIRED)]
    if lacking:
        raise HostedKubernetesError(f"not installed: {', '.join(lacking)}; install the packages of your distribution that bring them")
    changes = system.plan(wanted, system.observe(wanted))
    if not module.check_mode:
        system.apply(changes)
    return {
        "changed": bool(changes),
        "changes": [f"{change.kind} {change.name}" for change in changes],
        "diff": [
            {"before_header": change.name, "after_header": change.name, "before": f"{change.before}\n", "after": f"{change.after}\n"}
            for change in changes
        ],
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
