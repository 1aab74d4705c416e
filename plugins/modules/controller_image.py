#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: controller_image
short_description: The controller's image, made from the collection itself
description:
  - Makes the image of the controller without root and without a container engine, from packages of Debian's Python, wheels of the libraries that the
    controller imports, and the code of this collection.
  - The result is a directory that is laid out as a bundle, so that M(hosted.kubernetes.container_image) brings the image to hosts.
  - What it is made of is kept in the cache by a fingerprint of its recipe. The same inputs give the same image, byte for byte.
  - A killed run leaves nothing but a folder that the next run removes.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  dir:
    description: Directory for the image and its C(manifest.json). It is replaced as a whole.
    type: path
    required: true
  cache_dir:
    description: Directory for made parts.
    type: path
    required: true
  collection:
    description: Folder of this collection where the module runs.
    type: path
    required: true
  arch:
    description: Architecture of the nodes as Go names it. The image can only be made on a machine of the same.
    type: str
    choices: [amd64, arm64]
    default: amd64
  python:
    description: Version of Python that the suite has, 3.11 or newer.
    type: str
    required: true
  suite:
    description: Debian release that Python is taken from.
    type: str
    required: true
  mirror:
    description: Mirror of Debian.
    type: str
    required: true
  security_mirror:
    description: Mirror of Debian's security updates; empty for none.
    type: str
    default: ""
  keyring:
    description: File with the keys that the mirror's lists are signed with.
    type: path
    required: true
  libraries:
    description: Python libraries as C(name==version), with everything that they need.
    type: list
    elements: str
    required: true
  revision:
    description: Any text. Another one makes the image anew, with the packages that the mirror has then.
    type: str
    default: ""
  log:
    description: File for the output of what is run; steps are shown from it while the module runs.
    type: path
    required: true
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
- name: Make the image of the controller
  hosted.kubernetes.controller_image:
    dir: /var/cache/hosted-kubernetes/bundles/controller-amd64
    cache_dir: /var/cache/hosted-kubernetes
    collection: /usr/share/ansible/collections/ansible_collections/hosted/kubernetes
    python: "3.13"
    suite: trixie
    mirror: http://deb.debian.org/debian
    keyring: /usr/share/keyrings/debian-archive-keyring.gpg
    libraries: "{{ my_libraries }}"
    log: /var/cache/hosted-kubernetes/log/controller-image.log
"""

RETURN = r"""
dir:
  description: Directory with the image.
  returned: always
  type: str
reference:
  description: Name and tag of the image. The tag is another one when the image is.
  returned: always
  type: str
  sample: localhost/hosted-kubernetes-controller:0.1.0-0123456789ab
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.controller_image import ImageOrder, is_current, make
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION

SPEC = ArgumentSpec(
    options={
        "dir": {"type": "path", "required": True},
        "cache_dir": {"type": "path", "required": True},
        "collection": {"type": "path", "required": True},
        "arch": {"type": "str", "choices": ["amd64", "arm64"], "default": "amd64"},
        "python": {"type": "str", "required": True},
        "suite": {"type": "str", "required": True},
        "mirror": {"type": "str", "required": True},
        "security_mirror": {"type": "str", "default": ""},
        "keyring": {"type": "path", "required": True},
        "libraries": {"type": "list", "elements": "str", "required": True},
        "revision": {"type": "str", "default": ""},
        "log": {"type": "path", "required": True},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    given = dict(module.params)
    log = given.pop("log")
    order = ImageOrder(**{**given, "libraries": tuple(given["libraries"]), "version": ENGINE_VERSION})
    result = {"dir": order.dir, "reference": order.reference()}
    changed = not is_current(order, remember=False) if module.check_mode else make(order, log)
    return {**result, "changed": changed}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
