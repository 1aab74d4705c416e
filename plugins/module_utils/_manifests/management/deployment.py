# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Deployment of a tenant's control plane."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import (
    api_server_files,
    arguments,
    common,
    security,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.containers import containers, init_containers
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.volumes import volumes

COMPONENT_PREFIX: Final = "component.kamaji.clastix.io/"
STORAGE_PREFIX: Final = "storage.kamaji.clastix.io/"
# Requests in flight end within --request-timeout, a minute; then there is some time to exit.
_DRAIN_S: Final = 70


def deployment(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return the Deployment. It carries replicas only when the number is ours (see ManagementInputs.replicas)."""
    count = replicas(tenant, inputs)
    spec: Json = {
        "selector": {"matchLabels": common.selector(tenant)},
        "revisionHistoryLimit": 2,
        "strategy": _strategy(tenant.deployment.strategy),
        "template": _template(tenant, inputs, count),
    }
    if count is not None:
        spec["replicas"] = count
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": common.metadata(tenant, tenant.name, "deployment", inputs.uid, tenant.deployment.metadata),
        "spec": spec,
    }


def replicas(tenant: TenantControlPlane, inputs: ManagementInputs) -> int | None:
    """The number of pods this definition stands for; None when somebody else owns the number."""
    return tenant.deployment.replicas if tenant.deployment.replicas_named else inputs.replicas


def _strategy(given: Json) -> Json:
    """New pods take over before the old ones go, unless the user says otherwise."""
    if given.get("type", "RollingUpdate") != "RollingUpdate":
        return dict(given)
    return {"type": "RollingUpdate", "rollingUpdate": given.get("rollingUpdate") or {"maxSurge": "100%", "maxUnavailable": 0}}


def _template(tenant: TenantControlPlane, inputs: ManagementInputs, count: int | None) -> Json:
    user, datastore = tenant.deployment.pod_metadata, inputs.datastore
    return {
        "metadata": {
            "labels": {
                **user.labels,
                **common.selector(tenant),
                names.LABEL_COMPONENT: "deployment",
                **{COMPONENT_PREFIX + component: checksum for component, checksum in inputs.checksums.items()},
                f"{COMPONENT_PREFIX}datastore": datastore.name,
            },
            "annotations": {
                **user.annotations,
                f"{STORAGE_PREFIX}config": datastore.config_checksum,
                f"{STORAGE_PREFIX}certificate": datastore.certificate_checksum,
                **_configuration(tenant, inputs),
            },
        },
        "spec": _pod(tenant, inputs, count),
    }


def _configuration(tenant: TenantControlPlane, inputs: ManagementInputs) -> dict[str, str]:
    contents = api_server_files.files(tenant)
    found = {
        names.ANNOTATION_CONFIGURATION: api_server_files.checksum(contents) if contents else "",
        names.ANNOTATION_ENCRYPTION: inputs.encryption_checksum,
    }
    return {name: value for name, value in found.items() if value}


def _pod(tenant: TenantControlPlane, inputs: ManagementInputs, count: int | None) -> Json:
    wanted = tenant.deployment
    pod: Json = {
        "automountServiceAccountToken": wanted.automount_service_account_token,
        "containers": containers(tenant, inputs, count),
        # One variable per Service of the namespace and container: many tenants would make a start slow.
        "enableServiceLinks": False,
        "serviceAccountName": wanted.service_account_name,
        "terminationGracePeriodSeconds": arguments.shutdown_delay_s(tenant) + _DRAIN_S,
        "topologySpreadConstraints": _spread(tenant),
        "volumes": volumes(tenant, inputs),
    }
    optional: Json = {
        "affinity": wanted.affinity,
        "imagePullSecrets": list(wanted.image_pull_secrets),
        "initContainers": init_containers(tenant, inputs),
        "nodeSelector": dict(wanted.node_selector),
        "priorityClassName": wanted.priority_class_name,
        "runtimeClassName": wanted.runtime_class_name,
        "securityContext": security.pod_security_context(tenant),
        "tolerations": list(wanted.tolerations),
    }
    return {**pod, **{field: value for field, value in optional.items() if value}}


def _spread(tenant: TenantControlPlane) -> list[Json]:
    """The user's constraints, by default for this tenant's pods; else over nodes and zones where that is possible."""
    selector = {"matchLabels": common.selector(tenant)}
    if tenant.deployment.topology_spread_constraints is not None:
        return [{"labelSelector": selector, **item} for item in tenant.deployment.topology_spread_constraints]
    return [
        {
            "labelSelector": selector,
            "matchLabelKeys": ["pod-template-hash"],
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
