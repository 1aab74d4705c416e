# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Konnectivity inside a tenant cluster: the agents, and what server and agents may do.

The servers run beside the API servers. Each publishes a Lease (--enable-lease-controller) and the agents connect until
they hold as many servers as there are live Leases: scaling the control plane is no change of any flag, hence no roll-out.
Flags and times: sigs.k8s.io/apiserver-network-proxy v0.36.0, cmd/{server,agent}/app/options, pkg/server/leases.
"""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.konnectivity import counts_by_leases, default_version
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import (
    Konnectivity,
    KonnectivityAgent,
    TenantControlPlane,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    KUBE_SYSTEM,
    cluster_role_binding,
    metadata,
    role_with_binding,
    rule,
    service_account,
    service_account_subject,
    user,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.image_pull import pod_part
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs

# Common name of the server's client certificate, and the audience of the agents' tokens.
SERVER_USER: Final = "system:konnectivity-server"
AGENT: Final = "konnectivity-agent"
LEASE_NAMESPACE: Final = KUBE_SYSTEM
LEASE_LABEL: Final = "k8s-app=konnectivity-server"
_LEASE_COUNTING: Final = ("--count-server-leases=true", f"--lease-namespace={LEASE_NAMESPACE}", f"--lease-label={LEASE_LABEL}")
_ADMIN_PORT: Final = 8133
_HEALTH_PORT: Final = 8134
_TOKENS: Final = "/var/run/secrets/tokens"
_SELECTOR: Final = {"k8s-app": AGENT}
# The user of upstream's image (distroless "nonroot"), as a number, so that runAsNonRoot can be checked.
_NON_ROOT: Final = 65532
DEPLOYMENT_REPLICAS: Final = 2


def konnectivity(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """Rights and agents; nothing when the addon is off."""
    addon = tenant.addons.konnectivity
    if addon is None:
        return []
    return [*_rights(), service_account(AGENT), _workload(tenant, addon, inputs)]


def _versions(tenant: TenantControlPlane, addon: Konnectivity) -> tuple[str, str]:
    """Versions (image tags) of server and agent: they follow the tenant's minor unless the user names one."""
    default = default_version(tenant.version)
    return addon.server.version or default, addon.agent.version or default


def _rights() -> list[Json]:
    """The server checks agents' tokens (system:auth-delegator) and keeps its Lease; agents count Leases."""
    leases = ("coordination.k8s.io", ["leases"])
    server = rule(*leases, ["create", "delete", "get", "list", "update"])
    agent = rule(*leases, ["list", "watch"])
    return [
        cluster_role_binding(SERVER_USER, "system:auth-delegator", [user(SERVER_USER)]),
        *role_with_binding(SERVER_USER, LEASE_NAMESPACE, [server], [user(SERVER_USER)]),
        *role_with_binding(AGENT, LEASE_NAMESPACE, [agent], [service_account_subject(AGENT)]),
    ]


def _workload(tenant: TenantControlPlane, addon: Konnectivity, inputs: TenantInputs) -> Json:
    agent = addon.agent
    pod = {**_pod(agent, _container(tenant, addon, inputs)), **pod_part(tenant)}
    is_deployment = agent.mode == "Deployment"
    spec: Json = {
        "selector": {"matchLabels": dict(_SELECTOR)},
        "template": {"metadata": {"labels": dict(_SELECTOR)}, "spec": pod},
    }
    if is_deployment:
        spec["replicas"] = DEPLOYMENT_REPLICAS if agent.replicas is None else agent.replicas
        pod["affinity"] = _spread()
    elif not agent.host_network:
        # The new agent serves before the old one goes: with one node nothing else would carry logs and exec meanwhile.
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment" if is_deployment else "DaemonSet",
        "metadata": metadata(AGENT, KUBE_SYSTEM, labels=_SELECTOR),
        "spec": spec,
    }


def _pod(agent: KonnectivityAgent, container: Json) -> Json:
    token = {"path": f"{AGENT}-token", "audience": SERVER_USER, "expirationSeconds": 3600}
    return {
        "serviceAccountName": AGENT,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [dict(toleration) for toleration in agent.tolerations],
        **({"hostNetwork": True} if agent.host_network else {}),
        # The endpoint's name is resolved as the kubelet does it: an agent must not need CoreDNS to come up.
        "dnsPolicy": "Default",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NON_ROOT,
            "runAsGroup": _NON_ROOT,
            "fsGroup": _NON_ROOT,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        # At the first SIGTERM an agent only takes no new connections; it ends when the time is over.
        "terminationGracePeriodSeconds": 10,
        "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}],
    }


def _container(tenant: TenantControlPlane, addon: Konnectivity, inputs: TenantInputs) -> Json:
    versions = _versions(tenant, addon)
    return {
        "name": AGENT,
        "image": f"{addon.agent.image}:{versions[1]}",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/proxy-agent"],
        "args": _arguments(addon, inputs, by_leases=all(counts_by_leases(version) for version in versions)),
        # The agent lists Leases at the published endpoint itself: it must not need kube-proxy to come up.
        "env": [
            {"name": "KUBERNETES_SERVICE_HOST", "value": inputs.endpoint_host},
            {"name": "KUBERNETES_SERVICE_PORT", "value": str(inputs.endpoint_port)},
        ],
        "ports": [{"name": "health", "containerPort": _HEALTH_PORT, "protocol": "TCP"}],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "health"},
            "initialDelaySeconds": 15,
            "timeoutSeconds": 15,
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 2, "timeoutSeconds": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "token", "mountPath": _TOKENS, "readOnly": True}],
    }


def _arguments(addon: Konnectivity, inputs: TenantInputs, *, by_leases: bool) -> list[str]:
    """Our flags, then the user's; a flag the user gives takes the place of ours."""
    ours = [
        "--logtostderr=true",
        "--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        f"--proxy-server-host={inputs.tunnel_host or inputs.endpoint_host}",
        f"--proxy-server-port={addon.server.port}",
        f"--admin-server-port={_ADMIN_PORT}",
        f"--health-server-port={_HEALTH_PORT}",
        f"--service-account-token-path={_TOKENS}/{AGENT}-token",
        *(_LEASE_COUNTING if by_leases else ()),
        # A server that vanished with its node is noticed (default: an hour); the server accepts pings every 30 s.
        "--keepalive-time=1m",
    ]
    given = {argument.partition("=")[0] for argument in addon.agent.extra_args}
    return [argument for argument in ours if argument.partition("=")[0] not in given] + list(addon.agent.extra_args)


def _spread() -> Json:
    term = {"labelSelector": {"matchLabels": dict(_SELECTOR)}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}
