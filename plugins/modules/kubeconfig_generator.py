#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig_generator
short_description: Keep a Secret with a kubeconfig for every tenant that a KubeconfigGenerator selects
version_added: 0.1.0
description:
  - Acts on KubeconfigGenerator resources (C(kamaji.clastix.io/v1alpha1)) of the management cluster. For every tenant a generator selects, the
    Secret C(<tenant>-<generator>) in the tenant's namespace has a kubeconfig under the key C(value), with a client certificate of its own.
  - A kubeconfig is made when it is missing, and made anew when the user, its groups, the endpoint or the tenant's authority are others, when
    less than a third of its lifetime is left, and when its Secret has the annotation C(certs.kamaji.clastix.io/rotate) without a value.
  - It is deleted when its tenant is no longer selected, when its tenant is deleted, and when the generator is.
  - Nothing renews a kubeconfig between two runs. Run the playbook C(hosted.kubernetes.tenant_kubeconfigs) on a schedule, at least once in a
    third of the shortest lifetime (C(spec.expirationSeconds), 30 days by default).
  - A generator that was worked on has a finalizer. C(kubectl delete) marks it for deletion, and the next run of this module, for it or for
    all, deletes its Secrets and lets it go. A client certificate cannot be revoked; it stays good until it ends.
  - A Secret of the same name that is not kept by the generator is never touched; the tenant is told as failed.
  - A tenant that fails does not hold up the others. Tenants whose control plane is not made yet do not count as failed.
  - A generator with the annotation C(kamaji.clastix.io/paused) is left alone, as is a Secret with it.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  definition:
    description:
      - A KubeconfigGenerator manifest. C(apiVersion) and C(kind) may be left out. With O(state=absent) only C(metadata.name) is looked at.
      - C(spec.user) and each of C(spec.groups) have either C(stringValue), or C(fromDefinition), the path of a field of the TenantControlPlane.
        Texts found by C(fromDefinition) that begin with C(system:) are refused.
      - The group C(system:masters) is given only to a generator that has it as C(stringValue), with a warning, since RBAC cannot limit it.
    type: dict
  name:
    description:
      - Name of a generator that exists already (made by C(kubectl) or GitOps); it is taken as it is stored.
      - With O(state=absent) the generator to delete.
      - Without O(name) and O(definition) all generators of the management cluster are worked on, deletions are finished, and Secrets of generators
        that do not exist any more are deleted.
    type: str
  state:
    description: V(absent) deletes the generator's Secrets and the generator.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows which Secrets are made, changed and deleted, never their content.
  idempotent:
    support: full
requirements:
  - cryptography >= 42.0.0
seealso:
  - module: hosted.kubernetes.tenant_kubeconfig
  - module: hosted.kubernetes.tenant_control_plane
"""

EXAMPLES = r"""
- name: Keep a kubeconfig for a program that watches all tenants in production
  hosted.kubernetes.kubeconfig_generator:
    kubeconfig: management.kubeconfig
    definition:
      metadata:
        name: observer
      spec:
        namespaceSelector:
          matchLabels:
            stage: production
        user:
          stringValue: observer
        groups:
          - stringValue: viewers

- name: Keep a kubeconfig for each team, good for a day, with the published endpoint
  hosted.kubernetes.kubeconfig_generator:
    kubeconfig: management.kubeconfig
    definition:
      metadata:
        name: team
      spec:
        tenantControlPlaneSelector:
          matchExpressions:
            - key: team
              operator: Exists
        user:
          fromDefinition: metadata.labels.team
        groups:
          - stringValue: teams
          - fromDefinition: metadata.namespace
        controlPlaneEndpointFrom: admin.conf
        expirationSeconds: 86400

- name: Renew what is due of all generators
  hosted.kubernetes.kubeconfig_generator:
    kubeconfig: management.kubeconfig

- name: Delete a generator with its kubeconfigs
  hosted.kubernetes.kubeconfig_generator:
    kubeconfig: management.kubeconfig
    name: team
    state: absent
"""

RETURN = r"""
generators:
  description: One entry for each generator.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    changed:
      description: Whether it or one of its Secrets was, or in check mode would be, changed.
      type: bool
    plan:
      description: The changes in order, each with object, action and reason. No content of a Secret is in it.
      type: list
      elements: dict
    resources:
      description: How many tenants it selects.
      type: int
    available:
      description: For how many of them there is a kubeconfig that is up to date, or in check mode would be.
      type: int
    errors:
      description: Tenants that failed, each with C(tenant) and C(message).
      type: list
      elements: dict
    waiting:
      description: Tenants that are not made yet, or whose Secret is paused, each with C(tenant) and C(message).
      type: list
      elements: dict
    paused:
      description: Whether it was left alone because it is paused.
      type: bool
    error:
      description: Why the generator itself failed, empty when it did not.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)

SPEC = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "definition": {"type": "dict"},
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[["definition", "name"]],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import generators

    params = module.params
    request = generators.Request(definition=params["definition"], name=params["name"] or None, absent=params["state"] == "absent")
    with connect(ConnectionOptions(**connection_options(params))) as client:
        return generators.run(client, request, generators.Settings(check=module.check_mode))


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
