#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_component
short_description: One part of a bundle, made from upstream releases or Go modules
description:
  - Makes one component of a bundle and keeps it in the cache by a fingerprint of its recipe. A component that is there is left alone.
  - While it works, steps are shown and everything is written to a log file, whose path is returned by M(hosted.kubernetes.bundle_info).
  - The checksum of everything fetched is compared with what upstream publishes, and with what was seen under the same name before.
  - A killed run leaves nothing but a folder that the next run removes.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the component. C(kubernetes) comes first, the versions of others depend on it.
    type: str
    required: true
  source:
    description: Where it comes from.
    type: str
    choices: [release, go]
    required: true
  checksums:
    description:
      - Checksums that must be met, by URL (SHA-256), image reference (digest) or Go module with version (C(h1:) sum).
      - What is not listed is compared with the first value seen, which is kept in the cache.
    type: dict
    default: {}
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
- name: Make etcd
  hosted.kubernetes.bundle_component:
    name: etcd
    source: go
    spec: "{{ my_spec }}"
    cache_dir: /var/cache/hosted-kubernetes
"""

RETURN = r"""
component:
  description: Name of the component.
  returned: always
  type: str
artefacts:
  description: Paths of its files inside a bundle.
  returned: when it is made
  type: list
  elements: str
  sample: [bin/etcd, bin/etcdctl, bin/etcdutl, images/etcd.tar]
log:
  description: File that holds the output of what was run.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.bundle import BUNDLE, order_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import is_made, make_part

SPEC = BUNDLE.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "source": {"type": "str", "choices": ["release", "go"], "required": True},
            "checksums": {"type": "dict", "default": {}},
        }
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    order = order_of(params)
    result: dict[str, Any] = {"component": params["name"], "log": order.log_path}
    if module.check_mode:
        return {**result, "changed": not is_made(order, params["source"], params["name"])}
    part, made = make_part(order, params["source"], params["name"])
    return {**result, "changed": made, "artefacts": [artefact.path for artefact in part.artefacts]}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
