# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A management cluster as the reference system leaves it: its operator with webhooks and resource definitions, datastores, and tenants with all
their objects, status and share of an etcd. Everything is written under its field manager; its programs themselves do not run here.
"""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import crd_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import READWRITE, message
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.tests.support import reference_pki as pki
from ansible_collections.hosted.kubernetes.tests.support.reference_pods import ADMISSION, PREFIX, Pods

Json = dict[str, Any]

MANAGER: Final = "kamaji"
NAMESPACE: Final = "kamaji-system"
FINALIZERS: Final = ("finalizer.kamaji.clastix.io", "finalizer.kamaji.clastix.io/soot")
_TIME: Final = "2026-01-01T00:00:00Z"
_STATUS: Final = ("storage", "certificates", "kubeconfig", "kubernetesResources", "kubeadmconfig", "kubeadmPhase", "addons")
_LABELS: Final = {"app.kubernetes.io/name": "kamaji", "app.kubernetes.io/instance": "kamaji"}


@dataclass(frozen=True)
class Store:
    """An etcd with its DataStore, as far as tenants are concerned. driver: as its root; signer: its authority."""

    name: str
    driver: EtcdDriver
    signer: pki.Signer
    endpoints: Sequence[str]


def install_operator(client: Client) -> None:
    """The operator's Deployment, one replica that leads; its webhooks come last, see install_webhooks()."""
    _create(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager="helm")
    arguments = ["manager", "--health-probe-bind-address=:8081", "--leader-elect", "--metrics-bind-address=:8080", "--datastore=default"]
    container = {
        "name": "manager",
        "image": "docker.io/clastix/kamaji:v0.0.0",
        "command": ["/kamaji"],
        "args": arguments,
        "ports": [{"containerPort": 9443, "name": "webhook-server", "protocol": "TCP"}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 10}}
    spec = {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}
    metadata: Json = {"name": "kamaji", "namespace": NAMESPACE, "labels": _LABELS}
    _create(client, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, manager="helm")


def install_webhooks(client: Client) -> None:
    """Both configurations, which ask the operator about each write of its resources."""
    for kind, verb, stem in (("ValidatingWebhookConfiguration", "validate", "v"), ("MutatingWebhookConfiguration", "mutate", "m")):
        webhooks = [_webhook(verb, stem, resource) for resource in ("datastore", "tenantcontrolplane")]
        name = f"kamaji-{'validating' if stem == 'v' else 'mutating'}-webhook-configuration"
        metadata = {
            "name": name,
            "labels": _LABELS,
            "annotations": {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/kamaji-certificate"},
        }
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "webhooks": webhooks}
        _create(client, body, manager="helm")


def _webhook(verb: str, stem: str, resource: str) -> Json:
    path = f"/{verb}-kamaji-clastix-io-v1alpha1-{resource}"
    rule = {
        "apiGroups": ["kamaji.clastix.io"],
        "apiVersions": ["v1alpha1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [f"{resource}s"],
    }
    return {
        "name": f"{stem}{resource}.kb.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": "kamaji-webhook-service", "namespace": NAMESPACE, "path": path}},
        "failurePolicy": "Fail",
        "rules": [rule],
        "sideEffects": "None",
    }


def install_definitions(client: Client) -> None:
    """Its resource definitions, as far as a server tells the difference: same names, a schema of their own."""
    for kind, plural, short, scope in (
        ("TenantControlPlane", "tenantcontrolplanes", "tcp", "Namespaced"),
        ("DataStore", "datastores", "ds", "Cluster"),
        ("KubeconfigGenerator", "kubeconfiggenerators", "kc", "Cluster"),
    ):
        anything: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        # As any structural schema, it drops what it does not know: what only another collection writes into a status.
        status: Json = {"type": "object", "properties": dict.fromkeys(_STATUS, anything) | {"observedGeneration": {"type": "integer"}}}
        status["properties"] |= {"controlPlaneEndpoint": {"type": "string"}, "ready": {"type": "boolean"}}
        status["properties"]["usedBy"] = {"type": "array", "items": {"type": "string"}}
        version = {
            "name": "v1alpha1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": status}}},
            "subresources": {"status": {}},
        }
        spec = {
            "group": "kamaji.clastix.io",
            "scope": scope,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower(), "shortNames": [short]},
            "versions": [version],
        }
        annotations = {"controller-gen.kubebuilder.io/version": "v0.20.0"}
        metadata: Json = {"name": f"{plural}.kamaji.clastix.io", "annotations": annotations}
        body: Json = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}
        _create(client, body, manager="helm")
        wait_for(
            client,
            resource_of("CustomResourceDefinition"),
            body["metadata"]["name"],
            predicate=lambda live: live is not None and crd_problem(live) is None,
            deadline=time.monotonic() + 60,
        )


def install_datastore(client: Client, definition: Json) -> None:
    """A DataStore in use: it may not be deleted, and nobody has ever asked the store itself."""
    definition["metadata"] = {**definition["metadata"], "finalizers": ["kamaji.clastix.io/TenantControlPlane"]}
    live = _create(client, definition, manager="helm")
    client.merge_patch(ObjectRef.of(live), {"status": {"ready": True, "usedBy": []}}, subresource="status", field_manager=MANAGER)


@dataclass(frozen=True)
class Tenant:
    """A tenant as the reference makes it.

    replicas: 0 sleeps. service: its type. spec: what its user wrote beside the rest. leaf_validity: of kubeadm's leaves.
    """

    client: Client
    store: Store
    namespace: str
    name: str = "acme"
    replicas: int = 0
    version: str = "v1.36.3"
    service: str = "ClusterIP"
    pull_policy: str = "Always"
    leaf_validity: timedelta = pki.YEAR
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(KAMAJI_API_VERSION, "TenantControlPlane", self.namespace, self.name)

    def made(self) -> Made:
        """Make it, with its namespace."""
        if self.client.get(resource_of("Namespace"), self.namespace) is None:
            _create(self.client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}, manager="kubectl-create")
        resource = _create(self.client, self._definition(), manager="kubectl-create")
        made = Made(self, resource["metadata"]["uid"])
        made.grant()
        made = replace(made, address=made.expose())
        made = replace(made, secrets=made.keys())
        made.write_secrets()
        made.write_config_maps()
        _create(self.client, made.pods.deployment(made.owner))
        made.write_status("Ready" if self.replicas else "Sleeping")
        return made

    def _definition(self) -> Json:
        """With the defaults that its webhook and its schema have filled in."""
        registry = {"registry": "registry.k8s.io", "apiServerImage": "kube-apiserver"}
        images = {"controllerManagerImage": "kube-controller-manager", "schedulerImage": "kube-scheduler"}
        proxy = "registry.k8s.io/kas-network-proxy"
        agent = {"image": f"{proxy}/proxy-agent", "mode": "DaemonSet", "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]}
        spec = {
            "dataStore": self.store.name,
            "kubernetes": {
                "version": self.version,
                "kubelet": {"cgroupfs": "systemd", "preferredAddressTypes": ["InternalIP", "ExternalIP", "Hostname"]},
                "admissionControllers": list(ADMISSION),
            },
            "networkProfile": {
                "port": 6443,
                "clusterDomain": "cluster.local",
                "serviceCidr": "10.96.0.0/16",
                "podCidr": "10.244.0.0/16",
                "serviceCidrs": ["10.96.0.0/16"],
                "podCidrs": ["10.244.0.0/16"],
                "dnsServiceIPs": ["10.96.0.10"],
            },
            "controlPlane": {
                "deployment": {
                    "replicas": self.replicas,
                    "registrySettings": {**registry, **images},
                    "serviceAccountName": "default",
                    "strategy": {"type": "RollingUpdate"},
                },
                "service": {"serviceType": self.service},
            },
            "addons": {
                "coreDNS": {},
                "kubeProxy": {},
                "konnectivity": {"server": {"port": 8132, "image": f"{proxy}/proxy-server"}, "agent": agent},
            },
            **self.spec,
        }
        metadata = {"name": self.name, "namespace": self.namespace, "finalizers": list(FINALIZERS)}
        return {"apiVersion": KAMAJI_API_VERSION, "kind": "TenantControlPlane", "metadata": metadata, "spec": spec}


@dataclass(frozen=True)
class Made:
    """A tenant on its way, and when it is there. schema and user are its uid. secrets: suffix → data."""

    tenant: Tenant
    uid: str
    address: str = ""
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)

    @property
    def owner(self) -> Json:
        names = {"apiVersion": KAMAJI_API_VERSION, "kind": "TenantControlPlane", "name": self.tenant.name, "uid": self.uid}
        return {**names, "controller": True, "blockOwnerDeletion": True}

    @property
    def pods(self) -> Pods:
        tenant = self.tenant
        return Pods(
            name=tenant.name,
            namespace=tenant.namespace,
            version=tenant.version,
            port=6443,
            address=self.address,
            schema=self.uid,
            store=tenant.store.name,
            endpoints=tenant.store.endpoints,
            secrets=self.secrets,
            replicas=tenant.replicas,
            pull_policy=tenant.pull_policy,
        )

    def grant(self) -> None:
        """User, role and prefix in the etcd, all named by the uid."""
        driver, key = self.tenant.store.driver, self.uid
        driver._call("UserAdd", name=key, options=message("UserAddOptions")(no_password=True))
        driver._call("RoleAdd", name=key)
        permission = message("Permission")(permType=READWRITE, key=f"/{key}/".encode(), range_end=f"/{key}0".encode())
        driver._call("RoleGrantPermission", name=key, perm=permission)
        driver._call("UserGrantRole", user=key, role=key)

    def expose(self) -> str:
        """Make the Service and return the address it gets."""
        tenant = self.tenant
        ports = [
            {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
            for name, port in (("kube-apiserver", 6443), ("konnectivity-server", 8132))
        ]
        spec = {"type": tenant.service, "selector": {f"{PREFIX}/name": tenant.name}, "ports": ports}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": self._metadata("", "service"), "spec": spec}
        live = _create(tenant.client, body)
        if tenant.service == "ClusterIP":
            address: str = live["spec"]["clusterIP"]
            return address
        found = wait_for(
            tenant.client,
            resource_of("Service"),
            tenant.name,
            tenant.namespace,
            predicate=lambda live: bool(live and live["status"].get("loadBalancer", {}).get("ingress")),
            deadline=time.monotonic() + 30,
        )
        assert found
        given: str = found["status"]["loadBalancer"]["ingress"][0]["ip"]
        return given

    def keys(self) -> dict[str, dict[str, bytes]]:
        """All of its Secrets' data by suffix."""
        tenant, year = self.tenant, self.tenant.leaf_validity
        ca, front = pki.authority("kubernetes"), pki.authority("front-proxy-ca")
        public, private = pki.service_account_pair()
        service = f"{tenant.name}.{tenant.namespace}.svc"
        own = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
        hosts = (*own, tenant.name, service, f"{service}.cluster.local", "10.96.0.1", "127.0.0.1", self.address)
        server = pki.leaf(ca, "kube-apiserver", hosts=hosts, validity=year)
        kubelet = pki.leaf(ca, "kube-apiserver-kubelet-client", groups=("kubeadm:cluster-admins",), validity=year)
        proxy = pki.leaf(front, "front-proxy-client", validity=year)
        store = pki.all_purpose_leaf(tenant.store.signer, self.uid)
        tunnel = pki.all_purpose_leaf(ca, "system:konnectivity-server")
        return {
            "ca": {"ca.crt": ca.certificate, "ca.key": ca.key, "tls.crt": ca.certificate, "tls.key": ca.key},
            "front-proxy-ca-certificate": {"front-proxy-ca.crt": front.certificate, "front-proxy-ca.key": front.key},
            "sa-certificate": {"sa.pub": public, "sa.key": private},
            "api-server-certificate": {"apiserver.crt": server.certificate, "apiserver.key": server.key},
            "api-server-kubelet-client-certificate": {
                "apiserver-kubelet-client.crt": kubelet.certificate,
                "apiserver-kubelet-client.key": kubelet.key,
            },
            "front-proxy-client-certificate": {"front-proxy-client.crt": proxy.certificate, "front-proxy-client.key": proxy.key},
            **self._kubeconfigs(ca, service),
            "datastore-config": {
                "DB_CONNECTION_STRING": b"",
                "DB_SCHEMA": self.uid.encode(),
                "DB_USER": self.uid.encode(),
                "DB_PASSWORD": str(uuid.uuid4()).encode(),
            },
            "datastore-certificate": {
                "ca.crt": tenant.store.signer.certificate,
                "server.crt": store.certificate,
                "server.key": store.key,
            },
            "konnectivity-certificate": {"tls.crt": tunnel.certificate, "tls.key": tunnel.key},
            "konnectivity-kubeconfig": {
                "konnectivity-server.conf": pki.kubeconfig(
                    "https://127.0.0.1:6443", ca.certificate, tunnel, "system:konnectivity-server", "kubernetes"
                )
            },
        }

    def _kubeconfigs(self, ca: pki.Signer, service: str) -> dict[str, dict[str, bytes]]:
        year = self.tenant.leaf_validity
        users = {
            "admin": pki.leaf(ca, "kubernetes-admin", groups=("kubeadm:cluster-admins",), validity=year),
            "super-admin": pki.leaf(ca, "kubernetes-super-admin", groups=("system:masters",), validity=year),
            "controller-manager": pki.leaf(ca, "system:kube-controller-manager", validity=year),
            "scheduler": pki.leaf(ca, "system:kube-scheduler", validity=year),
        }

        def config(user: str, server: str) -> bytes:
            return pki.kubeconfig(server, ca.certificate, users[user], user, self.tenant.name)

        servers = {"conf": f"https://{self.address}:6443", "svc": f"https://{service}:6443"}
        local = "https://127.0.0.1:6443"
        return {
            "admin-kubeconfig": {f"{user}.{kind}": config(user, url) for user in ("admin", "super-admin") for kind, url in servers.items()},
            "controller-manager-kubeconfig": {"controller-manager.conf": config("controller-manager", local)},
            "scheduler-kubeconfig": {"scheduler.conf": config("scheduler", local)},
        }

    def write_secrets(self) -> None:
        for suffix, data in self.secrets.items():
            component = {"sa-certificate": "service-account"}.get(suffix, suffix)
            metadata = self._metadata(f"-{suffix}", component, pki.md5(data))
            if suffix.endswith(("certificate", "kubeconfig")) and suffix not in ("sa-certificate", "front-proxy-ca-certificate"):
                lifecycle = "kubeconfig" if suffix.endswith("kubeconfig") else "x509"
                metadata["labels"][f"{PREFIX}/certificate_lifecycle_controller"] = lifecycle
            if suffix == "datastore-config":
                metadata["finalizers"] = ["finalizer.kamaji.clastix.io/datastore-secret"]
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls" if suffix == "konnectivity-certificate" else "Opaque",
                "metadata": metadata,
                "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
            }
            _create(self.tenant.client, body)

    def write_config_maps(self) -> None:
        egress = "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- name: cluster\n"
        egress += "  connection:\n    proxyProtocol: GRPC\n    transport:\n      uds:\n"
        egress += "        udsName: /run/konnectivity/konnectivity-server.socket\n"
        texts = {
            "kubeadmconfig": {
                "ClusterConfiguration": '{"kind":"ClusterConfiguration"}',
                "InitConfiguration": '{"kind":"InitConfiguration"}',
            },
            "konnectivity-egress-selector-configuration": {"egress-selector-configuration.yaml": egress},
        }
        for suffix, data in texts.items():
            metadata = self._metadata(f"-{suffix}", suffix, pki.md5({key: value.encode() for key, value in data.items()}))
            _create(self.tenant.client, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def write_status(self, state: str, **version: str) -> None:
        """What the operator has found last."""
        tenant = self.tenant

        def secret(suffix: str) -> Json:
            return {"secretName": f"{tenant.name}-{suffix}", "checksum": pki.md5(self.secrets[suffix]), "lastUpdate": _TIME}

        def stamped(**values: Any) -> Json:
            return {**values, "lastUpdate": _TIME}

        inside = {"name": "konnectivity-agent", "namespace": "kube-system"}
        status = {
            "observedGeneration": 1,
            "controlPlaneEndpoint": f"{self.address}:6443",
            "storage": {
                "driver": "etcd",
                "dataStoreName": tenant.store.name,
                "config": {key: value for key, value in secret("datastore-config").items() if key != "lastUpdate"},
                "setup": stamped(schema=self.uid, user=self.uid, checksum="0"),
                "certificate": secret("datastore-certificate"),
            },
            "certificates": {
                "ca": secret("ca"),
                "apiServer": secret("api-server-certificate"),
                "apiServerKubeletClient": secret("api-server-kubelet-client-certificate"),
                "frontProxyCA": secret("front-proxy-ca-certificate"),
                "frontProxyClient": secret("front-proxy-client-certificate"),
                "sa": secret("sa-certificate"),
            },
            "kubeconfig": {
                "admin": secret("admin-kubeconfig"),
                "controllerManager": secret("controller-manager-kubeconfig"),
                "scheduler": secret("scheduler-kubeconfig"),
            },
            "kubernetesResources": {
                "version": {"version": tenant.version, "status": state, **version},
                "deployment": stamped(selector=f"{PREFIX}/name={tenant.name}", name=tenant.name, namespace=tenant.namespace),
                "service": {"name": tenant.name, "namespace": tenant.namespace, "port": 6443, "loadBalancer": {}},
            },
            "kubeadmconfig": stamped(configmapName=f"{tenant.name}-kubeadmconfig", checksum="0"),
            "kubeadmPhase": {"bootstrapToken": stamped(checksum="0")},
            "addons": {
                "coreDNS": stamped(enabled=True),
                "kubeProxy": stamped(enabled=True),
                "konnectivity": {
                    "enabled": True,
                    "certificate": secret("konnectivity-certificate"),
                    "kubeconfig": secret("konnectivity-kubeconfig"),
                    "sa": stamped(**inside),
                    "clusterrolebinding": stamped(name="system:konnectivity-server"),
                    "agent": stamped(**inside, mode="DaemonSet"),
                },
            },
        }
        tenant.client.merge_patch(tenant.ref, {"status": status}, subresource="status", field_manager=MANAGER)

    def fill(self, inside: Client, address: str) -> None:
        """What its controllers keep inside the tenant cluster, as far as it differs from ours; inside: as system:masters."""
        labels = {f"{PREFIX}/project": "kamaji", f"{PREFIX}/name": self.tenant.name, f"{PREFIX}/component": "konnectivity-agent"}
        agent = {"name": "konnectivity-agent", "namespace": "kube-system", "labels": labels}
        flags = ["-v=8", "--logtostderr=true", f"--proxy-server-host={address}", "--proxy-server-port=8132", "--admin-server-port=8133"]
        container = {
            "name": "konnectivity-agent",
            "image": "registry.k8s.io/kas-network-proxy/proxy-agent:v0.36.0",
            "command": ["/proxy-agent"],
            "args": flags,
        }
        selector = {"k8s-app": "konnectivity-agent"}
        template = {"metadata": {"labels": selector}, "spec": {"serviceAccountName": "konnectivity-agent", "containers": [container]}}
        rights = {"name": "system:konnectivity-server", "labels": labels}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}
        user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:konnectivity-server"}
        rbac = "rbac.authorization.k8s.io/v1"
        config = {"name": "kubeadm-config", "namespace": "kube-system"}
        admins = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"}
        for body in (
            {
                "apiVersion": rbac,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": admins["name"]},
                "roleRef": {**role, "name": "cluster-admin"},
                "subjects": [admins],
            },
            {"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": rights, "roleRef": role, "subjects": [user]},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": agent},
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": agent,
                "spec": {"selector": {"matchLabels": selector}, "template": template},
            },
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": {"ClusterConfiguration": "kind: ClusterConfiguration\n"}},
        ):
            _create(inside, body)
        limit_writes(inside)

    def _metadata(self, suffix: str, component: str, checksum: str = "") -> Json:
        labels = {f"{PREFIX}/project": "kamaji", f"{PREFIX}/name": self.tenant.name, f"{PREFIX}/component": component}
        result = {"name": self.tenant.name + suffix, "namespace": self.tenant.namespace, "labels": labels, "ownerReferences": [self.owner]}
        return {**result, "annotations": {f"{PREFIX}/checksum": checksum}} if checksum else result


def limit_writes(inside: Client) -> None:
    """The webhooks by which an operator limits the writing in a tenant; with it away every write is refused."""
    url = f"https://kamaji-webhook-service.{NAMESPACE}.svc:443/write-permission"
    outside = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease"]}
    webhook = {
        "name": "catchall.write-permissions.kamaji.clastix.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": url},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchExpressions": [outside]},
        "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"], "scope": "*"}],
        "sideEffects": "None",
        "timeoutSeconds": 2,
    }
    metadata = {"name": "kamaji-write-permissions"}
    api = "admissionregistration.k8s.io/v1"
    _create(inside, {"apiVersion": api, "kind": "ValidatingWebhookConfiguration", "metadata": metadata, "webhooks": [webhook]})


def new_namespace() -> str:
    return f"reference-{secrets.token_hex(4)}"


def _create(client: Client, body: Json, *, manager: str = MANAGER) -> Json:
    return client.create(body, field_manager=manager)
