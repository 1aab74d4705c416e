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
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import KUBE_SYSTEM, metadata

_API: Final = "admissionregistration.k8s.io/v1"
_NAME: Final = "kamaji-write-permissions"
POLICY: Final = ObjectRef(_API, "ValidatingAdmissionPolicy", "", _NAME)
BINDING: Final = ObjectRef(_API, "ValidatingAdmissionPolicyBinding", "", _NAME)

# Subresources that write what the object itself says.
_UPDATING: Final = ("*/scale", "pods/ephemeralcontainers", "pods/resize")
_EVICTION: Final = "has(request.subResource) && request.subResource == 'eviction'"
_CONDITIONS: Final = {
    "outside-kube-system": f"!has(request.namespace) || request.namespace != '{KUBE_SYSTEM}'",
    "no-node-lease": (
        "!has(request.namespace) || request.namespace != 'kube-node-lease' || request.resource.group != 'coordination.k8s.io' || "
        "request.resource.resource != 'leases'"
    ),
    "not-the-control-plane": "!has(request.userInfo.groups) || !('system:masters' in request.userInfo.groups)",
}


def write_permissions(tenant: TenantControlPlane) -> list[Json]:
    """Return the policy and its binding; nothing when all writing is allowed."""
    if not tenant.write_permissions:
        return []
    spec = {
        "failurePolicy": "Fail",
        "matchConditions": [{"name": name, "expression": expression} for name, expression in _CONDITIONS.items()],
        "matchConstraints": {"resourceRules": _rules(tenant)},
        "validations": _validations(tenant),
    }
    binding = {"policyName": _NAME, "validationActions": ["Deny"]}
    return [
        {"apiVersion": _API, "kind": POLICY.kind, "metadata": metadata(_NAME), "spec": spec},
        {"apiVersion": _API, "kind": BINDING.kind, "metadata": metadata(_NAME), "spec": binding},
    ]


def _rules(tenant: TenantControlPlane) -> list[Json]:
    blocked = tenant.write_permissions
    flags = {"CREATE": blocked.block_creation, "UPDATE": blocked.block_update, "DELETE": blocked.block_deletion}
    rules = [_rule([operation for operation, refused in flags.items() if refused], ["*"])]
    if blocked.block_update:
        rules.append(_rule(["UPDATE"], list(_UPDATING)))
    if blocked.block_deletion:
        # A pod is deleted by creating its eviction.
        rules.append(_rule(["CREATE"], ["pods/eviction"]))
    return rules


def _rule(operations: list[str], resources: list[str]) -> Json:
    return {"apiGroups": ["*"], "apiVersions": ["*"], "operations": operations, "resources": resources, "scope": "*"}


def _validations(tenant: TenantControlPlane) -> list[Json]:
    blocked = tenant.write_permissions
    refusals = (
        (blocked.block_creation, f"request.operation != 'CREATE' || ({_EVICTION})", "new objects", "blockCreation"),
        (blocked.block_update, "request.operation != 'UPDATE'", "changes of objects", "blockUpdate"),
        (blocked.block_deletion, f"request.operation != 'DELETE' && !({_EVICTION})", "deletions", "blockDeletion"),
    )
    return [
        {
            "expression": expression,
            "message": f"the operator of this cluster's control plane refuses {what} for now (writePermissions.{field})",
            "reason": "Forbidden",
        }
        for refused, expression, what, field in refusals
        if refused
    ]
