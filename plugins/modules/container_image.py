#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: container_image
short_description: Images of a bundle in a host's containerd
description:
  - Imports images from the archives of a bundle on the controller into containerd on the host.
  - Only archives whose image is missing, or came from another archive, travel to the host. The SHA-256 of the archive is kept as a
    label of the image.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  bundle_dir:
    description: Bundle directory on the controller. Needed when O(state=present).
    type: str
  names:
    description: Names of images in the bundle's manifest, such as V(kube-proxy) or V(pause).
    type: list
    elements: str
    default: []
  references:
    description: References of images to remove, when O(state=absent).
    type: list
    elements: str
    default: []
  state:
    description: Whether the images must be there.
    type: str
    choices: [present, absent]
    default: present
  ctr:
    description: Path of C(ctr) on the host.
    type: path
    default: /usr/local/bin/ctr
  socket:
    description: Socket of containerd on the host.
    type: path
    default: /run/containerd/containerd.sock
  containerd_namespace:
    description: Namespace of containerd; the kubelet looks for images in V(k8s.io).
    type: str
    default: k8s.io
  images:
    description: Set by the action plugin from the bundle's manifest.
    type: list
    elements: dict
    default: []
    suboptions:
      reference:
        description: Name and tag of the image.
        type: str
        required: true
      sha256:
        description: SHA-256 of its archive.
        type: str
        required: true
  staged:
    description: Set by the action plugin; where on the host the archives lie that had to travel, by SHA-256.
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
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Bring the images of a worker
  hosted.kubernetes.container_image:
    bundle_dir: /var/cache/bundles/v1.36.3-amd64
    names: [pause, kube-proxy]
  become: true
"""

RETURN = r"""
references:
  description: Images that were imported or removed, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: ["registry.k8s.io/pause:3.10.2"]
missing:
  description: SHA-256 of archives that must travel first. Consumed by the action plugin.
  returned: when archives had to travel and nothing has been imported yet
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.images import Containerd, WantedImage, missing

SPEC = ArgumentSpec(
    options={
        "bundle_dir": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": []},
        "references": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "ctr": {"type": "path", "default": "/usr/local/bin/ctr"},
        "socket": {"type": "path", "default": "/run/containerd/containerd.sock"},
        "containerd_namespace": {"type": "str", "default": "k8s.io"},
        "images": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"reference": {"type": "str", "required": True}, "sha256": {"type": "str", "required": True}},
        },
        "staged": {"type": "dict", "default": {}},
    }
)


def result_of(references: list[str], verb: str) -> dict[str, Any]:
    result: dict[str, Any] = {"changed": bool(references), "references": references}
    if references:
        result["diff"] = {"prepared": "".join(f"{verb} {reference}\n" for reference in references)}
    return result


def make_present(module: AnsibleModule, containerd: Containerd) -> dict[str, Any]:
    wanted = [WantedImage(item["reference"], item["sha256"]) for item in module.params["images"]]
    lacking = missing(wanted, containerd.labels() or {})
    if module.check_mode:
        return result_of([image.reference for image in lacking], "import")
    staged = module.params["staged"]
    to_send = [image.sha256 for image in lacking if image.sha256 not in staged]
    if to_send:
        return {"changed": False, "references": [], "missing": to_send}
    for image in lacking:
        containerd.import_archive(image, staged[image.sha256])
    return result_of([image.reference for image in lacking], "import")


def make_absent(module: AnsibleModule, containerd: Containerd) -> dict[str, Any]:
    present = containerd.labels() or {}
    doomed = [reference for reference in module.params["references"] if reference in present]
    if not module.check_mode:
        for reference in doomed:
            containerd.remove(reference)
    return result_of(doomed, "remove")


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    containerd = Containerd(params["ctr"], params["socket"], params["containerd_namespace"])
    return make_present(module, containerd) if params["state"] == "present" else make_absent(module, containerd)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
