#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: A bundle directory, assembled from made parts or copied
description:
  - Puts all parts of a bundle into one directory with a manifest, whole or not at all, or copies a finished bundle from another directory.
  - Every file is compared with its recorded checksum. A file that differs is refused.
  - Files are hard links to the parts in the cache, where the file system allows it.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  dir:
    description: Directory of the bundle.
    type: path
    required: true
  source:
    description: Where its parts were made from, or V(directory) to copy O(directory).
    type: str
    choices: [release, go, directory]
    required: true
  directory:
    description: A finished bundle to copy.
    type: path
    default: ""
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
  - hosted.kubernetes.bundle
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Copy the bundle from a USB disk
  hosted.kubernetes.bundle:
    source: directory
    directory: /media/usb/v1.36.3-amd64
    dir: /var/cache/hosted-kubernetes/bundles/v1.36.3-amd64
    spec: "{{ my_spec }}"
    cache_dir: /var/cache/hosted-kubernetes
"""

RETURN = r"""
dir:
  description: Directory of the bundle.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.bundle import BUNDLE, order_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import assemble_bundle, inspect

SPEC = BUNDLE.merge(
    ArgumentSpec(
        options={
            "dir": {"type": "path", "required": True},
            "source": {"type": "str", "choices": ["release", "go", "directory"], "required": True},
            "directory": {"type": "path", "default": ""},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    order = order_of(params)
    if module.check_mode:
        complete = inspect(order, params["source"], remember=False, probe_timeout_s=0).complete
        return {"changed": not complete, "dir": order.bundle_dir}
    return {"changed": assemble_bundle(order, params["source"]), "dir": order.bundle_dir}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
