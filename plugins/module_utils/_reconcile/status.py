# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a TenantControlPlane, from what was observed. Pure. Field names and enum texts are the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget, names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import derive, endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, budgets_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import secret_specs
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import (
    SecretSpec,
    checksum,
    record_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status_parts import Parts, drop_none, time_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION

_CERTIFICATES: Final = {
    names.CA: "ca",
    names.API_SERVER: "apiServer",
    names.API_SERVER_KUBELET_CLIENT: "apiServerKubeletClient",
    names.FRONT_PROXY_CA: "frontProxyCA",
    names.FRONT_PROXY_CLIENT: "frontProxyClient",
    names.SERVICE_ACCOUNT: "sa",
}
_KUBECONFIGS: Final = {
    names.ADMIN_KUBECONFIG: "admin",
    names.CONTROLLER_MANAGER_KUBECONFIG: "controllerManager",
    names.SCHEDULER_KUBECONFIG: "scheduler",
}


@dataclass(frozen=True)
class Health:
    """What only looking from outside can tell. reached: an authenticated GET /readyz through the Service succeeded.

    exposed: the published endpoint answers from where the caller stands. message: what is missing, "" when nothing.
    """

    reached: bool
    exposed: bool
    message: str = ""


def build(desired: Desired, observed: Observed, plan: Plan, health: Health, checksums: Mapping[str, str], now: datetime) -> Json:
    """Return the whole status. plan: what is left to do (empty when converged). now: UTC."""
    builder = _Builder(desired, observed, plan, health, checksums, now)
    status: Json = drop_none(builder.status())
    return status


def ready_condition(status: Json) -> bool:
    """Whether a recorded status says Ready; a tenant that sleeps is, once it lacks nothing else."""
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in status.get("conditions") or [])


def refused(status: Json, message: str, now: datetime) -> Json:
    """The conditions of a stored definition that cannot be carried out: why it is not Ready, the others as they were."""
    before: list[Json] = status.get("conditions") or []
    others = [item for item in before if item.get("type") != "Ready"]
    return {"conditions": [condition(before, "Ready", true=False, reason="Refused", message=message, now=now), *others]}


def condition(before: list[Json], kind: str, *, true: bool, reason: str, message: str, now: datetime) -> Json:
    """A condition, with the time since which it holds. before: all conditions as recorded."""
    wanted = {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}
    same = next((item for item in before if item.get("type") == kind and item.get("status") == wanted["status"]), {})
    return {**wanted, "lastTransitionTime": same.get("lastTransitionTime") or time_text(now)}


def budget_conditions(before: list[Json], budgets: Sequence[DataBudget], now: datetime) -> list[Json]:
    """The condition of a tenant that has a budget; none of one that has none. before: all conditions as recorded."""
    found = data_budget.condition(budgets)
    if found is None:
        return []
    holds, reason, message = found
    return [condition(before, data_budget.CONDITION, true=holds, reason=reason, message=message, now=now)]


def merge_patch(before: Json, after: Json) -> Json:
    """The JSON merge patch (RFC 7386) from one object to another; {} when they are equal."""
    patch: Json = dict.fromkeys(key for key in before if key not in after)
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch


@dataclass(frozen=True)
class _Builder:
    desired: Desired
    observed: Observed
    plan: Plan
    health: Health
    checksums: Mapping[str, str]
    now: datetime

    def status(self) -> Json:
        resource = self.observed.resource or {}
        return {
            "observedGeneration": resource.get("metadata", {}).get("generation"),
            "controlPlaneEndpoint": self._endpoint(),
            "storage": self._storage(),
            "certificates": self._certificates(),
            "kubeconfig": {field: self._secret(suffix, "kubeconfig", field) for suffix, field in _KUBECONFIGS.items()},
            "kubernetesResources": self._resources(),
            "kubeadmconfig": self._parts.kubeadm_config(),
            "kubeadmPhase": {"bootstrapToken": self._parts.bootstrap_token()},
            "addons": self._addons(),
            "conditions": self._conditions(),
            "hosted": {
                "engineVersion": ENGINE_VERSION,
                "installed": self._installed() or None,
                **self._addresses(),
                "encryption": self._encryption(),
                "secrets": self._records(),
                "dataStores": self._stores() or None,
                "dataStoreBudgets": data_budget.to_status(self._budgets),
                "deferred": [path for item in self.plan.deferred for path in item.paths()] or None,
            },
        }

    def phase(self) -> str:
        """The reference's texts. Unlike there, an upgrade is told of a tenant whose writers are limited too."""
        deployment = self.observed.find("Deployment", self.desired.tenant.name) or {}
        if self.desired.tenant.asleep:
            return "Sleeping"
        if not deployment.get("status", {}).get("readyReplicas"):
            return "NotReady" if self._installed() else "Provisioning"
        if self.ready():
            return "WriteLimited" if self.desired.tenant.write_permissions or data_budget.is_limited(self._budgets) else "Ready"
        installed = self._recorded("kubernetesResources", "version", "version")
        if installed and installed != self.desired.tenant.version:
            return "Upgrading"
        return "NotReady" if installed else "Provisioning"

    def ready(self) -> bool:
        return self.health.reached and not self.plan and not self.health.message

    def _installed(self) -> bool:
        return self.ready() or bool(self._recorded("hosted", "installed"))

    def _stores(self) -> list[str]:
        """Stores of single resources, those of earlier definitions included: all are purged when the tenant is deleted."""
        now = [name for name, view in self.observed.overrides.items() if view and view.state and view.state.present]
        return list(dict.fromkeys((*self.observed.recorded_overrides, *now)))

    def _endpoint(self) -> str | None:
        found = endpoint(self.desired, self.observed)
        return host_port(*found) if found else None

    def _addresses(self) -> Json:
        """Recorded so that they are kept while the Service is away."""
        facts = derive(self.desired, self.observed)
        found = {"addresses": list(facts.addresses), "advertiseAddress": facts.advertise_address}
        return {key: value for key, value in found.items() if not has_unknown(value)}

    def _encryption(self) -> Json | None:
        """How far the way to the wanted keys is; as recorded while the Secret was not read."""
        tenant = self.desired.tenant
        state = self.observed.secrets.get(tenant.secret_name(names.ENCRYPTION))
        if state is None:
            return None
        if state.data is None:
            recorded: Json | None = self._recorded("hosted", "encryption")
            return recorded
        found = encryption.of(tenant, self.observed)
        return {"stage": found.stage, "key": found.key or None, "resources": sorted(encryption.read_layout(state.data))}

    def _storage(self) -> Json | None:
        view = self.observed.datastore
        if view is None:
            return None
        facts = derive(self.desired, self.observed)
        setup = {"schema": facts.schema, "user": facts.user}
        setup["checksum"] = checksum({key: value.encode() for key, value in setup.items()})
        return {
            "driver": view.driver,
            "dataStoreName": view.name,
            "config": self._secret(names.DATASTORE_CONFIG),
            "setup": self._parts.stamped(setup, "storage", "setup"),
            "certificate": self._secret(names.DATASTORE_CERTIFICATE, "storage", "certificate"),
        }

    def _certificates(self) -> Json:
        """etcd: the Secret with the API server's client certificate holds the authority of the store too."""
        found: Json = {field: self._secret(suffix, "certificates", field) for suffix, field in _CERTIFICATES.items()}
        if self.observed.datastore and self.observed.datastore.driver == ETCD:
            fields = ("apiServer", "ca")
            found["etcd"] = {field: self._secret(names.DATASTORE_CERTIFICATE, "certificates", "etcd", field) for field in fields}
        return found

    def _resources(self) -> Json:
        tenant = self.desired.tenant
        # Only what ran counts as installed: a version that is written while the tenant sleeps has not touched its data.
        version = tenant.version if self.ready() and not tenant.asleep else self._recorded("kubernetesResources", "version", "version")
        return {
            "version": {"version": version, "status": self.phase()},
            "deployment": self._parts.deployment(),
            "service": self._parts.service(common.API_SERVER),
            "ingress": self._ingress(),
            "gateway": self._gateway(tenant.name),
        }

    def _ingress(self) -> Json | None:
        live = self.observed.find("Ingress", self.desired.tenant.name)
        if live is None:
            return None
        identity = {key: live["metadata"][key] for key in ("name", "namespace")}
        return {**identity, "loadBalancer": live.get("status", {}).get("loadBalancer") or None}

    def _gateway(self, name: str) -> Json | None:
        """The live route and where it says its backend is found."""
        live = self.observed.find("TLSRoute", name)
        if live is None:
            return None
        port = next((rule["backendRefs"][0]["port"] for rule in live["spec"].get("rules", [])), None)
        route = self.desired.tenant.gateway
        published = (route and route.port) if name == self.desired.tenant.name else None
        points = [
            {"type": "Hostname", "value": host, "port": published or port, "urls": [f"https://{host}:{published or port}"]}
            for host in live["spec"].get("hostnames", [])
        ]
        return {"routeRef": {"name": name}, "accessPoints": points}

    def _addons(self) -> Json:
        path = ("addons", "konnectivity")
        return {
            "coreDNS": self._parts.core_dns(),
            "kubeProxy": self._parts.kube_proxy(),
            "konnectivity": {
                **self._parts.konnectivity(),
                "certificate": self._secret(names.KONNECTIVITY_CERTIFICATE, *path, "certificate"),
                "kubeconfig": self._secret(names.KONNECTIVITY_KUBECONFIG, *path, "kubeconfig"),
                "gateway": self._gateway(self.desired.tenant.name + names.TUNNEL_ROUTE),
            },
        }

    @property
    def _parts(self) -> Parts:
        return Parts(self.desired.tenant, self.observed, self.now)

    def _secret(self, suffix: str, *path: str) -> Json | None:
        """A Secret by name and checksum, and since when where the reference says so (path: where it stands)."""
        name = self.desired.tenant.secret_name(suffix)
        record = record_of(self.observed.secrets.get(name))
        if record is None:
            return None
        entry: Json = {"secretName": name, "checksum": record["checksum"]}
        return self._parts.stamped(entry, *path) if path else entry

    def _records(self) -> Json:
        specs = {self.desired.tenant.secret_name(s.suffix): s for s in self._specs()}
        records = {name: record_of(self.observed.secrets.get(name), spec) for name, spec in specs.items()}
        return {name: record for name, record in records.items() if record}

    def _specs(self) -> list[SecretSpec]:
        facts = derive(self.desired, self.observed)
        return secret_specs(self.desired, self.observed, type(facts)(**{**facts.__dict__, "checksums": self.checksums}))

    def _conditions(self) -> list[Json]:
        left = f"{len(self.plan.changes)} changes are left to do" if self.plan else ""
        ready = self.ready() or (self.desired.tenant.asleep and not self.plan)
        deferred = bool(self.plan.deferred)
        return [
            self._condition("Ready", ready, "Ready" if ready else "NotReady", self.health.message or left),
            self._condition("Exposed", self.health.exposed, "Answers" if self.health.exposed else "NoAnswer", ""),
            self._condition("Deferred", deferred, "NewerEngine" if deferred else "UpToDate", ""),
            *budget_conditions(self.observed.status.get("conditions") or [], self._budgets, self.now),
        ]

    @property
    def _budgets(self) -> tuple[DataBudget, ...]:
        return budgets_of(self.desired, self.observed)

    def _condition(self, kind: str, true: bool, reason: str, message: str) -> Json:
        before: list[Json] = self.observed.status.get("conditions") or []
        return condition(before, kind, true=true, reason=reason, message=message, now=self.now)

    def _recorded(self, *path: str) -> Any:
        return self._parts.recorded(*path)
