# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants as they are stored: what their definitions ask for, or why they cannot be carried out.

What a module refuses before it writes anything is a condition of a resource that somebody wrote himself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.validate import problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import status as status_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired


def desired_of(resource: Json, earlier: Iterable[Json], renew_before: timedelta) -> Desired:
    """What a stored TenantControlPlane asks for. earlier: those that may have taken a name or port of it before.

    Raises InvalidError naming every problem.
    """
    found = problems({name: value for name, value in resource.items() if name != "status"}, live=resource, others=earlier)
    if found:
        metadata = resource["metadata"]
        raise InvalidError.from_problems(f"{KIND} {metadata['namespace']}/{metadata['name']}", found)
    return Desired(parse(resource), manage_resource=False, renew_before=renew_before)


def write_refusal(client: Client, resource: Json, message: str, now: datetime) -> None:
    """Say in a resource's status why it cannot be carried out; no call when that stands there.

    Raises ConflictError when it is not the version that was looked at.
    """
    before = resource.get("status") or {}
    conditions = status_of.refused(before, message, now)
    patch = status_of.merge_patch({"conditions": before.get("conditions")}, conditions)
    if patch:
        body = {"metadata": {"resourceVersion": resource["metadata"]["resourceVersion"]}, "status": patch}
        client.merge_patch(ObjectRef.of(resource), body, subresource="status")
