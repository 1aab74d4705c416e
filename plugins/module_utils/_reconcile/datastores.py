# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DataStore resources in the management cluster: reach the store behind one, and keep resource and status as they should be.

with open_store(client, datastore) as store:
    store.driver.observe(isolations)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Condition, Credentials, DataStore, Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.placement import NEARLY_FULL, SLOW_MS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import (
    KAMAJI_API_VERSION,
    Json,
    ObjectRef,
    resource_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE, Driver, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError, NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fields
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import not_served
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import REDACTED, Action, Change, Cluster, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import merge_patch

_REASONS: Final = {
    errors.DatastoreUnreachableError: "Unreachable",
    errors.DatastoreTlsError: "TlsFailed",
    errors.DatastorePermissionError: "PermissionDenied",
    errors.DatastoreAuthenticationOffError: "AuthenticationOff",
    errors.DatastoreNoSpaceError: "Full",
    errors.DatastoreTimeoutError: "Timeout",
}


# Reaching a store


@dataclass(frozen=True)
class OpenStore:
    """A store that can be used now. credentials: also those that sign tenants' client certificates."""

    datastore: DataStore
    credentials: Credentials = field(repr=False)
    driver: Driver


@contextlib.contextmanager
def open_store(client: Client, datastore: DataStore, *, direct: bool = False, timeout_s: float = 5.0) -> Iterator[OpenStore]:
    """Read a DataStore's Secrets, find a way to its endpoints and connect; everything is closed at the end of the block.

    Endpoints that are names of Services of the management cluster are reached by port-forward through its API server;
    direct: the caller runs inside the cluster and needs none. timeout_s: of one call to the store.
    Raises MissingCredentialError, DatastoreError; nothing is asked of the store before its driver is used.
    """
    credentials = api.resolve(datastore, read_secrets(client, datastore))
    with Forwarding(client, datastore.name) as forwarding:
        driver = connect(
            datastore, credentials, forward=None if direct else forwarding.forward, explain=forwarding.fault, timeout_s=timeout_s
        )
        try:
            yield OpenStore(datastore, credentials, driver)
        finally:
            driver.close()


class Opener(Protocol):
    """How stores are opened: each anew, or as connections that are kept from call to call. Safe to use from several threads."""

    def open(self, datastore: DataStore) -> contextlib.AbstractContextManager[OpenStore]:
        """A store to use inside a `with` block. Raises MissingCredentialError, DatastoreError."""

    def trust(self, name: str) -> None:
        """The store has answered."""

    def distrust(self, name: str, error: errors.DatastoreError) -> None:
        """What was done with that store failed, so that a connection to it is not to be used again."""


class FreshOpener:
    """Opens each store anew. direct: the caller runs inside the management cluster and needs no port-forwards."""

    def __init__(self, client: Client, *, direct: bool = False) -> None:
        self._client, self._direct = client, direct

    def open(self, datastore: DataStore) -> contextlib.AbstractContextManager[OpenStore]:
        return open_store(self._client, datastore, direct=self._direct)

    def trust(self, name: str) -> None:
        """Nothing is kept."""

    def distrust(self, name: str, error: errors.DatastoreError) -> None:
        """Nothing is kept."""


def find_datastore(client: Client, name: str) -> DataStore:
    """Read a DataStore that must exist. Raises InvalidError when it does not, or when it contradicts the rules."""
    live = client.get(resource_of(api.KIND), name)
    if live is None:
        raise InvalidError(f"{api.KIND} {name} does not exist; create it first (module hosted.kubernetes.datastore)")
    return api.check(live)


def read_secrets(client: Client, datastore: DataStore) -> dict[tuple[str, str], Mapping[str, bytes]]:
    """Return the decoded data of the Secrets a DataStore refers to; those that do not exist are left out."""
    found: dict[tuple[str, str], Mapping[str, bytes]] = {}
    for namespace, name in datastore.secrets():
        secret = client.get(resource_of("Secret"), name, namespace)
        if secret is not None:
            found[namespace, name] = decoded(secret)
    return found


class Forwarding:
    """Port-forwards to in-cluster endpoints, as many as asked for, until the block ends."""

    def __init__(self, client: Client, datastore: str) -> None:
        self._client = client
        self._datastore = datastore
        self._stack = contextlib.ExitStack()
        self._forwards: list[PortForward] = []

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def forward(self, endpoint: Endpoint) -> tuple[str, int] | None:
        """Return where to connect for an endpoint; None for one that is no Service of the management cluster."""
        if endpoint.service is None:
            return None
        namespace, name = endpoint.service
        pod, port = (name.split(".")[0], endpoint.port) if "." in name else self._ready_pod(namespace, name, endpoint.port)
        forward = self._stack.enter_context(PortForward(self._client, namespace, pod, port))
        self._forwards.append(forward)
        return forward.address

    def fault(self) -> str | None:
        """Why a forwarded connection failed, None when none did."""
        return next((item.last_error.msg for item in self._forwards if item.last_error), None)

    def _ready_pod(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        slices = self._client.list(
            resource_of("EndpointSlice"), namespace=namespace, label_selector=f"kubernetes.io/service-name={service}"
        ).items
        live = self._client.get(resource_of("Service"), service, namespace)
        if live is None:
            raise errors.DatastoreUnreachableError(
                self._datastore, f"Service {namespace}/{service} of its endpoint does not exist; correct spec.endpoints, or create it"
            )
        found = next(_ready_targets(live, slices, port), None)
        if found is None:
            raise errors.DatastoreUnreachableError(
                self._datastore,
                f"Service {namespace}/{service} has no ready pod behind port {port}; look at its pods (kubectl -n {namespace} get pods)",
            )
        return found


def _ready_targets(service: Json, slices: Sequence[Json], port: int) -> Iterator[tuple[str, int]]:
    """(pod, port of the pod) of each ready endpoint behind a port of a Service."""
    wanted = {item.get("name", "") for item in service["spec"].get("ports", []) if item["port"] == port}
    for item in slices:
        numbers = [entry["port"] for entry in item.get("ports") or [] if entry.get("name", "") in wanted]
        for endpoint in item.get("endpoints") or []:
            target = endpoint.get("targetRef") or {}
            if numbers and target.get("kind") == "Pod" and endpoint.get("conditions", {}).get("ready") is not False:
                yield target["name"], numbers[0]


# Resource and status


@dataclass(frozen=True)
class ObservedStore:
    """What is known of one DataStore. definition: as wanted; live: as stored, None when it is not.

    problems: what is wrong with its credentials. probe is None when the store was not asked or failed (error says why).
    served: whether the management cluster knows the kind.
    """

    definition: DataStore
    live: Json | None
    used_by: tuple[str, ...]
    problems: tuple[str, ...] = ()
    probe: Probe | None = None
    error: errors.DatastoreError | None = None
    served: bool = True

    @property
    def status(self) -> Json:
        status: Json = (self.live or {}).get("status") or {}
        return status

    @property
    def fault(self) -> str | None:
        """Why the store cannot serve tenants, None when it can."""
        if self.problems:
            return "; ".join(self.problems)
        if self.error is not None:
            return self.error.msg
        if self.probe is not None and self.probe.problems:
            return f"{api.KIND} {self.definition.name}: {'; '.join(self.probe.problems)}"
        return None


def observe(
    client: Client,
    definition: Json,
    *,
    default: str = api.DEFAULT_NAME,
    reader: Reader | None = None,
    opener: Opener | None = None,
    used_by: Sequence[str] | None = None,
) -> ObservedStore:
    """Look at a DataStore, the tenants that use it, and the store itself. Raises InvalidError naming the fields that are wrong.

    reader: where DataStores and tenants are read, by default the API server. opener: how the store is opened, by default anew.
    used_by: the tenants that use it, when they are known already.
    """
    reader = reader or client
    name = (definition.get("metadata") or {}).get("name")
    live = reader.get(resource_of(api.KIND), name) if isinstance(name, str) and name else None
    datastore = api.check(definition, live)
    using = users(reader, datastore.name, default) if used_by is None else tuple(sorted(used_by))
    observed = ObservedStore(datastore, live, using, served=_is_served(reader, live))
    return probe(client, observed, opener=opener)


def probe(client: Client, observed: ObservedStore, *, opener: Opener | None = None) -> ObservedStore:
    """Ask the store (again) and return what is known then; a store that fails is a finding, not an error."""
    opener = opener or FreshOpener(client)
    fresh = replace(observed, problems=(), probe=None, error=None)
    try:
        with opener.open(observed.definition) as store:
            found = replace(fresh, probe=store.driver.probe())
        opener.trust(observed.definition.name)
        return found
    except api.MissingCredentialError as error:
        return replace(fresh, problems=tuple(error.result["problems"]))
    except errors.DatastoreError as error:
        opener.distrust(observed.definition.name, error)
        return replace(fresh, error=error)


def probe_until_ready(
    client: Client, observed: ObservedStore, *, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> ObservedStore:
    """Ask again until the store can serve or the time is over: a store that restarts cannot be watched, only asked."""
    end, pause_s = time.monotonic() + timeout_s, 0.2
    while observed.fault and time.monotonic() + pause_s < end:
        sleep(pause_s)
        pause_s = min(pause_s * 2, 3.0)
        observed = probe(client, observed)
    return observed


def users(reader: Reader, name: str, default: str = api.DEFAULT_NAME) -> tuple[str, ...]:
    """Return which TenantControlPlanes use a DataStore."""
    try:
        return api.used_by(name, reader.list(resource_of("TenantControlPlane")).items, default)
    except NotFoundError:
        return ()


def conditions(observed: ObservedStore) -> list[Condition]:
    """Return what was found out about a store, free of values that differ from one look to the next."""
    found = [api.validation_condition(observed.problems), _reachable(observed)]
    if observed.probe:
        found += [_endpoints(observed.probe), _latency(observed.probe), *_capacity(observed.probe)]
        if observed.definition.driver == api.ETCD:
            found.append(_intact(observed.probe))
    return [*found, api.deletion_condition(observed.used_by)]


def _reachable(observed: ObservedStore) -> Condition:
    if observed.probe is None:
        if observed.error is None:
            return Condition(api.REACHABLE, None, "NotProbed", "credentials are missing, so the store was not asked")
        return Condition(api.REACHABLE, False, _REASONS.get(type(observed.error), "Failed"), observed.error.msg)
    if observed.probe.problems:
        return Condition(api.REACHABLE, False, "Unusable", "; ".join(observed.probe.problems))
    return Condition(api.REACHABLE, True, "Probed", f"{observed.definition.driver} {observed.probe.version} answers and authenticates")


def _endpoints(found: Probe) -> Condition:
    silent, total = found.silent, len(found.members)
    if silent:
        return Condition(api.ENDPOINTS, False, "SomeSilent", f"{total - len(silent)} of {total} endpoints answer; {'; '.join(silent)}")
    return Condition(api.ENDPOINTS, True, "AllAnswer", f"all {total} endpoints answer" if total > 1 else "its endpoint answers")


def _latency(found: Probe) -> Condition:
    """The fastest of several reads is held against a bound that a store in order keeps by far: one that is busy for a moment is not slow."""
    if found.latency_ms < SLOW_MS:
        return Condition(api.LATENCY, True, "Fast", f"a read takes less than {SLOW_MS:g} ms")
    remedy = "look at its disks and at the network between"
    return Condition(api.LATENCY, False, "Slow", f"even the fastest of several reads took {SLOW_MS:g} ms or more; {remedy}")


def _capacity(found: Probe) -> Iterator[Condition]:
    """Nothing is said about a store that has no quota, or does not tell it."""
    full = found.alarmed(NOSPACE)
    if full:
        message = f"the quota of member {', '.join(full)} is used up, all writes are refused (alarm NOSPACE); docs/datastores.md says how to recover"
        yield Condition(api.CAPACITY, False, "Full", message)
    elif found.quota_bytes:
        share = f"{NEARLY_FULL:.0%} of its quota of {found.quota_bytes} bytes"
        if found.db_size_bytes < NEARLY_FULL * found.quota_bytes:
            yield Condition(api.CAPACITY, True, "Enough", f"less than {share} is used")
        else:
            yield Condition(api.CAPACITY, False, "NearlyFull", f"{share} or more is used; defragment, raise the quota, or move tenants")


def _intact(found: Probe) -> Condition:
    broken = found.alarmed(CORRUPT)
    if broken:
        message = f"the data of member {', '.join(broken)} differs from that of the others (alarm CORRUPT); replace that member"
        return Condition(api.INTACT, False, "Corrupt", message)
    return Condition(api.INTACT, True, "NoAlarm", "no member says that its data differs from the others'")


def build_status(observed: ObservedStore, generation: int, now: datetime) -> Json:
    """Return the status that belongs to an observation. now: UTC."""
    return api.build_status(conditions(observed), previous=observed.status, generation=generation, used_by=observed.used_by, now=now)


def plan(observed: ObservedStore, now: datetime) -> Plan:
    """Return the changes of resource and status; empty when both are as they should be. Pure."""
    manifest, live = observed.definition.manifest(), observed.live
    changed = tuple(_redacted(item) for item in fields.diff(manifest, live, names.FIELD_MANAGER))
    changes = []
    if live is None:
        changes.append(_change(observed, Action.CREATE, "does not exist", 0, changed))
    elif changed:
        changes.append(_change(observed, Action.PATCH, "differs from what is wanted", 0, changed))
    generation = (live or {}).get("metadata", {}).get("generation", 0) + any(item.path.startswith("spec") for item in changed)
    status = build_status(observed, max(generation, 1), now)
    differences = fields.diff(status, observed.status, names.FIELD_MANAGER)
    gone = {item["type"] for item in observed.status.get("conditions") or []} - {item["type"] for item in status["conditions"]}
    if differences or gone:
        paths = tuple(replace(item, path=f"status.{item.path}") for item in differences)
        changes.append(_change(observed, Action.PATCH, "status is not current", 1, paths))
    return Plan(tuple(changes))


def plan_absent(observed_live: Json | None, name: str, used_by: Sequence[str]) -> Plan:
    """Return the changes that remove a DataStore resource; the store itself is left alone. Raises InvalidError while it is used.

    Users that status still names but that are gone are taken off first: the management cluster may refuse the deletion for their sake.
    """
    if observed_live is None:
        return Plan()
    if used_by:
        raise InvalidError(
            f"{api.KIND} {name} is used by {', '.join(used_by[:10])}{' and more' if len(used_by) > 10 else ''}; "
            "delete these tenant control planes, or move them to another DataStore, first",
            used_by=list(used_by),
        )
    ref = ObjectRef(KAMAJI_API_VERSION, api.KIND, "", name)
    delete = Change(f"datastore {name}", Cluster.MANAGEMENT, ref, Action.DELETE, "is to be deleted", 1)
    recorded = (observed_live.get("status") or {}).get("usedBy") or []
    if not recorded:
        return Plan((delete,))
    paths = (FieldChange("status.usedBy", recorded, []),)
    return Plan((Change(delete.tenant, Cluster.MANAGEMENT, ref, Action.PATCH, "nobody uses it any more", 0, paths), delete))


def apply(client: Client, observed: ObservedStore, changes: Plan, now: datetime) -> ObservedStore:
    """Make the changes of plan() and return what is known then.

    Raises HostedKubernetesError naming the other manager when it owns a field that is to change.
    """
    if not observed.served:
        raise not_served(resource_of(api.KIND))
    if any(change.stage == 0 for change in changes):
        observed = replace(observed, live=_write(client, observed.definition))
    return write_status(client, observed, now) if changes else observed


def write_status(client: Client, observed: ObservedStore, now: datetime) -> ObservedStore:
    """Bring the stored status up to date; no call when it is."""
    live = observed.live or {}
    body = merge_patch(observed.status, build_status(observed, live["metadata"].get("generation", 1), now))
    if not body:
        return observed
    return replace(observed, live=client.merge_patch(ObjectRef.of(live), {"status": body}, subresource="status"))


def record_use(client: Client, name: str, now: datetime, default: str = api.DEFAULT_NAME) -> None:
    """Bring status.usedBy of a DataStore up to date, after a tenant has come or gone; no write when it is."""
    live = client.get(resource_of(api.KIND), name)
    if live is None:
        return
    status: Json = live.get("status") or {}
    using = users(client, name, default)
    deletion = api.deletion_condition(using)
    kept = [item for item in status.get("conditions") or [] if item["type"] != api.ALLOWED_DELETION]
    generation = live["metadata"].get("generation", 1)
    fresh = api.build_status([deletion], previous=status, generation=generation, used_by=using, now=now)
    body = merge_patch(status, {**status, "usedBy": list(using), "conditions": [*kept, *fresh["conditions"]]})
    if body:
        client.merge_patch(ObjectRef.of(live), {"status": body}, subresource="status")


def remove(client: Client, changes: Plan, *, timeout_s: float, now: datetime) -> None:
    """Delete what plan_absent() names and wait until it is gone. Raises WaitTimeout naming finalizers that hold it."""
    for change in changes:
        if change.action is Action.PATCH:
            record_use(client, change.object.name, now)
            continue
        resource = resource_of(change.object.kind)
        client.delete(resource, change.object.name)
        wait_gone(client, change.object, timeout_s=timeout_s)


def wait_gone(client: Client, ref: ObjectRef, *, timeout_s: float) -> None:
    """Wait until an object that is being deleted is gone. Raises WaitTimeout naming the finalizers that hold it."""
    wait_for(
        client,
        resource_of(ref.kind),
        ref.name,
        ref.namespace,
        predicate=lambda obj: obj is None,
        deadline=time.monotonic() + timeout_s,
        explain=_held,
    )


def _held(obj: Json) -> str:
    held = ", ".join(obj["metadata"].get("finalizers") or [])
    return f"it still exists, held by finalizers {held}; whoever set them has to remove them" if held else "it still exists"


def _redacted(item: FieldChange) -> FieldChange:
    """A change without the text of keys and passwords that are written inline."""
    if not item.path.endswith(".content"):
        return item
    return replace(item, before=item.before and REDACTED, after=item.after and REDACTED)


def _write(client: Client, datastore: DataStore) -> Json:
    try:
        return client.apply(datastore.manifest(), force=False)
    except ConflictError as error:
        raise HostedKubernetesError(f"{api.KIND} {datastore.name}: {error.msg}; leave that field to it, or remove it there") from error


def _is_served(reader: Reader, live: Json | None) -> bool:
    if live is not None:
        return True
    try:
        reader.list(resource_of(api.KIND), metadata_only=True)
    except NotFoundError:
        return False
    return True


def _change(observed: ObservedStore, action: Action, reason: str, stage: int, changed: tuple[FieldChange, ...]) -> Change:
    ref = ObjectRef.of(observed.definition.manifest())
    return Change(f"datastore {ref.name}", Cluster.MANAGEMENT, ref, action, reason, stage, changed)


def summary(observed: ObservedStore, now: datetime) -> dict[str, Any]:
    """A DataStore as modules return it: what was found, whether or not it is recorded already."""
    status = build_status(observed, 0, now)
    return {
        "name": observed.definition.name,
        "driver": observed.definition.driver,
        "endpoints": [str(endpoint) for endpoint in observed.definition.endpoints],
        "ready": status["ready"],
        "used_by": status["usedBy"],
        "conditions": [
            {key: item[key] for key in ("type", "status", "reason", "message", "lastTransitionTime")} for item in status["conditions"]
        ],
    }


def probe_result(found: Probe | None) -> dict[str, Any] | None:
    """A probe as modules return it."""
    if found is None:
        return None
    return {
        "healthy": found.healthy,
        "version": found.version,
        "latency_ms": found.latency_ms,
        "db_size_bytes": found.db_size_bytes,
        "quota_bytes": found.quota_bytes,
        "free_bytes": found.free_bytes,
        "alarms": [{"kind": alarm.kind, "member": alarm.member} for alarm in found.alarms],
        "tenants": found.tenants,
        "problems": list(found.problems),
        "members": [
            {
                "endpoint": member.endpoint,
                "name": member.name,
                "version": member.version,
                "leader": member.leader,
                "latency_ms": member.latency_ms,
                "db_size_bytes": member.db_size_bytes,
                "in_use_bytes": member.in_use_bytes,
                "error": member.error,
            }
            for member in found.members
        ],
    }
