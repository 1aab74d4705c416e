#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Binaries of a bundle and text files on a host, in one task
description:
  - Brings directories, binaries and text files of a host to the wanted content, compared by SHA-256.
  - Binaries come from a bundle directory on the controller and travel only when no wanted path of the host holds their content
    already. One binary that a bundle lists under several names (a multi-call binary) travels once and is hard-linked.
  - Every file is complete before it takes its place, so that a killed run leaves the old content or the new one.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  bundle_dir:
    description:
      - Bundle directory on the controller. Needed when O(files) names an artefact.
    type: str
  directories:
    description: Directories to make, parents included.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Permission bits in octal.
        type: str
        default: "0755"
  files:
    description: Files to write. Each entry has either O(files[].artefact) or O(files[].content).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Permission bits in octal.
        type: str
        default: "0644"
      content:
        description: The whole text of the file.
        type: str
      validate:
        description: Command that must succeed before the text takes its place; C(%s) is the path of the new text.
        type: str
      artefact:
        description: Name of a binary or CNI plugin in the bundle's manifest.
        type: str
      kind:
        description: Kind of the artefact in the bundle's manifest.
        type: str
        choices: [binary, cni]
        default: binary
      optional:
        description: Leave the file out when the bundle has no such artefact.
        type: bool
        default: false
      sha256:
        description: Set by the action plugin from the bundle's manifest.
        type: str
  absent:
    description: Files or directories that must not exist.
    type: list
    elements: str
    default: []
  staged:
    description: Set by the action plugin; where on the host the artefacts lie that had to travel, by SHA-256.
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
      - Binaries are shown by their checksum. Do not put secrets into O(files[].content) of a task that shows differences.
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Install the kubelet and its unit
  hosted.kubernetes.host_files:
    bundle_dir: /var/cache/bundles/v1.36.3-amd64
    files:
      - path: /usr/local/bin/kubelet
        artefact: kubelet
        mode: "0755"
      - path: /etc/systemd/system/kubelet.service
        content: "{{ lookup('ansible.builtin.template', 'kubelet.service.j2') }}"
  become: true
"""

RETURN = r"""
paths:
  description: Paths that were changed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: [/usr/local/bin/kubelet]
missing:
  description: SHA-256 of artefacts that must travel first. Consumed by the action plugin.
  returned: when artefacts had to travel and nothing has been written yet
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files

SPEC = ArgumentSpec(
    options={
        "bundle_dir": {"type": "str"},
        "directories": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"path": {"type": "str", "required": True}, "mode": {"type": "str", "default": "0755"}},
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": {"type": "str", "required": True},
                "mode": {"type": "str", "default": "0644"},
                "content": {"type": "str"},
                "validate": {"type": "str"},
                "artefact": {"type": "str"},
                "kind": {"type": "str", "choices": ["binary", "cni"], "default": "binary"},
                "optional": {"type": "bool", "default": False},
                "sha256": {"type": "str"},
            },
        },
        "absent": {"type": "list", "elements": "str", "default": []},
        "staged": {"type": "dict", "default": {}},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    directories = [host_files.WantedDirectory(item["path"], int(item["mode"], 8)) for item in params["directories"]]
    files = [host_files.parse_file(item) for item in params["files"]]
    changes, present = host_files.plan(directories, files, params["absent"])
    result: dict[str, Any] = {"changed": bool(changes), "paths": [change.path for change in changes]}
    if changes and module._diff:  # pylint: disable=protected-access
        result["diff"] = host_files.diff(changes, files)
    if module.check_mode or not changes:
        return result
    sources = {**present, **params["staged"]}
    missing = [digest for digest in host_files.missing_artefacts(changes, files, present) if digest not in sources]
    if missing:
        return {"changed": False, "paths": [], "missing": missing}
    host_files.apply(changes, directories, files, sources)
    return result


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
