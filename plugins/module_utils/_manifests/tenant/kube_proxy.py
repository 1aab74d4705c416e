# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy as `kubeadm init phase addon kube-proxy` installs it."""

from __future__ import annotations

import ipaddress
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import AddonImage, TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import image_tag, parse_version
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.go_yaml import to_yaml
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.json_patches import apply_json_patches
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import (
    BOOTSTRAPPERS,
    KUBE_SYSTEM,
    cluster_role_binding,
    config_map,
    group,
    metadata,
    read_config_map,
    role_with_binding,
    service_account,
    service_account_subject,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.image_pull import pod_part
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs

PATCHES_FIELD: Final = "spec.addons.kubeProxy.configurationJSONPatches"
_SELECTOR: Final = {"k8s-app": "kube-proxy"}
_KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: @SERVER@
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token"""


def kube_proxy(tenant: TenantControlPlane, inputs: TenantInputs) -> list[Json]:
    """kube-proxy with its configuration and rights; nothing when the addon is off. Raises InvalidError when a patch does not apply.

    Its pods end by themselves when their configuration file changes, and start anew with it (kube-proxy watches the file).
    """
    addon = tenant.addons.kube_proxy
    if addon is None:
        return []
    patches = addon.configuration_json_patches
    document = apply_json_patches(kube_proxy_configuration(tenant), patches, PATCHES_FIELD)
    data = {"config.conf": to_yaml(document).rstrip("\n"), "kubeconfig.conf": _KUBECONFIG.replace("@SERVER@", inputs.server)}
    return [
        config_map("kube-proxy", KUBE_SYSTEM, data, labels={"app": "kube-proxy"}, signed=not patches),
        service_account("kube-proxy"),
        cluster_role_binding("kubeadm:node-proxier", "system:node-proxier", [service_account_subject("kube-proxy")]),
        *role_with_binding("kube-proxy", KUBE_SYSTEM, [read_config_map("kube-proxy")], [group(BOOTSTRAPPERS)]),
        _daemon_set({**_pod(kube_proxy_image(tenant, addon)), **pod_part(tenant)}),
    ]


def kube_proxy_image(tenant: TenantControlPlane, addon: AddonImage) -> str:
    """The image, as kubeadm names it; repository and tag can be replaced, each alone too."""
    return f"{addon.image_repository or tenant.deployment.registry}/kube-proxy:{addon.image_tag or image_tag(tenant.version)}"


def kube_proxy_configuration(tenant: TenantControlPlane) -> Json:
    """kubeadm's KubeProxyConfiguration of a tenant, before the user's patches. Zero and null mean kube-proxy's own default."""
    # kubeadm looks at the advertised address, which is of the family of the first Service network.
    is_ipv6 = ipaddress.ip_network(tenant.network.service_cidrs[0], strict=False).version == 6
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "bindAddress": "::" if is_ipv6 else "0.0.0.0",
        "bindAddressHardFail": False,
        "clientConnection": {
            "acceptContentTypes": "",
            "burst": 0,
            "contentType": "",
            "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf",
            "qps": 0,
        },
        "clusterCIDR": ",".join(tenant.network.pod_cidrs),
        "configSyncPeriod": "0s",
        "conntrack": {
            "maxPerCore": None,
            "min": None,
            "tcpBeLiberal": False,
            "tcpCloseWaitTimeout": None,
            "tcpEstablishedTimeout": None,
            "udpStreamTimeout": "0s",
            "udpTimeout": "0s",
        },
        "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
        "detectLocalMode": "",
        "enableProfiling": False,
        "healthzBindAddress": "",
        "hostnameOverride": "",
        "kind": "KubeProxyConfiguration",
        "logging": {
            "flushFrequency": 0,
            "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
            "verbosity": 0,
        },
        "metricsBindAddress": "",
        # kubeadm names the mode since 1.37, which leaves it to the user to follow when the default becomes nftables.
        "mode": "iptables" if parse_version(tenant.version).minor >= 37 else "",
        "nodePortAddresses": None,
        "oomScoreAdj": None,
        "portRange": "",
        "showHiddenMetricsForVersion": "",
        **_backends(),
    }


def _backends() -> Json:
    periods = {"minSyncPeriod": "0s", "syncPeriod": "0s"}
    return {
        "iptables": {"localhostNodePorts": None, "masqueradeAll": False, "masqueradeBit": None, **periods},
        "ipvs": {
            "excludeCIDRs": None,
            "scheduler": "",
            "strictARP": False,
            "tcpFinTimeout": "0s",
            "tcpTimeout": "0s",
            "udpTimeout": "0s",
            **periods,
        },
        "nftables": {"masqueradeAll": False, "masqueradeBit": None, **periods},
        "winkernel": {
            "enableDSR": False,
            "forwardHealthCheckVip": False,
            "networkName": "",
            "rootHnsEndpointName": "",
            "sourceVip": "",
        },
    }


def _daemon_set(pod: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata("kube-proxy", KUBE_SYSTEM, labels=_SELECTOR),
        "spec": {
            "selector": {"matchLabels": dict(_SELECTOR)},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": dict(_SELECTOR)}, "spec": pod},
        },
    }


def _pod(image: str) -> Json:
    return {
        "priorityClassName": "system-node-critical",
        "containers": [_container(image)],
        "hostNetwork": True,
        "serviceAccountName": "kube-proxy",
        "volumes": [
            {"name": "kube-proxy", "configMap": {"name": "kube-proxy"}},
            {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
            {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
        ],
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
    }


def _container(image: str) -> Json:
    return {
        "name": "kube-proxy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/usr/local/bin/kube-proxy",
            "--config=/var/lib/kube-proxy/config.conf",
            "--hostname-override=$(NODE_NAME)",
        ],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
            {"name": "lib-modules", "mountPath": "/lib/modules", "readOnly": True},
        ],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    }
