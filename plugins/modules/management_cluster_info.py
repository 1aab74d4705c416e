#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: management_cluster_info
short_description: Whether a cluster can be a management cluster
description:
  - Connects to the cluster, waits until its API server is ready, and returns its version and nodes.
  - Fails when the cluster is older than the oldest supported version (1.33), and says what to do when it cannot be reached, its certificate
    does not fit, or the credentials have expired.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  wait_timeout:
    description: Seconds to wait for an API server that does not answer or is not ready yet. Other faults are reported at once.
    type: int
    default: 0
  warn_before_days:
    description: How many days before their end the certificates of API server and kubeconfig are warned of; V(0) for never.
    type: int
    default: 90
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.attributes.info
  - hosted.kubernetes.management_cluster
"""

EXAMPLES = r"""
- name: Look whether the cluster can be used
  hosted.kubernetes.management_cluster_info:
    kubeconfig: ~/.kube/management
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: success
  type: str
  sample: https://198.18.7.10:6443
version:
  description: Version of the API server.
  returned: success
  type: str
  sample: v1.36.3
certificates:
  description: When the certificate of the API server (C(server)) and that of the kubeconfig (C(client), when it has one) end, UTC.
  returned: success
  type: dict
  sample: {server: "2027-05-01T12:00:00Z", client: "2027-05-01T12:00:00Z"}
nodes:
  description: The nodes and whether each is Ready.
  returned: success
  type: dict
  sample: {management-1: true}
"""

from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)

SPEC = ArgumentSpec(options={"wait_timeout": {"type": "int", "default": 0}, "warn_before_days": {"type": "int", "default": 90}}).merge(
    MANAGEMENT_CLUSTER
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.probe import (
        certificate_ends,
        certificate_warnings,
        check_management_version,
        cluster_facts,
    )

    with connect(ConnectionOptions(**connection_options(module.params))) as client:
        facts = cluster_facts(client, timeout_s=module.params["wait_timeout"])
        origin = f"{client.access.server} ({client.access.origin})"
        check_management_version(origin, facts.version)
        ends = certificate_ends(client)
    before_days = module.params["warn_before_days"]
    return {
        "changed": False,
        "server": client.access.server,
        "version": facts.version,
        "nodes": facts.nodes,
        "certificates": {kind: f"{end:%Y-%m-%dT%H:%M:%SZ}" for kind, end in ends.items()},
        "warnings": certificate_warnings(origin, ends, now=datetime.now(timezone.utc), before_days=before_days),
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
