# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a tenant is not ready: the first phase that fails, what it says, and the next step. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem, pod_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import control_plane_addresses
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, is_paused, restore_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Cluster, Plan

_RUN_AGAIN = "run the module tenant_control_plane again (or let the controller do it)"


@dataclass(frozen=True)
class Diagnosis:
    """phase: the first one that fails, "" when the tenant is ready; reason and next_step in words."""

    phase: str = ""
    reason: str = ""
    next_step: str = ""


def diagnose(desired: Desired, observed: Observed, plan: Plan | str, inside: str) -> Diagnosis:
    """Return what keeps a tenant from being ready.

    plan: what is left to do, or why no plan can be made. inside: why the tenant's API server could not be read, "" when it was.
    """
    tenant = desired.tenant
    if observed.deleting:
        return Diagnosis("deletion", "the resource is being deleted", "finish it: module tenant_control_plane with state absent")
    if is_paused(observed.resource):
        return Diagnosis("paused", f"annotation {names.ANNOTATION_PAUSED} is set", "remove the annotation")
    problem = restore_problem(observed.resource)
    if problem:
        return Diagnosis("restore", problem, "run module tenant_restore again")
    view = observed.datastore
    if desired.no_store:
        return Diagnosis("datastore", desired.no_store, "make room; module datastore_info shows the stores")
    if view is None or view.error:
        reason = view.error if view else f"DataStore {tenant.data_store or 'default'} does not exist"
        return Diagnosis("datastore", reason, "mend or create the datastore; module datastore probes it")
    if isinstance(plan, str):
        return Diagnosis("definition", plan, "correct what the message names")
    if observed.find("Service", tenant.name) and not control_plane_addresses(tenant, observed):
        return Diagnosis("address", "the Service has no address", "look at the load balancer and its address pool")
    left = [change for change in plan if change.cluster is not Cluster.TENANT]
    if left:
        return Diagnosis("management_objects", f"{left[0].object}: {left[0].reason}", _RUN_AGAIN)
    if tenant.asleep:
        return Diagnosis()
    return _running(observed, tenant.name, plan, inside)


def _running(observed: Observed, name: str, plan: Plan, inside: str) -> Diagnosis:
    deployment = observed.find("Deployment", name)
    problem = deployment_problem(deployment) if deployment else "does not exist"
    if problem:
        pods = [f"pod {pod['metadata']['name']}: {reason}" for pod in observed.pods if (reason := pod_problem(pod))]
        reason = "; ".join([problem, *pods])
        return Diagnosis("pods", reason, f"kubectl describe and logs of the pods with label {names.LABEL_NAME}={name}")
    if inside:
        return Diagnosis("api_server", inside, "look at the logs of container kube-apiserver")
    if plan:
        return Diagnosis("tenant_objects", f"{plan.changes[0].object}: {plan.changes[0].reason}", _RUN_AGAIN)
    return Diagnosis()


def next_expiry(status: Json) -> str | None:
    """When the first certificate of a tenant ends, ISO 8601, as status recorded it; None when nothing is recorded."""
    records = ((status.get("hosted") or {}).get("secrets") or {}).values()
    ends = [record["notAfter"] for record in records if record.get("notAfter")]
    return min(ends, key=datetime.fromisoformat, default=None)
