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
  - With O(tenants) one call keeps them in any number of tenant clusters.
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
      - Namespace of the TenantControlPlane, and of those of O(tenants) that name none.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  tenants:
    description:
      - Several TenantControlPlanes, instead of O(tenant). The objects are kept in each of these tenant clusters, in several of them at a time.
      - First everything is applied in all of them, then all are waited for, with O(wait_timeout) as the time for all together. One that fails
        does not hold up the others; the module then fails at its end with the reason of each.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the TenantControlPlane.
        type: str
        required: true
      namespace:
        description: Its namespace; O(tenant_namespace) when this is missing or empty.
        type: str
      definition:
        description: Objects of this tenant, written as O(definition). When it is missing they are those of O(definition) or O(src).
        type: raw
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

- name: Keep a namespace in several tenant clusters, and a quota of its own in one of them
  hosted.kubernetes.manifest:
    kubeconfig: management.kubeconfig
    tenant_namespace: tenants
    tenants:
      - name: acme
        definition: "{{ [team_a, quota_of_acme] }}"
      - name: beta
    definition: "{{ team_a }}"

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
  returned: success, without O(tenants)
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
tenants:
  description: One entry for each tenant, in the given order, also when some failed.
  returned: O(tenants) is given
  type: list
  elements: dict
  contains:
    tenant:
      description: Namespace and name.
      type: str
      sample: tenants/acme
    changed:
      description: Whether an object was changed.
      type: bool
    results:
      description: As RV(results); of a tenant that failed what was done before.
      type: list
      elements: dict
    error:
      description: Why this tenant failed, empty when it did not.
      type: str
"""

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
    run,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.redaction import (
    without_secrets,
    without_secrets_of_each,
)

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_objects import Outcome, Settings, Wanted

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
        "tenants": {
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "namespace": {"type": "str"},
                "definition": {"type": "raw"},
            },
        },
    },
    mutually_exclusive=[["definition", "src"], ["tenant", "tenants"]],
    required_one_of=[["definition", "src", "tenants"]],
    shown={"definition": without_secrets, "tenants": without_secrets_of_each},
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
    return documents_of(params["definition"], "definition")


def documents_of(definition: Any, name: str) -> list[Any]:
    if isinstance(definition, str):
        return parse_yaml(definition, name)
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


def wanted(params: dict[str, Any]) -> list[Wanted]:
    """Which objects in which clusters. Raises InvalidError for objects that cannot be, before anything is changed anywhere."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_objects import Wanted
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import parse_objects

    namespace = params["tenant_namespace"] or "default"
    if params["tenants"] is None:
        return [Wanted((namespace, params["tenant"]) if params["tenant"] else None, parse_objects(documents(params)))]
    common = parse_objects(documents(params)) if params["src"] or params["definition"] is not None else None
    return [Wanted((item["namespace"] or namespace, item["name"]), own_objects(item, common)) for item in params["tenants"]]


def own_objects(item: dict[str, Any], common: list[Any] | None) -> list[Any]:
    """The objects of one entry of tenants. common: those of entries that have none of their own."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import parse_objects

    if item["definition"] is None:
        if common is None:
            raise InvalidError(f"tenants: {item['name']} has no definition; give it one, or give definition or src for all")
        return common
    try:
        return parse_objects(documents_of(item["definition"], "definition"))
    except InvalidError as error:
        raise InvalidError(f"tenants: {item['name']}: {error.msg}", **error.result) from error


def settings(module: AnsibleModule) -> Settings:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_objects import Settings

    params = module.params
    return Settings(
        field_manager=params["field_manager"],
        namespace=params["namespace"] or "",
        force=params["force_conflicts"],
        dry_run=module.check_mode,
        absent=params["state"] == "absent",
        wait=params["wait"],
        timeout_s=params["wait_timeout"],
    )


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_objects import keep_objects
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import result_of

    clusters = wanted(module.params)
    with connect(ConnectionOptions(**connection_options(module.params))) as connection:
        outcomes = keep_objects(connection, clusters, settings(module))
    if module.params["tenants"] is None:
        return single(outcomes[0])
    warnings = [f"{outcome.label}: {warning}" for outcome in outcomes for warning in outcome.warnings]
    diff = [entry for outcome in outcomes for entry in outcome.to_diff()]
    return result_of([outcome.to_entry() for outcome in outcomes], diff=diff, warnings=warnings)


def single(outcome: Outcome) -> dict[str, Any]:
    if outcome.error:
        raise outcome.error
    return {**outcome.to_result(), "diff": outcome.to_diff(), "warnings": outcome.warnings}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
