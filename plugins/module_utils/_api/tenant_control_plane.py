# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TenantControlPlane resource, parsed, with every default resolved.

Defaults live here and in status, never in the stored spec: GitOps tools must not see a fight.
The definition is expected to be valid (see validate.py); field names are those of kamaji.clastix.io/v1alpha1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.api_server import ApiServerSettings
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import Selector
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json

KIND: Final = "TenantControlPlane"
DEFAULT_REGISTRY: Final = "registry.k8s.io"
DEFAULT_SERVICE_CIDR: Final = "10.96.0.0/16"
DEFAULT_POD_CIDR: Final = "10.244.0.0/16"
DEFAULT_REPLICAS: Final = 2
# The reference's list plus NodeRestriction: a stolen kubelet credential must not alter other nodes.
DEFAULT_ADMISSION_PLUGINS: Final = (
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "NodeRestriction",
    "PersistentVolumeClaimResize",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionWebhook",
)
DEFAULT_ADDRESS_TYPES: Final = ("InternalIP", "ExternalIP", "Hostname")


@dataclass(frozen=True)
class Metadata:
    """Labels and annotations a user adds to a generated object."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, value: Json | None) -> Metadata:
        value = value or {}
        return cls(dict(value.get("labels") or {}), dict(value.get("annotations") or {}))


@dataclass(frozen=True)
class Network:
    """address: what the user fixed, None when the load balancer assigns it. CIDRs keep the user's order."""

    port: int
    address: str | None
    advertise_address: str | None
    allow_address_as_external_ip: bool
    cert_sans: tuple[str, ...]
    cluster_domain: str
    service_cidrs: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    dns_service_ips: tuple[str, ...]
    load_balancer_source_ranges: tuple[str, ...]
    load_balancer_class: str | None

    @classmethod
    def parse(cls, spec: Json) -> Network:
        services = service_cidrs(spec)
        return cls(
            port=spec.get("port") or 6443,
            address=spec.get("address") or None,
            advertise_address=spec.get("advertiseAddress") or None,
            allow_address_as_external_ip=bool(spec.get("allowAddressAsExternalIP")),
            cert_sans=tuple(spec.get("certSANs") or ()),
            cluster_domain=spec.get("clusterDomain") or "cluster.local",
            service_cidrs=services,
            pod_cidrs=pod_cidrs(spec),
            dns_service_ips=tuple(spec.get("dnsServiceIPs") or (dns_service_ip(cidr) for cidr in services)),
            load_balancer_source_ranges=tuple(spec.get("loadBalancerSourceRanges") or ()),
            load_balancer_class=spec.get("loadBalancerClass") or None,
        )


@dataclass(frozen=True)
class ControlPlaneService:
    """The Service that exposes the API server. service_type: ClusterIP, NodePort or LoadBalancer.

    ip_families, ip_family_policy: as in a Service; empty and None leave them to the management cluster.
    """

    service_type: str
    metadata: Metadata
    additional_ports: tuple[Json, ...]
    allocate_node_ports: bool
    ip_families: tuple[str, ...]
    ip_family_policy: str | None

    @classmethod
    def parse(cls, spec: Json) -> ControlPlaneService:
        allocate = spec.get("allocateLoadBalancerNodePorts")
        return cls(
            service_type=spec.get("serviceType") or "LoadBalancer",
            metadata=Metadata.parse(spec.get("additionalMetadata")),
            additional_ports=tuple(spec.get("additionalPorts") or ()),
            allocate_node_ports=True if allocate is None else bool(allocate),
            ip_families=tuple(spec.get("ipFamilies") or ()),
            ip_family_policy=spec.get("ipFamilyPolicy") or None,
        )


@dataclass(frozen=True)
class Route:
    """A host name under which something in front of the Service passes TLS on to the API server. port: None as the API server's."""

    hostname: str
    port: int | None
    metadata: Metadata

    @classmethod
    def host_and_port(cls, text: str) -> tuple[str, int | None]:
        """Split "name" or "name:port"."""
        host, _unused, port = text.partition(":")
        return host, int(port) if port else None


@dataclass(frozen=True)
class Ingress(Route):
    class_name: str | None

    @classmethod
    def parse(cls, spec: Json | None) -> Ingress | None:
        if spec is None:
            return None
        hostname, port = cls.host_and_port(spec["hostname"])
        return cls(hostname, port, Metadata.parse(spec.get("additionalMetadata")), spec.get("ingressClassName") or None)


@dataclass(frozen=True)
class Gateway(Route):
    """parent_refs: as in the Gateway API."""

    parent_refs: tuple[Json, ...]

    @classmethod
    def parse(cls, spec: Json | None) -> Gateway | None:
        if spec is None:
            return None
        hostname, port = cls.host_and_port(spec["hostname"])
        return cls(hostname, port, Metadata.parse(spec.get("additionalMetadata")), tuple(spec.get("parentRefs") or ()))


@dataclass(frozen=True)
class Deployment:
    """Shape of the control-plane pods. replicas_named: the user owns the number, else an autoscaler may."""

    replicas: int
    replicas_named: bool
    registry: str
    tag_suffix: str
    api_server_image: str
    controller_manager_image: str
    scheduler_image: str
    hardening: str
    image_pull_secrets: tuple[Json, ...]
    priority_class_name: str | None
    node_selector: Mapping[str, str]
    runtime_class_name: str | None
    strategy: Json
    tolerations: tuple[Json, ...]
    affinity: Json | None
    topology_spread_constraints: tuple[Json, ...] | None
    resources: Mapping[str, Json]
    extra_args: Mapping[str, tuple[str, ...]]
    metadata: Metadata
    pod_metadata: Metadata
    additional_init_containers: tuple[Json, ...]
    additional_containers: tuple[Json, ...]
    additional_volumes: tuple[Json, ...]
    additional_volume_mounts: Mapping[str, tuple[Json, ...]]
    probes: Json
    service_account_name: str
    automount_service_account_token: bool
    pod_security_context: Json | None
    container_security_contexts: Mapping[str, Json]

    @classmethod
    def parse(cls, spec: Json) -> Deployment:
        registry = spec.get("registrySettings") or {}
        spread = spec.get("topologySpreadConstraints")
        return cls(
            replicas=DEFAULT_REPLICAS if spec.get("replicas") is None else spec["replicas"],
            replicas_named=spec.get("replicas") is not None,
            registry=registry.get("registry") or DEFAULT_REGISTRY,
            tag_suffix=registry.get("tagSuffix") or "",
            api_server_image=registry.get("apiServerImage") or "kube-apiserver",
            controller_manager_image=registry.get("controllerManagerImage") or "kube-controller-manager",
            scheduler_image=registry.get("schedulerImage") or "kube-scheduler",
            hardening=spec.get("hardening") or "restricted",
            image_pull_secrets=tuple(spec.get("imagePullSecrets") or ()),
            priority_class_name=spec.get("priorityClassName") or None,
            node_selector=dict(spec.get("nodeSelector") or {}),
            runtime_class_name=spec.get("runtimeClassName") or None,
            strategy=dict(spec.get("strategy") or {}),
            tolerations=tuple(spec.get("tolerations") or ()),
            affinity=spec.get("affinity") or None,
            topology_spread_constraints=None if spread is None else tuple(spread),
            resources=dict(spec.get("resources") or {}),
            extra_args=_tuples(spec.get("extraArgs")),
            metadata=Metadata.parse(spec.get("additionalMetadata")),
            pod_metadata=Metadata.parse(spec.get("podAdditionalMetadata")),
            additional_init_containers=tuple(spec.get("additionalInitContainers") or ()),
            additional_containers=tuple(spec.get("additionalContainers") or ()),
            additional_volumes=tuple(spec.get("additionalVolumes") or ()),
            additional_volume_mounts=_tuples(spec.get("additionalVolumeMounts")),
            probes=dict(spec.get("probes") or {}),
            service_account_name=spec.get("serviceAccountName") or "default",
            automount_service_account_token=bool(spec.get("automountServiceAccountToken")),
            pod_security_context=spec.get("podSecurityContext") or None,
            container_security_contexts=dict(spec.get("containerSecurityContexts") or {}),
        )

    @property
    def asleep(self) -> bool:
        return self.replicas_named and self.replicas == 0


@dataclass(frozen=True)
class Kubelet:
    """Settings that reach workers through the uploaded kubelet configuration. cgroup_driver: None leaves upstream's default."""

    configuration_json_patches: tuple[Json, ...]
    preferred_address_types: tuple[str, ...]
    cgroup_driver: str | None

    @classmethod
    def parse(cls, spec: Json) -> Kubelet:
        return cls(
            configuration_json_patches=tuple(spec.get("configurationJSONPatches") or ()),
            preferred_address_types=tuple(spec.get("preferredAddressTypes") or DEFAULT_ADDRESS_TYPES),
            cgroup_driver=spec.get("cgroupfs") or None,
        )


@dataclass(frozen=True)
class AddonImage:
    """CoreDNS or kube-proxy. None means: as that minor's kubeadm names it. Patches: RFC 6902, kube-proxy only."""

    image_repository: str | None
    image_tag: str | None
    configuration_json_patches: tuple[Json, ...]

    @classmethod
    def parse(cls, spec: Json | None) -> AddonImage | None:
        if spec is None:
            return None
        return cls(
            spec.get("imageRepository") or None,
            spec.get("imageTag") or None,
            tuple(spec.get("configurationJSONPatches") or ()),
        )


@dataclass(frozen=True)
class KonnectivityServer:
    port: int
    version: str | None
    image: str
    resources: Json
    extra_args: tuple[str, ...]
    security_context: Json | None


@dataclass(frozen=True)
class KonnectivityAgent:
    """mode: DaemonSet or Deployment (with replicas)."""

    version: str | None
    image: str
    tolerations: tuple[Json, ...]
    extra_args: tuple[str, ...]
    host_network: bool
    mode: str
    replicas: int | None


@dataclass(frozen=True)
class Konnectivity:
    server: KonnectivityServer
    agent: KonnectivityAgent

    @classmethod
    def parse(cls, spec: Json | None, registry: str) -> Konnectivity | None:
        if spec is None:
            return None
        server, agent = spec.get("server") or {}, spec.get("agent") or {}
        tolerations = agent.get("tolerations")
        return cls(
            KonnectivityServer(
                port=server.get("port") or 8132,
                version=server.get("version") or None,
                image=server.get("image") or f"{registry}/kas-network-proxy/proxy-server",
                resources=dict(server.get("resources") or {}),
                extra_args=tuple(server.get("extraArgs") or ()),
                security_context=server.get("securityContext") or None,
            ),
            KonnectivityAgent(
                version=agent.get("version") or None,
                image=agent.get("image") or f"{registry}/kas-network-proxy/proxy-agent",
                tolerations=tuple([{"key": "CriticalAddonsOnly", "operator": "Exists"}] if tolerations is None else tolerations),
                extra_args=tuple(agent.get("extraArgs") or ()),
                host_network=bool(agent.get("hostNetwork")),
                mode=agent.get("mode") or "DaemonSet",
                replicas=agent.get("replicas"),
            ),
        )


@dataclass(frozen=True)
class WritePermissions:
    """Kinds of writing that are refused inside the tenant cluster."""

    block_creation: bool
    block_update: bool
    block_deletion: bool

    @classmethod
    def parse(cls, spec: Json) -> WritePermissions:
        return cls(*(bool(spec.get(field)) for field in ("blockCreation", "blockUpdate", "blockDeletion")))

    def __bool__(self) -> bool:
        """Whether anything is refused."""
        return self.block_creation or self.block_update or self.block_deletion


@dataclass(frozen=True)
class Addons:
    """An addon that is None is off. image_pull_secrets: names of Secrets in the tenant's namespace of the management cluster."""

    core_dns: AddonImage | None
    kube_proxy: AddonImage | None
    konnectivity: Konnectivity | None
    image_pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class TenantControlPlane:
    """One tenant's control plane as the user wants it.

    data_store_selector: picks the DataStores of which one is chosen; None when one is named, or the default one is meant.
    data_store_overrides: API resource → name of the DataStore that keeps it. spec: the definition's spec exactly as written.
    authority_secret: name of the Secret with the user's own certificate authority.
    """

    name: str
    namespace: str
    metadata: Metadata
    version: str
    network: Network
    service: ControlPlaneService
    ingress: Ingress | None
    gateway: Gateway | None
    deployment: Deployment
    kubelet: Kubelet
    admission_plugins: tuple[str, ...]
    api_server: ApiServerSettings
    addons: Addons
    write_permissions: WritePermissions
    key_algorithm: str
    authority_secret: str | None
    data_store: str | None
    data_store_selector: Selector | None
    data_store_schema: str | None
    data_store_username: str | None
    data_store_overrides: Mapping[str, str]
    spec: Json

    @property
    def key(self) -> str:
        """namespace/name, as messages and status name a tenant."""
        return f"{self.namespace}/{self.name}"

    @property
    def asleep(self) -> bool:
        return self.deployment.asleep

    @property
    def is_published(self) -> bool:
        """Whether the endpoint is an address outside the management cluster's own network."""
        return self.service.service_type != "ClusterIP" or bool(self.network.address or self.route)

    @property
    def route(self) -> Route | None:
        """The host name that an Ingress or a Gateway publishes; None when the Service itself is published."""
        return self.ingress or self.gateway

    @property
    def service_host(self) -> str:
        """Name of the API server's Service inside the management cluster."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def service_url(self) -> str:
        """URL of the API server inside the management cluster."""
        return f"https://{self.service_host}:{self.network.port}"

    def secret_name(self, suffix: str) -> str:
        return self.name + suffix

    def manifest(self) -> Json:
        """The resource as it is applied: identity, the user's metadata and the spec as written."""
        metadata: Json = {"name": self.name, "namespace": self.namespace}
        if self.metadata.labels:
            metadata["labels"] = dict(self.metadata.labels)
        if self.metadata.annotations:
            metadata["annotations"] = dict(self.metadata.annotations)
        return {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec}


def parse(definition: Json) -> TenantControlPlane:
    """Build a TenantControlPlane from a valid definition (a manifest, or an object read from the API server)."""
    spec, metadata = definition.get("spec") or {}, definition["metadata"]
    control_plane, kubernetes = spec.get("controlPlane") or {}, spec.get("kubernetes") or {}
    addons, certificates = spec.get("addons") or {}, spec.get("certificates") or {}
    deployment = Deployment.parse(control_plane.get("deployment") or {})
    return TenantControlPlane(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "default",
        metadata=Metadata.parse(metadata),
        version=kubernetes["version"],
        network=Network.parse(spec.get("networkProfile") or {}),
        service=ControlPlaneService.parse(control_plane.get("service") or {}),
        ingress=Ingress.parse(control_plane.get("ingress")),
        gateway=Gateway.parse(control_plane.get("gateway")),
        deployment=deployment,
        kubelet=Kubelet.parse(kubernetes.get("kubelet") or {}),
        admission_plugins=tuple(kubernetes.get("admissionControllers") or DEFAULT_ADMISSION_PLUGINS),
        api_server=ApiServerSettings.parse(kubernetes),
        addons=Addons(
            core_dns=AddonImage.parse(addons.get("coreDNS")),
            kube_proxy=AddonImage.parse(addons.get("kubeProxy")),
            konnectivity=Konnectivity.parse(addons.get("konnectivity"), deployment.registry),
            image_pull_secrets=tuple(item["name"] for item in addons.get("imagePullSecrets") or ()),
        ),
        write_permissions=WritePermissions.parse(spec.get("writePermissions") or {}),
        key_algorithm=certificates.get("keyAlgorithm") or "ECDSA-P256",
        authority_secret=(certificates.get("authority") or {}).get("secretName") or None,
        data_store=spec.get("dataStore") or None,
        data_store_selector=Selector.parse(spec["dataStoreSelector"]) if spec.get("dataStoreSelector") is not None else None,
        data_store_schema=spec.get("dataStoreSchema") or None,
        data_store_username=spec.get("dataStoreUsername") or None,
        data_store_overrides={item["resource"]: item["dataStore"] for item in spec.get("dataStoreOverrides") or ()},
        spec=spec,
    )


def pod_cidrs(network_profile: Json) -> tuple[str, ...]:
    """The networks of a tenant's pods, in the user's order."""
    return tuple(network_profile.get("podCidrs") or (network_profile.get("podCidr") or DEFAULT_POD_CIDR,))


def service_cidrs(network_profile: Json) -> tuple[str, ...]:
    """The networks of a tenant's Services, in the user's order."""
    return tuple(network_profile.get("serviceCidrs") or (network_profile.get("serviceCidr") or DEFAULT_SERVICE_CIDR,))


def dns_service_ip(service_cidr: str) -> str:
    """The cluster DNS address of a Service network: its tenth address, as kubeadm chooses it (constants.GetDNSIP)."""
    return str(ipaddress.ip_network(service_cidr, strict=False)[10])


def api_service_ip(service_cidr: str) -> str:
    """The address of Service default/kubernetes: the first of the Service network (constants.GetAPIServerVirtualIP)."""
    return str(ipaddress.ip_network(service_cidr, strict=False)[1])


def _tuples(value: Mapping[str, Sequence[Any]] | None) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(items or ()) for key, items in (value or {}).items()}
