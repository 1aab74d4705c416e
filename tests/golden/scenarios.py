# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same tenants said twice: as a TenantControlPlane, and as the configuration one would give to kubeadm.

What kubeadm makes of the second is recorded in the golden files (make.py); what our builders make of the first must equal it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

# What stands in the golden files for the certificate of the authority, which is new in every run ("CA" in base64).
CA_PLACEHOLDER: Final = "Q0E="

KUBELET_SETTINGS: Final[Json] = {"cgroupDriver": "cgroupfs", "maxOpenFiles": 20000, "enforceNodeAllocatable": ["none"]}
PROXY_CONNTRACK: Final[Json] = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}


@dataclass(frozen=True)
class Scenario:
    """address: what the API server is reached at, within the private network namespace of make.py.

    spec: of the TenantControlPlane; the version is filled in. cluster: fields of kubeadm's ClusterConfiguration.
    components: further configuration documents for kubeadm.
    """

    name: str
    address: str
    port: int
    spec: Json
    cluster: Json
    components: tuple[Json, ...] = field(default=())

    @property
    def endpoint(self) -> str:
        """host:port, IPv6 addresses in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def service_cidrs(self) -> str:
        return str(self.cluster["networking"]["serviceSubnet"])

    @property
    def has_addons(self) -> bool:
        """Whether CoreDNS and kube-proxy are on: `kubeadm init` leaves out the phase of a disabled addon."""
        return "addons" in self.spec

    def definition(self, version: str) -> Json:
        """The TenantControlPlane, named acme in namespace tenants."""
        return {
            "apiVersion": "kamaji.clastix.io/v1alpha1",
            "kind": "TenantControlPlane",
            "metadata": {"name": "acme", "namespace": "tenants"},
            "spec": {**self.spec, "kubernetes": {**self.spec.get("kubernetes", {}), "version": version}},
        }

    def kubeadm_documents(self, version: str) -> list[Json]:
        """The documents of a kubeadm configuration file."""
        init = {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": self.address, "bindPort": self.port},
            "nodeRegistration": {"name": "golden", "criSocket": "unix:///run/containerd/containerd.sock"},
        }
        cluster = {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
            "clusterName": "acme",
            "controlPlaneEndpoint": self.endpoint,
            **self.cluster,
        }
        return [init, cluster, *self.components]


DEFAULT: Final = Scenario(
    name="default",
    address="198.51.100.10",
    port=6443,
    spec={"addons": {"coreDNS": {}, "kubeProxy": {}}},
    cluster={
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {"dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"},
    },
)

# IPv6 first: the user's order counts.
DUAL_STACK: Final = Scenario(
    name="dual-stack",
    address="fd00:5::10",
    port=6443,
    spec={
        "addons": {"coreDNS": {}, "kubeProxy": {}},
        "networkProfile": {
            "serviceCidrs": ["fd00:96::/112", "10.96.0.0/16"],
            "podCidrs": ["fd00:244::/56", "10.244.0.0/16"],
        },
    },
    cluster={
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {
            "dnsDomain": "cluster.local",
            "podSubnet": "fd00:244::/56,10.244.0.0/16",
            "serviceSubnet": "fd00:96::/112,10.96.0.0/16",
        },
    },
)

# Everything a user can set that reaches these objects.
CUSTOM: Final = Scenario(
    name="custom",
    address="198.51.100.10",
    port=7443,
    spec={
        "addons": {
            "coreDNS": {"imageRepository": "dns.example.com/mirror", "imageTag": "v1.2.3"},
            "kubeProxy": {
                "configurationJSONPatches": [
                    {"op": "replace", "path": "/mode", "value": "nftables"},
                    *({"op": "replace", "path": f"/conntrack/{name}", "value": value} for name, value in PROXY_CONNTRACK.items()),
                ]
            },
        },
        "certificates": {"keyAlgorithm": "RSA-2048"},
        "controlPlane": {"deployment": {"registrySettings": {"registry": "registry.example.com/k8s"}}},
        "kubernetes": {
            "kubelet": {
                "configurationJSONPatches": [
                    {"op": "replace", "path": "/cgroupDriver", "value": KUBELET_SETTINGS["cgroupDriver"]},
                    {"op": "add", "path": "/maxOpenFiles", "value": KUBELET_SETTINGS["maxOpenFiles"]},
                    {"op": "add", "path": "/enforceNodeAllocatable", "value": KUBELET_SETTINGS["enforceNodeAllocatable"]},
                ]
            }
        },
        "networkProfile": {
            "port": 7443,
            "clusterDomain": "acme.example",
            "certSANs": ["api.acme.example", "198.51.100.11"],
            "serviceCidrs": ["172.20.0.0/20"],
            "podCidrs": ["172.21.0.0/16"],
        },
    },
    cluster={
        "apiServer": {"certSANs": ["api.acme.example", "198.51.100.11"]},
        "dns": {"imageRepository": "dns.example.com/mirror", "imageTag": "v1.2.3"},
        "encryptionAlgorithm": "RSA-2048",
        "imageRepository": "registry.example.com/k8s",
        "networking": {"dnsDomain": "acme.example", "podSubnet": "172.21.0.0/16", "serviceSubnet": "172.20.0.0/20"},
    },
    components=(
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **KUBELET_SETTINGS},
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "conntrack": PROXY_CONNTRACK,
        },
    ),
)

WITHOUT_ADDONS: Final = Scenario(
    name="without-addons",
    address="198.51.100.10",
    port=6443,
    spec={},
    cluster={
        "dns": {"disabled": True},
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {"dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"},
        "proxy": {"disabled": True},
    },
)

SCENARIOS: Final = (DEFAULT, DUAL_STACK, CUSTOM, WITHOUT_ADDONS)
