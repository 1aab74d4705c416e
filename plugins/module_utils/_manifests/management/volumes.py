# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the control-plane containers: one read-only volume each, with exactly the keys that container needs."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import api_server_files, common, kine
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.config_maps import EGRESS_SELECTOR_KEY
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs

KONNECTIVITY_SOCKET_VOLUME: Final = "konnectivity-uds"
KINE_SOCKET_VOLUME: Final = "kine-uds"
_GROUP_READABLE: Final = 0o440
_READABLE: Final = 0o444


def files_volume_name(container: str) -> str:
    return f"{container}-files"


def volumes(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    """Return the volumes of the pod: one with the files of each container, then what is shared, then the user's."""
    result = [
        _files(tenant, common.API_SERVER, [*_api_server(tenant, inputs), *_encryption(tenant, inputs)]),
        _files(tenant, common.SCHEDULER, [_secret(tenant, names.SCHEDULER_KUBECONFIG, {"scheduler.conf": "scheduler.conf"})]),
        _files(tenant, common.CONTROLLER_MANAGER, _controller_manager(tenant)),
    ]
    if kine.is_used(inputs.datastore):
        result.append(_files(tenant, common.KINE, [_datastore(tenant, inputs.datastore, "pki/datastore")]))
        result.append({"name": KINE_SOCKET_VOLUME, "emptyDir": {"medium": "Memory"}})
    if tenant.addons.konnectivity:
        result.append(_files(tenant, common.KONNECTIVITY, _konnectivity(tenant)))
        result.append({"name": KONNECTIVITY_SOCKET_VOLUME, "emptyDir": {"medium": "Memory"}})
    return result + list(tenant.deployment.additional_volumes)


def _api_server(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    sources = [
        _secret(tenant, names.CA, {"ca.crt": "pki/ca.crt"}),
        _pki(tenant, names.API_SERVER, "apiserver.crt", "apiserver.key"),
        _pki(tenant, names.API_SERVER_KUBELET_CLIENT, "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"),
        _pki(tenant, names.FRONT_PROXY_CA, "front-proxy-ca.crt"),
        _pki(tenant, names.FRONT_PROXY_CLIENT, "front-proxy-client.crt", "front-proxy-client.key"),
        _pki(tenant, names.SERVICE_ACCOUNT, "sa.pub", "sa.key"),
    ]
    if not kine.is_used(inputs.datastore):
        sources.append(_datastore(tenant, inputs.datastore, "pki/etcd"))
    if tenant.addons.konnectivity:
        path = f"konnectivity/configurations/{EGRESS_SELECTOR_KEY}"
        items = [{"key": EGRESS_SELECTOR_KEY, "path": path}]
        sources.append({"configMap": {"name": tenant.name + names.EGRESS_SELECTOR, "items": items}})
    return sources + _configuration(tenant)


def _datastore(tenant: TenantControlPlane, datastore: DatastoreInputs, folder: str) -> Json:
    keys = ("ca.crt", "server.crt", "server.key") if datastore.client_certificate else ("ca.crt",)
    return _secret(tenant, names.DATASTORE_CERTIFICATE, {key: f"{folder}/{key}" for key in keys})


def _configuration(tenant: TenantControlPlane) -> list[Json]:
    """Configuration files of the API server, and the kubeconfigs of the webhooks they name."""
    sources: list[Json] = [
        {"secret": {"name": secret, "items": [{"key": key, "path": _below(f"{api_server_files.AUTHORIZATION_DIR}/{file}")}]}}
        for secret, key, file in api_server_files.webhook_secrets(tenant)
    ]
    items = [{"key": name, "path": _below(f"{api_server_files.CONFIGURATION_DIR}/{name}")} for name in api_server_files.files(tenant)]
    if items:
        sources.append({"configMap": {"name": tenant.name + names.API_SERVER_CONFIGURATION, "items": items}})
    return sources


def _encryption(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[Json]:
    path = {api_server_files.ENCRYPTION_FILE: _below(api_server_files.ENCRYPTION_PATH)}
    return [_secret(tenant, names.ENCRYPTION, path)] if inputs.encryption_checksum else []


def _below(path: str) -> str:
    """A path inside the volume, which is mounted at /etc/kubernetes."""
    return path.removeprefix("/etc/kubernetes/")


def _controller_manager(tenant: TenantControlPlane) -> list[Json]:
    kubeconfig = {"controller-manager.conf": "controller-manager.conf"}
    return [
        _secret(tenant, names.CONTROLLER_MANAGER_KUBECONFIG, kubeconfig),
        _pki(tenant, names.CA, "ca.crt", "ca.key"),
        _pki(tenant, names.FRONT_PROXY_CA, "front-proxy-ca.crt"),
        _pki(tenant, names.SERVICE_ACCOUNT, "sa.key"),
    ]


def _konnectivity(tenant: TenantControlPlane) -> list[Json]:
    kubeconfig = {"konnectivity-server.conf": "konnectivity-server.conf"}
    return [
        _secret(tenant, names.KONNECTIVITY_KUBECONFIG, kubeconfig),
        # Not the API server's: that one changes with the user's names, and this program reads its own only once.
        _secret(tenant, names.KONNECTIVITY_CERTIFICATE, {"tls.crt": "pki/konnectivity.crt", "tls.key": "pki/konnectivity.key"}),
    ]


def _files(tenant: TenantControlPlane, container: str, sources: list[Json]) -> Json:
    mode = _GROUP_READABLE if tenant.deployment.hardening == "restricted" else _READABLE
    return {"name": files_volume_name(container), "projected": {"defaultMode": mode, "sources": sources}}


def _pki(tenant: TenantControlPlane, suffix: str, *keys: str) -> Json:
    return _secret(tenant, suffix, {key: f"pki/{key}" for key in keys})


def _secret(tenant: TenantControlPlane, suffix: str, paths: dict[str, str]) -> Json:
    items = [{"key": key, "path": path} for key, path in paths.items()]
    return {"secret": {"name": tenant.secret_name(suffix), "items": items}}
