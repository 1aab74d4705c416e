# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a TenantControlPlane definition, said before anything is sent.

The rules are those of the CRD (tools/crd_sources/tenantcontrolplane.yaml), which the API server enforces on everybody; a test
holds both against the same table. An empty text and null count as not set. Rules that need the stored object or other tenants
are applied when these are given.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget, labels, versions
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.crd_fields import FIELDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.shape import nearest, shape_problems, shown, without_nulls
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import (
    DEFAULT_POD_CIDR,
    DEFAULT_SERVICE_CIDR,
    KIND,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

# Ports other containers of the pod listen on: konnectivity's administration and health, kine's metrics, controller manager, scheduler.
_TAKEN_PORTS: Final = (8133, 8134, 8135, 10257, 10259)
_CONTAINERS: Final = ("kube-apiserver", "kube-scheduler", "kube-controller-manager", "konnectivity-server")
# Among additionalContainers it stands for the image of ours.
_SIDECAR: Final = "kine"
_VOLUMES: Final = (*(f"{name}-files" for name in (*_CONTAINERS, _SIDECAR)), "konnectivity-uds", "kine-uds")
_MOUNT_PATHS: Final = ("/etc/kubernetes", "/run/konnectivity", "/uds")
_PORT_NAMES: Final = ("kube-apiserver", "konnectivity-server")
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VERSION: Final = re.compile(r"v1\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_LABEL: Final = "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
_DNS_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_DOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_PORT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_OVERRIDDEN: Final = re.compile(r"[a-z0-9.-]*/[a-z0-9]+")
_HOSTNAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:\d{1,5})?")


def problems(definition: Json, *, live: Json | None = None, others: Iterable[Json] = ()) -> list[str]:
    """Return what is wrong with a definition; empty when it is valid.

    live: the stored object of the same name, for what may not change. others: definitions or objects of other tenants
    of the same management cluster, for names and ports that only one of them can have; read only once the definition has its shape.
    """
    found = [*_identity_problems(definition)]
    spec = without_nulls(definition.get("spec")) if isinstance(definition, dict) else None
    if not isinstance(spec, dict):
        return [*found, "spec is missing; write at least spec.kubernetes.version"]
    if has_unknown(definition):
        found.append(f'the definition contains "{UNKNOWN}", the mark of a value that is not known yet; write a value instead')
    shape = [*shape_problems("spec", spec, "Spec", FIELDS)]
    if shape:
        # What follows relies on the types.
        return found + shape
    for rule in _RULES:
        found += rule(spec)
    if live:
        found += _change_problems(without_nulls(live.get("spec") or {}), live.get("status") or {}, spec)
        found += _authority_problems(without_nulls(live.get("spec") or {}), live.get("status") or {}, spec)
    for other in others:
        found += _neighbour_problems(definition, spec, live, other)
    return found


def has_shape(definition: Json) -> bool:
    """Whether the fields of a definition are known and of their types, so that it can be compared with others."""
    spec = without_nulls(definition.get("spec"))
    return isinstance(spec, dict) and next(iter(shape_problems("spec", spec, "Spec", FIELDS)), None) is None


# Identity


def _identity_problems(definition: Any) -> Iterator[str]:
    if not isinstance(definition, dict):
        yield f"{shown(definition)} is not a mapping; write apiVersion, kind, metadata and spec"
        return
    for key in definition:
        if key not in _TOP_LEVEL:
            yield f"{key} is not a known field; {nearest(str(key), list(_TOP_LEVEL))}"
    for key, wanted in (("apiVersion", KAMAJI_API_VERSION), ("kind", KIND)):
        if definition.get(key, wanted) != wanted:
            yield f"{key} {shown(definition[key])} is not handled here; write {wanted}"
    metadata = definition.get("metadata")
    if not isinstance(metadata, dict):
        yield "metadata is missing; write at least metadata.name"
        return
    yield from _name_problems(metadata.get("name"), metadata.get("namespace"))


_TOP_LEVEL: Final = ("apiVersion", "kind", "metadata", "spec", "status")


def _name_problems(name: Any, namespace: Any) -> Iterator[str]:
    rule = 'at most 63 of a-z, 0-9 and "-"'
    if not name:
        yield "metadata.name is missing; give the tenant control plane a name"
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f'metadata.name {shown(name)} cannot be the name of a Service; write {rule}, with a letter first and no "-" at the end'
    elif len(name) > 63:
        yield f"metadata.name {shown(name)} has {len(name)} characters and cannot be the name of a Service; write {rule}"
    if namespace and (not isinstance(namespace, str) or len(namespace) > 63 or not _NAMESPACE.fullmatch(namespace)):
        yield f"metadata.namespace {shown(namespace)} is not a namespace name; write {rule}"


# Kubernetes


def _version_problems(spec: Json) -> Iterator[str]:
    version = spec["kubernetes"]["version"]
    if not _VERSION.fullmatch(version):
        yield f"spec.kubernetes.version {shown(version)} is not a Kubernetes version; write it as v1.36.3"
        return
    unsupported = versions.support_problem(version)
    if unsupported:
        yield f"spec.kubernetes.version {unsupported}"
    for index, plugin in enumerate(spec["kubernetes"].get("admissionControllers", [])):
        problem = versions.plugin_problem(version, plugin)
        if problem:
            yield f"spec.kubernetes.admissionControllers[{index}] {plugin} {problem}"


def _patch_problems(spec: Json) -> Iterator[str]:
    for path, owner in (
        ("spec.kubernetes.kubelet", _get(_get(spec, "kubernetes"), "kubelet")),
        ("spec.addons.kubeProxy", _get(_get(spec, "addons"), "kubeProxy")),
    ):
        for index, patch in enumerate(owner.get("configurationJSONPatches", [])):
            where = f"{path}.configurationJSONPatches[{index}]"
            if patch["op"] in ("move", "copy") and "from" not in patch:
                yield f"{where}.from is missing; move and copy need it"
            for field in ("path", "from"):
                if patch.get(field) and not patch[field].startswith("/"):
                    yield f'{where}.{field} {shown(patch[field])} is not a JSON pointer; begin it with "/"'


# Datastores


def _store_problems(spec: Json) -> Iterator[str]:
    for field in ("dataStoreSchema", "dataStoreUsername"):
        if spec.get(field) == "root" or "/" in spec.get(field, ""):
            yield f'spec.{field} {shown(spec[field])} cannot keep tenants apart; write a name without "/" other than root'
    selector = spec.get("dataStoreSelector")
    if selector is not None:
        yield from labels.selector_problems("spec.dataStoreSelector", selector)
        if spec.get("dataStore"):
            yield "spec.dataStoreSelector chooses a DataStore and spec.dataStore names one; keep one of them"
    budget = spec.get("dataStoreBudget")
    problem = None if budget is None else data_budget.problem(budget)
    if problem:
        yield f"spec.dataStoreBudget {shown(budget)} {problem}"
    store = spec.get("dataStore") or (DEFAULT_NAME if selector is None else None)
    for index, item in enumerate(spec.get("dataStoreOverrides", [])):
        where = f"spec.dataStoreOverrides[{index}]"
        if not _OVERRIDDEN.fullmatch(item["resource"]):
            hint = "is not group/resource; write for example /events or coordination.k8s.io/leases"
            yield f"{where}.resource {shown(item['resource'])} {hint}"
        if item["dataStore"] == store:
            yield f"{where}.dataStore {shown(store)} keeps everything else already (spec.dataStore); name another one"


# Service and exposure


def _exposure_problems(spec: Json) -> Iterator[str]:
    control_plane, network = _get(spec, "controlPlane"), _get(spec, "networkProfile")
    service = _get(control_plane, "service")
    kind = service.get("serviceType") or "LoadBalancer"
    if control_plane.get("ingress") is not None and control_plane.get("gateway") is not None:
        yield "spec.controlPlane has both ingress and gateway; keep one of them"
    for way in ("ingress", "gateway"):
        hostname = _get(control_plane, way).get("hostname", "")
        if control_plane.get(way) is not None and not _HOSTNAME.fullmatch(hostname):
            yield f"spec.controlPlane.{way}.hostname {shown(hostname)} is not a host name; write a DNS name such as acme.example.com"
    for field in ("loadBalancerClass", "loadBalancerSourceRanges"):
        if network.get(field) and kind != "LoadBalancer":
            yield f"spec.networkProfile.{field} needs spec.controlPlane.service.serviceType LoadBalancer, which is {kind}"
    if "allocateLoadBalancerNodePorts" in service and kind != "LoadBalancer":
        yield f"spec.controlPlane.service.allocateLoadBalancerNodePorts needs serviceType LoadBalancer, which is {kind}"
    if network.get("allowAddressAsExternalIP") and (kind == "LoadBalancer" or not network.get("address")):
        yield (
            "spec.networkProfile.allowAddressAsExternalIP needs spec.networkProfile.address, and spec.controlPlane.service.serviceType "
            "ClusterIP or NodePort"
        )
    yield from _family_choice_problems(service)
    if kind == "NodePort" and not network.get("address") and not network.get("advertiseAddress"):
        yield "spec.networkProfile.address is missing, and serviceType NodePort needs it; write the address under which workers reach the nodes"


def _family_choice_problems(service: Json) -> Iterator[str]:
    path, families = "spec.controlPlane.service", service.get("ipFamilies", [])
    if len(families) == 2 and families[0] == families[1]:
        yield f"{path}.ipFamilies has {families[0]} twice; write IPv4 and IPv6 in the order you want"
    policy = service.get("ipFamilyPolicy")
    if len(families) == 2 and policy not in ("PreferDualStack", "RequireDualStack"):
        yield f"{path}.ipFamilyPolicy {shown(policy or '')} does not go with two ipFamilies; write PreferDualStack or RequireDualStack"


def _port_problems(spec: Json) -> Iterator[str]:
    port, tunnel = _port(spec), _tunnel_port(spec)
    taken = ", ".join(map(str, _TAKEN_PORTS))
    if port in _TAKEN_PORTS:
        yield f"spec.networkProfile.port {port} is used by another container of the pod; choose a port other than {taken}"
    if port == tunnel:
        yield f"spec.networkProfile.port {port} is that of konnectivity (spec.addons.konnectivity.server.port) as well; choose another one"
    if tunnel is not None and (tunnel in _TAKEN_PORTS or not 1024 <= tunnel <= 49151):
        yield (
            f"spec.addons.konnectivity.server.port {tunnel} is not a port konnectivity takes; choose one from 1024 to 49151 other than {taken}"
        )
    for index, item in enumerate(_get(_get(spec, "controlPlane"), "service").get("additionalPorts", [])):
        path = f"spec.controlPlane.service.additionalPorts[{index}]"
        if not _PORT_NAME.fullmatch(item["name"]):
            yield f'{path}.name {shown(item["name"])} is not the name of a port; write a-z, 0-9 and "-"'
        if item["name"] in _PORT_NAMES:
            yield f"{path}.name {shown(item['name'])} is the name of one of our own ports; choose another name"
        if item.get("protocol", "TCP") == "TCP" and item["port"] in (port, tunnel):
            yield f"{path}.port {item['port']} is that of the API server or of konnectivity; choose another one"


def _metadata_problems(spec: Json) -> Iterator[str]:
    control_plane = _get(spec, "controlPlane")
    owners = [(f"controlPlane.{name}", _get(control_plane, name)) for name in ("service", "ingress", "gateway", "deployment")]
    places = [(f"spec.{path}.additionalMetadata", _get(owner, "additionalMetadata")) for path, owner in owners]
    places.append(("spec.controlPlane.deployment.podAdditionalMetadata", _get(_get(control_plane, "deployment"), "podAdditionalMetadata")))
    for path, metadata in places:
        for kind in ("labels", "annotations"):
            for name, value in _get(metadata, kind).items():
                if not labels.is_name(name if kind == "labels" else name.lower()):
                    yield f"{path}.{kind} has the name {shown(name)}, which Kubernetes does not take; write a name such as example.com/team"
                if kind == "labels":
                    yield from labels.value_problems(f"{path}.labels.{name}", value)


# Networks


def _address_problems(spec: Json) -> Iterator[str]:
    network = _get(spec, "networkProfile")
    addresses = [(f"{field}", network.get(field)) for field in ("address", "advertiseAddress")]
    addresses += [(f"dnsServiceIPs[{index}]", item) for index, item in enumerate(network.get("dnsServiceIPs", []))]
    for field, text in addresses:
        if text and not is_address(text):
            yield f"spec.networkProfile.{field} {shown(text)} is not an IP address; write for example 192.0.2.7 or 2001:db8::7"
    for index, text in enumerate(network.get("certSANs", [])):
        if not is_address(text) and not _DNS_NAME.fullmatch(text):
            hint = "write for example 192.0.2.7, acme.example.com or *.example.com"
            yield f"spec.networkProfile.certSANs[{index}] {shown(text)} is neither an IP address nor a DNS name; {hint}"
    domain = network.get("clusterDomain")
    if domain and not _DOMAIN.fullmatch(domain):
        hint = "is not a DNS domain with at least two parts; write for example cluster.local"
        yield f"spec.networkProfile.clusterDomain {shown(domain)} {hint}"


def _network_problems(spec: Json) -> Iterator[str]:
    found: list[str] = []
    profile = _get(spec, "networkProfile")
    services = _networks(profile, "service", DEFAULT_SERVICE_CIDR, found)
    pods = _networks(profile, "pod", DEFAULT_POD_CIDR, found)
    for index, text in enumerate(profile.get("loadBalancerSourceRanges", [])):
        _network(f"spec.networkProfile.loadBalancerSourceRanges[{index}]", text, found)
    yield from found
    yield from _family_problems("serviceCidrs", services)
    yield from _family_problems("podCidrs", pods)
    for path, item in services:
        low, high = (12, 28) if item.version == 4 else (108, 124)
        if not low <= item.prefixlen <= high:
            yield f"{path} {item} is too {'large' if item.prefixlen < low else 'small'} for Services; write a network from /{low} to /{high}"
    if not _sets_node_mask(spec):
        for path, item in pods:
            low, high = (8, 24) if item.version == 4 else (48, 64)
            if not low <= item.prefixlen <= high:
                yield (
                    f"{path} {item} does not fit networks of /{high} for each node; write a network from /{low} to /{high}, or set "
                    "--node-cidr-mask-size in spec.controlPlane.deployment.extraArgs.controllerManager"
                )
    yield from _overlap_problems(services, pods)
    yield from _dns_problems(profile, services)


def _family_problems(field: str, networks: Sequence[tuple[str, Network]]) -> Iterator[str]:
    if len(networks) == 2 and networks[0][1].version == networks[1][1].version:
        family = f"IPv{networks[0][1].version}"
        yield f"spec.networkProfile.{field} has two {family} networks; dual stack is one IPv4 and one IPv6 network"


def _overlap_problems(services: Sequence[tuple[str, Network]], pods: Sequence[tuple[str, Network]]) -> Iterator[str]:
    for path, pod in pods:
        for other, service in services:
            if pod.version == service.version and pod.overlaps(service):
                yield f"{path} {pod} overlaps with {other} {service}; write networks that do not"


def _dns_problems(profile: Json, services: Sequence[tuple[str, Network]]) -> Iterator[str]:
    for index, text in enumerate(profile.get("dnsServiceIPs", [])):
        if services and is_address(text) and not any(ipaddress.ip_address(text) in item for _unused, item in services):
            names = ", ".join(str(item) for _unused, item in services)
            yield f"spec.networkProfile.dnsServiceIPs[{index}] {shown(text)} is outside the Service network {names}; write one of its addresses"


def _networks(profile: Json, kind: str, default: str, found: list[str]) -> list[tuple[str, Network]]:
    """(path, network) of the Service or pod networks that are well formed, defaults included; the rest goes to `found`."""
    plural, single = f"{kind}Cidrs", f"{kind}Cidr"
    texts = [(f"spec.networkProfile.{plural}[{index}]", text) for index, text in enumerate(profile.get(plural, []))]
    if not texts:
        given = profile.get(single)
        texts = [(f"spec.networkProfile.{single}", given) if given else (f"the default of spec.networkProfile.{plural}", default)]
    networks = [(path, _network(path, text, found)) for path, text in texts]
    return [(path, network) for path, network in networks if network is not None]


def _network(path: str, text: str, found: list[str]) -> Network | None:
    try:
        if "/" not in text:
            raise ValueError(text)
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        found.append(f"{path} {shown(text)} is not a CIDR; write an IPv4 or IPv6 network such as 10.96.0.0/16")
        return None


def _sets_node_mask(spec: Json) -> bool:
    extra = _get(_get(_get(spec, "controlPlane"), "deployment"), "extraArgs").get("controllerManager", [])
    return any(item.startswith(("--node-cidr-mask-size", "--allocate-node-cidrs")) for item in extra)


# Pods


def _pod_problems(spec: Json) -> Iterator[str]:
    deployment = _get(_get(spec, "controlPlane"), "deployment")
    path = "spec.controlPlane.deployment"
    for field, reserved, what in (
        ("additionalContainers", _CONTAINERS, "containers"),
        ("additionalInitContainers", (*_CONTAINERS, _SIDECAR), "containers"),
        ("additionalVolumes", _VOLUMES, "volumes"),
    ):
        for index, item in enumerate(deployment.get(field, [])):
            if item["name"] in reserved:
                yield f"{path}.{field}[{index}].name {shown(item['name'])} is the name of one of our own {what}; choose another name"
    for component, mounts in _get(deployment, "additionalVolumeMounts").items():
        for index, mount in enumerate(mounts):
            if mount["mountPath"].removesuffix("/") in _MOUNT_PATHS:
                where = f"{path}.additionalVolumeMounts.{component}[{index}].mountPath"
                yield f"{where} {shown(mount['mountPath'])} is one of our own; mount below it or elsewhere"
    strategy = _get(deployment, "strategy")
    if "rollingUpdate" in strategy and strategy.get("type", "RollingUpdate") != "RollingUpdate":
        yield f"{path}.strategy.rollingUpdate needs type RollingUpdate, which is {strategy['type']}"


def _pod_reference_problems(spec: Json) -> Iterator[str]:
    """Names of containers that meet, and names of volumes that lead nowhere."""
    deployment = _get(_get(spec, "controlPlane"), "deployment")
    path = "spec.controlPlane.deployment"
    taken = {item["name"] for item in deployment.get("additionalContainers", [])}
    for index, item in enumerate(deployment.get("additionalInitContainers", [])):
        if item["name"] in taken:
            where = f"{path}.additionalInitContainers[{index}].name"
            yield f"{where} {shown(item['name'])} is the name of one of additionalContainers as well; choose another name"
    volumes = {item["name"] for item in deployment.get("additionalVolumes", [])}
    for component, mounts in _get(deployment, "additionalVolumeMounts").items():
        for index, mount in enumerate(mounts):
            if mount["name"] not in volumes:
                where = f"{path}.additionalVolumeMounts.{component}[{index}].name"
                yield f"{where} {shown(mount['name'])} is no volume of additionalVolumes; add it there"


# Configuration of the API server


# Field of spec.kubernetes → beginnings of the flags that say the same.
_FLAGS_OF: Final = (
    ("audit", ("--audit-",)),
    ("encryption", ("--encryption-provider-config",)),
    ("authentication", ("--authentication-config", "--oidc-")),
    ("authorization", ("--authorization-",)),
)


def _api_server_problems(spec: Json) -> Iterator[str]:
    kubernetes, deployment = spec["kubernetes"], _get(_get(spec, "controlPlane"), "deployment")
    yield from _audit_problems(_get(_get(kubernetes, "audit"), "log"), deployment)
    if "authorization" in kubernetes:
        yield from _authorizer_problems(kubernetes["authorization"]["authorizers"])
    flags = [*_FLAGS_OF]
    if "anonymous" in _get(kubernetes, "authentication"):
        flags.append(("authentication", ("--anonymous-auth",)))
    for index, argument in enumerate(_get(deployment, "extraArgs").get("apiServer", [])):
        for field, beginnings in flags:
            if field in kubernetes and argument.replace("_", "-").startswith(beginnings):
                where = f"spec.controlPlane.deployment.extraArgs.apiServer[{index}] {shown(argument)}"
                yield f"{where} is what spec.kubernetes.{field} sets; use the field or the flags, not both"


def _audit_problems(log: Json, deployment: Json) -> Iterator[str]:
    volume, path = log.get("volumeName"), "spec.kubernetes.audit.log"
    if volume and volume not in [item["name"] for item in deployment.get("additionalVolumes", [])]:
        yield f"{path}.volumeName {shown(volume)} is none of spec.controlPlane.deployment.additionalVolumes; add that volume"
    settings = [key for key in log if key != "volumeName"]
    if settings and not volume:
        yield f"{path}.{settings[0]} is a setting of files, which need {path}.volumeName; the container's output is kept by the kubelet"


def _authorizer_problems(authorizers: Sequence[Json]) -> Iterator[str]:
    path = "spec.kubernetes.authorization.authorizers"
    for kind in ("Node", "RBAC"):
        if [item["type"] for item in authorizers].count(kind) != 1:
            yield f"{path} must hold type {kind} once; workers and the control plane's own programs need it"
    for index, item in enumerate(authorizers):
        if (item["type"] == "Webhook") != ("webhook" in item):
            yield f"{path}[{index}].webhook belongs to type Webhook, and to no other; type is {item['type']}"


def _agent_problems(spec: Json) -> Iterator[str]:
    agent = _get(_get(_get(spec, "addons"), "konnectivity"), "agent")
    path, mode = "spec.addons.konnectivity.agent.replicas", agent.get("mode", "DaemonSet")
    if mode == "DaemonSet" and agent.get("replicas", 0) > 0:
        yield f"{path} {agent['replicas']} needs mode Deployment; a DaemonSet runs one agent on each node"
    if mode == "Deployment" and agent.get("replicas", 1) == 0:
        yield f"{path} 0 is too few; write at least 1 with mode Deployment"


_RULES: Final[tuple[Callable[[Json], Iterator[str]], ...]] = (
    _version_problems,
    _patch_problems,
    _store_problems,
    _exposure_problems,
    _port_problems,
    _metadata_problems,
    _address_problems,
    _network_problems,
    _pod_problems,
    _pod_reference_problems,
    _api_server_problems,
    _agent_problems,
)


# What may not change


def _change_problems(old: Json, status: Json, new: Json) -> Iterator[str]:
    yield from _upgrade_problems(old, status, new)
    if old.get("dataStore") and not new.get("dataStore"):
        yield f"spec.dataStore is {shown(old['dataStore'])} and cannot be removed; name it again (a tenant moves to another one by backup and restore)"
    setup = _get(_get(status, "storage"), "setup")
    for field, recorded in (("dataStoreSchema", "schema"), ("dataStoreUsername", "user")):
        if old.get(field) and not new.get(field):
            yield f"spec.{field} is {shown(old[field])} and cannot be removed; write it again"
        fixed = old.get(field) or setup.get(recorded)
        if fixed and new.get(field) and new[field] != fixed:
            yield f"spec.{field} is {shown(fixed)} and cannot become {shown(new[field])}; create another tenant control plane for that"
    profile, changed = _get(old, "networkProfile"), _get(new, "networkProfile")
    domains = [item.get("clusterDomain") or "cluster.local" for item in (profile, changed)]
    if domains[0] != domains[1]:
        yield (
            f"spec.networkProfile.clusterDomain is {shown(domains[0])} and cannot become {shown(domains[1])}; "
            "it is part of certificates and of every pod's DNS settings"
        )
    classes = [item.get("loadBalancerClass") or "" for item in (profile, changed)]
    kinds = {_get(_get(item, "controlPlane"), "service").get("serviceType") or "LoadBalancer" for item in (old, new)}
    if classes[0] != classes[1] and kinds == {"LoadBalancer"}:
        yield (
            f"spec.networkProfile.loadBalancerClass is {shown(classes[0])} and cannot become {shown(classes[1])} while the Service is of type "
            "LoadBalancer"
        )


def _upgrade_problems(old: Json, status: Json, new: Json) -> Iterator[str]:
    """From the version that is stored, and from the one that is installed: two quick steps of the first are one jump of the other."""
    stored, after = _get(old, "kubernetes").get("version", ""), new["kubernetes"]["version"]
    installed = _get(_get(status, "kubernetesResources"), "version").get("version") or stored
    if stored == after or not _VERSION.fullmatch(after):
        return
    for before in dict.fromkeys((stored, installed)):
        problem = versions.upgrade_problem(before, after) if _VERSION.fullmatch(before) else None
        if problem:
            yield f"spec.kubernetes.version: {problem}"
            return


def _authority_problems(old: Json, status: Json, new: Json) -> Iterator[str]:
    before, after = (_get(_get(spec, "certificates"), "authority").get("secretName") or "" for spec in (old, new))
    if before != after and _get(_get(status, "certificates"), "ca").get("secretName"):
        yield (
            f"spec.certificates.authority.secretName is {shown(before)} and cannot become {shown(after)}: the tenant has its certificate "
            "authority already, and workers trust it"
        )


# What only one tenant can have


def _neighbour_problems(definition: Json, spec: Json, live: Json | None, other: Json) -> Iterator[str]:
    mine, theirs = _key(definition), _key(other)
    if mine == theirs:
        yield f"{KIND} {mine} is defined twice; keep one of the definitions"
        return
    neighbour = other.get("spec") or {}
    share, taken = share_of(definition, (live or {}).get("status")), share_of(other)
    if share.overlaps(taken):
        same_schema = share.schema == taken.schema
        field, value = ("dataStoreSchema", share.schema) if same_schema else ("dataStoreUsername", share.user)
        yield f"spec.{field} {shown(value)} is that of {KIND} {theirs} in the same DataStore; choose another one"
    shared = node_ports(spec) & node_ports(neighbour)
    if shared:
        numbers = ", ".join(map(str, sorted(shared)))
        yield f"node port {numbers} (spec.networkProfile.port, spec.addons.konnectivity.server.port) is that of {KIND} {theirs}; choose another one"


def node_ports(spec: Json) -> set[int]:
    """The ports of every node of the management cluster that a tenant takes."""
    if _get(_get(spec, "controlPlane"), "service").get("serviceType") != "NodePort":
        return set()
    tunnel = _tunnel_port(spec)
    return {_port(spec)} if tunnel is None else {_port(spec), tunnel}


def _key(definition: Json) -> str:
    metadata = definition.get("metadata") or {}
    return f"{metadata.get('namespace') or 'default'}/{metadata.get('name')}"


# Reading


def _get(value: Json, key: str) -> Json:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _port(spec: Json) -> int:
    port: int = _get(spec, "networkProfile").get("port") or 6443
    return port


def _tunnel_port(spec: Json) -> int | None:
    """Port of konnectivity, None when the addon is off."""
    addon = _get(spec, "addons").get("konnectivity")
    if not isinstance(addon, dict):
        return None
    port: int = _get(addon, "server").get("port") or 8132
    return port
