#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_client
short_description: How a joined kubelet reaches its cluster
description:
  - Keeps the address and the CA certificates of the cluster in C(/etc/kubernetes/kubelet.conf), and the CA file by which the kubelet checks its
    clients, as the cluster has them now.
  - A kubelet whose client certificate has expired while the host was switched off gets a new one with a bootstrap token. Its pods stay.
  - Does not restart the kubelet but for a new certificate. After a change C(/var/lib/hosted-kubernetes/kubelet-client) is newer than the kubelet,
    so that M(hosted.kubernetes.systemd_unit) restarts it when that is one of its paths.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  server:
    description: URL of the cluster's API server.
    type: str
    required: true
  ca:
    description: CA certificates of the cluster (PEM).
    type: str
    required: true
  token:
    description: Bootstrap token. Needed only when the client certificate has expired. Lies on the host until the certificate is there.
    type: str
  timeout:
    description: Seconds to wait for a new certificate.
    type: int
    default: 120
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
- name: Follow an API server that has moved
  hosted.kubernetes.kubelet_client:
    server: "{{ join.target.endpoint }}"
    ca: "{{ join.ca }}"
  become: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode, out of V(server), V(ca), V(ca file), V(certificate) and V(token) (one that
    a run which was killed has left on the host is removed).
  returned: always
  type: list
  elements: str
  sample: [server]
paths:
  description: The marker, when the kubelet must be restarted for it.
  returned: always
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, kubelet_client

SPEC = ArgumentSpec(
    options={
        "server": {"type": "str", "required": True},
        "ca": {"type": "str", "required": True},
        "token": {"type": "str", "no_log": True},
        "timeout": {"type": "int", "default": 120},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    server, ca = params["server"], params["ca"]
    places = kubelet_client.Places()
    client = kubelet_client.observe(places)
    changes = kubelet_client.plan(client, server, ca, time.time())
    is_marked = bool({"server", "ca"} & set(changes)) and "certificate" not in changes
    result: dict[str, Any] = {"changed": bool(changes), "changes": changes, "paths": [places.marker] if is_marked else []}
    if changes:
        result["diff"] = _diff(client, changes, server)
    if changes and not module.check_mode:
        if "certificate" in changes and not params["token"]:
            raise HostedKubernetesError(
                "the kubelet's client certificate has expired, and no token is given; make one with bootstrap_token"
            )
        kubelet_client.apply(changes, client, server, ca, places)
        if "certificate" in changes:
            kubelet_client.renew(server, ca, params["token"], params["timeout"], places, restart=kubelet_client.restart_kubelet)
    return result


def _diff(client: kubelet_client.Client, changes: list[str], server: str) -> dict[str, str]:
    before = {
        "server": facts.describe_kubelet_conf(client.conf)["server"],
        "certificate": "expired",
        "token": "left by a run that was killed",
    }
    after = {"server": server, "certificate": "new", "token": "removed"}
    return {
        "before": "".join(f"{name}: {before.get(name, 'as it was')}\n" for name in changes),
        "after": "".join(f"{name}: {after.get(name, 'as the cluster has it')}\n" for name in changes),
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
