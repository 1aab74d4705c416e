# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a managed etcd in the management cluster, except its Secrets.

The image holds static programs and no shell, so every argument is built here. Tenants' client certificates are signed by
the CA of the client port; peers have a CA of their own, so that no tenant can speak to the members' raft port.
etcd reads certificate files on each handshake: new ones need no restart.
"""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import (
    CLIENT_PORT,
    LOCAL_STORAGE_CLASS,
    METRICS_PORT,
    PEER_PORT,
    ManagedEtcd,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

# "nonroot" of the distroless images.
USER_ID: Final = 65532
# What a local volume names its node by.
NODE_LABEL: Final = "kubernetes.io/hostname"
_DATA: Final = "/var/lib/etcd"
_PKI: Final = "/etc/etcd/pki"
_ROOT_CLIENT: Final = "/etc/etcd/root"
_DEFAULT_RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "256Mi"}}


def namespace(etcd: ManagedEtcd) -> Json:
    """The namespace; nothing but its existence is ours."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": etcd.namespace}}


def objects(etcd: ManagedEtcd) -> list[Json]:
    """Return the wanted objects in order of application; one that is missing here is not wanted."""
    result = [*_storage(etcd), _client_service(etcd), _peers_service(etcd), _disruption_budget(etcd), stateful_set(etcd)]
    if etcd.defragmentation_schedule:
        result.append(_defragmentation(etcd))
    return result


def stateful_set(etcd: ManagedEtcd) -> Json:
    """The members. They start together (a majority must be there before one is ready) and are updated one at a time."""
    template: Json = {
        "metadata": {"labels": etcd.labels},
        "spec": {
            **_pod(etcd),
            "containers": [_container(etcd)],
            "volumes": [_pki_volume(etcd)],
            "terminationGracePeriodSeconds": 30,
            "topologySpreadConstraints": [_spread(etcd)],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(etcd, etcd.name),
        "spec": {
            "serviceName": etcd.peers_service,
            "replicas": etcd.members,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": etcd.pod_labels},
            "template": template,
            "volumeClaimTemplates": [_claim_template(etcd)],
        },
    }


def _metadata(etcd: ManagedEtcd, name: str) -> Json:
    return {"name": name, "namespace": etcd.namespace, "labels": etcd.labels}


def _pod(etcd: ManagedEtcd) -> Json:
    """What the members and the defragmentation have in common: restricted, no token, as one user."""
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if etcd.node_selector:
        spec["nodeSelector"] = dict(etcd.node_selector)
    if etcd.tolerations:
        spec["tolerations"] = list(etcd.tolerations)
    if etcd.priority_class:
        spec["priorityClassName"] = etcd.priority_class
    return spec


def _security_context() -> Json:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _container(etcd: ManagedEtcd) -> Json:
    return {
        "name": "etcd",
        "image": etcd.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["etcd"],
        "args": _arguments(etcd),
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": "client", "containerPort": CLIENT_PORT, "protocol": "TCP"},
            {"name": "peer", "containerPort": PEER_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # Restoring a large store takes minutes; a leader election makes one of these fail for a moment.
        "startupProbe": _probe("/readyz", period_s=1, failures=600),
        "readinessProbe": _probe("/readyz", period_s=5, failures=3),
        "livenessProbe": _probe("/livez", period_s=10, failures=8),
        "resources": etcd.resources or _DEFAULT_RESOURCES,
        "securityContext": _security_context(),
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "pki", "mountPath": _PKI, "readOnly": True},
        ],
    }


def _arguments(etcd: ManagedEtcd) -> list[str]:
    own = f"$(POD_NAME).{etcd.peers_service}.{etcd.namespace}.svc"
    members = [f"{etcd.member(index)}=https://{etcd.member_host(index)}:{PEER_PORT}" for index in range(etcd.members)]
    return [
        "--name=$(POD_NAME)",
        # Below the mount, because a volume may bring a lost+found.
        f"--data-dir={_DATA}/data",
        f"--listen-client-urls=https://0.0.0.0:{CLIENT_PORT}",
        f"--advertise-client-urls=https://{own}:{CLIENT_PORT}",
        f"--listen-peer-urls=https://0.0.0.0:{PEER_PORT}",
        f"--initial-advertise-peer-urls=https://{own}:{PEER_PORT}",
        f"--initial-cluster={','.join(members)}",
        f"--initial-cluster-token={etcd.namespace}-{etcd.name}",
        "--initial-cluster-state=new",
        "--client-cert-auth=true",
        f"--trusted-ca-file={_PKI}/ca.crt",
        f"--cert-file={_PKI}/server.crt",
        f"--key-file={_PKI}/server.key",
        "--peer-client-cert-auth=true",
        f"--peer-trusted-ca-file={_PKI}/peer-ca.crt",
        f"--peer-cert-file={_PKI}/peer.crt",
        f"--peer-key-file={_PKI}/peer.key",
        f"--listen-metrics-urls=http://0.0.0.0:{METRICS_PORT}",
        # The JSON gateway would call with the server's own certificate; nothing here needs it.
        "--enable-grpc-gateway=false",
        f"--quota-backend-bytes={etcd.quota_bytes}",
        # Tenants may not compact a store they share.
        "--auto-compaction-mode=periodic",
        f"--auto-compaction-retention={etcd.compaction_retention}",
        # As kubeadm sets them: consistent reads from the API servers' caches, and no start with a damaged store.
        "--watch-progress-notify-interval=5s",
        "--feature-gates=InitialCorruptCheck=true",
        *etcd.extra_args,
    ]


def _probe(path: str, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _pki_volume(etcd: ManagedEtcd) -> Json:
    """No key of an authority is mounted anywhere."""
    files = {
        "ca": {"ca.crt": "ca.crt"},
        "server": {"tls.crt": "server.crt", "tls.key": "server.key"},
        "peer-ca": {"ca.crt": "peer-ca.crt"},
        "peer": {"tls.crt": "peer.crt", "tls.key": "peer.key"},
    }
    return {"name": "pki", "projected": {"defaultMode": 0o440, "sources": [_source(etcd, *item) for item in files.items()]}}


def _source(etcd: ManagedEtcd, part: str, files: dict[str, str]) -> Json:
    return {"secret": {"name": etcd.secret(part), "items": [{"key": key, "path": path} for key, path in files.items()]}}


def _spread(etcd: ManagedEtcd) -> Json:
    return {
        "maxSkew": 1,
        "topologyKey": NODE_LABEL,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": etcd.pod_labels},
    }


def _claim_template(etcd: ManagedEtcd) -> Json:
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": etcd.storage_size}}}
    storage_class = LOCAL_STORAGE_CLASS if etcd.local_volumes else etcd.storage_class
    if storage_class:
        spec["storageClassName"] = storage_class
    return {"metadata": {"name": "data", "labels": etcd.labels}, "spec": spec}


def _storage(etcd: ManagedEtcd) -> list[Json]:
    if not etcd.local_volumes:
        return []
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": LOCAL_STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }
    return [storage_class, *(_volume(etcd, index) for index in range(etcd.members))]


def _volume(etcd: ManagedEtcd, index: int) -> Json:
    """A member's directory, reserved for its claim: no other member or store can get it."""
    local = etcd.local_volumes[index]
    on_node = {"key": NODE_LABEL, "operator": "In", "values": [local.node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": etcd.volume(index), "labels": etcd.labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": etcd.storage_size},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": etcd.namespace, "name": etcd.claim(index)},
            "local": {"path": local.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": LOCAL_STORAGE_CLASS,
        },
    }


def _client_service(etcd: ManagedEtcd) -> Json:
    """Where tenants connect: ready members only, one stable address."""
    port = {"name": "client", "port": CLIENT_PORT, "protocol": "TCP", "targetPort": CLIENT_PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(etcd, etcd.name),
        "spec": {"type": "ClusterIP", "selector": etcd.pod_labels, "ports": [port]},
    }


def _peers_service(etcd: ManagedEtcd) -> Json:
    """Names of the single members, also while they are not ready: they need each other to become ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(etcd, etcd.peers_service),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": etcd.pod_labels,
            "ports": [
                {"name": "client", "port": CLIENT_PORT, "protocol": "TCP", "targetPort": CLIENT_PORT},
                {"name": "peer", "port": PEER_PORT, "protocol": "TCP", "targetPort": PEER_PORT},
                {"name": "metrics", "port": METRICS_PORT, "protocol": "TCP", "targetPort": METRICS_PORT},
            ],
        },
    }


def _disruption_budget(etcd: ManagedEtcd) -> Json:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(etcd, etcd.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": etcd.pod_labels},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _defragmentation(etcd: ManagedEtcd) -> Json:
    """etcdctl goes through the endpoints one after the other; a member is blocked while its turn lasts."""
    endpoints = ",".join(f"https://{etcd.member_host(index)}:{CLIENT_PORT}" for index in range(etcd.members))
    container = {
        "name": "etcdctl",
        "image": etcd.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["etcdctl"],
        "args": [
            f"--endpoints={endpoints}",
            f"--cacert={_ROOT_CLIENT}/ca.crt",
            f"--cert={_ROOT_CLIENT}/tls.crt",
            f"--key={_ROOT_CLIENT}/tls.key",
            "--command-timeout=5m",
            "defrag",
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": _security_context(),
        "volumeMounts": [{"name": "root", "mountPath": _ROOT_CLIENT, "readOnly": True}],
    }
    sources = [_source(etcd, "ca", {"ca.crt": "ca.crt"}), _source(etcd, "root", {"tls.crt": "tls.crt", "tls.key": "tls.key"})]
    labels = {**etcd.labels, "app.kubernetes.io/component": "defragmentation"}
    pod = {
        **_pod(etcd),
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "root", "projected": {"defaultMode": 0o440, "sources": sources}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(etcd, f"{etcd.name}-defragmentation"),
        "spec": {
            "schedule": etcd.defragmentation_schedule,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 1,
                    "activeDeadlineSeconds": 3600,
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
        },
    }
