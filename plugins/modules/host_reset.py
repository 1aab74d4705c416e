#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_reset
short_description: Take a host out of its cluster without a trace
description:
  - Runs C(kubeadm reset) and removes what it leaves behind, such as CNI configuration, mounts and containers of pods, network links, and
    rules of iptables and nftables.
  - Of networks only what those of Kubernetes have made is removed. What other software, such as Podman, has in C(/etc/cni/net.d), in
    C(/var/lib/cni) and in chains of CNI plugins stays, and is named.
  - Looks again afterwards, says where, and fails when anything is left. Programs, containerd and, unless O(remove_images), images stay, so that
    the host can join again.
  - A host that runs a control plane is refused.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  kubeadm:
    description: Path of kubeadm on the host. Without it the same is done by this module alone.
    type: path
    default: /usr/local/bin/kubeadm
  ctr:
    description: Path of C(ctr) on the host.
    type: path
    default: /usr/local/bin/ctr
  socket:
    description: Socket of containerd on the host.
    type: path
    default: /run/containerd/containerd.sock
  remove_images:
    description: Whether images go too. Pods of another cluster could use them without the secret they were pulled with.
    type: bool
    default: false
  keep_images:
    description: References of images that stay all the same, such as those of a bundle.
    type: list
    elements: str
    default: []
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
- name: Take the host out of its cluster
  hosted.kubernetes.host_reset:
  become: true
"""

RETURN = r"""
removed:
  description: What was found and removed, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: ["unit kubelet.service", "link cni0"]
clean:
  description: Where nothing of a cluster is left, as was seen after the removal. Not returned in check mode for a host that has something to remove.
  returned: when nothing is left
  type: list
  elements: str
  sample: [kubelet.service, /etc/kubernetes, mounts of pods, containers of pods, tables of nft]
kept:
  description: What belongs to networks of other software and stays, as paths and as chains behind the name of their tool.
  returned: always
  type: list
  elements: str
  sample: [/etc/cni/net.d/87-podman-bridge.conflist]
left:
  description: What could not be removed.
  returned: when that made the module fail
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import reset
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.pod_containers import Containerd

SPEC = ArgumentSpec(
    options={
        "kubeadm": {"type": "path", "default": "/usr/local/bin/kubeadm"},
        "ctr": {"type": "path", "default": "/usr/local/bin/ctr"},
        "socket": {"type": "path", "default": "/run/containerd/containerd.sock"},
        "remove_images": {"type": "bool", "default": False},
        "keep_images": {"type": "list", "elements": "str", "default": []},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    containerd = Containerd(params["ctr"], params["socket"], params["keep_images"] if params["remove_images"] else None)
    if module.check_mode:
        reset.refuse_control_plane()
        found = reset.observe(reset.resumed(containerd))
    else:
        found = reset.reset(params["kubeadm"], containerd)
    removed = [str(item) for item in found]
    kept = reset.observe_kept()
    result: dict[str, Any] = {"changed": bool(removed), "removed": removed, "kept": kept}
    if not (module.check_mode and removed):
        result["clean"] = reset.places(containerd)
    if removed and kept:
        result["warnings"] = [f"left as it is, since other software than Kubernetes has made it: {', '.join(kept)}"]
    return {**result, "diff": {"before": "".join(f"{line}\n" for line in removed), "after": ""}} if removed else result


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
