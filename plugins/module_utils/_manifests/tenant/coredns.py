# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CoreDNS as `kubeadm init phase addon coredns` installs it."""

from __future__ import annotations

import ipaddress
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import (
    DEFAULT_REGISTRY,
    AddonImage,
    TenantControlPlane,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import companions
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    KUBE_SYSTEM,
    cluster_role,
    cluster_role_binding,
    config_map,
    metadata,
    rule,
    service_account,
    service_account_subject,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.image_pull import pod_part

REPLICAS: Final = 2
_SELECTOR: Final = {"k8s-app": "kube-dns"}
_COREFILE: Final = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes @DOMAIN@ in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success @DOMAIN@
       disable denial @DOMAIN@
    }
    loop
    reload
    loadbalance
}
"""


def coredns(tenant: TenantControlPlane) -> list[Json]:
    """CoreDNS with its rights and Service; nothing when the addon is off. Raises InvalidError for an unsupported version."""
    addon = tenant.addons.core_dns
    if addon is None:
        return []
    return [
        config_map("coredns", KUBE_SYSTEM, {"Corefile": _COREFILE.replace("@DOMAIN@", tenant.network.cluster_domain)}),
        cluster_role(
            "system:coredns",
            [
                rule("", ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
                rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
            ],
        ),
        cluster_role_binding("system:coredns", "system:coredns", [service_account_subject("coredns")]),
        service_account("coredns"),
        _deployment({**_pod(coredns_image(tenant, addon)), **pod_part(tenant)}),
        _service(tenant.network.dns_service_ips),
    ]


def coredns_image(tenant: TenantControlPlane, addon: AddonImage) -> str:
    """The image, as kubeadm names it (images.GetDNSImage): only the official registry has it in a folder of its own."""
    repository = addon.image_repository or tenant.deployment.registry
    if repository == DEFAULT_REGISTRY:
        repository = f"{repository}/coredns"
    return f"{repository}/coredns:{addon.image_tag or companions(tenant.version).coredns}"


def _deployment(pod: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("coredns", KUBE_SYSTEM, labels=_SELECTOR),
        "spec": {
            "replicas": REPLICAS,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": dict(_SELECTOR)},
            "template": {"metadata": {"labels": dict(_SELECTOR)}, "spec": pod},
        },
    }


def _pod(image: str) -> Json:
    other_pods = {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]}
    term = {"labelSelector": other_pods, "topologyKey": "kubernetes.io/hostname"}
    spread = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    corefile = {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}
    return {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "affinity": {"podAntiAffinity": spread},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [_container(image)],
        "dnsPolicy": "Default",
        "volumes": [{"name": "config-volume", "configMap": corefile}],
    }


def _container(image: str) -> Json:
    return {
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
            {"name": "liveness-probe", "containerPort": 8080, "protocol": "TCP"},
            {"name": "readiness-probe", "containerPort": 8181, "protocol": "TCP"},
        ],
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": "liveness-probe", "scheme": "HTTP"},
            "initialDelaySeconds": 60,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 5,
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "readiness-probe", "scheme": "HTTP"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _service(dns_service_ips: tuple[str, ...]) -> Json:
    ports = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP")]
    spec: Json = {
        "clusterIP": dns_service_ips[0],
        "ports": [{"name": name, "port": port, "protocol": protocol, "targetPort": port} for name, port, protocol in ports],
        "selector": dict(_SELECTOR),
    }
    addresses = _one_per_family(dns_service_ips)
    if len(addresses) > 1:
        spec.update(clusterIPs=addresses, ipFamilyPolicy="PreferDualStack")
    annotations = {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}
    labels = {**_SELECTOR, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata("kube-dns", KUBE_SYSTEM, labels=labels, annotations=annotations),
        "spec": spec,
    }


def _one_per_family(addresses: tuple[str, ...]) -> list[str]:
    """The first address of each IP family: a Service takes no more. Further ones are for the kubelets only."""
    first: dict[int, str] = {}
    for address in addresses:
        first.setdefault(ipaddress.ip_address(address).version, address)
    return list(first.values())
