# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Deployment by which the reference system runs a tenant on etcd: its flags, volumes, probes, labels and annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.tests.support.reference_pki import md5

Json = dict[str, Any]

PREFIX: Final = "kamaji.clastix.io"
PKI: Final = "/etc/kubernetes/pki"
ADMISSION: Final = (
    "CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "DefaultIngressClass", "DefaultStorageClass",
    "DefaultTolerationSeconds", "LimitRanger", "MutatingAdmissionWebhook", "NamespaceLifecycle", "PersistentVolumeClaimResize", "Priority",
    "ResourceQuota", "RuntimeClass", "ServiceAccount", "StorageObjectInUseProtection", "TaintNodesByCondition",
    "ValidatingAdmissionWebhook",
)  # fmt: skip
# Pod labels with the checksum of a Secret: component → suffix of its name.
_SUMS: Final = {
    "api-server-certificate": "api-server-certificate",
    "api-server-kubelet-client-certificate": "api-server-kubelet-client-certificate",
    "ca": "ca",
    "controller-manager-kubeconfig": "controller-manager-kubeconfig",
    "front-proxy-ca-certificate": "front-proxy-ca-certificate",
    "front-proxy-client-certificate": "front-proxy-client-certificate",
    "service-account": "sa-certificate",
    "scheduler-kubeconfig": "scheduler-kubeconfig",
}


@dataclass(frozen=True)
class Pods:
    """What the Deployment follows from. secrets: suffix → data."""

    name: str
    namespace: str
    version: str
    port: int
    address: str
    schema: str
    store: str
    endpoints: Sequence[str]
    secrets: Mapping[str, Mapping[str, bytes]]
    replicas: int
    pull_policy: str

    def deployment(self, owner: Json) -> Json:
        labels = {f"{PREFIX}/name": self.name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {f"{PREFIX}/project": "kamaji", **labels, f"{PREFIX}/component": "deployment"},
                "ownerReferences": [owner],
            },
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "template": {
                    "metadata": {
                        "labels": {
                            **labels,
                            f"{PREFIX}/component": "deployment",
                            **{f"component.{PREFIX}/{component}": md5(self.secrets[suffix]) for component, suffix in _SUMS.items()},
                            f"component.{PREFIX}/datastore": self.store,
                        },
                        "annotations": {
                            f"storage.{PREFIX}/config": md5(self.secrets["datastore-config"]),
                            f"storage.{PREFIX}/certificate": md5(self.secrets["datastore-certificate"]),
                        },
                    },
                    "spec": {
                        "serviceAccountName": "default",
                        "automountServiceAccountToken": False,
                        "containers": [self._api_server(), self._scheduler(), self._controller_manager(), self._konnectivity()],
                        "volumes": self._volumes(),
                    },
                },
            },
        }

    def _image(self, name: str) -> str:
        return f"registry.k8s.io/{name}:{self.version}"

    def _api_server(self) -> Json:
        flags = [
            f"--advertise-address={self.address}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={PKI}/ca.crt",
            "--egress-selector-config-file=/etc/kubernetes/konnectivity/configurations/egress-selector-configuration.yaml",
            f"--enable-admission-plugins={','.join(ADMISSION)}",
            "--enable-bootstrap-token-auth=true",
            f"--etcd-cafile={PKI}/etcd/ca.crt",
            f"--etcd-certfile={PKI}/etcd/server.crt",
            "--etcd-compaction-interval=0",
            f"--etcd-keyfile={PKI}/etcd/server.key",
            f"--etcd-prefix=/{self.schema}",
            f"--etcd-servers={','.join(f'https://{endpoint}' for endpoint in self.endpoints)}",
            f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
            f"--proxy-client-key-file={PKI}/front-proxy-client.key",
            "--requestheader-allowed-names=front-proxy-client",
            f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--secure-port={self.port}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={PKI}/sa.pub",
            f"--service-account-signing-key-file={PKI}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={PKI}/apiserver.crt",
            f"--tls-private-key-file={PKI}/apiserver.key",
        ]
        mounts = [
            *_keys_and_authorities(),
            {"name": "konnectivity-uds", "mountPath": "/run/konnectivity"},
            {"name": "egress-selector-configuration", "mountPath": "/etc/kubernetes/konnectivity/configurations"},
        ]
        probes = {
            "livenessProbe": _probe("/livez", self.port),
            "readinessProbe": _probe("/readyz", self.port),
            "startupProbe": _probe("/livez", self.port),
        }
        ports = [{"containerPort": self.port, "protocol": "TCP"}]
        pull = {"imagePullPolicy": self.pull_policy}
        return {
            **_container("kube-apiserver", self._image("kube-apiserver"), "kube-apiserver", flags, mounts),
            **probes,
            **pull,
            "ports": ports,
        }

    def _scheduler(self) -> Json:
        kubeconfig = "/etc/kubernetes/scheduler.conf"
        flags = [
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=0.0.0.0",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=true",
        ]
        mounts = [{"name": "scheduler-kubeconfig", "mountPath": "/etc/kubernetes"}]
        return {**_container("kube-scheduler", self._image("kube-scheduler"), "kube-scheduler", flags, mounts), **_probes(10259)}

    def _controller_manager(self) -> Json:
        kubeconfig = "/etc/kubernetes/controller-manager.conf"
        flags = [
            "--allocate-node-cidrs=true",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=0.0.0.0",
            f"--client-ca-file={PKI}/ca.crt",
            "--cluster-cidr=10.244.0.0/16",
            f"--cluster-name={self.name}",
            f"--cluster-signing-cert-file={PKI}/ca.crt",
            f"--cluster-signing-key-file={PKI}/ca.key",
            "--controllers=*,bootstrapsigner,tokencleaner",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=true",
            f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
            f"--root-ca-file={PKI}/ca.crt",
            f"--service-account-private-key-file={PKI}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--use-service-account-credentials=true",
        ]
        mounts = [{"name": "controller-manager-kubeconfig", "mountPath": "/etc/kubernetes"}, *_keys_and_authorities()]
        image = self._image("kube-controller-manager")
        return {**_container("kube-controller-manager", image, "kube-controller-manager", flags, mounts), **_probes(10257)}

    def _konnectivity(self) -> Json:
        flags = [
            "--admin-port=8133",
            "--agent-namespace=kube-system",
            "--agent-port=8132",
            "--agent-service-account=konnectivity-agent",
            "--authentication-audience=system:konnectivity-server",
            f"--cluster-cert={PKI}/apiserver.crt",
            f"--cluster-key={PKI}/apiserver.key",
            "--health-port=8134",
            "--kubeconfig=/etc/kubernetes/konnectivity-server.conf",
            "--mode=grpc",
            f"--server-count={self.replicas}",
            "--server-port=0",
            "--uds-name=/run/konnectivity/konnectivity-server.socket",
        ]
        mounts: list[Json] = [
            {"name": "etc-kubernetes-pki", "mountPath": PKI, "readOnly": True},
            {
                "name": "konnectivity-server-kubeconfig",
                "mountPath": "/etc/kubernetes/konnectivity-server.conf",
                "subPath": "konnectivity-server.conf",
            },
            {"name": "konnectivity-uds", "mountPath": "/run/konnectivity"},
        ]
        minor = self.version.split(".")[1]
        image = f"registry.k8s.io/kas-network-proxy/proxy-server:v0.{minor}.0"
        return {
            **_container("konnectivity-server", image, "/proxy-server", flags, mounts),
            "imagePullPolicy": self.pull_policy,
            "livenessProbe": {**_probe("/healthz", 8134, "HTTP"), "initialDelaySeconds": 30, "timeoutSeconds": 60},
            "ports": [
                {"name": name, "containerPort": port, "protocol": "TCP"}
                for name, port in (("agentport", 8132), ("adminport", 8133), ("healthport", 8134))
            ],
        }

    def _volumes(self) -> list[Json]:
        def pair(suffix: str, *keys: str, below: str = "") -> Json:
            items = [{"key": key, "path": below + key} for key in keys]
            return {"secret": {"name": f"{self.name}-{suffix}", "items": items}}

        keys = [
            pair("api-server-certificate", "apiserver.crt", "apiserver.key"),
            pair("ca", "ca.crt", "ca.key"),
            pair("api-server-kubelet-client-certificate", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"),
            pair("front-proxy-ca-certificate", "front-proxy-ca.crt", "front-proxy-ca.key"),
            pair("front-proxy-client-certificate", "front-proxy-client.crt", "front-proxy-client.key"),
            pair("sa-certificate", "sa.pub", "sa.key"),
            pair("datastore-certificate", "ca.crt", "server.crt", "server.key", below="etcd/"),
        ]
        authorities = [
            {"name": name, "secret": {"secretName": f"{self.name}-ca", "defaultMode": 420}}
            for name in ("etc-ca-certificates", "usr-share-ca-certificates", "usr-local-share-ca-certificates")
        ]
        kubeconfigs = {
            "scheduler-kubeconfig": "scheduler-kubeconfig",
            "controller-manager-kubeconfig": "controller-manager-kubeconfig",
            "konnectivity-server-kubeconfig": "konnectivity-kubeconfig",
        }
        egress = {"name": f"{self.name}-konnectivity-egress-selector-configuration", "defaultMode": 420}
        return [
            {"name": "etc-kubernetes-pki", "projected": {"sources": keys, "defaultMode": 420}},
            *authorities,
            *(
                {"name": name, "secret": {"secretName": f"{self.name}-{suffix}", "defaultMode": 420}}
                for name, suffix in kubeconfigs.items()
            ),
            {"name": "konnectivity-uds", "emptyDir": {"medium": "Memory"}},
            {"name": "egress-selector-configuration", "configMap": egress},
        ]


def _keys_and_authorities() -> list[Json]:
    mounts = {
        "etc-kubernetes-pki": PKI,
        "etc-ca-certificates": "/etc/ca-certificates",
        "usr-share-ca-certificates": "/usr/share/ca-certificates",
        "usr-local-share-ca-certificates": "/usr/local/share/ca-certificates",
    }
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path in mounts.items()]


def _container(name: str, image: str, command: str, flags: list[str], mounts: list[Json]) -> Json:
    return {"name": name, "image": image, "command": [command], "args": flags, "resources": {}, "volumeMounts": mounts}


def _probes(port: int) -> Json:
    return {kind: _probe("/healthz", port) for kind in ("livenessProbe", "readinessProbe", "startupProbe")}


def _probe(path: str, port: int, scheme: str = "HTTPS") -> Json:
    return {
        "httpGet": {"path": path, "port": port, "scheme": scheme},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
