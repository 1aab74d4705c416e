# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin tenants: tenants of a management cluster as groups, their nodes as hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tenants
short_description: Tenants of a management cluster as groups, their nodes as hosts
description:
  - Reads the tenants of a management cluster and the Nodes of each that is awake, for ad-hoc work on their hosts. Its file is called
    C(tenants.hosted.yml) or C(tenants.hosted.yaml), or ends so.
  - Every tenant has a group below the group C(tenants). It is called C(tenant_) and the tenant's name, with C(_) for what cannot stand in a
    group's name. When several tenants would have that name, none of them has it. Each is then called C(tenant_), its namespace, C(_) and its
    name; should that be taken as well, a fingerprint of both follows.
  - A host is called as its Node. When Nodes of several tenants have that name, each of them is called by the names of the Node, the tenant
    and its namespace, with C(_) between them; so is a Node called C(localhost), or like a group that is always there.
  - The group of a tenant has the variables C(tenant_name), C(tenant_namespace), C(tenant_endpoint) (host and port, empty while there is none),
    C(tenant_version), C(tenant_phase) (as in its status), C(tenant_asleep), and C(tenant_problem), why its nodes are not known,
    empty when they are.
  - A host has the variables C(ansible_host), C(node_name), C(node_addresses) (lists by type), C(node_labels), C(node_taints), C(node_version) (of
    its kubelet), C(node_ready), C(node_unschedulable) and C(node_pod_cidrs).
  - The group of a tenant that sleeps, or whose nodes cannot be read, has no hosts, and there is a warning.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  plugin:
    description: Says that the file is one of this plugin.
    type: str
    required: true
    choices: [hosted.kubernetes.tenants]
  namespaces:
    description: Namespaces of the management cluster whose tenants are read, each with calls of its own; all of them when it is empty.
    type: list
    elements: str
    default: []
  label_selector:
    description: Labels that a TenantControlPlane must have, as for C(kubectl), such as V(stage=production,team in (a,b)).
    type: str
    default: ''
  address_types:
    description:
      - Types of a Node's addresses. The first of these that the Node has becomes C(ansible_host); without any, the host is connected to by its
        name. What is neither an address nor a DNS name is left out.
    type: list
    elements: str
    choices: [InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS]
    default: [InternalIP]
  qualified_names:
    description:
      - Give every tenant and every host its longer name, so that no name depends on what other tenants there are, and which are awake.
      - Who administrates a tenant chooses the names and addresses of its Nodes. Set this where such a host could be taken for one of another
        inventory that is used together with this one.
    type: bool
    default: false
  timeout:
    description:
      - Seconds for the answer of a tenant's API server; to connect may take ten more. 16 tenants are asked at a time.
    type: int
    default: 10
  unknown_nodes:
    description: What to do when the nodes of a tenant that is awake cannot be read. A tenant that sleeps is no fault.
    type: str
    choices: [warn, fail]
    default: warn
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - constructed
  - inventory_cache
notes:
  - A tenant is reached through its published endpoint, or by port-forward through the management cluster when that does not answer from here.
  - The user needs, in the management cluster, to list TenantControlPlanes, Secrets and Pods, and to forward ports to Pods. With O(namespaces), in those
    alone.
  - The management cluster costs two lists for all tenants, each tenant that is awake one list of its Nodes, and one of Pods in the management cluster
    when it is reached by port-forward.
  - Neither the inventory nor its cache holds a secret. What is read is kept in the cache only when the nodes of all tenants that are awake were read.
  - Labels, taints and addresses are what a tenant's administrators say. Texts in them are never run as templates.
"""

EXAMPLES = r"""
# All tenants; the management cluster is that of K8S_AUTH_KUBECONFIG.
# ansible -i tenants.hosted.yml tenant_acme -m ansible.builtin.ping
plugin: hosted.kubernetes.tenants
---
# Some of them, from a certain management cluster, kept for ten minutes.
plugin: hosted.kubernetes.tenants
kubeconfig: ~/.kube/hosted-kubernetes/management.kubeconfig
namespaces: [tenants]
label_selector: stage=production
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/hosted-kubernetes
cache_timeout: 600
---
# Groups by the state and the labels of nodes, and what the playbooks for workers need, such as
# ansible-playbook -i tenants.hosted.yml hosted.kubernetes.worker_upgrade --limit tenant_acme
plugin: hosted.kubernetes.tenants
compose:
  ansible_user: "'admin'"
  worker_tenant: tenant_name
  worker_namespace: tenant_namespace
groups:
  workers: true
  not_ready: not node_ready
  cordoned: node_unschedulable
keyed_groups:
  - key: node_labels['topology.kubernetes.io/zone']
    prefix: zone
  - key: node_version
    prefix: kubelet
"""

import os
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import MANAGEMENT_CLUSTER, connection_options
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import tenant_inventory as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

_ENDINGS = ("tenants.hosted.yml", "tenants.hosted.yaml")
_CACHE_FORMAT = 1


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads, or takes from the cache; then fills the inventory."""

    NAME = "hosted.kubernetes.tenants"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(_ENDINGS)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path)
        written = self._read_config_data(path)
        # Not what the option has become: an empty path is the working directory there.
        given = {name: self.get_option(name) for name in MANAGEMENT_CLUSTER.options if written.get(name)}
        try:
            tenants = self._tenants(path, given, cache)
        except HostedKubernetesError as error:
            raise AnsibleParserError(f"{path}: {error.msg}") from error
        except ImportError as error:
            raise AnsibleParserError(
                f"{path}: Python library {error.name or error} is missing or too old for the Python that runs Ansible; install the "
                "collection's requirements.txt there"
            ) from error
        self._tell(path, tenants)
        self._fill(tenants)

    def _tenants(self, path: str, connection: dict[str, Any], use_cache: bool) -> list[api.InventoryTenant]:
        """From the cache when that is allowed and it has them, else from the clusters. Raises HostedKubernetesError."""
        from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, resolve

        given = {name: self.get_option(name) for name in ("namespaces", "label_selector")}
        options = ConnectionOptions(**connection_options(connection))
        cluster = resolve(options, os.environ).options
        source = [_CACHE_FORMAT, cluster.kubeconfig, cluster.context, cluster.host, given]
        key, is_kept = self.get_cache_key(path), bool(self.get_option("cache"))
        if use_cache and is_kept:
            known = self._cache.get(key) or {}
            if known.get("source") == source:
                return [api.InventoryTenant.from_json(item) for item in known["tenants"]]
        tenants = self._read(options, **given)
        if is_kept and not api.unknown(tenants):
            self._cache[key] = {"source": source, "tenants": [tenant.to_json() for tenant in tenants]}
        return tenants

    def _read(self, options: Any, **given: Any) -> list[api.InventoryTenant]:
        from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import connect
        from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_inventory import read_tenants

        with connect(options) as management:
            return read_tenants(management, timeout_s=self.get_option("timeout"), **given)

    def _tell(self, path: str, tenants: list[api.InventoryTenant]) -> None:
        """Warn of what is missing, or fail with it."""
        told = api.warnings(tenants)
        if api.unknown(tenants) and self.get_option("unknown_nodes") == "fail":
            raise AnsibleParserError(f"{path}: {'; '.join(told)}")
        for text in told:
            self.display.warning(f"{path}: {text}")

    def _fill(self, tenants: list[api.InventoryTenant]) -> None:
        arranged = api.arrange(tenants, qualified_names=self.get_option("qualified_names"), address_types=self.get_option("address_types"))
        self.inventory.add_group(api.ALL_TENANTS)
        for group in arranged.groups:
            self.inventory.add_group(group.name)
            self.inventory.add_child(api.ALL_TENANTS, group.name)
            self._set(group.name, group.variables)
        variables = {group.name: group.variables for group in arranged.groups}
        for host in arranged.hosts:
            self.inventory.add_host(host.name, group=host.group)
            self._set(host.name, host.variables)
            self._construct(host.name, {**variables[host.group], **host.variables})

    def _set(self, name: str, variables: dict[str, Any]) -> None:
        for variable, value in variables.items():
            self.inventory.set_variable(name, variable, value)

    def _construct(self, host: str, variables: dict[str, Any]) -> None:
        """What the options of the documentation fragment constructed ask for."""
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)
