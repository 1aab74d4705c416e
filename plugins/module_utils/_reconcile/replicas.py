# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who says how many pods a tenant has: its definition, or whoever scaled its resource (kubectl scale, an autoscaler). Pure.

The scale subresource of a custom resource answers reads with an error while the field is missing. Where nobody names a number we
therefore write the present one through that subresource, and note it in an annotation: it is no wish of anybody's, and counts as not
named until somebody scales to another one. Owners do not tell: the server does not record the one who writes the field there first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import DEFAULT_REPLICAS
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed

SCALE_MANAGER: Final = "hosted-kubernetes-scale"
FIELD: Final = "spec.controlPlane.deployment.replicas"


def settle(desired: Desired, observed: Observed) -> Desired:
    """Fill in the number that others have given the stored resource, where the definition names none; forget one that nobody named."""
    resource = observed.resource
    if desired.held:
        return replace(
            desired, tenant=replace(desired.tenant, deployment=replace(desired.tenant.deployment, replicas=0, replicas_named=True))
        )
    if resource is None or (desired.manage_resource and stored(desired.applied) is not None):
        return desired
    given = None if _goes(desired, resource) else named(resource)
    deployment = replace(desired.tenant.deployment, replicas=DEFAULT_REPLICAS if given is None else given, replicas_named=given is not None)
    return replace(desired, tenant=replace(desired.tenant, deployment=deployment))


def missing(desired: Desired, observed: Observed) -> int | None:
    """The number to write where the resource would have none; None where it has one."""
    if desired.tenant.deployment.replicas_named:
        return None
    resource = observed.resource or {}
    if stored(resource) is not None and not _goes(desired, resource):
        return None
    live = observed.find("Deployment", desired.tenant.name)
    found: int | None = live["spec"].get("replicas") if live else None
    return DEFAULT_REPLICAS if found is None else found


def stored(resource: Json) -> int | None:
    """The number in a resource."""
    value: Any = resource
    for key in FIELD.split("."):
        value = (value or {}).get(key)
    return value if isinstance(value, int) else None


def named(resource: Json) -> int | None:
    """The number that somebody gave the resource; None for our own."""
    number = stored(resource)
    ours = (resource["metadata"].get("annotations") or {}).get(names.ANNOTATION_REPLICAS)
    return None if ours is not None and ours == str(number) else number


def _goes(desired: Desired, resource: Json) -> bool:
    """Whether applying the definition, which no longer names a number, takes it away: nobody else owns it."""
    return desired.manage_resource and set(_owners(resource)) == {names.FIELD_MANAGER}


def _owners(resource: Json) -> Iterator[str]:
    for entry in resource.get("metadata", {}).get("managedFields", []):
        fields: Any = entry.get("fieldsV1")
        for key in FIELD.split("."):
            fields = (fields or {}).get(f"f:{key}")
        if fields is not None:
            yield entry["manager"]
