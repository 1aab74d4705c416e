# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Good and bad TenantControlPlanes: one table for the module's validation and for the rules of the CRD.

A path leads to a field of the spec, list elements by number; the value REMOVED takes it away.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json

REMOVED: Final = object()
Changes = Mapping[str, Any]


def definition(changes: Changes | None = None, name: str = "acme") -> Json:
    """A small valid definition with fields of its spec set."""
    result: Json = {
        "apiVersion": KAMAJI_API_VERSION,
        "kind": "TenantControlPlane",
        "metadata": {"name": name, "namespace": "tenants"},
        "spec": {"kubernetes": {"version": "v1.36.3"}},
    }
    for path, value in (changes or {}).items():
        _set(result["spec"], path.split("."), value)
    return result


def _set(node: Json, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        node = node.setdefault(key, {})
    if value is REMOVED:
        node.pop(keys[-1])
    else:
        node[keys[-1]] = copy.deepcopy(value)


@dataclass(frozen=True)
class Case:
    """says: what the module says, each problem in full. server: parts of what the API server says, field path included.

    old: the spec that is stored before, for what may not change. installed: the version its status says is running.
    """

    name: str
    changes: Changes
    says: tuple[str, ...]
    server: tuple[str, ...]
    old: Changes | None = None
    installed: str = ""

    def stored(self) -> Json | None:
        """The object before the change, with its status; None when there is none."""
        return None if self.old is None else {**definition(self.old), "status": self.status()}

    def status(self) -> Json:
        return {"kubernetesResources": {"version": {"version": self.installed}}} if self.installed else {}


SERVICE: Final = "controlPlane.service"
DEPLOYMENT: Final = "controlPlane.deployment"
NETWORK: Final = "networkProfile"
CONTAINER: Final = {"name": "side", "image": "example.com/side:1"}

GOOD: Final[Mapping[str, Changes]] = {
    "smallest": {},
    "newest": {"kubernetes.version": "v1.37.0-rc.1+build"},
    "dual stack, IPv6 first": {
        f"{NETWORK}.serviceCidrs": ["fd00:1::/112", "10.96.0.0/16"],
        f"{NETWORK}.podCidrs": ["fd00:2::/56", "10.244.0.0/16"],
        f"{NETWORK}.dnsServiceIPs": ["fd00:1::10", "10.96.0.10"],
    },
    "empty texts are not set": {
        f"{NETWORK}.address": "",
        f"{NETWORK}.clusterDomain": "",
        f"{NETWORK}.serviceCidr": "",
        f"{NETWORK}.loadBalancerClass": "",
        "dataStore": "",
        f"{SERVICE}.serviceType": "ClusterIP",
    },
    "deprecated network fields": {f"{NETWORK}.serviceCidr": "10.100.0.0/16", f"{NETWORK}.podCidr": "10.200.0.0/16"},
    "everything exposed": {
        f"{SERVICE}.serviceType": "LoadBalancer",
        f"{SERVICE}.allocateLoadBalancerNodePorts": False,
        f"{SERVICE}.additionalPorts": [
            {"name": "web", "port": 80, "targetPort": "http"},
            {"name": "same-number", "port": 6443, "protocol": "UDP"},
        ],
        f"{NETWORK}.loadBalancerClass": "example.com/lb",
        f"{NETWORK}.loadBalancerSourceRanges": ["198.18.0.0/15", "2001:db8::/32"],
        f"{NETWORK}.certSANs": ["192.0.2.7", "2001:db8::7", "acme.example.com", "*.example.com"],
    },
    "labels and annotations": {
        f"{SERVICE}.additionalMetadata": {
            "labels": {"example.com/team_a.b": "A_b.c-1", "empty": ""},
            "annotations": {"Example.com/Team": "any text, \u00fc"},
        },
    },
    "families of the Service": {f"{SERVICE}.ipFamilyPolicy": "RequireDualStack", f"{SERVICE}.ipFamilies": ["IPv6", "IPv4"]},
    "ingress": {"controlPlane.ingress": {"hostname": "acme.example.com", "ingressClassName": "haproxy"}},
    "gateway": {"controlPlane.gateway": {"hostname": "acme.example.com:443", "parentRefs": [{"name": "public", "sectionName": "tls"}]}},
    "large pods network with its mask": {
        f"{NETWORK}.podCidrs": ["10.244.0.0/26"],
        f"{DEPLOYMENT}.extraArgs.controllerManager": ["--node-cidr-mask-size=28"],
    },
    "pod shape": {
        f"{DEPLOYMENT}.replicas": 0,
        f"{DEPLOYMENT}.hardening": "none",
        f"{DEPLOYMENT}.strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
        f"{DEPLOYMENT}.resources.apiServer": {"requests": {"cpu": "0.5", "memory": "1Gi"}, "limits": {"cpu": 2}},
        f"{DEPLOYMENT}.additionalContainers": [
            {
                **CONTAINER,
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "livenessProbe": {"httpGet": {"port": "http"}},
            },
            {"name": "kine", "image": "example.com/kine:1"},
        ],
        f"{DEPLOYMENT}.additionalVolumes": [{"name": "audit", "emptyDir": {"sizeLimit": "1Gi"}}],
        f"{DEPLOYMENT}.additionalVolumeMounts.apiServer": [{"name": "audit", "mountPath": "/etc/kubernetes/audit"}],
        f"{DEPLOYMENT}.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        f"{DEPLOYMENT}.probes": {"startup": {"failureThreshold": 60}, "apiServer": {"readiness": {"successThreshold": 2}}},
        f"{DEPLOYMENT}.tolerations": [{"operator": "Exists"}],
        f"{DEPLOYMENT}.imagePullSecrets": [{"name": "mirror"}],
        f"{DEPLOYMENT}.priorityClassName": "tenants",
    },
    "configuration of the API server": {
        "kubernetes.audit": {
            "policy": {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata", "resources": [{"resources": ["secrets"]}]}]},
            "log": {"volumeName": "audit", "maxAgeDays": 30, "maxBackups": 5, "maxSizeMegabytes": 100, "compress": True},
        },
        f"{DEPLOYMENT}.additionalVolumes": [{"name": "audit", "emptyDir": {}}],
        "kubernetes.encryption": {"resources": ["secrets", "widgets.example.com"], "provider": "aescbc", "rotation": "2026-10"},
        "kubernetes.authentication": {
            "jwt": [
                {
                    "issuer": {"url": "https://id.example.com", "audiences": ["acme"]},
                    "claimMappings": {"username": {"claim": "email", "prefix": ""}, "groups": {"expression": "claims.groups"}},
                }
            ],
            "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]},
        },
        "kubernetes.authorization": {
            "authorizers": [
                {"type": "Node", "name": "node"},
                {"type": "RBAC", "name": "rbac"},
                {
                    "type": "Webhook",
                    "name": "policy",
                    "webhook": {
                        "kubeconfigSecret": {"name": "policy", "key": "kubeconfig"},
                        "timeout": "3s",
                        "failurePolicy": "Deny",
                        "subjectAccessReviewVersion": "v1",
                    },
                },
            ]
        },
        "kubernetes.featureGates": {"apiServer": {"AllAlpha": False}, "scheduler": {"AllBeta": True}},
        "certificates.authority": {"secretName": "my-ca"},
        f"{DEPLOYMENT}.extraArgs.apiServer": ["--v=2", "--feature-gates=AllBeta=true"],
    },
    "addons": {
        "addons.coreDNS": {},
        "addons.kubeProxy.configurationJSONPatches": [
            {"op": "replace", "path": "/mode", "value": "nftables"},
            {"op": "add", "path": "/a", "value": {"b": [1]}},
        ],
        "addons.konnectivity.agent": {"mode": "Deployment", "replicas": 2},
        "addons.konnectivity.server": {"port": 9132},
        "addons.imagePullSecrets": [{"name": "mirror"}],
        "writePermissions.blockCreation": True,
        "certificates.keyAlgorithm": "RSA-2048",
        "dataStoreOverrides": [{"resource": "/events", "dataStore": "events"}],
    },
    "a datastore by labels": {
        "dataStoreSelector": {"matchLabels": {"example.com/pool": "fast"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]},
        "dataStoreOverrides": [{"resource": "/events", "dataStore": "default"}],
    },
    "any datastore": {"dataStoreSelector": {}},
    "a budget": {"dataStoreBudget": "1.5Gi"},
    "a budget in bytes": {"dataStoreBudget": 1 << 20},
}

# Same object, allowed changes: (stored, wanted).
GOOD_CHANGES: Final[Mapping[str, tuple[Changes, Changes]]] = {
    "one minor up": ({"kubernetes.version": "v1.36.3"}, {"kubernetes.version": "v1.37.2"}),
    "a patch back": ({"kubernetes.version": "v1.36.5"}, {"kubernetes.version": "v1.36.3"}),
    "default domain named": ({}, {f"{NETWORK}.clusterDomain": "cluster.local"}),
    "another datastore": ({"dataStore": "one"}, {"dataStore": "two"}),
    "the chosen datastore named": ({"dataStoreSelector": {}}, {"dataStore": "one"}),
    "class with the type": (
        {f"{SERVICE}.serviceType": "ClusterIP"},
        {f"{SERVICE}.serviceType": "LoadBalancer", f"{NETWORK}.loadBalancerClass": "example.com/lb"},
    ),
}

_PORT = f"{NETWORK}.port"
BAD: Final = (
    Case(
        "not a version",
        {"kubernetes.version": "v1.36"},
        ('spec.kubernetes.version "v1.36" is not a Kubernetes version; write it as v1.36.3',),
        ('spec.kubernetes.version: Invalid value: "v1.36": is not a Kubernetes version; write it as v1.36.3',),
    ),
    Case(
        "a version without its letter",
        {"kubernetes.version": "1.36.3"},
        ('spec.kubernetes.version "1.36.3" is not a Kubernetes version; write it as v1.36.3',),
        ("is not a Kubernetes version",),
    ),
    Case(
        "too new",
        {"kubernetes.version": "v1.38.0"},
        ("spec.kubernetes.version v1.38.0 is too new; supported are 1.34 to 1.37",),
        ('spec.kubernetes.version: Invalid value: "v1.38.0": is newer than this release knows; write a version up to v1.37',),
    ),
    Case(
        "admission plugins of other minors",
        {"kubernetes.version": "v1.34.4", "kubernetes.admissionControllers": ["NodeRestriction", "JobValidation", "PodResizeValidator"]},
        (
            "spec.kubernetes.admissionControllers[1] JobValidation is not known to v1.34.4; it is there in 1.36 only",
            "spec.kubernetes.admissionControllers[2] PodResizeValidator is not known to v1.34.4; it is there from 1.36 on",
        ),
        (
            "spec.kubernetes.admissionControllers: Invalid value",
            "has a plugin that this version does not have (JobValidation in 1.36 only, NodeDeclaredFeatureValidator from 1.35 on",
        ),
    ),
    Case(
        "an admission plugin that is gone",
        {"kubernetes.version": "v1.37.2", "kubernetes.admissionControllers": ["PodGroupWorkloadExists"]},
        ("spec.kubernetes.admissionControllers[0] PodGroupWorkloadExists is not known to v1.37.2; it is there in 1.36 only",),
        ("has a plugin that this version does not have",),
    ),
    Case(
        "version missing",
        {"kubernetes.version": REMOVED},
        ("spec.kubernetes.version is missing; it must be given",),
        ("spec.kubernetes.version: Required value",),
    ),
    Case(
        "not a CIDR",
        {f"{NETWORK}.serviceCidrs": ["10.96.0.0/33"]},
        ('spec.networkProfile.serviceCidrs[0] "10.96.0.0/33" is not a CIDR; write an IPv4 or IPv6 network such as 10.96.0.0/16',),
        ('spec.networkProfile.serviceCidrs[0]: Invalid value: "10.96.0.0/33": is not a CIDR; write',),
    ),
    Case(
        "an address is not a CIDR",
        {f"{NETWORK}.podCidr": "10.244.0.0"},
        ('spec.networkProfile.podCidr "10.244.0.0" is not a CIDR; write an IPv4 or IPv6 network such as 10.96.0.0/16',),
        ("spec.networkProfile.podCidr: Invalid value",),
    ),
    Case(
        "pods overlap Services",
        {f"{NETWORK}.podCidrs": ["10.0.0.0/8"]},
        (
            (
                "spec.networkProfile.podCidrs[0] 10.0.0.0/8 overlaps with the default of spec.networkProfile.serviceCidrs 10.96.0.0/16; "
                "write networks that do not"
            ),
        ),
        ("spec.networkProfile.podCidrs: Invalid value", "the pod network and the Service network overlap"),
    ),
    Case(
        "the second networks overlap",
        {f"{NETWORK}.serviceCidrs": ["10.96.0.0/16", "fd00::/112"], f"{NETWORK}.podCidrs": ["10.244.0.0/16", "fd00::/56"]},
        (
            "spec.networkProfile.podCidrs[1] fd00::/56 overlaps with spec.networkProfile.serviceCidrs[1] fd00::/112; write networks that do not",
        ),
        ("the pod network and the Service network overlap",),
    ),
    Case(
        "two networks of one family",
        {f"{NETWORK}.serviceCidrs": ["10.96.0.0/16", "10.97.0.0/16"], f"{NETWORK}.podCidrs": ["fd00:2::/56", "fd00:3:1::/56"]},
        (
            "spec.networkProfile.serviceCidrs has two IPv4 networks; dual stack is one IPv4 and one IPv6 network",
            "spec.networkProfile.podCidrs has two IPv6 networks; dual stack is one IPv4 and one IPv6 network",
        ),
        ("spec.networkProfile.serviceCidrs: Invalid value", "spec.networkProfile.podCidrs: Invalid value", "networks of one family"),
    ),
    Case(
        "three networks",
        {f"{NETWORK}.serviceCidrs": ["10.96.0.0/16", "fd00::/112", "10.97.0.0/16"]},
        ("spec.networkProfile.serviceCidrs has 3 elements; at most 2 are possible",),
        ("spec.networkProfile.serviceCidrs: Too many: 3: must have at most 2 items",),
    ),
    Case(
        "Service network too small",
        {f"{NETWORK}.serviceCidrs": ["10.96.0.0/30"]},
        ("spec.networkProfile.serviceCidrs[0] 10.96.0.0/30 is too small for Services; write a network from /12 to /28",),
        ("the Service network is too large or too small",),
    ),
    Case(
        "Service network too large",
        {f"{NETWORK}.serviceCidrs": ["fd00::/64"]},
        ("spec.networkProfile.serviceCidrs[0] fd00::/64 is too large for Services; write a network from /108 to /124",),
        ("the Service network is too large or too small",),
    ),
    Case(
        "pod network smaller than one node's",
        {f"{NETWORK}.podCidrs": ["10.244.0.0/26"]},
        (
            (
                "spec.networkProfile.podCidrs[0] 10.244.0.0/26 does not fit networks of /24 for each node; write a network from /8 to /24, or set "
                "--node-cidr-mask-size in spec.controlPlane.deployment.extraArgs.controllerManager"
            ),
        ),
        ("spec.networkProfile.podCidrs: Invalid value", "each node gets a /24"),
    ),
    Case(
        "DNS outside the Service network",
        {f"{NETWORK}.dnsServiceIPs": ["10.97.0.10"]},
        ('spec.networkProfile.dnsServiceIPs[0] "10.97.0.10" is outside the Service network 10.96.0.0/16; write one of its addresses',),
        ("spec.networkProfile.dnsServiceIPs: Invalid value", "outside the Service network"),
    ),
    Case(
        "not an address",
        {f"{NETWORK}.address": "acme.example.com", f"{NETWORK}.dnsServiceIPs": ["10.96.0.300"]},
        (
            'spec.networkProfile.address "acme.example.com" is not an IP address; write for example 192.0.2.7 or 2001:db8::7',
            'spec.networkProfile.dnsServiceIPs[0] "10.96.0.300" is not an IP address; write for example 192.0.2.7 or 2001:db8::7',
        ),
        ('spec.networkProfile.address: Invalid value: "acme.example.com": is not an IP address', "spec.networkProfile.dnsServiceIPs[0]"),
    ),
    Case(
        "not a name in the certificate",
        {f"{NETWORK}.certSANs": ["acme.example.com", "https://acme"]},
        (
            (
                'spec.networkProfile.certSANs[1] "https://acme" is neither an IP address nor a DNS name; write for example 192.0.2.7, '
                "acme.example.com or *.example.com"
            ),
        ),
        ("spec.networkProfile.certSANs[1]: Invalid value", "neither an IP address nor a DNS name"),
    ),
    Case(
        "a domain without a dot",
        {f"{NETWORK}.clusterDomain": "local"},
        ('spec.networkProfile.clusterDomain "local" is not a DNS domain with at least two parts; write for example cluster.local',),
        ('spec.networkProfile.clusterDomain: Invalid value: "local": is not a DNS domain',),
    ),
    Case(
        "port out of range",
        {_PORT: 70000},
        ("spec.networkProfile.port 70000 is out of range; write a number from 1 to 65535",),
        ("spec.networkProfile.port: Invalid value: 70000: spec.networkProfile.port in body should be less than or equal to 65535",),
    ),
    Case(
        "port of another container",
        {_PORT: 10257},
        (
            "spec.networkProfile.port 10257 is used by another container of the pod; choose a port other than 8133, 8134, 8135, 10257, 10259",
        ),
        ("spec.networkProfile.port: Invalid value: 10257: is used by another container",),
    ),
    Case(
        "port of konnectivity",
        {_PORT: 8132, "addons.konnectivity": {}},
        ("spec.networkProfile.port 8132 is that of konnectivity (spec.addons.konnectivity.server.port) as well; choose another one",),
        ("spec.networkProfile.port: Invalid value", "port is that of konnectivity"),
    ),
    Case(
        "konnectivity below 1024",
        {"addons.konnectivity.server.port": 443},
        (
            (
                "spec.addons.konnectivity.server.port 443 is not a port konnectivity takes; choose one from 1024 to 49151 other than 8133, 8134, "
                "8135, 10257, 10259"
            ),
        ),
        ("spec.addons.konnectivity.server.port: Invalid value: 443: is not a port konnectivity takes",),
    ),
    Case(
        "konnectivity among the ephemeral ports",
        {"addons.konnectivity.server.port": 49152},
        (
            (
                "spec.addons.konnectivity.server.port 49152 is not a port konnectivity takes; choose one from 1024 to 49151 other than 8133, "
                "8134, 8135, 10257, 10259"
            ),
        ),
        ("spec.addons.konnectivity.server.port: Invalid value: 49152: is not a port konnectivity takes",),
    ),
    Case(
        "name of a port",
        {f"{SERVICE}.additionalPorts": [{"name": "Web", "port": 80}]},
        ('spec.controlPlane.service.additionalPorts[0].name "Web" is not the name of a port; write a-z, 0-9 and "-"',),
        ('spec.controlPlane.service.additionalPorts[0].name: Invalid value: "Web": is not the name of a port',),
    ),
    Case(
        "an external IP without an address",
        {f"{SERVICE}.serviceType": "ClusterIP", f"{NETWORK}.allowAddressAsExternalIP": True},
        (
            (
                "spec.networkProfile.allowAddressAsExternalIP needs spec.networkProfile.address, and "
                "spec.controlPlane.service.serviceType ClusterIP or NodePort"
            ),
        ),
        ("spec.networkProfile.allowAddressAsExternalIP: Invalid value", "allowAddressAsExternalIP needs address"),
    ),
    Case(
        "an external IP of a load balancer",
        {f"{NETWORK}.address": "192.0.2.7", f"{NETWORK}.allowAddressAsExternalIP": True},
        (
            (
                "spec.networkProfile.allowAddressAsExternalIP needs spec.networkProfile.address, and "
                "spec.controlPlane.service.serviceType ClusterIP or NodePort"
            ),
        ),
        ("allowAddressAsExternalIP needs address",),
    ),
    Case(
        "names that reach into another tenant's data",
        {"dataStoreSchema": "a/b", "dataStoreUsername": "root"},
        (
            'spec.dataStoreSchema "a/b" cannot keep tenants apart; write a name without "/" other than root',
            'spec.dataStoreUsername "root" cannot keep tenants apart; write a name without "/" other than root',
        ),
        (
            'spec.dataStoreSchema: Invalid value: "a/b": cannot keep tenants apart',
            'spec.dataStoreUsername: Invalid value: "root": cannot keep tenants apart',
        ),
    ),
    Case(
        "a user whose name does not fit into a certificate",
        {"dataStoreUsername": "u" * 65},
        (f'spec.dataStoreUsername "{"u" * 65}" has 65 characters; at most 64 are possible',),
        ("spec.dataStoreUsername: Too long: may not be more than 64",),
    ),
    Case(
        "overrides that are none",
        {"dataStore": "one", "dataStoreOverrides": [{"resource": "events", "dataStore": "two"}, {"resource": "/pods", "dataStore": "one"}]},
        (
            'spec.dataStoreOverrides[0].resource "events" is not group/resource; write for example /events or coordination.k8s.io/leases',
            'spec.dataStoreOverrides[1].dataStore "one" keeps everything else already (spec.dataStore); name another one',
        ),
        (
            'spec.dataStoreOverrides[0].resource: Invalid value: "events": is not group/resource',
            "spec.dataStoreOverrides: Invalid value",
            "dataStoreOverrides names the DataStore that keeps everything else",
        ),
    ),
    Case(
        "the default datastore as an override",
        {"dataStoreOverrides": [{"resource": "/events", "dataStore": "default"}]},
        ('spec.dataStoreOverrides[0].dataStore "default" keeps everything else already (spec.dataStore); name another one',),
        ("dataStoreOverrides names the DataStore that keeps everything else (default when dataStore is not set)",),
    ),
    Case(
        "a datastore named and chosen",
        {"dataStore": "one", "dataStoreSelector": {}},
        ("spec.dataStoreSelector chooses a DataStore and spec.dataStore names one; keep one of them",),
        ("spec.dataStoreSelector: Invalid value", "dataStoreSelector chooses a DataStore and dataStore names one"),
    ),
    Case(
        "selectors of datastores that select nothing",
        {"dataStoreSelector": {"matchExpressions": [{"key": "zone", "operator": "In"}]}},
        ("spec.dataStoreSelector.matchExpressions[0].values is empty; In needs at least one value",),
        ("spec.dataStoreSelector.matchExpressions: Invalid value", "In and NotIn need at least one of values"),
    ),
    Case(
        "the same resource overridden twice",
        {"dataStoreOverrides": [{"resource": "/events", "dataStore": "two"}, {"resource": "/events", "dataStore": "three"}]},
        ('spec.dataStoreOverrides[1] has the same resource "/events" as spec.dataStoreOverrides[0]; each may appear once',),
        ('spec.dataStoreOverrides[1]: Duplicate value: {"resource":"/events"}',),
    ),
    *(
        Case(
            f"a budget of {value}",
            {"dataStoreBudget": value},
            (f"spec.dataStoreBudget {shown} is no budget; write a size of 1Mi or more, for example 512Mi",),
            ("spec.dataStoreBudget: Invalid value", "is no budget; write a size of 1Mi or more"),
        )
        for value, shown in (("1000k", '"1000k"'), ("-1Gi", '"-1Gi"'), (1024, "1024"))
    ),
    Case(
        "an override without a datastore",
        {"dataStoreOverrides": [{"resource": "/events", "dataStore": ""}]},
        ("spec.dataStoreOverrides[0].dataStore is empty; write a text",),
        ("spec.dataStoreOverrides[0].dataStore: Invalid value",),
    ),
    Case(
        "additional port that is ours",
        {f"{SERVICE}.additionalPorts": [{"name": "kube-apiserver", "port": 80}, {"name": "b", "port": 6443}]},
        (
            'spec.controlPlane.service.additionalPorts[0].name "kube-apiserver" is the name of one of our own ports; choose another name',
            "spec.controlPlane.service.additionalPorts[1].port 6443 is that of the API server or of konnectivity; choose another one",
        ),
        ("additionalPorts must not use the names", "additionalPorts has the port of the API server"),
    ),
    Case(
        "source ranges without a load balancer",
        {
            f"{SERVICE}.serviceType": "ClusterIP",
            f"{SERVICE}.allocateLoadBalancerNodePorts": True,
            f"{NETWORK}.loadBalancerSourceRanges": ["198.18.0.0/15"],
            f"{NETWORK}.loadBalancerClass": "example.com/lb",
        },
        (
            "spec.networkProfile.loadBalancerClass needs spec.controlPlane.service.serviceType LoadBalancer, which is ClusterIP",
            "spec.networkProfile.loadBalancerSourceRanges needs spec.controlPlane.service.serviceType LoadBalancer, which is ClusterIP",
            "spec.controlPlane.service.allocateLoadBalancerNodePorts needs serviceType LoadBalancer, which is ClusterIP",
        ),
        ("loadBalancerClass needs", "loadBalancerSourceRanges needs", "allocateLoadBalancerNodePorts needs"),
    ),
    Case(
        "NodePort without an address",
        {f"{SERVICE}.serviceType": "NodePort"},
        (
            "spec.networkProfile.address is missing, and serviceType NodePort needs it; write the address under which workers reach the nodes",
        ),
        ("address is needed with controlPlane.service.serviceType NodePort",),
    ),
    Case(
        "ingress and gateway",
        {"controlPlane.ingress": {"hostname": "a.example"}, "controlPlane.gateway": {"hostname": "a.example"}},
        ("spec.controlPlane has both ingress and gateway; keep one of them",),
        ("spec.controlPlane: Invalid value", "ingress and gateway exclude each other"),
    ),
    Case(
        "two families",
        {f"{SERVICE}.ipFamilies": ["IPv6", "IPv6"]},
        (
            "spec.controlPlane.service.ipFamilies has IPv6 twice; write IPv4 and IPv6 in the order you want",
            'spec.controlPlane.service.ipFamilyPolicy "" does not go with two ipFamilies; write PreferDualStack or RequireDualStack',
        ),
        ("spec.controlPlane.service.ipFamilies: Invalid value", "ipFamilyPolicy must be PreferDualStack or RequireDualStack"),
    ),
    Case(
        "not a host name",
        {"controlPlane.ingress": {"hostname": "https://acme"}},
        ('spec.controlPlane.ingress.hostname "https://acme" is not a host name; write a DNS name such as acme.example.com',),
        ('spec.controlPlane.ingress.hostname: Invalid value: "https://acme": is not a host name',),
    ),
    Case(
        "unknown fields",
        {
            f"{NETWORK}.servicecidrs": ["10.96.0.0/16"],
            f"{DEPLOYMENT}.additionalContainers": [{**CONTAINER, "imagePolicy": "Always"}],
            "zzz": 1,
        },
        (
            "spec.networkProfile.servicecidrs is not a known field; did you mean serviceCidrs?",
            "spec.controlPlane.deployment.additionalContainers[0].imagePolicy is not a known field; did you mean imagePullPolicy?",
            (
                "spec.zzz is not a known field; known are dataStore, dataStoreSelector, dataStoreSchema, dataStoreUsername, dataStoreOverrides, "
                "dataStoreBudget, kubernetes, controlPlane, networkProfile, addons, certificates, writePermissions"
            ),
        ),
        (
            'unknown field "spec.networkProfile.servicecidrs"',
            'unknown field "spec.controlPlane.deployment.additionalContainers[0].imagePolicy"',
            'unknown field "spec.zzz"',
        ),
    ),
    Case(
        "wrong types",
        {
            _PORT: "6443",
            f"{DEPLOYMENT}.replicas": True,
            f"{NETWORK}.certSANs": "acme.example.com",
            f"{DEPLOYMENT}.additionalMetadata.labels": {"a": 1},
            "addons": [],
        },
        (
            'spec.networkProfile.port "6443" is not a whole number',
            'spec.networkProfile.certSANs "acme.example.com" is not a list; write a list',
            "spec.controlPlane.deployment.replicas true is not a whole number",
            "spec.controlPlane.deployment.additionalMetadata.labels.a 1 is not a text; put it in quotes",
            "spec.addons [] is not a mapping; its fields are coreDNS, kubeProxy, konnectivity, imagePullSecrets",
        ),
        ("spec.networkProfile.port", "spec.networkProfile.certSANs", "spec.controlPlane.deployment.replicas"),
    ),
    Case(
        "impossible choices",
        {
            f"{SERVICE}.serviceType": "Loadbalancer",
            "kubernetes.admissionControllers": ["PodSecurityPolicy"],
            "certificates.keyAlgorithm": "RSA-1024",
            f"{DEPLOYMENT}.hardening": "strict",
        },
        (
            'spec.kubernetes.admissionControllers[0] "PodSecurityPolicy" is not possible; did you mean PodSecurity?',
            'spec.controlPlane.service.serviceType "Loadbalancer" is not possible; did you mean LoadBalancer?',
            'spec.controlPlane.deployment.hardening "strict" is not possible; did you mean restricted?',
            'spec.certificates.keyAlgorithm "RSA-1024" is not possible; did you mean RSA-2048?',
        ),
        ("spec.kubernetes.admissionControllers[0]", "spec.controlPlane.service.serviceType", "spec.certificates.keyAlgorithm", "hardening"),
    ),
    Case(
        "quantities",
        {f"{DEPLOYMENT}.resources.apiServer.requests": {"cpu": 0.5, "memory": "1 GB"}},
        (
            'spec.controlPlane.deployment.resources.apiServer.requests.cpu 0.5 is not a quantity such as 100m, "0.5" or 1Gi; put it in quotes',
            'spec.controlPlane.deployment.resources.apiServer.requests.memory "1 GB" is not a quantity such as 100m, "0.5" or 1Gi',
        ),
        (
            "spec.controlPlane.deployment.resources.apiServer.requests.cpu",
            "spec.controlPlane.deployment.resources.apiServer.requests.memory",
        ),
    ),
    Case(
        "the same container twice",
        {f"{DEPLOYMENT}.additionalContainers": [CONTAINER, CONTAINER]},
        (
            (
                'spec.controlPlane.deployment.additionalContainers[1] has the same name "side" as '
                "spec.controlPlane.deployment.additionalContainers[0]; each may appear once"
            ),
        ),
        ('spec.controlPlane.deployment.additionalContainers[1]: Duplicate value: {"name":"side"}',),
    ),
    Case(
        "the same mount path twice",
        {
            f"{DEPLOYMENT}.additionalVolumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}],
            f"{DEPLOYMENT}.additionalVolumeMounts.scheduler": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}],
        },
        (
            (
                'spec.controlPlane.deployment.additionalVolumeMounts.scheduler[1] has the same mountPath "/a" as '
                "spec.controlPlane.deployment.additionalVolumeMounts.scheduler[0]; each may appear once"
            ),
        ),
        ('spec.controlPlane.deployment.additionalVolumeMounts.scheduler[1]: Duplicate value: {"mountPath":"/a"}',),
    ),
    Case(
        "names and paths of our own",
        {
            f"{DEPLOYMENT}.additionalContainers": [{**CONTAINER, "name": "kube-scheduler"}],
            f"{DEPLOYMENT}.additionalInitContainers": [{**CONTAINER, "name": "kine"}],
            f"{DEPLOYMENT}.additionalVolumes": [{"name": "konnectivity-uds", "emptyDir": {}}],
            f"{DEPLOYMENT}.additionalVolumeMounts.apiServer": [{"name": "konnectivity-uds", "mountPath": "/etc/kubernetes/"}],
        },
        (
            (
                'spec.controlPlane.deployment.additionalContainers[0].name "kube-scheduler" is the name of one of our own containers; '
                "choose another name"
            ),
            (
                'spec.controlPlane.deployment.additionalInitContainers[0].name "kine" is the name of one of our own containers; '
                "choose another name"
            ),
            (
                'spec.controlPlane.deployment.additionalVolumes[0].name "konnectivity-uds" is the name of one of our own volumes; '
                "choose another name"
            ),
            (
                'spec.controlPlane.deployment.additionalVolumeMounts.apiServer[0].mountPath "/etc/kubernetes/" is one of our own; '
                "mount below it or elsewhere"
            ),
        ),
        (
            "spec.controlPlane.deployment.additionalContainers: Invalid value",
            "spec.controlPlane.deployment.additionalInitContainers: Invalid value",
            "spec.controlPlane.deployment.additionalVolumes: Invalid value",
            "spec.controlPlane.deployment.additionalVolumeMounts.apiServer: Invalid value",
        ),
    ),
    Case(
        "an audit log nowhere",
        {"kubernetes.audit": {"policy": {"rules": [{"level": "None"}]}, "log": {"volumeName": "audit"}}},
        ('spec.kubernetes.audit.log.volumeName "audit" is none of spec.controlPlane.deployment.additionalVolumes; add that volume',),
        ("spec.kubernetes.audit.log.volumeName: Invalid value", "volumeName is none of controlPlane.deployment.additionalVolumes"),
    ),
    Case(
        "files of a log that has none",
        {"kubernetes.audit": {"policy": {"rules": [{"level": "None"}]}, "log": {"maxBackups": 3}}},
        (
            (
                "spec.kubernetes.audit.log.maxBackups is a setting of files, which need spec.kubernetes.audit.log.volumeName; "
                "the container's output is kept by the kubelet"
            ),
        ),
        ("spec.kubernetes.audit.log: Invalid value", "log has settings of files, which need volumeName"),
    ),
    Case(
        "authorizers that lack one",
        {"kubernetes.authorization.authorizers": [{"type": "Node", "name": "a"}, {"type": "Webhook", "name": "b"}]},
        (
            "spec.kubernetes.authorization.authorizers must hold type RBAC once; workers and the control plane's own programs need it",
            "spec.kubernetes.authorization.authorizers[1].webhook belongs to type Webhook, and to no other; type is Webhook",
        ),
        (
            "spec.kubernetes.authorization.authorizers: Invalid value",
            "must hold Node and RBAC once each",
            "webhook belongs to type Webhook",
        ),
    ),
    Case(
        "flags of what a field sets",
        {
            "kubernetes.audit.policy": {"rules": [{"level": "None"}]},
            "kubernetes.authentication": {"anonymous": {"enabled": False}},
            f"{DEPLOYMENT}.extraArgs.apiServer": ["--v=2", "--audit-log-path=/x", "--anonymous-auth=true"],
        },
        (
            (
                'spec.controlPlane.deployment.extraArgs.apiServer[1] "--audit-log-path=/x" is what spec.kubernetes.audit sets; '
                "use the field or the flags, not both"
            ),
            (
                'spec.controlPlane.deployment.extraArgs.apiServer[2] "--anonymous-auth=true" is what spec.kubernetes.authentication sets; '
                "use the field or the flags, not both"
            ),
        ),
        ("spec.controlPlane.deployment.extraArgs.apiServer: Invalid value", "extraArgs has a flag of what spec.kubernetes sets"),
    ),
    Case(
        "a strategy that contradicts itself",
        {f"{DEPLOYMENT}.strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
        ("spec.controlPlane.deployment.strategy.rollingUpdate needs type RollingUpdate, which is Recreate",),
        ("spec.controlPlane.deployment.strategy.rollingUpdate: Invalid value", "rollingUpdate needs type RollingUpdate"),
    ),
    Case(
        "the same name for a container and an init container, and a volume that is none",
        {
            f"{DEPLOYMENT}.additionalContainers": [CONTAINER],
            f"{DEPLOYMENT}.additionalInitContainers": [CONTAINER],
            f"{DEPLOYMENT}.additionalVolumes": [{"name": "audit", "emptyDir": {}}],
            f"{DEPLOYMENT}.additionalVolumeMounts.apiServer": [{"name": "audit", "mountPath": "/a"}, {"name": "log", "mountPath": "/b"}],
        },
        (
            (
                'spec.controlPlane.deployment.additionalInitContainers[0].name "side" is the name of one of additionalContainers as well; '
                "choose another name"
            ),
            ('spec.controlPlane.deployment.additionalVolumeMounts.apiServer[1].name "log" is no volume of additionalVolumes; add it there'),
        ),
        (
            "spec.controlPlane.deployment.additionalInitContainers: Invalid value",
            "spec.controlPlane.deployment.additionalVolumeMounts: Invalid value",
            "names a volume that additionalVolumes does not have",
        ),
    ),
    Case(
        "labels and annotations",
        {
            f"{SERVICE}.additionalMetadata": {"labels": {"example.com/a/b": "x"}, "annotations": {"a b": "any text at all"}},
            f"{DEPLOYMENT}.podAdditionalMetadata.labels": {"team": "A & B"},
        },
        (
            (
                'spec.controlPlane.service.additionalMetadata.labels has the name "example.com/a/b", which Kubernetes does not take; write a '
                "name such as example.com/team"
            ),
            (
                'spec.controlPlane.service.additionalMetadata.annotations has the name "a b", which Kubernetes does not take; write a name '
                "such as example.com/team"
            ),
            (
                'spec.controlPlane.deployment.podAdditionalMetadata.labels.team "A & B" is not the value of a label; write A-Z, a-z, 0-9, '
                '"-", "_" and ".", with a letter or digit at both ends'
            ),
        ),
        (
            "spec.controlPlane.service.additionalMetadata.labels: Invalid value",
            "spec.controlPlane.service.additionalMetadata.annotations: Invalid value",
            "spec.controlPlane.deployment.podAdditionalMetadata.labels: Invalid value",
        ),
    ),
    Case(
        "numbers of probes",
        {f"{DEPLOYMENT}.probes": {"liveness": {"successThreshold": 2}, "startup": {"periodSeconds": 0}}},
        (
            "spec.controlPlane.deployment.probes.liveness.successThreshold 2 is out of range; write a number from 1 to 1",
            "spec.controlPlane.deployment.probes.startup.periodSeconds 0 is out of range; write a number of at least 1",
        ),
        ("probes.liveness.successThreshold", "probes.startup.periodSeconds"),
    ),
    Case(
        "replicas of agents that are a DaemonSet",
        {"addons.konnectivity.agent": {"replicas": 3}},
        ("spec.addons.konnectivity.agent.replicas 3 needs mode Deployment; a DaemonSet runs one agent on each node",),
        ("spec.addons.konnectivity.agent.replicas: Invalid value", "replicas needs mode Deployment"),
    ),
    Case(
        "no agents",
        {"addons.konnectivity.agent": {"mode": "Deployment", "replicas": 0}},
        ("spec.addons.konnectivity.agent.replicas 0 is too few; write at least 1 with mode Deployment",),
        ("replicas must be at least 1",),
    ),
    Case(
        "a patch of no kind",
        {"kubernetes.kubelet.configurationJSONPatches": [{"op": "set", "path": "/a", "value": 1}]},
        ('spec.kubernetes.kubelet.configurationJSONPatches[0].op "set" is not possible; known are add, remove, replace, move, copy, test',),
        ("spec.kubernetes.kubelet.configurationJSONPatches[0].op",),
    ),
    Case(
        "a patch without its source, and one of no field",
        {
            "kubernetes.kubelet.configurationJSONPatches": [{"op": "move", "path": "/a"}],
            "addons.kubeProxy.configurationJSONPatches": [{"op": "remove", "path": "mode"}],
        },
        (
            "spec.kubernetes.kubelet.configurationJSONPatches[0].from is missing; move and copy need it",
            'spec.addons.kubeProxy.configurationJSONPatches[0].path "mode" is not a JSON pointer; begin it with "/"',
        ),
        (
            "spec.kubernetes.kubelet.configurationJSONPatches[0]: Invalid value",
            "from is missing; move and copy need it",
            'spec.addons.kubeProxy.configurationJSONPatches[0].path: Invalid value: "mode": is not a JSON pointer',
        ),
    ),
)
BAD_CHANGES: Final = (
    Case(
        "downgrade",
        {"kubernetes.version": "v1.35.4"},
        ("spec.kubernetes.version: a downgrade from v1.36.3 to v1.35.4 is not possible; create a new tenant, or stay on 1.36",),
        ("spec.kubernetes.version: Invalid value", "version cannot go back from v1.36.3 to v1.35.4"),
        old={},
    ),
    Case(
        "skipped minor",
        {"kubernetes.version": "v1.36.3"},
        ("spec.kubernetes.version: v1.34.4 to v1.36.3 skips a minor; upgrade to 1.35 first",),
        ("version cannot go from v1.34.4 to v1.36.3 at once",),
        old={"kubernetes.version": "v1.34.4"},
    ),
    Case(
        "minors skipped in two steps",
        {"kubernetes.version": "v1.36.3"},
        ("spec.kubernetes.version: v1.34.4 to v1.36.3 skips a minor; upgrade to 1.35 first",),
        (
            "spec.kubernetes.version: Invalid value",
            "version cannot go to v1.36.3 while v1.34.4 is installed: upgrade one minor at a time, each until it is Ready",
        ),
        old={"kubernetes.version": "v1.35.4"},
        installed="v1.34.4",
    ),
    Case(
        "back behind what is installed",
        {"kubernetes.version": "v1.35.4"},
        ("spec.kubernetes.version: a downgrade from v1.36.3 to v1.35.4 is not possible; create a new tenant, or stay on 1.36",),
        ("version cannot go back from v1.36.3, which is installed, to v1.35.4",),
        old={"kubernetes.version": "v1.35.1"},
        installed="v1.36.3",
    ),
    Case(
        "datastore removed",
        {},
        ('spec.dataStore is "one" and cannot be removed; name it again (a tenant moves to another one by backup and restore)',),
        ("spec.dataStore: Invalid value", "dataStore cannot be removed once it is set"),
        old={"dataStore": "one"},
    ),
    Case(
        "schema and user changed",
        {"dataStoreSchema": "b"},
        (
            'spec.dataStoreSchema is "a" and cannot become "b"; create another tenant control plane for that',
            'spec.dataStoreUsername is "a" and cannot be removed; write it again',
        ),
        ("spec.dataStoreSchema: Invalid value", "spec.dataStoreUsername: Invalid value"),
        old={"dataStoreSchema": "a", "dataStoreUsername": "a"},
    ),
    Case(
        "domain changed",
        {f"{NETWORK}.clusterDomain": "other.local"},
        (
            (
                'spec.networkProfile.clusterDomain is "cluster.local" and cannot become "other.local"; '
                "it is part of certificates and of every pod's DNS settings"
            ),
        ),
        ("spec.networkProfile.clusterDomain: Invalid value", "it cannot be changed"),
        old={},
    ),
    Case(
        "load-balancer class set later",
        {f"{NETWORK}.loadBalancerClass": "example.com/lb"},
        ('spec.networkProfile.loadBalancerClass is "" and cannot become "example.com/lb" while the Service is of type LoadBalancer',),
        ("spec.networkProfile.loadBalancerClass: Invalid value", "cannot be set, changed or removed"),
        old={},
    ),
)
BAD_NAMES: Final[Mapping[str, str]] = {
    "Acme": 'metadata.name "Acme" cannot be the name of a Service; write at most 63 of a-z, 0-9 and "-", with a letter first and no "-" at the end',
    "1acme": 'metadata.name "1acme" cannot be the name of a Service; write at most 63 of a-z, 0-9 and "-", with a letter first and no "-" at the end',
    "a.b": 'metadata.name "a.b" cannot be the name of a Service; write at most 63 of a-z, 0-9 and "-", with a letter first and no "-" at the end',
    "a" * 64: f'metadata.name "{"a" * 64}" has 64 characters and cannot be the name of a Service; write at most 63 of a-z, 0-9 and "-"',
}
