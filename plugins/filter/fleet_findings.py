# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter fleet_findings: what is wrong between the hosts of a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_findings
short_description: What is wrong between the hosts of a fleet
description:
  - Compares what M(hosted.kubernetes.host_preflight) returned of many hosts, with each other and with the definitions of their tenants.
  - Finds machine-ids, product UUIDs, host names, hardware addresses and addresses that two hosts share, networks of a tenant that a host has
    routes to, and kubelets that a tenant's version does not allow.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: definitions, namespace
options:
  _input:
    description:
      - The hosts, each with the keys C(name), C(facts), C(tenant) (namespace and name, empty of a host for management), C(node_name) and
        C(bundle_version).
    type: list
    elements: dict
    required: true
  definitions:
    description: Definitions of the tenants.
    type: list
    elements: dict
    default: []
  namespace:
    description: Namespace of definitions that name none.
    type: str
    default: default
"""

EXAMPLES = r"""
- name: Compare two hosts
  ansible.builtin.debug:
    msg: "{{ hosts | hosted.kubernetes.fleet_findings(tenant_control_plane_definitions) }}"
  vars:
    hosts:
      - {name: worker-1, facts: "{{ hostvars['worker-1'].preflight.facts }}", tenant: tenants/acme}
      - {name: worker-2, facts: "{{ hostvars['worker-2'].preflight.facts }}", tenant: tenants/acme}
"""

RETURN = r"""
_value:
  description: The findings, as of M(hosted.kubernetes.host_preflight), each with the C(hosts) it concerns.
  type: list
  elements: dict
  sample:
    - check: unique_machine_id
      severity: error
      problem: 2 hosts have the same machine-id
      where: 1f0c2d9ab3e4f567
      remedy: make a new one
      hosts: [worker-1, worker-2]
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import FleetHost, FleetTenant
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import fleet_findings as findings_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import pod_cidrs, service_cidrs
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.definitions import mapping


def fleet_findings(
    hosts: Iterable[Mapping[str, Any]], definitions: Sequence[Mapping[str, Any]] = (), namespace: str = "default"
) -> list[dict[str, Any]]:
    tenants = {}
    for definition in definitions:
        metadata, spec = mapping(definition, "metadata"), mapping(definition, "spec")
        network = mapping(spec, "networkProfile")
        cidrs = (*pod_cidrs(network), *service_cidrs(network))
        key = f"{metadata.get('namespace') or namespace}/{metadata.get('name')}"
        tenants[key] = FleetTenant(version=str(mapping(spec, "kubernetes").get("version") or ""), cidrs=cidrs)
    return [item.to_json() for item in findings_of([FleetHost(**host) for host in hosts], tenants)]


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet_findings": fleet_findings}
