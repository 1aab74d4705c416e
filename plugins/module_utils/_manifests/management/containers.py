# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a control-plane pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import konnectivity, names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import Konnectivity, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import image_tag
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import (
    api_server_files,
    arguments,
    common,
    kine,
    probes,
    security,
    volumes,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs

# `make bench` of v1.36.3, one replica that nobody asks, two minutes after its start (PSS, processor time): 244 MiB and 44m, 42 MiB and 4m,
# 71 MiB and 17m, 36 MiB and less than 1m; rounded up. A start takes 6 s of a processor and borrows them.
_REQUESTS: Final = {
    "apiServer": {"cpu": "45m", "memory": "248Mi"},
    "scheduler": {"cpu": "5m", "memory": "48Mi"},
    "controllerManager": {"cpu": "20m", "memory": "72Mi"},
    "konnectivity": {"cpu": "5m", "memory": "40Mi"},
    "kine": {"cpu": "10m", "memory": "48Mi"},
}
# The API server may still need the tunnel for what it serves during its shutdown delay.
_TUNNEL_OUTLIVES_S: Final = 2


def containers(tenant: TenantControlPlane, inputs: ManagementInputs, replicas: int | None) -> list[Json]:
    """Return the containers, the user's first as in the reference. replicas: None when an autoscaler owns the number."""
    # One named kine stands for the image of ours.
    users = [item for item in tenant.deployment.additional_containers if item["name"] != common.KINE]
    result = [*users, _api_server(tenant, inputs), _scheduler(tenant), _controller_manager(tenant)]
    if tenant.addons.konnectivity:
        result.append(_konnectivity(tenant, tenant.addons.konnectivity, replicas))
    return result


def init_containers(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    """Return the init containers: the user's, then kine, which starts before the others and ends after them (a native sidecar)."""
    return [*tenant.deployment.additional_init_containers, *([_kine(tenant, inputs.datastore)] if kine.is_used(inputs.datastore) else [])]


def _api_server(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    deployment, port = tenant.deployment, tenant.network.port
    container = _component(tenant, common.API_SERVER, "apiServer", deployment.api_server_image, security.API_SERVER_CAPABILITIES)
    container["args"] = arguments.api_server(tenant, inputs)
    container["ports"] = [_port("apiserver", port)]
    if tenant.addons.konnectivity:
        container["volumeMounts"].append(_socket_mount())
    if kine.is_used(inputs.datastore):
        container["volumeMounts"].append(_kine_mount())
    audit = tenant.api_server.audit
    if audit and audit.volume_name:
        container["env"] = [_pod_name("POD_NAME")]
        # Several pods may write into one volume.
        folder = {"name": audit.volume_name, "mountPath": api_server_files.AUDIT_LOG_DIR, "subPathExpr": "$(POD_NAME)"}
        container["volumeMounts"].append(folder)
    return {**container, **probes.api_server(deployment.probes, port)}


def _scheduler(tenant: TenantControlPlane) -> Json:
    container = _component(tenant, common.SCHEDULER, "scheduler", tenant.deployment.scheduler_image)
    container["args"] = arguments.scheduler(tenant)
    return {**container, **probes.component(tenant.deployment.probes, "scheduler", arguments.SCHEDULER_PORT)}


def _controller_manager(tenant: TenantControlPlane) -> Json:
    name = "controllerManager"
    container = _component(tenant, common.CONTROLLER_MANAGER, name, tenant.deployment.controller_manager_image)
    container["args"] = arguments.controller_manager(tenant)
    return {**container, **probes.component(tenant.deployment.probes, name, arguments.CONTROLLER_MANAGER_PORT)}


def _component(tenant: TenantControlPlane, name: str, field: str, image: str, capabilities: Sequence[str] = ()) -> Json:
    """What the three Kubernetes components have in common. field: their name in the spec."""
    deployment = tenant.deployment
    user_mounts = deployment.additional_volume_mounts.get(field, ())
    context = security.container_security_context(tenant, deployment.container_security_contexts.get(field), capabilities)
    return _container(
        name,
        f"{deployment.registry}/{image}:{image_tag(tenant.version)}{deployment.tag_suffix}",
        name,
        mounts=[*user_mounts, _files_mount(name)],
        resources=deployment.resources.get(field) or {"requests": _REQUESTS[field]},
        context=context,
    )


def _konnectivity(tenant: TenantControlPlane, addon: Konnectivity, replicas: int | None) -> Json:
    version = addon.server.version or konnectivity.default_version(tenant.version)
    container = _container(
        common.KONNECTIVITY,
        f"{addon.server.image}:{version}",
        "/proxy-server",
        mounts=[_files_mount(common.KONNECTIVITY), _socket_mount()],
        resources=addon.server.resources or {"requests": _REQUESTS["konnectivity"]},
        context=security.container_security_context(tenant, addon.server.security_context),
    )
    return {
        **container,
        "args": arguments.konnectivity_server(tenant, addon, version, replicas),
        # Its lease bears this name: the same after a restart of the container.
        "env": [_pod_name("PROXY_SERVER_ID")],
        "ports": [
            _port("agentport", addon.server.port),
            _port("adminport", arguments.KONNECTIVITY_ADMIN_PORT),
            _port("healthport", arguments.KONNECTIVITY_HEALTH_PORT),
        ],
        "lifecycle": {"preStop": {"sleep": {"seconds": arguments.shutdown_delay_s(tenant) + _TUNNEL_OUTLIVES_S}}},
        **probes.konnectivity(arguments.KONNECTIVITY_HEALTH_PORT),
    }


def _kine(tenant: TenantControlPlane, datastore: DatastoreInputs) -> Json:
    deployment = tenant.deployment
    # Its socket is for its own user only, so it runs as the API server's.
    given = deployment.container_security_contexts.get("apiServer") or {}
    user: Json = {field: given[field] for field in ("runAsUser", "runAsGroup", "runAsNonRoot") if field in given}
    container = _container(
        common.KINE,
        kine.image(tenant),
        kine.COMMAND,
        mounts=[_files_mount(common.KINE), _kine_mount()],
        resources=deployment.resources.get("kine") or {"requests": _REQUESTS["kine"]},
        context=security.container_security_context(tenant, user),
    )
    return {
        **container,
        "restartPolicy": "Always",
        "args": arguments.kine_server(tenant, datastore),
        "env": [{"name": kine.ENDPOINT_VARIABLE, "value": kine.endpoint(datastore)}],
        "envFrom": [{"secretRef": {"name": tenant.secret_name(names.DATASTORE_CONFIG)}}],
        "ports": [_port("kine-metrics", kine.METRICS_PORT)],
        **probes.kine(kine.METRICS_PATH, kine.METRICS_PORT),
    }


def _container(name: str, image: str, command: str, *, mounts: list[Json], resources: Json, context: Json) -> Json:
    container: Json = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [command],
        "resources": resources,
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if context:
        container["securityContext"] = context
    return container


def _files_mount(container: str) -> Json:
    return {"name": volumes.files_volume_name(container), "mountPath": arguments.KUBERNETES_DIR, "readOnly": True}


def _socket_mount() -> Json:
    return {"name": volumes.KONNECTIVITY_SOCKET_VOLUME, "mountPath": "/run/konnectivity"}


def _kine_mount() -> Json:
    return {"name": volumes.KINE_SOCKET_VOLUME, "mountPath": kine.SOCKET_DIR}


def _pod_name(variable: str) -> Json:
    return {"name": variable, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}


def _port(name: str, number: int) -> Json:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
