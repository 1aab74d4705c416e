#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_snapshot
short_description: Copies of a host's files, to go back to
description:
  - Keeps copies of files on the host in C(/var/lib/hosted-kubernetes/snapshots) while a change is under way, and puts them back when it fails.
  - A snapshot is complete or not there. One that is there is not taken again, so that a run that was killed in the middle of a change still
    finds the state from before it.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the snapshot.
    type: str
    required: true
  state:
    description:
      - V(present) takes the snapshot when there is none.
      - V(restored) puts all files back, removes those that did not exist, and keeps the snapshot.
      - V(absent) removes the snapshot.
      - V(read) only tells what it holds.
    type: str
    choices: [present, restored, absent, read]
    default: present
  paths:
    description: Files, and directories with all files in them. One that does not exist is removed by V(restored).
    type: list
    elements: path
    default: []
  facts:
    description: What the snapshot shall remember. No secrets.
    type: dict
    default: {}
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows names of files, not their content.
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Keep the kubelet as it is now
  hosted.kubernetes.host_snapshot:
    name: upgrade
    paths: [/usr/local/bin/kubelet, /var/lib/kubelet/config.yaml]
    facts:
      version: v1.36.3
  become: true

- name: Go back to it
  hosted.kubernetes.host_snapshot:
    name: upgrade
    state: restored
  become: true
"""

RETURN = r"""
facts:
  description: What the snapshot remembers; null when there is none.
  returned: always
  type: dict
paths:
  description: Files that were copied or put back, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import snapshots

SPEC = ArgumentSpec(
    options={
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "restored", "absent", "read"], "default": "present"},
        "paths": {"type": "list", "elements": "path", "default": []},
        "facts": {"type": "dict", "default": {}},
    },
    required_if=[["state", "present", ["paths"]]],
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    name, state = params["name"], params["state"]
    there = snapshots.read(name)
    if state == "read" or (state == "present" and there is not None) or (state == "absent" and there is None):
        if state == "absent" and not module.check_mode:
            snapshots.remove(name)
        return _result(there, [])
    if state == "present":
        if not module.check_mode:
            snapshots.take(name, params["paths"], params["facts"])
        return _result(snapshots.Snapshot(params["facts"], [], []), params["paths"], word="copied")
    if state == "absent":
        if not module.check_mode:
            snapshots.remove(name)
        return _result(None, [f"snapshot {name}"], word="removed")
    changed = snapshots.restore(name) if not module.check_mode else (snapshots.differences(there) if there else [])
    return _result(there, changed, word="put back")


def _result(there: snapshots.Snapshot | None, paths: list[str], *, word: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {"changed": bool(paths), "paths": paths, "facts": None if there is None else dict(there.facts)}
    if paths:
        result["diff"] = {"prepared": "".join(f"{path}: {word}\n" for path in paths)}
    return result


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
