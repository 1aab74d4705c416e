# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMaps of a tenant in the management cluster: the kubeadm configuration and the egress selector."""

from __future__ import annotations

import json
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import api_server_files, common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import ManagementInputs

KONNECTIVITY_SOCKET: Final = "/run/konnectivity/konnectivity-server.socket"
EGRESS_SELECTOR_KEY: Final = "egress-selector-configuration.yaml"


def kubeadm_config(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return the ConfigMap with what kubeadm would have been given, as JSON (kubeadm.k8s.io/v1beta4)."""
    network = tenant.network
    routed = (tenant.route.hostname,) if tenant.route else ()
    sans = dict.fromkeys((*network.cert_sans, tenant.name, tenant.service_host, *inputs.addresses, inputs.advertise_address, *routed))
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "apiServer": {"certSANs": list(sans)},
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": tenant.name,
        "controlPlaneEndpoint": inputs.endpoint,
        "imageRepository": tenant.deployment.registry,
        "kubernetesVersion": tenant.version,
        "networking": {
            "dnsDomain": network.cluster_domain,
            "podSubnet": ",".join(network.pod_cidrs),
            "serviceSubnet": ",".join(network.service_cidrs),
        },
    }
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": inputs.advertise_address, "bindPort": network.port},
    }
    data = {"ClusterConfiguration": _json(cluster), "InitConfiguration": _json(init)}
    return _config_map(tenant, names.KUBEADM_CONFIG, inputs.uid, data)


def egress_selector(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json:
    """Return the ConfigMap that makes the API server reach nodes, pods and Services of the tenant through konnectivity."""
    connection = {"proxyProtocol": "GRPC", "transport": {"uds": {"udsName": KONNECTIVITY_SOCKET}}}
    configuration = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }
    return _config_map(tenant, names.EGRESS_SELECTOR, inputs.uid, {EGRESS_SELECTOR_KEY: _json(configuration)})


def api_server_configuration(tenant: TenantControlPlane, inputs: ManagementInputs) -> Json | None:
    """Return the ConfigMap with the API server's configuration files; None when the tenant has none."""
    contents = api_server_files.files(tenant)
    return _config_map(tenant, names.API_SERVER_CONFIGURATION, inputs.uid, contents) if contents else None


def _config_map(tenant: TenantControlPlane, suffix: str, uid: str, data: dict[str, str]) -> Json:
    metadata = common.metadata(tenant, tenant.name + suffix, suffix.removeprefix("-"), uid)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _json(value: Json) -> str:
    # As text: what is not ASCII, such as the UNKNOWN marker, stays readable in a diff.
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
