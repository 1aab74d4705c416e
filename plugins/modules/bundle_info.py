#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_info
short_description: What a bundle holds and what it lacks
description:
  - Looks at a bundle and at the parts it is made from, decides where missing parts come from, and checks what this machine needs to make
    them.
  - A file of the bundle whose content is not the one in the manifest is an error. A file is read only when its size, times or inode are
    not those of the last look.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  dir:
    description: Directory of the bundle.
    type: path
    required: true
  source:
    description: Where parts come from. V(auto) takes what is finished, then V(release) when the download site answers, then V(go).
    type: str
    choices: [auto, release, go, directory]
    required: true
  directory:
    description: A finished bundle to copy, for O(source=directory).
    type: path
    default: ""
  probe_timeout:
    description: Seconds the download site has to answer when O(source=auto).
    type: float
    default: 5
  minimum_disk:
    description: GiB that must be free in O(cache_dir) when something is to be made; V(0) takes 15 for V(go) and 4 for other sources.
    type: float
    default: 0
  minimum_memory:
    description: GiB of memory that must be available when something is to be built from Go modules.
    type: float
    default: 3
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
  - hosted.kubernetes.attributes.info
  - hosted.kubernetes.bundle
"""

EXAMPLES = r"""
- name: Look at the bundle
  hosted.kubernetes.bundle_info:
    spec:
      kubernetes: v1.36.3
      arch: amd64
      versions:
        containerd: v2.2.5
        runc: v1.3.6
        cni_plugins: v1.9.1
        cri_tools: v1.36.0
        konnectivity: v0.36.0
        kine: v0.17.5
        flannel: v0.26.7
        flannel_cni_plugin: v1.7.1-flannel1
        metallb: v0.15.2
        agnhost: "2.63.0"
      urls:
        kubernetes: https://dl.k8s.io
        github: https://github.com
    source: release
    cache_dir: /var/cache/hosted-kubernetes
    dir: /var/cache/hosted-kubernetes/bundles/v1.36.3-amd64
"""

RETURN = r"""
complete:
  description: Whether the bundle is what was asked for, with every file.
  returned: always
  type: bool
source:
  description: Where parts come from; never V(auto).
  returned: always
  type: str
  sample: go
components:
  description: What the bundle is made of.
  returned: when O(source) is not V(directory)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the component.
      type: str
    version:
      description: Its version; text instead of one when kubeadm names it and is not there yet.
      type: str
    ready:
      description: Whether the part is made.
      type: bool
    minutes:
      description: Minutes a build from Go modules takes on two cores with nothing cached.
      type: float
missing:
  description: Files that the bundle's manifest lists and that are not there.
  returned: always
  type: list
  elements: str
problems:
  description: What this machine lacks for making what is missing, each with its remedy.
  returned: always
  type: list
  elements: str
log:
  description: File to follow while parts are made.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.bundle import BUNDLE, order_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import (
    Inspection,
    Wanted,
    inspect,
    missing_prerequisites,
)

SPEC = BUNDLE.merge(
    ArgumentSpec(
        options={
            "dir": {"type": "path", "required": True},
            "source": {"type": "str", "choices": ["auto", "release", "go", "directory"], "required": True},
            "directory": {"type": "path", "default": ""},
            "probe_timeout": {"type": "float", "default": 5},
            "minimum_disk": {"type": "float", "default": 0},
            "minimum_memory": {"type": "float", "default": 3},
        }
    )
)
DISK_GIB = {"go": 15.0}
OTHER_DISK_GIB = 4.0


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    order = order_of(params)
    inspection = inspect(order, params["source"], remember=not module.check_mode, probe_timeout_s=params["probe_timeout"])
    disk_gib = params["minimum_disk"] or DISK_GIB.get(inspection.source, OTHER_DISK_GIB)
    return {
        "changed": False,
        "complete": inspection.complete,
        "source": inspection.source,
        "components": components(inspection, order.spec.kubernetes),
        "missing": list(inspection.missing),
        "problems": missing_prerequisites(order, inspection, disk_gib, params["minimum_memory"]),
        "log": order.log_path,
    }


def components(inspection: Inspection, kubernetes: str) -> list[dict[str, Any]]:
    return [
        {
            "name": wanted.component.name,
            "version": version(wanted, kubernetes),
            "ready": wanted.ready,
            "minutes": wanted.component.minutes,
        }
        for wanted in inspection.wanted
    ]


def version(wanted: Wanted, kubernetes: str) -> str:
    return wanted.component.version if wanted.ident else f"as kubeadm {kubernetes} names it"


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
