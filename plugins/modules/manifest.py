#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Keep Kubernetes objects as written, any number in one task
description:
  - Applies objects server-side in an order in which they can exist, and waits until they are ready. Objects of a list are handled in one
    call of the module, on kept connections; an object that is as written costs one read and no write.
  - A CustomResourceDefinition is waited for before objects of its kind are applied, also when O(wait=false).
  - A field that is no longer written is removed, if this module set it and nobody else owns it.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  definition:
    description:
      - One object as a dictionary, or a list of them, or YAML text with any number of documents. A kind such as V(List) is taken apart.
    type: raw
  src:
    description:
      - Paths of YAML or JSON files with one or more documents each, on the host where the module runs.
      - Excludes O(definition).
    type: list
    elements: path
  state:
    description:
      - V(present) makes every object exist with the fields that are written.
      - V(absent) deletes them, in the opposite order. It succeeds when the object, its namespace or its kind is already gone.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description:
      - Namespace of the namespaced objects that do not name one themselves. Such an object is refused when this is not set.
      - An empty string means unset.
    type: str
  force_conflicts:
    description:
      - Take over fields that another manager owns. When V(false) such a field is an error that names the field and its manager.
    type: bool
    default: true
  field_manager:
    description: Name under which the server remembers which fields were written here.
    type: str
    default: hosted-kubernetes
  wait:
    description:
      - Wait until every object is ready, changed or not. A Deployment, DaemonSet or StatefulSet is ready when its present template runs everywhere
        and no old pod is counted, a Service of type LoadBalancer when it has an address, a Job when it is complete.
      - A DaemonSet is not waited for on nodes that are not ready, which a warning names; on those that only lack a network of pods it is.
      - With O(state=absent) wait until the objects are gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds after which waiting is given up, for all objects together. The error says which object is not ready and why.
    type: int
    default: 300
  tenant:
    description:
      - Name of a TenantControlPlane. The objects are then those of this tenant cluster, and the connection options are the management
        cluster's, through which the tenant is reached as M(hosted.kubernetes.node) does. No kubeconfig of the tenant is needed.
      - An empty string means unset.
    type: str
  tenant_namespace:
    description:
      - Namespace of the TenantControlPlane.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
  - hosted.kubernetes.management_cluster
attributes:
  check_mode:
    support: full
    details:
      - The API server predicts the changes in a dry run; objects of a namespace or kind that the same list makes are predicted without it.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - The connection options are not limited to a management cluster. Give the kubeconfig of a tenant cluster, or O(tenant), to apply objects
    there.
  - Values of Secrets are redacted in the result, in the difference and in the module's arguments. Set C(no_log) on a task with a Secret in
    O(definition) all the same, because Ansible writes the arguments of a module to the system log of its host before the module runs.
"""

EXAMPLES = r"""
- name: Make a namespace with a quota
  hosted.kubernetes.manifest:
    kubeconfig: /etc/kubernetes/admin.conf
    definition:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: team-a
      - apiVersion: v1
        kind: ResourceQuota
        metadata:
          name: quota
          namespace: team-a
        spec:
          hard:
            pods: "50"

- name: Install what a project publishes, and wait until it runs
  hosted.kubernetes.manifest:
    kubeconfig: /etc/kubernetes/admin.conf
    src:
      - /opt/manifests/crds.yaml
      - /opt/manifests/controller.yaml
    namespace: controllers
    wait_timeout: 600

- name: Keep something in a tenant cluster
  hosted.kubernetes.manifest:
    kubeconfig: management.kubeconfig
    tenant: acme
    tenant_namespace: tenants
    src:
      - /opt/manifests/controller.yaml
    namespace: controllers

- name: Remove it again
  hosted.kubernetes.manifest:
    kubeconfig: /etc/kubernetes/admin.conf
    src:
      - /opt/manifests/crds.yaml
      - /opt/manifests/controller.yaml
    namespace: controllers
    state: absent
"""

RETURN = r"""
results:
  description: One entry for each object, in the order in which they were handled.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: Kind, namespace and name for reading.
      type: str
      sample: ResourceQuota team-a/quota
    api_version:
      description: As in the manifest.
      type: str
      sample: v1
    kind:
      description: As in the manifest.
      type: str
      sample: ResourceQuota
    namespace:
      description: Empty for objects of the whole cluster.
      type: str
      sample: team-a
    name:
      description: Name of the object.
      type: str
      sample: quota
    action:
      description: What was done, or would be in check mode. V(create), V(patch), V(delete) or V(none).
      type: str
      sample: patch
    fields:
      description: Changed fields with C(path), C(before) and C(after); values of Secrets are redacted.
      type: list
      elements: dict
      sample: [{"path": "spec.hard.pods", "before": "40", "after": "50"}]
"""

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.redaction import without_secrets

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client

SPEC = ArgumentSpec(
    options={
        "definition": {"type": "raw"},
        "src": {"type": "list", "elements": "path"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "namespace": {"type": "str"},
        "force_conflicts": {"type": "bool", "default": True},
        "field_manager": {"type": "str", "default": "hosted-kubernetes"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 300},
        "tenant": {"type": "str"},
        "tenant_namespace": {"type": "str", "default": "default"},
    },
    mutually_exclusive=[["definition", "src"]],
    required_one_of=[["definition", "src"]],
    shown={"definition": without_secrets},
).merge(MANAGEMENT_CLUSTER)

# The parser quotes names of aliases and tags, which a value that begins with * or ! looks like.
_QUOTED = re.compile(r"""(['"]).{2,}\1""")


def documents(params: dict[str, Any]) -> list[Any]:
    """The documents of definition or src, not yet looked into."""
    if params["src"]:
        found = []
        for path in params["src"]:
            with open_manifest(path) as stream:
                found += parse_yaml(stream, path)
        return found
    definition = params["definition"]
    if isinstance(definition, str):
        return parse_yaml(definition, "definition")
    return definition if isinstance(definition, list) else [definition]


def open_manifest(path: str) -> Any:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

    try:
        return open(path, encoding="utf-8")
    except OSError as error:
        raise InvalidError(f"src {path} cannot be read: {error.strerror}") from error


def parse_yaml(text: Any, name: str) -> list[Any]:
    import yaml

    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidError(f"{name}{where}: not YAML: {_QUOTED.sub('…', error.problem or '')}") from None
    except (yaml.YAMLError, ValueError):
        raise InvalidError(f"{name}: not YAML") from None


def cluster(params: dict[str, Any]) -> AbstractContextManager[Client]:
    """Connect to the cluster that the options mean: a tenant, or the one they lead to."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import TenantSource, tenant_cluster

    options = ConnectionOptions(**connection_options(params))
    if not params["tenant"]:
        return connect(options)
    return tenant_cluster(TenantSource(params["tenant"], params["tenant_namespace"] or "default", None, options))


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import ObjectList, parse_objects

    params = module.params
    objects = parse_objects(documents(params))
    with cluster(params) as client:
        wanted = ObjectList(
            client,
            objects,
            params["field_manager"],
            namespace=params["namespace"] or "",
            dry_run=module.check_mode,
            force=params["force_conflicts"],
            timeout_s=params["wait_timeout"],
        )
        act = wanted.delete if params["state"] == "absent" else wanted.apply
        results = act(wait=params["wait"])
    changed = [result for result in results if result.action != "none"]
    return {
        "changed": bool(changed),
        "results": [result.to_result() for result in results],
        "diff": [result.to_diff() for result in changed],
        "warnings": wanted.warnings,
    }


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
