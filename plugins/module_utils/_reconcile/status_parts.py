# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the status that say which objects exist, and since when they are as they are. Pure.

What is inside a tenant that sleeps or does not answer stays as it was last seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.common import KUBE_PUBLIC, KUBE_SYSTEM, RBAC_API
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.konnectivity import AGENT, SERVER_USER
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import checksum

_CORE_DNS: Final = ObjectRef("apps/v1", "Deployment", KUBE_SYSTEM, "coredns")
_KUBE_PROXY: Final = ObjectRef("apps/v1", "DaemonSet", KUBE_SYSTEM, "kube-proxy")
_CLUSTER_INFO: Final = ObjectRef("v1", "ConfigMap", KUBE_PUBLIC, "cluster-info")
_AGENT_ACCOUNT: Final = ObjectRef("v1", "ServiceAccount", KUBE_SYSTEM, AGENT)
_SERVER_RIGHTS: Final = ObjectRef(RBAC_API, "ClusterRoleBinding", "", SERVER_USER)
_AGENTS: Final = tuple(ObjectRef("apps/v1", kind, KUBE_SYSTEM, AGENT) for kind in ("DaemonSet", "Deployment"))


@dataclass(frozen=True)
class Parts:
    """now: UTC."""

    tenant: TenantControlPlane
    observed: Observed
    now: datetime

    def stamped(self, wanted: Json | None, *path: str) -> Json | None:
        """An entry of the status with the time since which it says the same. path: where it stands."""
        if wanted is None:
            return None
        cleaned: Json = drop_none(wanted)
        before = self.recorded(*path) or {}
        same = {key: value for key, value in before.items() if key != "lastUpdate"} == cleaned
        return {**cleaned, "lastUpdate": (before.get("lastUpdate") if same else None) or time_text(self.now)}

    def recorded(self, *path: str) -> Any:
        """What the stored status has at a path, None when it has nothing there."""
        value: Any = self.observed.status
        for part in path:
            value = (value or {}).get(part)
        return value

    def deployment(self) -> Json | None:
        live = self.observed.find("Deployment", self.tenant.name)
        if live is None:
            return None
        selector = f"{names.LABEL_NAME}={self.tenant.name}"
        wanted = {**(live.get("status") or {}), **_identity(live), "selector": selector}
        return self.stamped(wanted, "kubernetesResources", "deployment")

    def service(self, port_name: str) -> Json | None:
        """The Service, with the number one of its ports has; None when it has no such port."""
        live = self.observed.find("Service", self.tenant.name)
        ports = {item.get("name"): item["port"] for item in (live or {}).get("spec", {}).get("ports", [])}
        if live is None or port_name not in ports:
            return None
        return {**(live.get("status") or {}), **_identity(live), "port": ports[port_name]}

    def kubeadm_config(self) -> Json | None:
        live = self.observed.find("ConfigMap", self.tenant.name + names.KUBEADM_CONFIG)
        wanted = live and {"configmapName": live["metadata"]["name"], "checksum": _sum(live)}
        return self.stamped(wanted, "kubeadmconfig")

    def bootstrap_token(self) -> Json | None:
        """What lets hosts join: the ConfigMap they begin with."""
        path = ("kubeadmPhase", "bootstrapToken")
        if self.observed.tenant is None:
            found: Json | None = self.recorded(*path)
            return found
        live = self.observed.tenant.get(_CLUSTER_INFO)
        # The controller manager adds a signature for each token.
        wanted = live and {"checksum": checksum({"kubeconfig": live.get("data", {}).get("kubeconfig", "").encode()})}
        return self.stamped(wanted, *path)

    def core_dns(self) -> Json | None:
        return self._addon("coreDNS", _CORE_DNS)

    def kube_proxy(self) -> Json | None:
        return self._addon("kubeProxy", _KUBE_PROXY)

    def konnectivity(self) -> Json:
        """Its objects here and inside the tenant, but for its Secrets."""
        live = self.observed.find("ConfigMap", self.tenant.name + names.EGRESS_SELECTOR)
        return {
            "enabled": live is not None,
            "configMap": live and {"name": live["metadata"]["name"], "checksum": _sum(live)},
            "service": self.service(common.KONNECTIVITY),
            "sa": self._inside("sa", _AGENT_ACCOUNT),
            "clusterrolebinding": self._inside("clusterrolebinding", _SERVER_RIGHTS),
            "agent": self._inside("agent", *_AGENTS),
        }

    def _addon(self, field: str, reference: ObjectRef) -> Json | None:
        if self.observed.tenant is None:
            found: Json | None = self.recorded("addons", field)
            return found
        return self.stamped({"enabled": reference in self.observed.tenant}, "addons", field)

    def _inside(self, field: str, *candidates: ObjectRef) -> Json | None:
        """The first of some objects of konnectivity that exists in the tenant."""
        path = ("addons", "konnectivity", field)
        if self.observed.tenant is None:
            found: Json | None = self.recorded(*path)
            return found
        reference = next((item for item in candidates if item in (self.observed.tenant or {})), None)
        if reference is None:
            return None
        mode = {"mode": reference.kind} if len(candidates) > 1 else {}
        namespace = {"namespace": reference.namespace} if reference.namespace else {}
        return self.stamped({"name": reference.name, **namespace, **mode}, *path)


def drop_none(value: Any) -> Any:
    """The value without fields that are None or, then, empty mappings."""
    if isinstance(value, dict):
        cleaned = {key: drop_none(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in cleaned.items() if item != {}}
    return value


def time_text(time: datetime) -> str:
    """A time as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _identity(live: Json) -> Json:
    return {key: live["metadata"][key] for key in ("name", "namespace")}


def _sum(config_map: Json) -> str:
    return checksum({key: value.encode() for key, value in (config_map.get("data") or {}).items()})
