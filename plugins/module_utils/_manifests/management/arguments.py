# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command-line flags of the control-plane containers.

Managed flags always win over the user's, default flags give way to them; what else the user gives follows verbatim,
repeated flags included. Paths are those of volumes.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import konnectivity
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import Konnectivity, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import api_server_files, kine
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.config_maps import (
    EGRESS_SELECTOR_KEY,
    KONNECTIVITY_SOCKET,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs

KUBERNETES_DIR: Final = "/etc/kubernetes"
PKI_DIR: Final = f"{KUBERNETES_DIR}/pki"
DATASTORE_DIR: Final = f"{PKI_DIR}/datastore"
EGRESS_DIR: Final = f"{KUBERNETES_DIR}/konnectivity/configurations"
CONTROLLER_MANAGER_PORT: Final = 10257
SCHEDULER_PORT: Final = 10259
KONNECTIVITY_ADMIN_PORT: Final = 8133
KONNECTIVITY_HEALTH_PORT: Final = 8134
# How long a stopping API server keeps serving, so that no load balancer, proxy or kept connection meets a closed port.
SHUTDOWN_DELAY_S: Final = 10
_SHUTDOWN_DELAY: Final = "--shutdown-delay-duration"
_FEATURE_GATES: Final = "--feature-gates"
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def api_server(tenant: TenantControlPlane, inputs: ManagementInputs) -> list[str]:
    """Return the flags of kube-apiserver."""
    network = tenant.network
    managed = {
        "--advertise-address": inputs.advertise_address,
        "--client-ca-file": f"{PKI_DIR}/ca.crt",
        "--enable-admission-plugins": ",".join(tenant.admission_plugins),
        # The engine owns default/kubernetes: all replicas advertise one address, and one that stops must not remove it.
        "--endpoint-reconciler-type": "none",
        "--kubelet-client-certificate": f"{PKI_DIR}/apiserver-kubelet-client.crt",
        "--kubelet-client-key": f"{PKI_DIR}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types": ",".join(tenant.kubelet.preferred_address_types),
        "--proxy-client-cert-file": f"{PKI_DIR}/front-proxy-client.crt",
        "--proxy-client-key-file": f"{PKI_DIR}/front-proxy-client.key",
        "--requestheader-allowed-names": "front-proxy-client",
        "--requestheader-client-ca-file": f"{PKI_DIR}/front-proxy-ca.crt",
        "--secure-port": str(network.port),
        "--service-account-key-file": f"{PKI_DIR}/sa.pub",
        "--service-account-signing-key-file": f"{PKI_DIR}/sa.key",
        "--service-cluster-ip-range": ",".join(network.service_cidrs),
        "--tls-cert-file": f"{PKI_DIR}/apiserver.crt",
        "--tls-private-key-file": f"{PKI_DIR}/apiserver.key",
        **_datastore(inputs.datastore),
        **api_server_files.flags(tenant),
    }
    if inputs.encryption_checksum:
        managed["--encryption-provider-config"] = api_server_files.ENCRYPTION_PATH
    if tenant.addons.konnectivity:
        managed["--egress-selector-config-file"] = f"{EGRESS_DIR}/{EGRESS_SELECTOR_KEY}"
    extra = tenant.deployment.extra_args.get("apiServer", ())
    defaults = {
        "--allow-privileged": "true",
        "--enable-bootstrap-token-auth": "true",
        "--requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "--requestheader-group-headers": "X-Remote-Group",
        "--requestheader-username-headers": "X-Remote-User",
        "--service-account-issuer": f"https://kubernetes.default.svc.{network.cluster_domain}",
        _SHUTDOWN_DELAY: f"{SHUTDOWN_DELAY_S}s",
        # Ends watches in time; without it a server with open watches lingers for a minute.
        "--shutdown-watch-termination-grace-period": "10s",
    }
    if "--authorization-config" not in {*managed, *map(flag_name, extra)}:
        defaults["--authorization-mode"] = "Node,RBAC"
    return merge(managed, {**defaults, **_feature_gates(tenant, "apiServer")}, extra)


def controller_manager(tenant: TenantControlPlane) -> list[str]:
    """Return the flags of kube-controller-manager; the user may replace each of them.

    With both CA files named it does not look them up in the API, so it waits for a starting API server instead of exiting.
    """
    kubeconfig = f"{KUBERNETES_DIR}/controller-manager.conf"
    defaults = {
        "--allocate-node-cidrs": "true",
        "--authentication-kubeconfig": kubeconfig,
        "--authorization-kubeconfig": kubeconfig,
        "--bind-address": "0.0.0.0",
        "--client-ca-file": f"{PKI_DIR}/ca.crt",
        "--cluster-cidr": ",".join(tenant.network.pod_cidrs),
        "--cluster-name": tenant.name,
        "--cluster-signing-cert-file": f"{PKI_DIR}/ca.crt",
        "--cluster-signing-key-file": f"{PKI_DIR}/ca.key",
        "--controllers": "*,bootstrapsigner,tokencleaner",
        "--kubeconfig": kubeconfig,
        "--leader-elect": "true",
        "--requestheader-client-ca-file": f"{PKI_DIR}/front-proxy-ca.crt",
        "--root-ca-file": f"{PKI_DIR}/ca.crt",
        "--service-account-private-key-file": f"{PKI_DIR}/sa.key",
        "--service-cluster-ip-range": ",".join(tenant.network.service_cidrs),
        "--use-service-account-credentials": "true",
    }
    return merge({}, {**defaults, **_feature_gates(tenant, "controllerManager")}, tenant.deployment.extra_args.get("controllerManager", ()))


def scheduler(tenant: TenantControlPlane) -> list[str]:
    """Return the flags of kube-scheduler."""
    kubeconfig = f"{KUBERNETES_DIR}/scheduler.conf"
    managed = {
        "--authentication-kubeconfig": kubeconfig,
        "--authorization-kubeconfig": kubeconfig,
        "--bind-address": "0.0.0.0",
        "--kubeconfig": kubeconfig,
        "--leader-elect": "true",
    }
    return merge(managed, _feature_gates(tenant, "scheduler"), tenant.deployment.extra_args.get("scheduler", ()))


def konnectivity_server(tenant: TenantControlPlane, addon: Konnectivity, version: str, replicas: int | None) -> list[str]:
    """Return the flags of konnectivity-server. replicas: used only by versions that cannot count by leases."""
    managed = {
        "--admin-port": str(KONNECTIVITY_ADMIN_PORT),
        "--agent-namespace": "kube-system",
        "--agent-port": str(addon.server.port),
        "--agent-service-account": "konnectivity-agent",
        "--authentication-audience": "system:konnectivity-server",
        "--cluster-cert": f"{PKI_DIR}/konnectivity.crt",
        "--cluster-key": f"{PKI_DIR}/konnectivity.key",
        "--health-port": str(KONNECTIVITY_HEALTH_PORT),
        "--kubeconfig": f"{KUBERNETES_DIR}/konnectivity-server.conf",
        "--mode": "grpc",
        "--server-port": "0",
        "--uds-name": KONNECTIVITY_SOCKET,
    }
    if konnectivity.counts_by_leases(version):
        managed["--enable-lease-controller"] = "true"
    else:
        managed["--server-count"] = str(tenant.deployment.replicas if replicas is None else max(replicas, 1))
    return merge(managed, {}, addon.server.extra_args)


def kine_server(tenant: TenantControlPlane, datastore: DatastoreInputs) -> list[str]:
    """Return the flags of kine. The database's address is not among them: it holds a password (see kine.py)."""
    managed = {
        "--ca-file": f"{DATASTORE_DIR}/ca.crt",
        "--listen-address": f"unix://{kine.SOCKET}",
        "--metrics-bind-address": f":{kine.METRICS_PORT}",
        "--skip-verify": "false",
    }
    client = {"--cert-file": f"{DATASTORE_DIR}/server.crt", "--key-file": f"{DATASTORE_DIR}/server.key"}
    # Its flags may be written with one dash too.
    extra = [f"--{arg.lstrip('-')}" for arg in tenant.deployment.extra_args.get("kine", ())]
    extra = [arg for arg in extra if flag_name(arg) != "--endpoint"]
    return merge(managed, client if datastore.client_certificate else {}, extra)


def shutdown_delay_s(tenant: TenantControlPlane) -> int:
    """Seconds for which a stopping API server of this tenant keeps serving: the user's flag, else ours; rounded up."""
    given = [arg.partition("=")[2] for arg in tenant.deployment.extra_args.get("apiServer", ()) if flag_name(arg) == _SHUTDOWN_DELAY]
    parts = _DURATION.findall(given[-1]) if given else []
    if not parts:
        return SHUTDOWN_DELAY_S
    return int(-(-sum(float(number) * _UNIT_S[unit] for number, unit in parts) // 1))


def merge(managed: Mapping[str, str], defaults: Mapping[str, str], extra: Sequence[str]) -> list[str]:
    """Return our flags, sorted, then the user's in their order, without those that are managed.

    Feature gates add up, whichever way they are given.
    """
    user = [arg for arg in extra if flag_name(arg) not in managed]
    named = {flag_name(arg) for arg in user} - {_FEATURE_GATES}
    own = {**{name: value for name, value in defaults.items() if name not in named}, **managed}
    return [f"{name}={own[name]}" for name in sorted(own)] + user


def flag_name(argument: str) -> str:
    """Return "--name" of "--name=value"; underscores count as dashes, as for the components themselves."""
    return argument.partition("=")[0].replace("_", "-")


def _feature_gates(tenant: TenantControlPlane, component: str) -> dict[str, str]:
    gates = tenant.api_server.feature_gates.get(component) or {}
    text = ",".join(f"{name}={str(on).lower()}" for name, on in sorted(gates.items()))
    return {_FEATURE_GATES: text} if text else {}


def _datastore(datastore: DatastoreInputs) -> dict[str, str]:
    if kine.is_used(datastore):
        return {"--etcd-servers": f"unix://{kine.SOCKET}"}
    flags = {
        # The store is shared and compacted by its owner.
        "--etcd-compaction-interval": "0",
        "--etcd-prefix": f"/{datastore.schema}",
        "--etcd-servers": _urls(datastore.endpoints, ","),
        "--etcd-cafile": f"{PKI_DIR}/etcd/ca.crt",
        "--etcd-certfile": f"{PKI_DIR}/etcd/server.crt",
        "--etcd-keyfile": f"{PKI_DIR}/etcd/server.key",
    }
    if datastore.overrides:
        overrides = (f"{resource}#{_urls(endpoints, ';')}" for resource, endpoints in datastore.overrides.items())
        flags["--etcd-servers-overrides"] = ",".join(overrides)
    return flags


def _urls(endpoints: Sequence[str], separator: str) -> str:
    return separator.join(f"https://{endpoint}" for endpoint in endpoints)
