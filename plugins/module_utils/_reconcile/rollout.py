# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_rollout: look at all tenants, then let the engine work on one wave after the other.

What each tenant is to be is worked out anew from what is stored when its wave begins: hours may have passed, and others change tenants too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import check_all, complete
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, WaitTimeout, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fleet
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import all_stored, key_of, to_result
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fleet import Course, Pace, State, Step, Wave
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import is_paused as is_left_alone
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.rollout_record import Record, is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.spec_patch import patched
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import ready_condition
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_run import Outcome

_ALL = "*"


@dataclass(frozen=True)
class Request:
    """What the user asked for. state: present, resumed, paused, absent.

    definition: manifests of the tenants, namespace: of those that name none. Without them stored tenants are chosen, by tenants
    (namespace/name) or else by label_selector and namespaces ("*" is all). patch: a merge patch of spec.
    canary_soak_s, soak_s: how long the canaries, the tenants of other waves, have to stay ready.
    """

    name: str
    state: str = "present"
    definition: Any = None
    patch: Json | None = None
    tenants: tuple[str, ...] = ()
    label_selector: str | None = None
    namespaces: tuple[str, ...] = ()
    namespace: str = "default"
    record_namespace: str = "default"
    rollout_now: bool = False
    renew_before_days: int = 30
    pace: Pace = field(default_factory=Pace)
    canary_soak_s: float = 30
    soak_s: float = 0


def run(client: Client, request: Request, settings: Settings, tell: Callable[[str], None] = lambda _text: None) -> Json:
    """Do it and return the module's result. tell: is told each step when it begins.

    Raises HostedKubernetesError when a tenant failed, with the results of all.
    """
    record = Record(client, request.record_namespace, request.name)
    if request.state == "absent":
        return _forget(record, check=settings.check)
    if request.state == "paused":
        return _pause(record, check=settings.check)
    _refuse(request)
    return _Rollout(client, request, settings, record, tell).run()


def _refuse(request: Request) -> None:
    if request.definition is None and not request.patch and not request.rollout_now:
        raise InvalidError("no change is given; set patch, definition, or rollout to now")
    if request.definition is None and not (request.tenants or request.label_selector or request.namespaces):
        raise InvalidError('no tenants are chosen; set tenants, label_selector, namespaces ("*" is all) or definition')


def _forget(record: Record, *, check: bool) -> Json:
    known = record.read() is not None
    if known and not check:
        record.delete()
    return _result(changed=known)


def _pause(record: Record, *, check: bool) -> Json:
    data = record.read()
    if data is None:
        raise InvalidError(
            f"roll-out {record.name}: is not going on, {record.reference} does not exist; look at name and record_namespace, or it has ended"
        )
    changed = not is_paused(data)
    if changed and not check:
        record.pause(paused=True)
    return _result(changed=changed, paused=True, table=data.get("tenants", "").splitlines())


def _result(*, changed: bool, **known: Any) -> Json:
    return {"changed": changed, "finished": False, "paused": False, "waves": [], "tenants": [], "table": [], "diff": [], **known}


@dataclass(frozen=True)
class _Wanted:
    """What one tenant is to be. given: whether the call brings (a part of, then body) the definition; else it is taken as stored."""

    definition: Json
    given: bool = False
    body: Json | None = None
    conflicts: tuple[str, ...] = ()

    def problems(self, stored: Sequence[Json]) -> Iterator[str]:
        """Why this cannot be; stored: all tenants of the management cluster."""
        yield from (f"{KIND} {key_of(self.definition)}: {conflict}" for conflict in self.conflicts)
        if self.given:
            yield from _invalid([self.definition], stored)


def _invalid(definitions: Sequence[Json], stored: Sequence[Json]) -> list[str]:
    try:
        check_all(definitions, stored)
    except InvalidError as error:
        problems: list[str] = error.result["problems"]
        return problems
    return []


class _Fleet:
    """The tenants of a roll-out, as they are stored and as they are to be."""

    def __init__(self, client: Client, request: Request) -> None:
        self._client, self._request = client, request
        given = request.definition if isinstance(request.definition, list) else [request.definition]
        self._given = [] if request.definition is None else [complete(item, request.namespace) for item in given]

    def read(self) -> list[Json]:
        """All tenants of the management cluster."""
        return all_stored(self._client)

    def chosen(self, stored: Sequence[Json]) -> list[str]:
        """namespace/name of the tenants of this roll-out, in order. Raises InvalidError."""
        request = self._request
        if self._given:
            check_all(self._given, stored)
            found = [key_of(item) for item in self._given]
        elif request.tenants:
            found = [*request.tenants]
            known = {key_of(item) for item in stored}
            missing = [key for key in found if key not in known]
            if missing:
                raise InvalidError(f"tenants: {', '.join(missing)} do not exist; correct the names, or give their definition")
        else:
            found = self._matching(stored)
        return list(dict.fromkeys(found))

    def _matching(self, stored: Sequence[Json]) -> list[str]:
        request = self._request
        selected = self._client.list(resource_of(KIND), label_selector=request.label_selector).items if request.label_selector else stored
        everywhere = not request.namespaces or _ALL in request.namespaces
        found = sorted(
            key_of(item)
            for item in selected
            if (everywhere or item["metadata"]["namespace"] in request.namespaces) and not item["metadata"].get("deletionTimestamp")
        )
        if not found:
            raise InvalidError("no tenant matches label_selector and namespaces; correct them, or name the tenants")
        return found

    def wanted(self, stored: Sequence[Json], keys: Sequence[str]) -> dict[str, _Wanted]:
        """What tenants are to be; without those that are gone."""
        given = {key_of(item): item for item in self._given}
        live = {key_of(item): item for item in stored}
        if given:
            return {key: _Wanted(given[key], given=True) for key in keys}
        return {key: self._changed(live[key]) for key in keys if key in live}

    def refuse(self, wanted: Mapping[str, _Wanted], stored: Sequence[Json]) -> None:
        """Refuse, before anything is changed, a patch that some tenant cannot take. Raises InvalidError naming every problem."""
        if self._given:
            return  # they were looked at as a whole
        found = [f"{KIND} {key}: {conflict}" for key, item in wanted.items() for conflict in item.conflicts]
        found += _invalid([item.definition for item in wanted.values() if item.given], stored)
        if found:
            raise InvalidError("; ".join(found), problems=found)

    def desired(self, wanted: _Wanted) -> Desired:
        request = self._request
        return Desired(
            parse(wanted.definition),
            manage_resource=wanted.given,
            rollout_now=request.rollout_now,
            renew_before=timedelta(days=request.renew_before_days),
            body=wanted.body,
        )

    def _changed(self, stored: Json) -> _Wanted:
        if not self._request.patch:
            return _Wanted(stored)
        result = patched(stored, self._request.patch)
        return _Wanted(result.definition, result.body is not None, result.body, result.conflicts)


class _Rollout:
    """A roll-out on its way."""

    def __init__(self, client: Client, request: Request, settings: Settings, record: Record, tell: Callable[[str], None]) -> None:
        self._client, self._request, self._settings, self._record, self._tell = client, request, settings, record, tell
        self._engine = Engine(client, settings)
        self._fleet = _Fleet(client, request)
        self._known = record.read()
        self._course = Course((), 0)
        self._waves: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        # As they were found, and as they are now.
        self._seen: dict[str, Outcome] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._states: dict[str, State] = {}

    def run(self) -> Json:
        self._look()
        resumed = self._request.state == "resumed" and is_paused(self._known)
        if resumed:
            self._known = {"paused": "false"} if self._settings.check else self._record.pause(paused=False)
        step, paused = self._next(), False
        while step.wave and not paused:
            paused = self._is_held(step.wave)
            if not paused:
                self._work(step.wave)
                step = self._next()
        return self._end(step, resumed=resumed, paused=paused)

    def _next(self) -> Step:
        return fleet.next_step(self._course, self._states)

    def _look(self) -> None:
        """Find out where every tenant is."""
        stored = self._fleet.read()
        keys = self._fleet.chosen(stored)
        self._course = fleet.course(keys, self._request.pace, {key_of(item) for item in stored if is_left_alone(item)})
        self._waves = {key: wave.name for wave in self._course.waves for key in wave.tenants}
        wanted = self._fleet.wanted(stored, keys)
        self._fleet.refuse(wanted, stored)
        desired = [self._fleet.desired(item) for item in wanted.values()]
        self._versions = {item.tenant.key: item.tenant.version for item in desired}
        for outcome in Engine(self._client, replace(self._settings, check=True)).present(desired):
            self._seen[outcome.tenant] = self._outcomes[outcome.tenant] = outcome
            self._states[outcome.tenant] = _found(outcome)

    def _is_held(self, wave: Wave) -> bool:
        """Note which wave is next; True when somebody wants the roll-out to pause before it."""
        if is_paused(self._known) or self._settings.check:
            return is_paused(self._known)
        self._known = self._record.note(f"{wave.title} is being worked on", self._table())
        if is_paused(self._known):
            self._record.note(f"paused before {wave.title}", self._table())
        return is_paused(self._known)

    def _work(self, wave: Wave) -> None:
        self._tell(f"{wave.title} begins")
        outcomes = [self._seen[key] for key in wave.tenants] if self._settings.check else self._made(wave)
        for outcome in outcomes:
            self._outcomes[outcome.tenant] = outcome
            self._states[outcome.tenant] = _worked_on(outcome)
        for key in wave.tenants:
            if self._states[key] is State.WAITING:
                self._states[key] = State.GONE
            self._tell(f"{key}: {self._outcomes[key].error or self._row(key)['outcome']}")

    def _made(self, wave: Wave) -> list[Outcome]:
        stored = self._fleet.read()
        wanted = self._fleet.wanted(stored, wave.tenants)
        problems = {key: "; ".join(item.problems(stored)) for key, item in wanted.items()}
        refused = [Outcome(key, error=problem) for key, problem in problems.items() if problem]
        desired = [self._fleet.desired(item) for key, item in wanted.items() if not problems[key]]
        outcomes = self._engine.present(desired) if desired else []
        self._soak(wave, [item.tenant.key for item in desired if not item.tenant.asleep], outcomes)
        return [*refused, *outcomes]

    def _soak(self, wave: Wave, awake: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        """Watch the tenants that are ready, for as long as they have to stay so; one that does not has failed."""
        seconds = self._request.soak_s if wave.number else self._request.canary_soak_s
        watched = {outcome.tenant: outcome for outcome in outcomes if outcome.tenant in awake and not outcome.error}
        if not seconds or not watched:
            return
        self._tell(f"{wave.title} has to stay ready for {seconds:g} s")
        before: dict[str, Json] = {}

        def all_lost(objects: Objects) -> bool:
            live = {f"{namespace}/{name}": item for (namespace, name), item in objects.items()}
            for key, outcome in watched.items():
                problem = fleet.soak_problem(before.setdefault(key, live[key]) if key in live else {}, live.get(key))
                if problem and not outcome.error:
                    outcome.error = f"{KIND} {key}: did not stay ready for {seconds:g} s: {problem}; look at its pods"
            return all(outcome.error for outcome in watched.values())

        try:
            wait_until(
                self._client,
                resource_of("Deployment"),
                label_selector=names.PROJECT_SELECTOR,
                predicate=all_lost,
                deadline=time.monotonic() + seconds,
                what="Deployments of the wave",
                explain=lambda _objects: "stayed ready",
            )
        except WaitTimeout:
            return  # as wanted

    def _end(self, step: Step, *, resumed: bool, paused: bool) -> Json:
        worked_on = [key for key in self._course.tenants if self._states[key] in (State.DONE, State.FAILED)]
        changes = [change for key in worked_on for change in self._outcomes[key].changes]
        errors = {key: outcome.error for key, outcome in self._outcomes.items()}
        failure = fleet.failure(self._request.name, self._course, self._states, errors, step.stopped)
        left = [key for key, state in self._states.items() if state is State.WAITING]
        alone = [outcome.paused for outcome in self._outcomes.values() if outcome.paused]
        result = _result(
            changed=bool(changes) or resumed,
            finished=not failure and not left and not alone,
            paused=paused,
            waves=[{"wave": wave.name, "tenants": list(wave.tenants)} for wave in self._course.waves],
            tenants=[self._tenant(key) for key in self._course.tenants],
            table=self._table(),
            diff=plan_diff(changes),
            warnings=alone,
        )
        if paused:
            result["warnings"] = [
                *alone,
                f"roll-out {self._request.name} is paused ({self._record.reference}), and {len(left)} tenants wait; state resumed goes on",
            ]
        self._note_end(failure, paused=paused)
        if failure:
            raise HostedKubernetesError(failure, **result)
        return result

    def _note_end(self, failure: str, *, paused: bool) -> None:
        if self._settings.check or self._known is None or paused:
            return
        if failure:
            self._record.note(failure, self._table())
        else:
            self._record.delete()

    def _table(self) -> list[str]:
        return fleet.table(self._row(key) for key in self._course.tenants)

    def _row(self, key: str) -> Json:
        """Where one tenant is."""
        outcome, state, check = self._outcomes[key], self._states[key], self._settings.check
        version = (self._status(key).get("kubernetesResources") or {}).get("version") or {}
        return {
            "tenant": key,
            "wave": self._waves[key],
            "version": self._versions[key],
            "installed_version": version.get("version", ""),
            "phase": version.get("status", ""),
            "pods": self._pods(key),
            "outcome": "planned" if check and state is State.DONE else state.value,
            "error": outcome.error,
        }

    def _pods(self, key: str) -> str:
        """Whether a tenant's pods are as they are to be."""
        found = self._seen[key]
        if self._settings.check or self._states[key] is not State.DONE:
            if found.error or found.paused:
                return "unknown"
            if any(change.action is Action.ROLLOUT for change in found.changes):
                return "pending"
        return "deferred" if self._outcomes[key].deferred else "current"

    def _tenant(self, key: str) -> Json:
        """One tenant's part of the result. Its plan is what was done; before its wave, and in check mode, what is to be done."""
        outcome = replace(self._outcomes[key], status=self._status(key))
        worked_on = self._states[key] in (State.DONE, State.FAILED)
        return {**to_result(outcome), "changed": worked_on and bool(outcome.changes), **self._row(key)}

    def _status(self, key: str) -> Json:
        """As last seen: one that failed early has none of its own."""
        return self._outcomes[key].status or self._seen[key].status


def _found(outcome: Outcome) -> State:
    """Where a tenant is before its wave."""
    if outcome.paused:
        return State.PAUSED
    return State.WAITING if _lacks(outcome) else State.CURRENT


def _worked_on(outcome: Outcome) -> State:
    """Where a tenant is after its wave; somebody may have paused it meanwhile."""
    if outcome.paused:
        return State.PAUSED
    return State.FAILED if outcome.error else State.DONE


def _lacks(outcome: Outcome) -> bool:
    """Whether a tenant still needs its wave: something is to be changed, or it is not ready."""
    return bool(outcome.changes or outcome.error or outcome.pods_problem) or not ready_condition(outcome.status)
