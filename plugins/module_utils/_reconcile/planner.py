# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan(desired, observed, now): the ordered changes that make one tenant what its definition says. Pure.

What cannot be known before something else is done (an address, a key's checksum) stands in the plan as UNKNOWN; the
executor plans again once it is known. A plan never holds a private key: keys are made when the change is applied.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port, is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import is_limited
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import DEFAULT_REPLICAS, KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.kubelet_verification import unverifiable_kubelets
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import (
    DatastoreInputs,
    ManagementInputs,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import (
    objects as management_objects,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.overruled import overruled
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import REFERENCE_GUARDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import (
    objects as tenant_objects,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.write_permissions import (
    BINDING,
    POLICY,
    write_permissions,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption, refusals, replicas, templates
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import Facts, derive
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import (
    MANAGERS,
    FieldChange,
    diff,
    owned_fields,
    without_manager,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.finalizers import hold
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, budgets_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import (
    MISSING,
    Action,
    Barrier,
    Change,
    Cluster,
    Deferred,
    Plan,
    share_part,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import plan_secrets, secret_specs
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage

# Made only with some definitions: for an addon, for a driver that authenticates by certificate.
_OPTIONAL_SECRETS: Final = frozenset(
    {names.KONNECTIVITY_CERTIFICATE, names.KONNECTIVITY_KUBECONFIG, names.DATASTORE_CERTIFICATE, names.ENCRYPTION}
)
# Of an adopted tenant too these are as we make them, whoever made its pods.
_BESIDE_ANY_PODS: Final = {
    Cluster.MANAGEMENT: frozenset({"Service", "Ingress", "TLSRoute"}),
    Cluster.TENANT: frozenset({POLICY.kind, BINDING.kind}),
}
_PRUNED_KINDS: Final = frozenset({"ConfigMap", "Service", "Ingress", "TLSRoute", "Deployment", "NetworkPolicy", "PodDisruptionBudget"})


def plan(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """Return the changes that make one tenant what `desired` says, in order of execution; empty when it is so already.

    now: UTC; decides which certificates are due.
    Raises HostedKubernetesError when the desired state cannot be reached from the observed one; nothing has been changed.
    """
    refusals.check(desired, observed)
    facts = derive(desired, observed)
    secrets = plan_secrets(desired, observed, facts, now)
    facts = replace(facts, checksums=secrets.checksums)
    planner = _Planner(desired, observed, facts, secrets.taken)
    datastore, password_unread = planner.datastore(password_is_made=names.DATASTORE_CONFIG in secrets.issued)
    deployment, deferred = planner.deployment()
    changes = [
        *planner.namespace(),
        *planner.resource(),
        *datastore,
        *secrets.changes,
        *planner.management_objects(),
        *planner.guards(),
        *deployment,
        *planner.scale(),
        *planner.inside_tenant(secrets.ca_certificate, rolling=planner.is_rolling(deployment)),
        *planner.encryption(),
        *planner.prune(),
    ]
    put_off = (*deferred, *planner.put_off(secrets.ca_certificate))
    return Plan(tuple(sorted(changes, key=_order)), put_off, secrets.unread | password_unread, planner.remarks())


def _order(change: Change) -> tuple[int, str, ObjectRef]:
    return (change.stage, change.cluster.value, change.object)


@dataclass(frozen=True)
class _Planner:
    """taken: Secrets that stay as another system made them, by suffix."""

    desired: Desired
    observed: Observed
    facts: Facts
    taken: Mapping[str, Json]

    @cached_property
    def keeps_pods(self) -> bool:
        """Whether pods that another system made stay, and with them what they rest on."""
        live = self.observed.find("Deployment", self.desired.tenant.name)
        rollout_now = self.desired.rollout_now
        return templates.taken(live) is not None and templates.stay(live, self.desired.tenant, self.facts, rollout_now=rollout_now)

    def namespace(self) -> Iterator[Change]:
        name = self.desired.tenant.namespace
        if not self.observed.namespace_exists:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            yield from self._apply(body, None, Stage.NAMESPACE)

    def resource(self) -> Iterator[Change]:
        if self.desired.manage_resource:
            body = self.desired.applied
            body["metadata"]["finalizers"] = [names.FINALIZER]
            yield from self._apply(body, self.observed.resource, Stage.RESOURCE)
        tenant, resource, manage = self.desired.tenant, self.observed.resource, self.desired.manage_resource
        is_foreign = names.SOOT_FINALIZER in ((resource or {}).get("metadata", {}).get("finalizers") or ())
        if is_foreign or not manage:
            ref = ObjectRef(KAMAJI_API_VERSION, KIND, tenant.namespace, tenant.name)
            stage, others = Stage.RESOURCE + int(manage), (names.SOOT_FINALIZER,)
            yield from hold(resource, ref, names.FINALIZER, owner=tenant.key, stage=stage, instead_of=others)

    def datastore(self, *, password_is_made: bool) -> tuple[list[Change], frozenset[str]]:
        """One change per missing part of the tenant's share, and the Secret whose content they need but that was not read.

        Parts rest on each other, so each has a stage of its own. password_is_made: whether the tenant gets a new password, which the
        store has to accept before pods have it.
        """
        changes: list[Change] = []
        for view in self.observed.shares:
            due = view.without_password() if password_is_made else view
            first = Stage.PASSWORDS if due.knows_passwords else Stage.FOUNDATION
            barrier = Barrier.KEYS if due.knows_passwords and password_is_made else Barrier.NONE
            for offset, part in enumerate(due.state.missing if due.state else ()):
                change = Change(
                    tenant=self.desired.tenant.key,
                    cluster=Cluster.DATASTORE,
                    object=share_part(view.name, part, self.facts.schema),
                    action=Action.GRANT,
                    reason=f"{part} is not the one in the tenant's Secret" if part == PASSWORD else f"{part} is missing",
                    stage=first + offset,
                    barrier=barrier,
                )
                changes.append(change)
        return changes, self._password_unread(changes)

    def _password_unread(self, changes: list[Change]) -> frozenset[str]:
        name = self.desired.tenant.secret_name(names.DATASTORE_CONFIG)
        state = self.observed.secrets.get(name)
        needed = any(change.object.kind == PASSWORD and change.barrier is Barrier.NONE for change in changes)
        return frozenset({name}) if needed and state is not None and state.data is None else frozenset()

    def management_objects(self) -> Iterator[Change]:
        for body in self._management():
            live = self.observed.objects.get(ObjectRef.of(body))
            if body["kind"] == "Service":
                yield from self._apply(self._keep_address(body, live), live, Stage.FOUNDATION)
            elif body["kind"] == "ConfigMap":
                yield from self._apply(self._keep_text(body, live), live, Stage.ADDRESSED)
            elif body["kind"] != "Deployment" and not self._is_put_off(body):
                yield from self._apply(body, live, Stage.FOUNDATION)

    def _is_put_off(self, body: Json, cluster: Cluster = Cluster.MANAGEMENT) -> bool:
        """Whether an object waits for pods of ours: what is beside those of another system stays as that has it."""
        return self.keeps_pods and body["kind"] not in _BESIDE_ANY_PODS[cluster]

    def _keep_text(self, body: Json, live: Json | None) -> Json:
        """A ConfigMap, with what it holds for pods that another system made."""
        return {**body, "data": live["data"]} if live and live.get("data") and self.keeps_pods else body

    def put_off(self, ca_certificate: str) -> Iterator[Deferred]:
        """What waits for pods of ours, beside their template. What is inside a tenant is only known while it answers."""
        if not self.keeps_pods:
            return
        tenant = self.desired.tenant
        for suffix, entry in sorted(self.taken.items()):
            reference = ObjectRef("v1", "Secret", tenant.namespace, tenant.secret_name(suffix))
            yield Deferred(tenant.key, reference, (FieldChange("data", None, None),), entry["reason"])
        for body in self._management():
            if body["kind"] != "Deployment":
                yield from self._deferred(body, self.observed.objects, Cluster.MANAGEMENT)
        inside = self.observed.tenant
        for body in tenant_objects(tenant, self._tenant_inputs(ca_certificate)) if inside is not None else ():
            yield from self._deferred(body, inside or {}, Cluster.TENANT)

    def _deferred(self, body: Json, seen: Mapping[ObjectRef, Json], cluster: Cluster) -> Iterator[Deferred]:
        reference = ObjectRef.of(body)
        fields = diff(body, seen.get(reference), names.FIELD_MANAGER)
        if body["kind"] == "ConfigMap" and cluster is Cluster.MANAGEMENT:
            fields = [item for item in fields if item.path.startswith("data") and reference in seen]
        if fields and self._is_put_off(body, cluster):
            yield Deferred(self.desired.tenant.key, reference, tuple(fields))

    def _keep_address(self, body: Json, live: Json | None) -> Json:
        """A Service that is made again asks for the address it had: workers and certificates know it."""
        address = self._cluster_ip()
        if address is None:
            return body
        if live is not None and "f:clusterIP" not in owned_fields(live, names.FIELD_MANAGER).get("f:spec", {}):
            return body
        return {**body, "spec": {**body["spec"], "clusterIP": address}}

    def _cluster_ip(self) -> str | None:
        """The cluster IP that others know: the published address, or the one advertised beside a load balancer's name."""
        network, kind = self.desired.tenant.network, self.desired.tenant.service.service_type
        if network.address or has_unknown(self.facts.advertise_address):
            return None
        if kind == "ClusterIP" and not has_unknown(self.facts.address):
            return self.facts.address
        named = kind == "LoadBalancer" and not network.advertise_address and not is_address(self.facts.address)
        return self.facts.advertise_address if named else None

    def deployment(self) -> tuple[list[Change], tuple[Deferred, ...]]:
        reference = ObjectRef.of(self._deployment)
        live = self.observed.objects.get(reference)
        rollout_now = self.desired.rollout_now
        body, deferred_fields = templates.settle(
            self._deployment, live, self.desired.tenant, self.facts, rollout_now=rollout_now, secrets=self.taken
        )
        deferred = (Deferred(self.desired.tenant.key, reference, deferred_fields),) if deferred_fields else ()
        return list(self._apply(body, live, Stage.DEPLOYMENT)), deferred

    def remarks(self) -> tuple[str, ...]:
        return (*overruled(self.desired.tenant, self._deployment), *unverifiable_kubelets(self.desired.tenant))

    def is_rolling(self, changes: Iterable[Change]) -> bool:
        """Whether pods of an older template serve, or will for a while: an upgraded tenant's objects wait for its API server."""
        live = self.observed.find("Deployment", self.desired.tenant.name)
        if live is None:
            return False
        status, spec = live.get("status") or {}, live["spec"]
        behind = status.get("observedGeneration", 0) < live["metadata"].get("generation", 0)
        old = status.get("updatedReplicas", 0) < min(status.get("replicas", 0), spec.get("replicas", 0))
        return behind or old or any(change.action is Action.ROLLOUT for change in changes)

    def guards(self) -> Iterator[Change]:
        """What asks the reference's operator about each write in the tenant goes, once our policy is there: nothing slips through."""
        live = self.observed.tenant or {}
        found = [reference for reference in REFERENCE_GUARDS if reference in live]
        for body in write_permissions(self.desired.tenant, over_budget=self._over_budget) if found else ():
            yield from self._apply(body, live.get(ObjectRef.of(body)), Stage.TAKE_OVER, Cluster.TENANT)
        for reference in found:
            change = self._delete(reference, Cluster.TENANT)
            yield replace(change, stage=Stage.TAKE_OVER + 1, reason="asks an operator that no longer keeps this tenant")

    def inside_tenant(self, ca_certificate: str, *, rolling: bool) -> Iterator[Change]:
        """What belongs into the tenant cluster. Nothing is looked at or planned in a tenant that sleeps."""
        if self.desired.tenant.asleep:
            return
        observed = self.observed.tenant
        if observed is None and self.observed.status.get("hosted", {}).get("installed"):
            return  # it has been filled before: what it lacks is only known once it answers
        barrier = Barrier.TENANT if observed is None else Barrier.ROLLOUT if rolling else Barrier.NONE
        live = observed or {}
        bodies = tenant_objects(self.desired.tenant, self._tenant_inputs(ca_certificate))
        guarded = {POLICY, BINDING} if any(reference in live for reference in REFERENCE_GUARDS) else set()
        for body in bodies:
            reference = ObjectRef.of(body)
            if reference not in guarded and not self._is_put_off(body, Cluster.TENANT):
                yield from self._apply(body, live.get(reference), Stage.TENANT, Cluster.TENANT, barrier)
        wanted = {ObjectRef.of(body) for body in bodies}
        yield from self._prune(live, wanted, Cluster.TENANT, barrier)

    def scale(self) -> Iterator[Change]:
        """So that the scale subresource can be read; see replicas.py."""
        number = replicas.missing(self.desired, self.observed)
        if number is not None:
            tenant = self.desired.tenant
            yield Change(
                tenant=tenant.key,
                cluster=Cluster.MANAGEMENT,
                object=ObjectRef(KAMAJI_API_VERSION, KIND, tenant.namespace, tenant.name),
                action=Action.SCALE,
                reason=f"{replicas.FIELD} is not named, and the scale subresource shows it",
                stage=Stage.SCALE,
                fields=(FieldChange(replicas.FIELD, None, number),),
                body={"metadata": {"annotations": {names.ANNOTATION_REPLICAS: str(number)}}, "spec": {"replicas": number}},
            )

    def encryption(self) -> Iterator[Change]:
        """Once all pods write with a new key: what is stored with an older one."""
        wanted = encryption.of(self.desired.tenant, self.observed)
        if not wanted.rewrite:
            return
        name = self.desired.tenant.secret_name(names.ENCRYPTION)
        before = self.observed.secrets[name].metadata.get("annotations", {}).get(names.ANNOTATION_ENCRYPTED_WITH)
        yield Change(
            tenant=self.desired.tenant.key,
            cluster=Cluster.MANAGEMENT,
            object=ObjectRef("v1", "Secret", self.desired.tenant.namespace, name),
            action=Action.REWRITE,
            reason=f"{', '.join(wanted.rewrite)} are stored as an older configuration wrote them",
            stage=Stage.REWRITE,
            fields=(FieldChange(f'metadata.annotations."{names.ANNOTATION_ENCRYPTED_WITH}"', before, wanted.marker),),
            body={"metadata": {"annotations": {names.ANNOTATION_ENCRYPTED_WITH: wanted.marker}}},
            barrier=Barrier.TENANT if self.observed.tenant is None else Barrier.NONE,
        )

    def prune(self) -> Iterator[Change]:
        wanted = {ObjectRef.of(body) for body in self._management()}
        live = {ref: obj for ref, obj in self.observed.objects.items() if ref.kind in _PRUNED_KINDS}
        yield from self._prune(live, wanted, Cluster.MANAGEMENT)
        if self.keeps_pods:
            return
        kept = {spec.suffix for spec in secret_specs(self.desired, self.observed, self.facts)}
        for suffix in sorted(_OPTIONAL_SECRETS - kept):
            name = self.desired.tenant.secret_name(suffix)
            if name in self.observed.secrets:
                yield self._delete(ObjectRef("v1", "Secret", self.desired.tenant.namespace, name), Cluster.MANAGEMENT)

    def _prune(
        self, live: Mapping[ObjectRef, Json], wanted: set[ObjectRef], cluster: Cluster, barrier: Barrier = Barrier.NONE
    ) -> Iterator[Change]:
        for reference, obj in live.items():
            if reference not in wanted and owned_fields(obj, names.FIELD_MANAGER):
                yield self._delete(reference, cluster, barrier)

    def _delete(self, reference: ObjectRef, cluster: Cluster, barrier: Barrier = Barrier.NONE) -> Change:
        return Change(
            tenant=self.desired.tenant.key,
            cluster=cluster,
            object=reference,
            action=Action.DELETE,
            reason="no longer part of the definition",
            stage=Stage.PRUNE,
            barrier=barrier,
        )

    @cached_property
    def _deployment(self) -> Json:
        return next(body for body in self._management() if body["kind"] == "Deployment")

    def _management(self) -> list[Json]:
        return management_objects(self.desired.tenant, management_inputs(self.desired, self.observed, self.facts))

    def _tenant_inputs(self, ca_certificate: str) -> TenantInputs:
        pull = self.observed.image_pull
        return TenantInputs(
            endpoint_host=self.facts.endpoint_host,
            endpoint_port=self.facts.endpoint_port,
            ca_certificate_b64=ca_certificate,
            advertise_address=self.facts.advertise_address,
            tunnel_host=self.facts.tunnel_host,
            image_pull_b64=base64.b64encode(pull.config).decode() if pull and pull.config else "",
            over_budget=self._over_budget,
        )

    @property
    def _over_budget(self) -> bool:
        return is_limited(budgets_of(self.desired, self.observed))

    def _apply(
        self,
        body: Json,
        live: Json | None,
        stage: int,
        cluster: Cluster = Cluster.MANAGEMENT,
        barrier: Barrier = Barrier.NONE,
    ) -> Iterator[Change]:
        fields = tuple(diff(body, live, names.FIELD_MANAGER))
        if live is not None and body["kind"] != KIND and without_manager(live, names.REFERENCE_MANAGER) is not None:
            # What it owns together with us would stay when we no longer want it.
            fields += (FieldChange(MANAGERS, names.REFERENCE_MANAGER, names.FIELD_MANAGER),)
        if live is not None and not fields:
            return
        if barrier is Barrier.NONE and has_unknown(body):
            barrier = Barrier.ADDRESS if has_unknown(self.facts.address) else Barrier.KEYS
        action = Action.CREATE if live is None else _patch_action(body, fields)
        yield Change(
            tenant=self.desired.tenant.key,
            cluster=cluster,
            object=ObjectRef.of(body),
            action=action,
            reason=MISSING if live is None else _reason(fields),
            stage=stage,
            fields=fields,
            body=body,
            barrier=barrier,
        )


def management_inputs(desired: Desired, observed: Observed, facts: Facts) -> ManagementInputs:
    """What the builders of management objects need beside the spec."""
    view = observed.datastore
    by_component = {component: facts.checksums.get(suffix, "") for suffix, component in templates.COMPONENTS.items()}
    return ManagementInputs(
        uid=facts.uid,
        addresses=facts.addresses,
        advertise_address=facts.advertise_address,
        endpoint=host_port(facts.endpoint_host, facts.endpoint_port),
        checksums=by_component,
        datastore=DatastoreInputs(
            name=view.name if view else "",
            driver=view.driver if view else "",
            endpoints=view.reached_endpoints if view else (),
            schema=facts.schema,
            user=facts.user,
            config_checksum=facts.checksums.get(names.DATASTORE_CONFIG, ""),
            certificate_checksum=facts.checksums.get(names.DATASTORE_CERTIFICATE, ""),
            overrides=facts.overrides,
            client_certificate=view.signs if view else True,
        ),
        replicas=_unnamed_replicas(observed.find("Deployment", desired.tenant.name)),
        encryption_checksum=facts.checksums.get(names.ENCRYPTION, ""),
    )


def _unnamed_replicas(live: Json | None) -> int | None:
    """Replicas to write where the definition names none: the default at first, later what we wrote as long as it is ours.

    An autoscaler (or kubectl scale) that writes the field takes it over; from then on it is left alone.
    """
    if live is None:
        return DEFAULT_REPLICAS
    ours = "f:replicas" in owned_fields(live, names.FIELD_MANAGER).get("f:spec", {})
    replicas: int | None = live["spec"].get("replicas")
    return replicas if ours else None


def _patch_action(body: Json, fields: Iterable[FieldChange]) -> Action:
    rolls = body["kind"] == "Deployment" and any(item.path.startswith("spec.template.") for item in fields)
    return Action.ROLLOUT if rolls else Action.PATCH


def _reason(fields: tuple[FieldChange, ...]) -> str:
    more = f" and {len(fields) - 1} more" if len(fields) > 1 else ""
    verb = "no longer desired" if fields[0].after is None else "differs"
    return f"{fields[0].path} {verb}{more}"
