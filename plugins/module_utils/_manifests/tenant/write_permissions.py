# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of writing that are refused inside a tenant cluster: a ValidatingAdmissionPolicy, so that no webhook has to be up.

Free are kube-system, the leases by which nodes say that they live, and system:masters: the API server itself, which writes
its defaults when it starts, and this collection. Status is no matter of the policy: nodes and pods go on reporting theirs.
"""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, WritePermissions
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import KUBE_SYSTEM, metadata

_API: Final = "admissionregistration.k8s.io/v1"
_NAME: Final = "kamaji-write-permissions"
POLICY: Final = ObjectRef(_API, "ValidatingAdmissionPolicy", "", _NAME)
BINDING: Final = ObjectRef(_API, "ValidatingAdmissionPolicyBinding", "", _NAME)

# Subresources that write what the object itself says.
_UPDATING: Final = ("*/scale", "pods/ephemeralcontainers", "pods/resize")
_EVICTION: Final = "has(request.subResource) && request.subResource == 'eviction'"
# What a tenant over its budget may still do, so that it goes on running, and can be emptied: its controllers replace pods that fail and let go of
# what is being deleted, kubelets renew their certificates, and whoever holds a lease keeps it.
_CONTROLLER: Final = "has(request.userInfo.groups) && 'system:serviceaccounts:kube-system' in request.userInfo.groups"
_OF_NODES: Final = (
    "has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups && request.resource.resource == 'certificatesigningrequests'"
)
_LEAVING: Final = "has(oldObject.metadata.deletionTimestamp)"
_LEASE: Final = "request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases'"
_USED_UP: Final = "because the data budget of this cluster is used up"
_CONDITIONS: Final = {
    "outside-kube-system": f"!has(request.namespace) || request.namespace != '{KUBE_SYSTEM}'",
    "no-node-lease": (
        "!has(request.namespace) || request.namespace != 'kube-node-lease' || request.resource.group != 'coordination.k8s.io' || "
        "request.resource.resource != 'leases'"
    ),
    "not-the-control-plane": "!has(request.userInfo.groups) || !('system:masters' in request.userInfo.groups)",
}


def write_permissions(tenant: TenantControlPlane, *, over_budget: bool = False) -> list[Json]:
    """Return the policy and its binding; nothing when all writing is allowed.

    over_budget: whether new objects and changes are refused beside what the definition says, because the data budget is used up.
    """
    if not tenant.write_permissions and not over_budget:
        return []
    spec = {
        "failurePolicy": "Fail",
        "matchConditions": [{"name": name, "expression": expression} for name, expression in _CONDITIONS.items()],
        "matchConstraints": {"resourceRules": _rules(tenant.write_permissions, over_budget=over_budget)},
        "validations": [*_validations(tenant.write_permissions), *(_budget_validations() if over_budget else ())],
    }
    binding = {"policyName": _NAME, "validationActions": ["Deny"]}
    return [
        {"apiVersion": _API, "kind": POLICY.kind, "metadata": metadata(_NAME), "spec": spec},
        {"apiVersion": _API, "kind": BINDING.kind, "metadata": metadata(_NAME), "spec": binding},
    ]


def _rules(blocked: WritePermissions, *, over_budget: bool) -> list[Json]:
    creation, update = blocked.block_creation or over_budget, blocked.block_update or over_budget
    flags = {"CREATE": creation, "UPDATE": update, "DELETE": blocked.block_deletion}
    rules = [_rule([operation for operation, refused in flags.items() if refused], ["*"])]
    if update:
        rules.append(_rule(["UPDATE"], list(_UPDATING)))
    if blocked.block_deletion:
        # A pod is deleted by creating its eviction.
        rules.append(_rule(["CREATE"], ["pods/eviction"]))
    return rules


def _rule(operations: list[str], resources: list[str]) -> Json:
    return {"apiGroups": ["*"], "apiVersions": ["*"], "operations": operations, "resources": resources, "scope": "*"}


def _validations(blocked: WritePermissions) -> list[Json]:
    refusals = (
        (blocked.block_creation, f"request.operation != 'CREATE' || ({_EVICTION})", "new objects", "blockCreation"),
        (blocked.block_update, "request.operation != 'UPDATE'", "changes of objects", "blockUpdate"),
        (blocked.block_deletion, f"request.operation != 'DELETE' && !({_EVICTION})", "deletions", "blockDeletion"),
    )
    return [
        _validation(expression, f"{what} for now (writePermissions.{field})") for refused, expression, what, field in refusals if refused
    ]


def _budget_validations() -> list[Json]:
    free = "deletions are allowed"
    return [
        _validation(
            f"request.operation != 'CREATE' || ({_EVICTION}) || ({_OF_NODES}) || ({_CONTROLLER})", f"new objects, {_USED_UP}; {free}"
        ),
        _validation(
            f"request.operation != 'UPDATE' || ({_LEAVING}) || ({_LEASE}) || ({_CONTROLLER})", f"changes of objects, {_USED_UP}; {free}"
        ),
    ]


def _validation(expression: str, what: str) -> Json:
    return {"expression": expression, "message": f"the operator of this cluster's control plane refuses {what}", "reason": "Forbidden"}
