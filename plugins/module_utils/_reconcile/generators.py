# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the kubeconfigs of KubeconfigGenerators, or leave nothing of one behind: look, plan, read what the plan needs, change, plan again.

Five LISTs, however many generators and tenants there are; Secrets are listed without content. There is no Lease: a Secret is created,
or changed and deleted in the version that was seen, so that of two runs at once the slower one only looks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import kubeconfig_generator as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig_generator import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError, NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import generator_plan as pure
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import status as status_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import wait_gone
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.execute import Executor
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.generator_plan import Fleet, GeneratorPlan, Key, Wanted
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import Selection, not_served, secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import secret_manifest
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import Authorities, SecretState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import GeneratorStage
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status_parts import time_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import SYSTEM_MASTERS

_PARALLEL: Final = 6
_MOST_TRIES: Final = 3
_MOST_SHOWN: Final = 10
_GONE_WITHIN_S: Final = 30


@dataclass(frozen=True)
class Request:
    """What the user asked for: a definition, or a name, or (neither) all generators."""

    definition: Any = None
    name: str | None = None
    absent: bool = False


@dataclass(frozen=True)
class Settings:
    """How a call works. after_change: told how many changes were made so far; a test kills the process there."""

    check: bool = False
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    after_change: Callable[[int], None] = field(default=lambda _count: None)


@dataclass
class Outcome:
    """What one call did, or would do, for one generator. errors, waiting: tenant → why it has no kubeconfig that is up to date.

    masters: whether it makes members of system:masters.
    """

    name: str
    changes: list[Change] = field(default_factory=list)
    selected: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    masters: bool = False
    error: str = ""


SELECTIONS: Final = (
    # What stands in a later list was there when a Secret that belongs to it was made.
    Selection("Secret", names.LABEL_MANAGED_BY, metadata_only=True),
    Selection(KIND),
    Selection("TenantControlPlane"),
    Selection("Namespace", metadata_only=True),
    Selection("Secret", f"{names.PROJECT_SELECTOR},{names.LABEL_COMPONENT}=ca", metadata_only=True),
)
"""What is looked at: one LIST each, the first one before the others."""


def run(client: Client, request: Request, settings: Settings, reader: Reader | None = None) -> Json:
    """Do it and return the module's result. Raises HostedKubernetesError when anything failed, with the results of all generators.

    reader: where it is looked first, by default the API server; each write names the version that was seen there.
    """
    given = api.check(request.definition) if request.definition is not None and not request.absent else None
    name = _name(request)
    work = _Work(client, settings, reader or client)
    stored = work.observe(served=not request.absent)
    if request.absent:
        outcomes = [work.guarded(name, partial(work.remove, live=stored.get(name)))]
    elif given:
        outcomes = [work.guarded(name, partial(work.keep, wanted=Wanted(given, stored.get(name), manage_resource=True)))]
    elif name:
        if name not in stored:
            raise InvalidError(f"{KIND} {name} does not exist; give its definition to create it")
        outcomes = [work.guarded(name, partial(work.keep_stored, live=stored[name], alone=True))]
    else:
        outcomes = [*work.all(stored)]
    return _result(outcomes)


def _name(request: Request) -> str:
    """The one generator a call is about; "" for all. Raises InvalidError for a name that no generator can have."""
    definition = request.definition if request.definition is not None else {"metadata": {"name": request.name}}
    metadata = definition.get("metadata") if isinstance(definition, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not name and request.definition is None and not request.absent:
        return ""
    if not name:
        raise InvalidError("name is missing; name the KubeconfigGenerator to delete")
    problems = [*api.name_problems("name", name)]
    if problems:
        raise InvalidError.from_problems(KIND, problems)
    return str(name)


class _Work:
    """The generators of one call, one after the other; what is learned of Secrets for one serves the next."""

    def __init__(self, client: Client, settings: Settings, reader: Reader) -> None:
        self._client, self._settings, self._reader = client, settings, reader
        self._fleet = Fleet()
        self._executor = Executor(settings.now, settings.after_change)

    def observe(self, *, served: bool) -> dict[str, Json]:
        """Look at everything; return the stored generators by name. served: whether the resource definitions must be installed."""
        first, *others = SELECTIONS
        kept = self._list(first, served=True)
        with ThreadPoolExecutor(max_workers=len(others)) as pool:
            generators, tenants, namespaces, signers = pool.map(lambda selection: self._list(selection, served=served), others)
        self._fleet = Fleet(
            tenants={_key(item): item for item in tenants},
            namespaces={item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in namespaces},
            secrets={_key(item): SecretState(item["metadata"]) for item in (*signers, *kept)},
        )
        return {item["metadata"]["name"]: item for item in generators}

    def all(self, stored: dict[str, Json]) -> Iterable[Outcome]:
        """Every generator that is stored, and what is left of those that are gone."""
        for name, live in sorted(stored.items()):
            yield self.guarded(name, partial(self.keep_stored, live=live, alone=False))
        for name in pure.abandoned(self._fleet, frozenset(stored)):
            yield self.guarded(name, partial(self.remove, live=None))

    def guarded(self, name: str, act: Callable[[Outcome], None]) -> Outcome:
        """Turn the failure of one generator into its outcome, so that the others go on."""
        outcome = Outcome(name)
        try:
            act(outcome)
        except HostedKubernetesError as error:
            outcome.error = error.msg
        return outcome

    def keep_stored(self, outcome: Outcome, *, live: Json, alone: bool) -> None:
        """Keep a generator as it is stored; finish its deletion when somebody asked for that. alone: the call is about this one."""
        if is_paused(live) and not alone:
            outcome.paused = True
        elif live["metadata"].get("deletionTimestamp"):
            self.remove(outcome, live=live)
        else:
            try:
                generator = api.check(live)
            except InvalidError as error:
                if not self._settings.check:
                    self._write_status(live, self._refusal(live, error.msg))
                raise
            self.keep(outcome, wanted=Wanted(generator, live, manage_resource=False))

    def keep(self, outcome: Outcome, *, wanted: Wanted) -> None:
        """Make the Secrets of a generator what they must be, and write its status."""
        self._refuse(wanted)
        outcome.masters = any(group.text == SYSTEM_MASTERS for group in wanted.generator.groups)

        def planned() -> GeneratorPlan:
            return self._read(lambda: pure.plan(wanted, self._fleet, self._settings.now()))

        def noted(live: Json | None) -> None:
            nonlocal wanted
            wanted = replace(wanted, live=live)

        result = self._converge(outcome, planned, noted)
        outcome.selected, outcome.waiting = result.selected, dict(result.waiting)
        outcome.errors = {**result.errors, **outcome.errors}
        if wanted.live is not None and not self._settings.check:
            told = replace(result, errors=outcome.errors)
            self._write_status(wanted.live, pure.status_patch(wanted, told, self._fleet, self._settings.now()))

    def remove(self, outcome: Outcome, *, live: Json | None) -> None:
        """Leave nothing of a generator behind. live: as stored, None when it is gone already."""

        def planned() -> GeneratorPlan:
            return self._read(lambda: pure.plan_absent(outcome.name, live, self._fleet))

        def noted(found: Json | None) -> None:
            nonlocal live
            live = found

        self._converge(outcome, planned, noted)
        if live is not None and not self._settings.check and not outcome.errors:
            wait_gone(self._client, ObjectRef.of(live), timeout_s=_GONE_WITHIN_S)

    def _refuse(self, wanted: Wanted) -> None:
        live, subject = wanted.live or {}, f"{KIND} {wanted.generator.name}"
        if live.get("metadata", {}).get("deletionTimestamp"):
            raise HostedKubernetesError(f"{subject}: is being deleted; finish that with state absent, then create it again")
        if is_paused(live):
            raise HostedKubernetesError(
                f"{subject}: is paused (annotation {names.ANNOTATION_PAUSED}); remove the annotation to let its kubeconfigs be changed"
            )

    def _refusal(self, live: Json, message: str) -> Json:
        before = live.get("status") or {}
        conditions = status_of.refused(before, message, self._settings.now())
        return status_of.merge_patch({"conditions": before.get("conditions")}, conditions)

    # Plan and read

    def _read(self, plan: Callable[[], GeneratorPlan]) -> GeneratorPlan:
        """Plan from what is known, and read as long as the plan needs to know more."""
        while True:
            result = plan()
            if not (result.unread or result.unlisted):
                return result
            # What is missing may only lack the label by which it is listed; its content is not looked at for that.
            wanted = {**dict.fromkeys(result.unlisted, True), **dict.fromkeys(result.unread, False)}
            with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
                states = pool.map(lambda item: self._secret(item[0], metadata_only=item[1]), wanted.items())
            self._fleet = self._fleet.with_secrets(dict(zip(wanted, states, strict=True)))
            self._fleet = replace(self._fleet, looked_up=self._fleet.looked_up | wanted.keys())

    def _secret(self, key: Key, *, metadata_only: bool = False) -> SecretState | None:
        namespace, name = key
        found = self._client.get(resource_of("Secret"), name, namespace, metadata_only=metadata_only)
        if found is None:
            return None
        return SecretState(found["metadata"]) if metadata_only else secret_state(found, None)

    def _list(self, selection: Selection, *, served: bool) -> list[Json]:
        resource = selection.resource
        try:
            return self._reader.list(resource, label_selector=selection.label_selector, metadata_only=selection.metadata_only).items
        except NotFoundError as error:
            if served:
                raise not_served(resource) from error
            return []

    # Change

    def _converge(self, outcome: Outcome, planned: Callable[[], GeneratorPlan], noted: Callable[[Json | None], None]) -> GeneratorPlan:
        """Make changes until none is left but those of tenants that failed. In check mode only say which they are."""
        tries: Counter[object] = Counter()
        while True:
            result = planned()
            if self._settings.check:
                outcome.changes = list(result.changes)
                return result
            changes = _next(result, outcome)
            if not changes:
                return result
            tries.update(change.identity() for change in changes)
            for change in changes:
                if tries[change.identity()] > _MOST_TRIES:
                    outcome.errors[change.tenant] = (
                        f"{change.object} does not stay as it is made ({change.reason}); somebody else changes it: find out who in "
                        "metadata.managedFields, and run again"
                    )
            self._make(outcome, result, [change for change in changes if change.tenant not in outcome.errors], noted)

    def _make(self, outcome: Outcome, plan: GeneratorPlan, changes: Sequence[Change], noted: Callable[[Json | None], None]) -> None:
        """Make changes of one stage, several at a time, and note how things are afterwards."""
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            answers = list(pool.map(lambda change: self._attempt(change, plan), changes))
        for change, answer in zip(changes, answers, strict=True):
            if answer.error and change.object.kind == KIND:
                raise answer.error
            if answer.error:
                outcome.errors[change.tenant] = answer.error.msg
                continue
            if change.object.kind == KIND:
                noted(answer.live)
            else:
                state = secret_state(answer.live, None) if answer.live else None
                self._fleet = self._fleet.with_secrets({(change.object.namespace, change.object.name): state})
            if answer.made:
                outcome.changes.append(change)

    def _attempt(self, change: Change, plan: GeneratorPlan) -> _Answer:
        try:
            try:
                live = self._write_resource(change) if change.object.kind == KIND else self._write_secret(change, plan)
            except (ConflictError, NotFoundError):
                # Somebody else was faster: plan again from how it is now.
                return _Answer(self._client.get(resource_of(change.object.kind), change.object.name, change.object.namespace), made=False)
        except HostedKubernetesError as error:
            return _Answer(None, made=False, error=error)
        self._executor.count()
        return _Answer(live, made=True)

    def _write_resource(self, change: Change) -> Json | None:
        resource, body = resource_of(KIND), change.body or {}
        if change.action is Action.DELETE:
            self._client.delete(resource, change.object.name)
            return self._client.get(resource, change.object.name)
        if "kind" not in body:
            left = self._client.merge_patch(change.object, body)
            # What is being deleted vanishes with its last finalizer; the answer shows it as it was then.
            return left if left["metadata"].get("finalizers") else None
        try:
            return self._client.apply(body, force=False)
        except ConflictError as error:
            raise HostedKubernetesError(f"{change.object}: {error.msg}; leave that field to it, or remove it there") from error

    def _write_secret(self, change: Change, plan: GeneratorPlan) -> Json | None:
        key = (change.object.namespace, change.object.name)
        state = self._fleet.secrets.get(key)
        if change.action is Action.DELETE:
            uid = state.metadata["uid"] if state else None
            self._client.delete(resource_of("Secret"), change.object.name, change.object.namespace, uid=uid)
            return None
        if change.action is Action.PATCH:
            return self._client.merge_patch(change.object, change.body or {})
        now, part = self._settings.now(), plan.parts[key]
        body = secret_manifest(part.tenant, part.spec, part.uid, part.spec.make(Authorities(), now))
        if state is None:
            return self._client.create(body)
        metadata = body["metadata"]
        if names.ANNOTATION_ROTATE in (state.metadata.get("annotations") or {}):
            # As in the reference: when it was done.
            metadata["annotations"][names.ANNOTATION_ROTATE] = time_text(now)
        metadata["resourceVersion"] = state.metadata["resourceVersion"]
        # A patch: labels and annotations of others, by which they find it, stay.
        return self._client.merge_patch(change.object, {"metadata": metadata, "data": body["data"]})

    def _write_status(self, live: Json, patch: Json) -> None:
        if patch:
            self._client.merge_patch(ObjectRef.of(live), {"status": patch}, subresource="status")


@dataclass(frozen=True)
class _Answer:
    """live: the object afterwards, None when it is gone. made: whether the change was made; not when somebody else was faster."""

    live: Json | None
    made: bool
    error: HostedKubernetesError | None = None


def _key(item: Json) -> Key:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _next(plan: GeneratorPlan, outcome: Outcome) -> list[Change]:
    """The changes of the lowest stage; a generator is not let go while one of its Secrets could not be deleted."""
    due = [change for change in plan.changes if change.tenant not in outcome.errors]
    first = min((change.stage for change in due), default=GeneratorStage.RESOURCE)
    return [] if first == GeneratorStage.RELEASE and outcome.errors else [change for change in due if change.stage == first]


def _result(outcomes: Sequence[Outcome]) -> Json:
    changes = [change for outcome in outcomes for change in outcome.changes]
    result: Json = {
        "changed": bool(changes),
        "generators": [_entry(outcome) for outcome in outcomes],
        "diff": plan_diff(changes),
    }
    failures = [f"{KIND} {outcome.name}: {tenant}: {text}" for outcome in outcomes for tenant, text in sorted(outcome.errors.items())]
    failures += [outcome.error for outcome in outcomes if outcome.error]
    if failures:
        raise HostedKubernetesError(_shortened(failures), **result)
    return {**result, "warnings": [text for outcome in outcomes for text in _warnings(outcome)]}


def _entry(outcome: Outcome) -> Json:
    def told(reasons: dict[str, str]) -> list[Json]:
        return [{"tenant": tenant, "message": text} for tenant, text in sorted(reasons.items())]

    return {
        "name": outcome.name,
        "changed": bool(outcome.changes),
        "plan": [change.to_result() for change in outcome.changes],
        "resources": outcome.selected,
        "available": outcome.selected - len({*outcome.errors, *outcome.waiting}),
        "errors": told(outcome.errors),
        "waiting": told(outcome.waiting),
        "paused": outcome.paused,
        "error": outcome.error,
    }


def _warnings(outcome: Outcome) -> Iterable[str]:
    subject = f"{KIND} {outcome.name}"
    if outcome.paused:
        yield f"{subject}: is paused (annotation {names.ANNOTATION_PAUSED}); its kubeconfigs are not renewed"
    if outcome.masters:
        yield (
            f'{subject}: spec.groups has "{SYSTEM_MASTERS}", which RBAC can neither limit nor revoke; use "kubeadm:cluster-admins" unless that '
            "is meant"
        )
    waiting = [f"{tenant} {text}" for tenant, text in sorted(outcome.waiting.items())]
    if waiting:
        yield f"{subject}: no kubeconfig for {_shortened(waiting)}"


def _shortened(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return "; ".join(texts[:_MOST_SHOWN]) + more
