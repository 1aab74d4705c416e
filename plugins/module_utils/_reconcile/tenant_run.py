# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tenant on its way from observed to desired: plan, make what can be made, wait for what is missing, plan again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import (
    deployment_problem,
    pod_counts,
    pods_are_refused,
    will_not_start,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import overrides_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import REFERENCE_GUARDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import placement, templates, upgrade
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import status as status_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import TenantAccess, administrator_kubeconfig, pod_reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.execute import Clients, Executor
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.exposure import unanswered_step
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import (
    derive,
    endpoint,
    service_addresses,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import (
    observe_image_pull,
    observe_management,
    observe_nodes,
    observe_own_authority,
    observe_tenant,
    read_secrets,
    secret_state,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, secret_record
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Barrier, Change, Cluster, Deferred, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan as make_plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import plan_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.serving import wait_served
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.slots import Slots
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.start_turn import StartTurn
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_waits import TenantWaits

# Between two looks at what cannot be watched: a network path, files inside a container.
_PAUSE_S: Final = 0.5
_MOST_STEPS: Final = 8
_AUTHORITIES: Final = (names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT)


@dataclass(frozen=True)
class Context:
    """What all tenants of one call share. deadline: on the monotonic clock, seconds.

    working: whose turn it is at all; starting: whose new pods may start.
    wait_exposed: whether a published endpoint must answer from here, or is looked at once.
    patient: whether to wait for what is missing, or to raise Pending.
    """

    client: Client
    executor: Executor
    driver_of: Callable[[str], Driver]
    with_stores: Callable[[Desired, Observed], Observed]
    now: Callable[[], datetime]
    tell: Callable[[str], None]
    deadline: float
    working: Slots
    starting: Slots
    wait_exposed: bool = True
    patient: bool = True


@dataclass
class Outcome:
    """What one call did, or would do, to one tenant. durations: phase → seconds.

    pods_problem: in check mode, why the pods are not as the Deployment says; "" when they are, or when there shall be none.
    remarks: see Plan. paused: why it was left alone, which is what somebody wanted; "" when it was not.
    pending: what is missing, when the call was not to wait for it; awaits_turn: whether that is a turn to start pods. failure: what error is
    the text of.
    """

    tenant: str
    changes: list[Change] = field(default_factory=list)
    deferred: tuple[Deferred, ...] = ()
    remarks: tuple[str, ...] = ()
    durations: dict[str, float] = field(default_factory=dict)
    status: Json = field(default_factory=dict)
    pods_problem: str = ""
    paused: str = ""
    pending: str = ""
    awaits_turn: bool = False
    error: str = ""
    failure: HostedKubernetesError | None = field(default=None, repr=False)


class TenantRun:
    """Use inside a `with` block: it keeps the connection into the tenant."""

    def __init__(self, context: Context, desired: Desired, observed: Observed) -> None:
        self.context, self.desired, self.observed = context, desired, observed
        self.outcome = Outcome(desired.tenant.key)
        self._waits = TenantWaits(context.client, desired.tenant, context.deadline)
        self._turn = StartTurn(self._waits, context.working, context.starting, context.tell)
        self._stack = ExitStack()
        self._access: TenantAccess | None = None
        self._inside: Client | None = None
        self._planned: tuple[Observed, Plan] | None = None
        self._exposed = False
        self._told = ""
        self._no_access: HostedKubernetesError | None = None
        self._looked_up: set[ObjectRef] = set()
        # Told before each change; a lost Lease is raised here.
        self.guard: Callable[[], None] = lambda: None

    def __enter__(self) -> TenantRun:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.context.patient or not self._is_starting:
            self._turn.end()
        self._stack.close()

    @property
    def _key(self) -> tuple[str, str]:
        return self.desired.tenant.namespace, self.desired.tenant.name

    def plan(self) -> Plan:
        """Plan from what is observed; reads the Secrets a sound plan needs. The same observation is planned from once."""
        while True:
            if self._planned and self._planned[0] is self.observed:
                return self._planned[1]
            # An authority that a living tenant lacks is an error of the plan: it is looked for before.
            kept = (*_AUTHORITIES, names.ENCRYPTION) if self.desired.tenant.api_server.encryption else _AUTHORITIES
            self._find_unlabelled(ObjectRef("v1", "Secret", self._key[0], self.desired.tenant.secret_name(name)) for name in kept)
            self.observed = observe_own_authority(self.context.client, self.desired.tenant, self.observed, self.context.now())
            self.observed = observe_image_pull(self.context.client, self.desired.tenant, self.observed)
            result = make_plan(self.desired, self.observed, self.context.now())
            if result.unread:
                self.observed = read_secrets(self.context.client, self.observed, self._key, result.unread)
            elif not self._find_unlabelled(change.object for change in result if _makes(change)):
                self._planned = (self.observed, result)
                return result

    def _find_unlabelled(self, references: Iterable[ObjectRef]) -> bool:
        """Look by name for what a living tenant seems to lack: it may only have lost the label by which it is listed."""
        if not self.observed.lives(self.desired.tenant.name):
            return False
        seen = self.observed
        for reference in references:
            known = reference.name in seen.secrets if reference.kind == "Secret" else reference in seen.objects
            if known or reference in self._looked_up:
                continue
            self._looked_up.add(reference)
            live = self.context.client.get(resource_of(reference.kind), reference.name, reference.namespace)
            if live and reference.kind == "Secret":
                state = secret_state(live, secret_record(seen, reference.name))
                self.observed = self.observed.with_secrets({reference.name: state})
            elif live:
                self.observed = self.observed.with_objects({reference: live})
        return self.observed is not seen

    def observe(self) -> None:
        """Look at everything anew."""
        self._looked_up.clear()
        self.observed = observe_management(self.context.client, [self._key])[self._key]
        self.desired = placement.settle(self.desired, self.observed)
        self.observe_datastore()
        self.look_inside()

    def observe_datastore(self) -> None:
        self.observed = self.context.with_stores(self.desired, self.observed)

    def look_inside(self) -> None:
        """Read the tenant cluster, when it is awake and a replica is ready; its nodes as well when an upgrade depends on them.

        What keeps us out is only remembered: the plan may mend it (a certificate that ended, a Secret that somebody changed).
        """
        self._no_access = None
        deployment = self.observed.find("Deployment", self.desired.tenant.name) or {}
        if self.desired.tenant.asleep or not deployment.get("status", {}).get("readyReplicas"):
            return
        if self.desired.tenant.secret_name(names.ADMIN_KUBECONFIG) not in self.observed.secrets:
            return
        try:
            inside = self._connect()
            nodes = observe_nodes(inside) if upgrade.needs_nodes(self.desired, self.observed) else None
            guards = REFERENCE_GUARDS if templates.taken(deployment) else ()
            self.observed = replace(self.observed, tenant=observe_tenant(inside, guards), nodes=nodes)
        except HostedKubernetesError as error:
            self._no_access, self._inside = error, None
            self.observed = replace(self.observed, tenant=None, nodes=None)

    @property
    def no_access(self) -> HostedKubernetesError | None:
        """Why the last look inside failed; None when it did not, or was not due."""
        return self._no_access

    @property
    def answered(self) -> bool | None:
        """Whether the published endpoint answered from here when the tenant was looked into; None when it was not."""
        return None if self._access is None else self._exposed

    @property
    def pods_problem(self) -> str:
        """Why the pods are not as the Deployment says; "" when they are, or when there shall be none."""
        if self.desired.tenant.asleep:
            return ""
        deployment = self.observed.find("Deployment", self.desired.tenant.name)
        return deployment_problem(deployment) or "" if deployment else "no Deployment"

    def make_namespace(self, plan: Plan) -> None:
        """Make the tenant's namespace when the plan has it: the Lease that guards all other changes lives in it."""
        changes = tuple(change for change in plan if change.stage == Stage.NAMESPACE)
        if changes:
            self._make(changes)

    def converge(self, *, wait: bool, may_change: bool = True) -> None:
        """Make changes until none is left. Raises HostedKubernetesError with what is missing at the deadline.

        Without may_change it only waits, and ends as soon as a change is due.
        """
        made: set[object] = set()
        # Keys are changed in steps, each with the same objects; so many suffice for any way.
        steps, keys = _MOST_STEPS, self.desired.tenant.secret_name(names.ENCRYPTION)
        while True:
            plan = self.plan()
            self.outcome.deferred, self.outcome.remarks = plan.deferred, plan.remarks
            if plan and not may_change:
                return
            runnable = plan.runnable()
            if runnable:
                if steps and any(change.object.name == keys for change in runnable):
                    steps -= 1
                    made.clear()
                self._refuse_repetition(runnable, made)
                self._make(runnable)
            elif plan:
                self._pass(plan.barrier())
            elif not self._settle(wait):
                return

    def write_status(self) -> None:
        """Write what is known to the resource; costs no call when nothing is different."""
        plan = self.plan()
        facts = derive(self.desired, self.observed)
        checksums = plan_secrets(self.desired, self.observed, facts, self.context.now()).checksums
        built = status_of.build(self.desired, self.observed, plan, self._health(), checksums, self.context.now())
        self.outcome.status = built
        if self.observed.resource:
            self._patch_status(status_of.merge_patch(self.observed.status, built))

    def record_stores(self) -> None:
        """Record the DataStores that the stored definition names for single resources, before that is changed: they may hold data."""
        known = self.observed.recorded_overrides
        new = [name for name in overrides_of(self.observed.resource) if name not in known]
        if new:
            self._patch_status({"hosted": {"dataStores": [*known, *new]}})

    def _record_placement(self) -> None:
        """Record the DataStore that was chosen for the tenant, before it gets anything there."""
        recorded = (self.observed.status.get("storage") or {}).get("dataStoreName")
        if self.desired.tenant.data_store_selector is None or recorded or self.observed.resource is None:
            return
        self._patch_status({"storage": {"dataStoreName": self.desired.tenant.data_store}})
        try:
            placement.confirm(self.context.client, self.desired)
        except HostedKubernetesError as error:
            self._patch_status({"storage": None})
            # What is planned from now on, and so the status, knows of no store.
            self.desired = replace(self.desired, tenant=replace(self.desired.tenant, data_store=None), no_store=error.msg)
            raise HostedKubernetesError(f"TenantControlPlane {self.desired.tenant.key}: {error.msg}") from error

    def write_refusal(self, message: str) -> None:
        """Say in the status of a stored definition why it cannot be carried out. One that was only proposed leaves no trace."""
        if self.desired.manage_resource or self.observed.resource is None or self.observed.deleting:
            return
        conditions = status_of.refused(self.observed.status, message, self.context.now())
        self._patch_status(status_of.merge_patch({"conditions": self.observed.status.get("conditions")}, conditions))

    def _patch_status(self, patch: Json) -> None:
        if patch and self.observed.resource:
            reference, body = ObjectRef.of(self.observed.resource), {"status": patch}
            if not self.context.patient:
                # What it differs from may come from a cache, and somebody else may have the Lease.
                body["metadata"] = {"resourceVersion": self.observed.resource["metadata"]["resourceVersion"]}
            try:
                live = self.context.client.merge_patch(reference, body, subresource="status")
            except ConflictError as error:
                raise Pending(f"TenantControlPlane {self.desired.tenant.key}: was changed meanwhile; it is looked at again") from error
            self.observed = replace(self.observed, resource=live)

    def _health(self) -> status_of.Health:
        return status_of.Health(self.observed.tenant is not None, self._exposed, self.pods_problem)

    def _make(self, changes: tuple[Change, ...]) -> None:
        if any(c.stage == Stage.DEPLOYMENT and c.action in (Action.CREATE, Action.ROLLOUT) for c in changes):
            self._start()
        self.guard()
        if changes[0].stage > Stage.RESOURCE:
            self._record_placement()
        with self._timed(_PHASES.get(changes[0].stage, "foundation")):
            clients = Clients(self.context.client, self.context.driver_of, self._inside)
            self.observed = self.context.executor.make(self.desired, self.observed, changes, clients)
        self.outcome.changes += changes

    def _refuse_repetition(self, changes: tuple[Change, ...], made: set[object]) -> None:
        for change in changes:
            if change.identity() in made:
                raise HostedKubernetesError(
                    f"TenantControlPlane {change.tenant}: {change.object} does not keep what was applied ({change.reason}); "
                    "another controller or an admission webhook changes it: find it in metadata.managedFields"
                )
            made.add(change.identity())

    def _pass(self, barrier: Barrier) -> None:
        if not self.context.patient:
            raise self._pending("its Service has no address yet" if barrier is Barrier.ADDRESS else self._unready)
        if barrier is Barrier.ADDRESS:
            with self._timed("address"):
                self._wait_address()
        elif barrier is Barrier.TENANT:
            with self._timed("api_server"):
                self._wait_tenant()
        elif barrier is Barrier.ROLLOUT:
            with self._timed("rollout"):
                if upgrade.is_wanted(self.desired, self.observed):
                    self.write_status()  # so that everybody sees what is going on
                self._wait_rollout()
            with self._timed("api_server"):
                self._reconnect()
        else:
            raise HostedKubernetesError(
                f"TenantControlPlane {self.desired.tenant.key}: the plan waits for {barrier.value}, which nothing makes"
            )

    def _settle(self, wait: bool) -> bool:
        """Once nothing is left to do: wait until it works. True when something new was learned and a new plan is due."""
        tenant = self.desired.tenant
        if not self.context.patient:
            return self._settle_now()
        if self._lacks_address:
            with self._timed("address"):
                self._wait_address()
            return True
        if not tenant.asleep and self.observed.tenant is None:
            if not wait and not self.outcome.changes:
                return False
            with self._timed("api_server"):
                self._wait_tenant()
            return True
        if wait and not tenant.asleep:
            with self._timed("rollout"):
                self._wait_rollout()
            if any(change.action is Action.ROLLOUT for change in self.outcome.changes):
                self._reconnect()
            with self._timed("certificate"):
                self._wait_served()
            with self._timed("exposed"):
                self._wait_exposed()
            return bool(self.plan())
        return False

    def _settle_now(self) -> bool:
        """The same for who does not wait. Raises Pending."""
        if self._lacks_address:
            raise self._pending("its Service has no address yet")
        if not self.desired.tenant.asleep and (self.observed.tenant is None or self._unready):
            raise self._pending(self._unready)
        return False

    def _pending(self, reason: str) -> Pending:
        return Pending(f"TenantControlPlane {self.desired.tenant.key}: {reason or 'its API server was not asked yet'}")

    @property
    def _unready(self) -> str:
        """What an awake tenant lacks, as observed; "" when nothing."""
        pods = [pod for pod in self.observed.pods if pod_counts(pod)]
        if self.pods_problem:
            return f"{self.pods_problem}: {pod_reasons(pods)}"
        if self._no_access:
            return self._no_access.msg
        deployment = self.observed.find("Deployment", self.desired.tenant.name) or {}
        if len(pods) > _replicas(deployment):
            return "old pods are still ending"
        return ""

    @property
    def _is_starting(self) -> bool:
        """Whether pods are on their way that nothing holds up."""
        deployment = self.observed.find("Deployment", self.desired.tenant.name)
        if deployment is None or not self.pods_problem or pods_are_refused(deployment):
            return False
        return not any(map(will_not_start, self.observed.pods))

    @property
    def _lacks_address(self) -> bool:
        service = self.observed.find("Service", self.desired.tenant.name)
        return bool(service and self._is_addressed_by_others and not service_addresses(self.desired.tenant, service))

    @property
    def _is_addressed_by_others(self) -> bool:
        """Whether the address comes from the Service: with node ports, as with one of its own, the definition has it."""
        tenant = self.desired.tenant
        return not tenant.network.address and tenant.service.service_type != "NodePort"

    def _wait_address(self) -> None:
        service = self._waits.service_with_address()
        self.observed = self.observed.with_objects({ObjectRef.of(service): service})

    def _wait_tenant(self) -> None:
        self._turn.give_way(wanted=1)
        deployment = self._waits.first_ready_pod()
        self._turn.end()
        self.observed = self.observed.with_objects({ObjectRef.of(deployment): deployment})
        self._wait_access()

    def _reconnect(self) -> None:
        """The pod that the connection led to may be gone."""
        self._inside = None
        self._wait_access()

    def _wait_access(self) -> None:
        """Look inside until it works, once something was changed that may mend it; the API server reads new keys with a delay."""
        while True:
            self.look_inside()
            if self._no_access is None:
                return
            if not self.outcome.changes or time.monotonic() > self.context.deadline:
                raise self._no_access
            time.sleep(_PAUSE_S)

    def _wait_rollout(self) -> None:
        """Until every replica is of the current template and no old pod is left, also not a terminating one."""
        deployment = self.observed.find("Deployment", self.desired.tenant.name) or {}
        self._turn.give_way(_replicas(deployment))
        deployment = self._waits.rolled_out()
        self._turn.end()
        self.observed = self.observed.with_objects({ObjectRef.of(deployment): deployment})
        self.observed = replace(self.observed, pods=self._waits.pods_left(_replicas(deployment)))

    def _wait_served(self) -> None:
        """A certificate that was made for pods that run already; new pods start with theirs."""
        name = self.desired.tenant.secret_name(names.API_SERVER)
        state, changes = self.observed.secrets.get(name), self.outcome.changes
        new_pods = any(change.stage == Stage.DEPLOYMENT and change.action in (Action.CREATE, Action.ROLLOUT) for change in changes)
        issued = any(change.object.name == name and change.action is Action.ISSUE for change in changes)
        if not issued or new_pods or self._access is None or state is None or state.data is None:
            return
        authority, deadline = self._access.authority, self.context.deadline
        wait_served(self.context.client, self.desired.tenant, self.observed.pods, state.data, authority, deadline)

    def _wait_exposed(self) -> None:
        """Until the published endpoint answers from here; an address that exists in the management cluster only is looked at once."""
        tenant, published = self.desired.tenant, self._endpoint()
        while not self._exposed and published and self._access:
            self._exposed = self._access.answers(published)
            if self._exposed or not self.context.wait_exposed or not tenant.is_published:
                return
            self.context.working.give_back(tenant.key)
            if time.monotonic() > self.context.deadline:
                raise HostedKubernetesError(
                    f"TenantControlPlane {tenant.key}: is Ready, but not Exposed: {host_port(*published)} does not answer "
                    f"from this machine; {unanswered_step(tenant)}, or say wait_exposed: false when only workers have to reach it"
                )
            time.sleep(_PAUSE_S)

    def _connect(self) -> Client:
        if self._inside is None:
            name = self.desired.tenant.secret_name(names.ADMIN_KUBECONFIG)
            state = self.observed.secrets[name]
            if state.data is None:
                self.observed = read_secrets(self.context.client, self.observed, self._key, [name])
                state = self.observed.secrets[name]
            kubeconfig = administrator_kubeconfig(self.desired.tenant, state.data)
            new = bool(self.outcome.changes)
            self._access = TenantAccess(self.context.client, self.desired.tenant, kubeconfig, self._endpoint(), new=new)
            self._inside = self._stack.enter_context(self._access)
            self._exposed = self._access.exposed
        self._inside.get_raw("/readyz")
        return self._inside

    def _endpoint(self) -> tuple[str, int] | None:
        return endpoint(self.desired, self.observed)

    def _start(self) -> None:
        """Take a turn to start pods, unless there is one, or none are to start."""
        if self.desired.tenant.asleep or self._turn.is_taken:
            return
        if not self.context.patient:
            self._turn.take_now()
            return
        with self._timed("queue"):
            self._turn.take(self.observed.pods)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Measure what belongs to a phase, and tell of it when it is another one of a tenant that is being changed."""
        if self.outcome.changes and phase != self._told:
            self._told = phase
            self.context.tell(f"{self.desired.tenant.key}: {phase}")
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self.outcome.durations[phase] = round(self.outcome.durations.get(phase, 0.0) + spent, 3)


def _replicas(deployment: Json) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 0))


def _makes(change: Change) -> bool:
    return change.cluster is Cluster.MANAGEMENT and change.action in (Action.CREATE, Action.ISSUE) and change.stage != Stage.NAMESPACE


_PHASES: Final[Mapping[int, str]] = {
    Stage.LEAVES: "keys",
    Stage.CHAINED_LEAVES: "keys",
    Stage.ADDRESSED: "keys",
    Stage.DEPLOYMENT: "deployment",
    Stage.TENANT: "tenant_objects",
    Stage.REWRITE: "rewrite",
    Stage.PRUNE: "prune",
}
