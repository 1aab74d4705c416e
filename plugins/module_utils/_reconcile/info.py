# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at tenants and say how they are. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.diagnose import Diagnosis, diagnose, next_expiry
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.exposure import exposure_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import TenantRun


def tenants_info(client: Client, settings: Settings, name: str | None, namespace: str | None) -> list[Json]:
    """Return one entry per tenant that exists (and has the name, and is in the namespace, when they are given)."""
    listed = client.list(resource_of(KIND), namespace=namespace).items
    wanted = [item for item in listed if not name or item["metadata"]["name"] == name]
    desired: Sequence[Desired] = [Desired(parse(item), manage_resource=False) for item in wanted]
    return Engine(client, settings).look(desired, _entry)


def _entry(run: TenantRun) -> Json:
    plan = Plan()
    failure: str | None = None
    run.look_inside()
    inside = run.no_access.msg if run.no_access else ""
    try:
        plan = run.plan()
    except HostedKubernetesError as error:
        failure = error.msg
    diagnosis = diagnose(run.desired, run.observed, failure or plan, inside)
    return _result(run, plan, diagnosis)


def _result(run: TenantRun, plan: Plan, diagnosis: Diagnosis) -> Json:
    tenant, status = run.desired.tenant, run.observed.status
    version = (status.get("kubernetesResources") or {}).get("version") or {}
    return {
        "tenant": tenant.key,
        "ready": not diagnosis.phase and not tenant.asleep,
        "asleep": tenant.asleep,
        "phase": version.get("status", ""),
        "version": tenant.version,
        "installed_version": version.get("version", ""),
        "endpoint": status.get("controlPlaneEndpoint", ""),
        "exposure": exposure_of(run.desired, run.observed, run.answered).to_result(),
        "failing_phase": diagnosis.phase,
        "reason": diagnosis.reason,
        "next_step": diagnosis.next_step,
        "datastore": run.observed.datastore.name if run.observed.datastore else tenant.data_store or "",
        "certificates_expire": next_expiry(status) or "",
        "drift": [change.to_result() for change in plan],
        "deferred": [item.to_result() for item in plan.deferred],
    }
