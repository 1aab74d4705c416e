#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_ca_info
short_description: Which tenants have a CA
description:
  - Finds the tenants of the management cluster that have one of the given CAs, in all namespaces. A host is a node of the tenant whose CA its
    kubelet trusts.
  - Reads resources and Secrets of the management cluster only, so that it also knows tenants that sleep.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  ca_hashes:
    description: Hashes of the public keys of CA certificates, as M(hosted.kubernetes.host_info) returns those that a kubelet trusts.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.attributes.info
"""

EXAMPLES = r"""
- name: Ask whose node a host is
  hosted.kubernetes.tenant_ca_info:
    kubeconfig: management.kubeconfig
    ca_hashes: "{{ facts.host.membership.kubelet_conf.ca_hashes }}"
  register: owners
  delegate_to: localhost
"""

RETURN = r"""
tenants:
  description: The tenants, more than one only when several were given the same CA.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the TenantControlPlane.
      type: str
    name:
      description: Its name.
      type: str
    endpoint:
      description: Address and port that it publishes; empty while it has none.
      type: str
      sample: 198.51.100.20:6443
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(ArgumentSpec(options={"ca_hashes": {"type": "list", "elements": "str", "required": True}}))


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_authorities import owners_of

    with connect(ConnectionOptions(**connection_options(module.params))) as management:
        found = owners_of(management, module.params["ca_hashes"])
    return {
        "changed": False,
        "tenants": [{"namespace": owner.namespace, "name": owner.name, "endpoint": owner.endpoint} for owner in found],
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
