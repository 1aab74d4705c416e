#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_rollout
short_description: Bring one change to many tenants, in waves
version_added: 0.1.0
description:
  - Gives the same change (a version, a setting, what a newer collection has put off) to many tenant control planes, wave after wave. The
    canaries come first. A wave begins when every tenant of the one before is ready again and has stayed so.
  - A tenant that fails counts against O(failure_budget). A canary that fails, or one tenant more than the budget allows, stops the roll-out; the
    rest is left alone. The module fails at its end also when the budget sufficed, and names who failed and why.
  - One that was interrupted goes on where it was when it is run again. Who has the change is observed, and waves follow from all tenants of the
    roll-out, in their order, so that each stays in its wave.
  - While it goes on, the ConfigMap C(<name>.rollout) in O(record_namespace) says how far it is. It goes away when the roll-out has ended well.
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  name:
    description: Name of the roll-out, by which others can pause it. At most 100 of a-z, 0-9, C(-) and C(.).
    type: str
    required: true
  state:
    description:
      - V(present) rolls the change out, unless somebody has paused the roll-out.
      - V(paused) lets the wave that is being worked on come to its end, and keeps the next one from beginning.
      - V(resumed) takes that back, and goes on.
      - V(absent) forgets a roll-out that shall not go on. Tenants are not touched.
      - The same as V(paused) is C(kubectl patch configmap <name>.rollout --type merge -p '{"data":{"paused":"true"}}').
    type: str
    choices: [present, paused, resumed, absent]
    default: present
  patch:
    description:
      - What is to change in C(spec) of stored tenants, as a JSON merge patch (RFC 7386); a mapping is merged, null removes, a list is replaced.
      - A field that belongs to another manager (GitOps, for one) is refused before any tenant is changed, with field and manager. It has to be
        changed where that manager has it from.
      - For tenants whose definition is kept in the management cluster. Who keeps it in an inventory gives O(definition), for the next
        M(hosted.kubernetes.tenant_control_plane) with the old one would take the change back.
    type: dict
  definition:
    description:
      - One TenantControlPlane manifest, or a list of them, as for M(hosted.kubernetes.tenant_control_plane). Their order is that of the waves.
      - Excludes O(patch), O(tenants), O(label_selector) and O(namespaces).
    type: raw
  tenants:
    description:
      - Stored tenants to be changed, C(name) or C(namespace/name). Their order is that of the waves.
      - Excludes O(label_selector) and O(namespaces).
    type: list
    elements: str
  label_selector:
    description: Only stored tenants whose labels match, ordered by namespace and name.
    type: str
  namespaces:
    description: Only stored tenants of these namespaces, ordered by namespace and name; V(*) means all.
    type: list
    elements: str
  namespace:
    description:
      - Namespace of O(tenants) and definitions that name none.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  record_namespace:
    description: Namespace in the management cluster for the ConfigMap of the roll-out. It must exist.
    type: str
    default: default
  rollout:
    description:
      - V(now) also replaces pods whose template is older than this collection. Without O(patch) and O(definition) that is all it does.
      - V(changed) puts such differences off, but for tenants whose pods the change replaces anyway.
    type: str
    choices: [changed, now]
    default: changed
  canary:
    description:
      - How many tenants, or which (C(name) or C(namespace/name)), get the change before all others. V(0) does without.
    type: list
    elements: str
    default: ["1"]
  wave_size:
    description: How many tenants get the change at a time; a number, or a percentage of all, rounded up.
    type: str
    default: 20%
  failure_budget:
    description: How many tenants may fail before the roll-out stops; a number, or a percentage of all, rounded down. Canaries have none.
    type: str
    default: "0"
  canary_soak:
    description:
      - Seconds for which canaries that are awake have to stay ready before the first wave begins.
      - Those that have the change and are ready when the roll-out is run again are not watched once more.
    type: int
    default: 30
  soak:
    description: Seconds for which other tenants that are awake have to stay ready before the next wave begins.
    type: int
    default: 0
  renew_before:
    description: Certificates that end within this many days are issued anew.
    type: int
    default: 30
  max_starting:
    description:
      - How many control planes may start or be rolled at a time; V(0) takes as many as the management cluster's nodes have processors that
        no pod has asked for, and at least two. Nodes that are not ready, or cordoned, do not count.
      - One whose pods are held up (no image, no node, a container that keeps ending) lets the next one begin. One that could not begin in time
        fails before its Deployment is touched.
    type: int
    default: 0
  wait_exposed:
    description: Whether each published endpoint must answer from where this module runs before a tenant counts as ready.
    type: bool
    default: true
  wave_timeout:
    description: How long one wave may take until its tenants are ready, in seconds.
    type: int
    default: 600
  log:
    description:
      - File to which each step is added when it begins, on the host where this module runs.
      - When that is the controller, and the task has no C(become), the steps are shown as they come, also without this option.
    type: path
extends_documentation_fragment:
  - hosted.kubernetes.management_cluster
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.api
attributes:
  check_mode:
    support: full
    details:
      - Shows the waves, and what would be changed of each tenant. That a tenant is not ready in time cannot be foreseen.
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
- name: Upgrade all tenants with a label, one first, then in waves of a tenth
  hosted.kubernetes.tenant_rollout:
    kubeconfig: management.kubeconfig
    name: v1.36.4
    label_selector: tier=standard
    patch:
      kubernetes:
        version: v1.36.4
    wave_size: 10%
    failure_budget: 2%
  register: upgrade

- name: Show who is where
  ansible.builtin.debug:
    msg: "{{ upgrade.table }}"

- name: Let no further wave begin
  hosted.kubernetes.tenant_rollout:
    kubeconfig: management.kubeconfig
    name: v1.36.4
    state: paused

- name: Replace the pods of all tenants that are older than this collection, two named tenants first
  hosted.kubernetes.tenant_rollout:
    kubeconfig: management.kubeconfig
    name: newer-collection
    namespaces: ["*"]
    rollout: now
    canary: [tenants/acme, tenants/blue]
    canary_soak: 300
"""

RETURN = r"""
finished:
  description: Whether every tenant has the change, or in check mode would have it.
  returned: always
  type: bool
paused:
  description: Whether the roll-out is paused. RV(finished) is then false, and the module does not fail.
  returned: always
  type: bool
waves:
  description: All waves in order, V(canary) first, with their tenants.
  returned: always
  type: list
  elements: dict
  sample: [{"wave": "canary", "tenants": ["tenants/acme"]}, {"wave": "1", "tenants": ["tenants/blue"]}]
table:
  description: The tenants as aligned lines with a heading, for people.
  returned: always
  type: list
  elements: str
tenants:
  description: One entry for each tenant in the order of the waves.
  returned: always
  type: list
  elements: dict
  contains:
    tenant:
      description: namespace/name.
      type: str
    wave:
      description: V(canary), or the number of its wave.
      type: str
    outcome:
      description:
        - V(current) when it had the change already, V(done), V(failed), V(waiting) when its wave has not begun, V(gone) when somebody deleted it
          meanwhile, V(paused) when it carries the annotation C(kamaji.clastix.io/paused) and is left alone; in check mode V(planned) instead of V(done).
      type: str
    paused:
      description: Whether it is left alone, since its resource carries the annotation C(kamaji.clastix.io/paused). A warning names it.
      type: bool
    changed:
      description: Whether anything of this tenant was, or in check mode would be, changed.
      type: bool
    version:
      description: The Kubernetes version wanted.
      type: str
    installed_version:
      description: The Kubernetes version that ran last.
      type: str
    phase:
      description: The status as shown by C(kubectl get tcp).
      type: str
    pods:
      description:
        - V(current), V(pending) when the change still has to replace them, V(deferred) when only a newer version of this collection would,
          V(unknown) when nothing can be planned for the tenant.
      type: str
    plan:
      description: The changes made; of a tenant whose wave has not begun, and in check mode, those to be made. Secret values are redacted.
      type: list
      elements: dict
    deferred:
      description: Differences of the pods that come from a newer collection and wait for a change of yours or O(rollout=now).
      type: list
      elements: dict
    endpoint:
      description: host:port of the API server.
      type: str
    exposed:
      description: Whether the endpoint answered from where this module ran.
      type: bool
    durations:
      description: Seconds spent on each phase.
      type: dict
    error:
      description: Why this tenant failed, empty when it did not.
      type: str
"""

from contextlib import ExitStack
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
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "paused", "resumed", "absent"], "default": "present"},
            "patch": {"type": "dict"},
            "definition": {"type": "raw"},
            "tenants": {"type": "list", "elements": "str"},
            "label_selector": {"type": "str"},
            "namespaces": {"type": "list", "elements": "str"},
            "namespace": {"type": "str", "default": "default"},
            "record_namespace": {"type": "str", "default": "default"},
            "rollout": {"type": "str", "choices": ["changed", "now"], "default": "changed"},
            "canary": {"type": "list", "elements": "str", "default": ["1"]},
            "wave_size": {"type": "str", "default": "20%"},
            "failure_budget": {"type": "str", "default": "0"},
            "canary_soak": {"type": "int", "default": 30},
            "soak": {"type": "int", "default": 0},
            "renew_before": {"type": "int", "default": 30},
            "max_starting": {"type": "int", "default": 0},
            "wait_exposed": {"type": "bool", "default": True},
            "wave_timeout": {"type": "int", "default": 600},
            "log": {"type": "path"},
        },
        mutually_exclusive=[
            *(["definition", other] for other in ("patch", "tenants", "label_selector", "namespaces")),
            *(["tenants", other] for other in ("label_selector", "namespaces")),
        ],
    )
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fleet, rollout
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings

    params = module.params
    namespace = params["namespace"] or "default"
    request = rollout.Request(
        name=params["name"],
        state=params["state"],
        definition=params["definition"],
        patch=params["patch"],
        tenants=fleet.tenant_keys(params["tenants"] or (), namespace),
        label_selector=params["label_selector"] or None,
        namespaces=tuple(filter(None, params["namespaces"] or ())),
        namespace=namespace,
        record_namespace=params["record_namespace"] or "default",
        rollout_now=params["rollout"] == "now",
        renew_before_days=params["renew_before"],
        pace=fleet.Pace(
            canary=fleet.canaries(params["canary"], namespace),
            wave_size=params["wave_size"] or fleet.Pace.wave_size,
            failure_budget=params["failure_budget"] or fleet.Pace.failure_budget,
        ),
        canary_soak_s=params["canary_soak"],
        soak_s=params["soak"],
    )
    with ExitStack() as stack:
        log = stack.enter_context(ProgressLog(params["log"])) if params["log"] else None
        tell = log.step if log else (lambda _text: None)

        def say(text: str) -> None:
            module.warn(text)
            tell(text)

        settings = Settings(
            holder=holder(),
            say=say,
            check=module.check_mode,
            wait_exposed=params["wait_exposed"],
            timeout_s=params["wave_timeout"],
            max_starting=params["max_starting"],
        )
        client = stack.enter_context(connect(ConnectionOptions(**connection_options(params))))
        return rollout.run(client, request, settings, tell)


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
