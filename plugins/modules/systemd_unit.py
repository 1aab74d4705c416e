#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_unit
short_description: Keep a systemd unit enabled and running with its present files
description:
  - Enables and starts a unit, and restarts it only when the running unit was started with other files than those on the host.
  - The decision looks at the host, not at what an earlier task reported, so that a run that was killed before a restart is mended by
    the next one. C(systemctl daemon-reload) is run when systemd asks for it.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the unit.
    type: str
    required: true
  enabled:
    description: Whether the unit starts at boot.
    type: bool
    default: true
  state:
    description:
      - V(started) starts the unit, or restarts it when O(paths) changed since it was started.
      - V(present) restarts a running unit in the same way and leaves a stopped one alone.
      - V(stopped) stops it.
    type: str
    choices: [started, present, stopped]
    default: started
  paths:
    description: Files and directories that the unit reads at its start only, its binary included.
    type: list
    elements: str
    default: []
  record:
    description:
      - Name under which is kept what the unit was started with; the unit's own by default. For tasks that look at other O(paths) of one unit.
    type: str
    default: ""
  pending:
    description: Those of O(paths) that earlier tasks of a run in check mode would have written. In a real run it does not count.
    type: list
    elements: str
    default: []
  after_stop:
    description: Whether earlier tasks of a run in check mode would have stopped the unit. In a real run it does not count.
    type: bool
    default: false
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
- name: Keep containerd running with its present configuration
  hosted.kubernetes.systemd_unit:
    name: containerd.service
    paths:
      - /usr/local/bin/containerd
      - /etc/containerd/config.toml
  become: true
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: [reload, restart]
journal:
  description: Last lines of the unit's journal.
  returned: when systemd refused or the unit failed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import units

SPEC = ArgumentSpec(
    options={
        "name": {"type": "str", "required": True},
        "enabled": {"type": "bool", "default": True},
        "state": {"type": "str", "choices": ["started", "present", "stopped"], "default": "started"},
        "paths": {"type": "list", "elements": "str", "default": []},
        "record": {"type": "str", "default": ""},
        "pending": {"type": "list", "elements": "str", "default": []},
        "after_stop": {"type": "bool", "default": False},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    name = params["name"] if "." in params["name"] else f"{params['name']}.service"
    state = units.observe(name, params["paths"], params["record"])
    if module.check_mode:
        state = units.foreseen(state, params["pending"], is_stopped=params["after_stop"])
    steps = units.plan(state, enabled=params["enabled"], wanted=params["state"])
    if steps and not module.check_mode:
        units.apply(name, steps, params["paths"], params["record"])
    result: dict[str, Any] = {"changed": bool(steps), "steps": steps}
    if steps:
        result["diff"] = {"before": f"{name}: {state.active}\n", "after": f"{name}: {', '.join(steps)}\n"}
    return result


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
