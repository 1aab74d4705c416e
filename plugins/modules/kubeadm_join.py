#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_join
short_description: Join a host to a cluster with kubeadm
description:
  - Runs C(kubeadm join) with a configuration. The token is added to it in a file that only root can read, lies in memory and is removed
    when kubeadm ends.
  - A host whose kubelet trusts one of the pinned CA certificates has joined already and is left alone. A host that has joined another
    cluster is refused.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  config:
    description:
      - A C(JoinConfiguration) of C(kubeadm.k8s.io/v1beta4) with C(discovery.bootstrapToken.apiServerEndpoint) and C(caCertHashes), without
        the token.
    type: dict
    required: true
  token:
    description: Bootstrap token. Needed unless the host has joined already.
    type: str
  patches:
    description:
      - Patches for what kubeadm writes, text by file name such as V(kubeletconfiguration0+merge.yaml); kept in
        C(/etc/kubernetes/hosted-kubernetes/patches).
    type: dict
    default: {}
  after_reset:
    description:
      - The task follows one that resets the host. In check mode that has changed nothing, and the host counts as one that has not joined.
    type: bool
    default: false
  kubeadm:
    description: Path of kubeadm on the host.
    type: path
    default: /usr/local/bin/kubeadm
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
- name: Join
  hosted.kubernetes.kubeadm_join:
    config:
      apiVersion: kubeadm.k8s.io/v1beta4
      kind: JoinConfiguration
      discovery:
        bootstrapToken:
          apiServerEndpoint: 198.51.100.20:6443
          caCertHashes: ["sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
    token: "{{ token.token }}"
  become: true
"""

RETURN = r"""
seconds:
  description: How long kubeadm took.
  returned: when the host joined
  type: float
  sample: 2.3
output:
  description: The end of what kubeadm printed.
  returned: when it failed
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import kubeadm

SPEC = ArgumentSpec(
    options={
        "config": {"type": "dict", "required": True},
        "token": {"type": "str", "no_log": True},
        "patches": {"type": "dict", "default": {}},
        "after_reset": {"type": "bool", "default": False},
        "kubeadm": {"type": "path", "default": "/usr/local/bin/kubeadm"},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    is_reset_only_in_mind = module.check_mode and params["after_reset"]
    if not is_reset_only_in_mind and kubeadm.is_joined(params["config"]):
        return {"changed": False}
    endpoint = ((params["config"].get("discovery") or {}).get("bootstrapToken") or {}).get("apiServerEndpoint", "")
    result: dict[str, Any] = {"changed": True, "diff": {"before": "not joined\n", "after": f"joined to {endpoint}\n"}}
    if module.check_mode:
        return result
    if not params["token"]:
        raise HostedKubernetesError("no token given; make one with hosted.kubernetes.bootstrap_token")
    started = time.monotonic()
    kubeadm.join(params["kubeadm"], params["config"], params["token"], params["patches"])
    return {**result, "seconds": round(time.monotonic() - started, 1)}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
