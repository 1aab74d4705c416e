#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_adopt
short_description: Take over the tenants of a Kamaji operator
description:
  - Takes a management cluster over in which Kamaji's operator keeps tenant control planes, without restarting any of their pods and without
    a new certificate authority.
  - First it looks at everything and refuses, naming object, reason and remedy, what cannot be taken over. Nothing has been changed then. In the way
    are tenants that are paused, being deleted, made, upgraded, moved to another datastore or given another certificate authority; versions and
    datastores this collection cannot run; definitions that its resource definitions would refuse; and certificates of tenants that are
    awake, when they must be renewed within O(renew_before), since that replaces pods.
  - Then it records what the operator needs to come back (ConfigMap C(hosted-kubernetes-adoption) in its namespace), scales it to zero, waits
    until its last pod is gone, and removes its webhooks, which would block every write. It takes the resource definitions over, probes the
    DataStores and writes their status.
  - Of each tenant, authorities, keys, certificates, data, address and pod template stay as they are. Finalizers that only the operator would
    remove go, and so do its webhooks inside the tenant; C(writePermissions) become a policy of the tenant's own API server. What this
    collection would make in another way is listed in RV(tenants[].deferred). It changes with the user's next change of the tenant, or with
    O(hosted.kubernetes.tenant_control_plane#module:rollout=now).
  - Something that installs the operator again (a GitOps tool, C(helm upgrade)) must be told not to. Its chart must not be uninstalled while
    that would delete the resource definitions. An operator of KubeconfigGenerators is left alone.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  state:
    description:
      - V(adopted) takes over. Once all is taken over, nothing is changed.
      - V(reverted) puts the operator back in charge, with its webhooks as they were recorded. It is refused when this collection has made the pods
        of any tenant, which the operator would replace. The resource definitions stay; they take what the operator writes.
    type: str
    choices: [adopted, reverted]
    default: adopted
  resource_definitions:
    description:
      - Files with the CustomResourceDefinitions that take the place of the operator's, those of role P(hosted.kubernetes.tenant_control_plane#role).
      - Needed with O(state=adopted).
    type: list
    elements: path
  renew_before:
    description: Certificates that end within this many days are issued anew.
    type: int
    default: 30
  wait:
    description:
      - Wait until each tenant that is awake answers; with O(state=reverted), until the operator is ready.
    type: bool
    default: true
  wait_exposed:
    description:
      - With O(wait), wait also until each published endpoint answers from where this module runs.
    type: bool
    default: true
  wait_timeout:
    description: How long each of these may take, in seconds; the operator to stop, the resource definitions to be served, all tenants together.
    type: int
    default: 300
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - Datastores are probed and tenants looked into in check mode too; nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - cryptography >= 42.0.0
  - grpcio >= 1.60.0 and protobuf >= 5.29.0 for etcd
seealso:
  - module: hosted.kubernetes.tenant_control_plane
  - module: hosted.kubernetes.tenant_control_plane_info
"""

EXAMPLES = r"""
- name: Take the tenants over
  hosted.kubernetes.tenant_adopt:
    kubeconfig: management.kubeconfig
    resource_definitions: "{{ query('ansible.builtin.fileglob', '/usr/share/hosted-kubernetes/crds/*.yaml') }}"

- name: Put the operator back in charge
  hosted.kubernetes.tenant_adopt:
    kubeconfig: management.kubeconfig
    state: reverted
"""

RETURN = r"""
plan:
  description: The changes around the tenants in order, each with cluster, object, action, reason and fields.
  returned: always
  type: list
  elements: dict
tenants:
  description: One entry for each tenant that is taken over, as of module M(hosted.kubernetes.tenant_control_plane).
  returned: always
  type: list
  elements: dict
  contains:
    tenant:
      description: namespace/name.
      type: str
    changed:
      description: Whether anything of this tenant was, or in check mode would be, changed.
      type: bool
    plan:
      description: The changes in order. Secret values are redacted.
      type: list
      elements: dict
    deferred:
      description:
        - What stays as the operator made it until the pods are replaced, each with object and fields; of Secrets also the reason why
          they would be made anew.
      type: list
      elements: dict
    endpoint:
      description: host:port of the API server.
      type: str
    phase:
      description: The status as shown by C(kubectl get tcp).
      type: str
      sample: Ready
    exposed:
      description: Whether the endpoint answered from where this module ran.
      type: bool
    durations:
      description: Seconds spent on each phase.
      type: dict
    error:
      description: Why this tenant failed, empty when it did not.
      type: str
problems:
  description: What is in the way, when it was refused.
  returned: failure
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    holder,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "state": {"type": "str", "choices": ["adopted", "reverted"], "default": "adopted"},
            "resource_definitions": {"type": "list", "elements": "path"},
            "renew_before": {"type": "int", "default": 30},
            "wait": {"type": "bool", "default": True},
            "wait_exposed": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
        },
        required_if=[["state", "adopted", ["resource_definitions"]]],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import adoption
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.definitions import read_manifests
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import parse_objects

    params = module.params
    settings = adoption.Settings(
        holder=holder(),
        say=module.warn,
        check=module.check_mode,
        wait=params["wait"],
        wait_exposed=params["wait_exposed"],
        timeout_s=params["wait_timeout"],
    )
    documents = [document for path in params["resource_definitions"] or () for document in read_manifests(path)]
    request = adoption.Request(parse_objects(documents), params["renew_before"])
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return adoption.give_back(client, settings) if params["state"] == "reverted" else adoption.adopt(client, request, settings)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
