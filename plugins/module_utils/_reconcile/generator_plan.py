# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a KubeconfigGenerator needs: a Secret with a kubeconfig for each tenant it selects, and none for any other. Pure.

Ownership. Each Secret's only owner is its tenant, as in the reference, so it goes with the tenant. The generator cannot be a second
owner for the garbage collector's sake: that deletes an object once all of its owners are gone, and the tenant stays. So the generator
has a finalizer from before its first Secret until after its last one, and Secrets of generators that are gone anyhow (somebody took
the finalizer away) are found by their label.

A Secret is ours when its labels fit its name, or when status remembers its uid; one that only has the name is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig_generator import KIND, KubeconfigGenerator
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import tenant_user
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.finalizers import hold, release
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, is_paused
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import MISSING, Action, Change, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import plan_additional
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import (
    KUBECONFIG_KEY,
    Authorities,
    Data,
    SecretSpec,
    SecretState,
    record_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import GeneratorStage
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import condition, merge_patch
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import TenantAuthority, User

Key = tuple[str, str]  # namespace, name
COMPONENT: Final = "kubeconfig-generator"
# Bounds of the lists in the CRD: what is beyond is not lost, only not remembered.
_MOST_ERRORS: Final = 1000
_MOST_RECORDS: Final = 5000


class NotYetError(HostedKubernetesError):
    """A tenant cannot have its kubeconfig yet, and nobody has to do anything about it here."""


@dataclass(frozen=True)
class Fleet:
    """What is known of the management cluster.

    tenants: TenantControlPlane resources. namespaces: labels by name. secrets: those of generators and of tenants' authorities.
    looked_up: Secrets that were asked for by name, since no list had them.
    """

    tenants: Mapping[Key, Json] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[Key, SecretState] = field(default_factory=dict)
    looked_up: frozenset[Key] = frozenset()

    def with_secrets(self, changed: Mapping[Key, SecretState | None]) -> Fleet:
        """The same with Secrets replaced; None removes one."""
        merged = {**self.secrets, **changed}
        return replace(self, secrets={key: state for key, state in merged.items() if state is not None})


@dataclass(frozen=True)
class Wanted:
    """One generator that is to be kept. live: as stored, None when it is not.

    manage_resource: whether the call brings the definition (and so owns the resource's spec), or takes it as stored.
    """

    generator: KubeconfigGenerator
    live: Json | None
    manage_resource: bool


@dataclass(frozen=True)
class Part:
    """One tenant's kubeconfig. uid: of the tenant's resource. spec: what it must be made of."""

    tenant: TenantControlPlane
    uid: str
    spec: SecretSpec


@dataclass(frozen=True)
class GeneratorPlan:
    """Changes in order of execution, and what stands in the way.

    selected: how many tenants it selects. parts: by the Secret's key. errors, waiting: tenant → why it has no kubeconfig that is up to
    date, for good or for now. unread: Secrets whose content must be read, unlisted: Secrets that must be looked for by name, before
    the plan can be trusted.
    """

    changes: tuple[Change, ...] = ()
    selected: int = 0
    parts: Mapping[Key, Part] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[Key] = frozenset()
    unlisted: frozenset[Key] = frozenset()


def plan(wanted: Wanted, fleet: Fleet, now: datetime) -> GeneratorPlan:
    """Decide what a generator needs. now: UTC; decides which certificates are due."""
    run = _Run(wanted, fleet, now)
    run.resource()
    for key in targets(wanted.generator, fleet):
        run.decide(key)
    run.prune()
    return run.result()


def plan_absent(name: str, live: Json | None, fleet: Fleet) -> GeneratorPlan:
    """Decide what leaves nothing of a generator behind. live: as stored, None when it is gone already."""
    ref = ObjectRef(KAMAJI_API_VERSION, KIND, "", name)
    changes = []
    if live is not None and not live["metadata"].get("deletionTimestamp"):
        changes.append(Change(str(ref), Cluster.MANAGEMENT, ref, Action.DELETE, "is to be deleted", GeneratorStage.RESOURCE))
    reason = "its KubeconfigGenerator is deleted"
    mine = {key: owner for key, state in fleet.secrets.items() if (owner := _owner(name, key, state, live))}
    changes += [_deletion(key, owner, reason) for key, owner in sorted(mine.items())]
    changes += release(live, ref, names.GENERATOR_FINALIZER, owner=str(ref), stage=GeneratorStage.RELEASE)
    return GeneratorPlan(tuple(changes), unlisted=_remembered(live) - fleet.secrets.keys() - fleet.looked_up)


def targets(generator: KubeconfigGenerator, fleet: Fleet) -> list[Key]:
    """The tenants that a generator selects; one that is being deleted is not among them."""
    return sorted(
        key
        for key, item in fleet.tenants.items()
        if not item["metadata"].get("deletionTimestamp")
        and generator.namespaces.picks(fleet.namespaces.get(key[0]))
        and generator.tenants.picks(item["metadata"].get("labels"))
    )


def abandoned(fleet: Fleet, known: frozenset[str]) -> list[str]:
    """Names of generators of which Secrets are left, but no resource. known: names of those that have one."""
    labels = {key: (state.metadata.get("labels") or {}).get(names.LABEL_MANAGED_BY, "") for key, state in fleet.secrets.items()}
    return sorted({name for key, name in labels.items() if name and name not in known and _owner(name, key, fleet.secrets[key], None)})


def status(wanted: Wanted, result: GeneratorPlan, fleet: Fleet, now: datetime) -> Json:
    """The status of a generator. result: the plan once all that could be done was done. now: UTC."""
    live = wanted.live or {}
    before: list[Json] = (live.get("status") or {}).get("conditions") or []
    missing = {**result.waiting, **result.errors}
    available, ready = result.selected - len(missing), not missing
    message = "" if ready else f"{len(missing)} of {result.selected} kubeconfigs are missing or not up to date; see status.errors"
    known = {"/".join(key): replace(state, record=_records(live).get("/".join(key))) for key, state in fleet.secrets.items()}
    left = {(change.object.namespace, change.object.name) for change in result.changes}
    fresh = {"/".join(key): record_of(known.get("/".join(key)), part.spec) for key, part in result.parts.items() if key not in left}
    # What cannot be judged or made now is remembered as it was.
    kept = {text: record for text, record in _records(live).items() if text in known}
    records = {text: record for text, record in sorted({**kept, **fresh}.items())[:_MOST_RECORDS] if record}
    return {
        "observedGeneration": live.get("metadata", {}).get("generation"),
        "resources": result.selected,
        "availableResources": available,
        "errors": [{"resource": tenant, "message": text} for tenant, text in sorted(missing.items())][:_MOST_ERRORS],
        "conditions": [condition(before, "Ready", true=ready, reason="UpToDate" if ready else "Incomplete", message=message, now=now)],
        "hosted": {"secrets": records},
    }


def status_patch(wanted: Wanted, result: GeneratorPlan, fleet: Fleet, now: datetime) -> Json:
    """What of the stored status must change, as a merge patch; {} when nothing."""
    return merge_patch((wanted.live or {}).get("status") or {}, status(wanted, result, fleet, now))


class _Run:
    """One pass over the tenants of a generator."""

    def __init__(self, wanted: Wanted, fleet: Fleet, now: datetime) -> None:
        self.wanted, self.generator, self.fleet, self.now = wanted, wanted.generator, fleet, now
        self.changes: list[Change] = []
        self.parts: dict[Key, Part] = {}
        self.errors: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.unread: set[Key] = set()
        self.selected: set[Key] = set()

    def resource(self) -> None:
        """The resource itself, and the finalizer on it."""
        body, live, stage = self.generator.manifest(), self.wanted.live, GeneratorStage.RESOURCE
        ref = ObjectRef.of(body)
        if not self.wanted.manage_resource:
            self.changes += hold(live, ref, names.GENERATOR_FINALIZER, owner=str(ref), stage=stage)
            return
        fields = tuple(diff(body, live, names.FIELD_MANAGER))
        if live is None or fields:
            action, reason = (Action.CREATE, MISSING) if live is None else (Action.PATCH, f"{fields[0].path} differs")
            self.changes.append(Change(str(ref), Cluster.MANAGEMENT, ref, action, reason, stage, fields, body))

    def decide(self, key: Key) -> None:
        tenant = "/".join(key)
        self.selected.add((key[0], key[1] + self.generator.suffix))
        try:
            self._decide(self.fleet.tenants[key])
        except NotYetError as error:
            self.waiting[tenant] = error.msg
        except HostedKubernetesError as error:
            self.errors[tenant] = error.msg

    def _decide(self, live: Json) -> None:
        tenant = parse(live)
        secret, authority = self._secret(tenant), self.fleet.secrets.get((tenant.namespace, tenant.secret_name(names.CA)))
        user, server = self._user(live), tenant_user.server_url(tenant, live, inside=self.generator.inside)
        if authority is None:
            raise NotYetError("has no certificate authority yet")
        if not server:
            raise NotYetError("has no published endpoint yet")
        spec = _spec(self.generator, tenant, user, server, authority)
        found = {tenant.secret_name(names.CA): authority, **({tenant.secret_name(spec.suffix): secret} if secret else {})}
        observed = Observed(resource=live, secrets=found)
        made = plan_additional(Desired(tenant, renew_before=user.renew_before), observed, spec, self.now)
        self.parts[tenant.namespace, tenant.secret_name(spec.suffix)] = Part(tenant, live["metadata"]["uid"], spec)
        self.changes += [replace(change, stage=GeneratorStage.SECRETS) for change in made.changes]
        self.unread |= {(tenant.namespace, name) for name in made.unread}

    def _secret(self, tenant: TenantControlPlane) -> SecretState | None:
        """Its Secret as it is. Raises when that is not ours, or paused."""
        key = (tenant.namespace, tenant.secret_name(self.generator.suffix))
        state = self.fleet.secrets.get(key)
        if state is None:
            return None
        if _owner(self.generator.name, key, state, self.wanted.live) is None:
            raise HostedKubernetesError(
                f"Secret {'/'.join(key)} exists and is not kept by this generator (label {names.LABEL_MANAGED_BY}); remove that Secret, or "
                "give the generator another name"
            )
        if is_paused({"metadata": state.metadata}):
            raise NotYetError(
                f"Secret {'/'.join(key)} is paused (annotation {names.ANNOTATION_PAUSED}); remove the annotation to let it be renewed"
            )
        return replace(state, record=_records(self.wanted.live).get("/".join(key)))

    def _user(self, live: Json) -> User:
        groups = tuple(value.of(live, f"spec.groups[{index}]") for index, value in enumerate(self.generator.groups))
        user = User(self.generator.user.of(live, "spec.user"), tuple(sorted(set(groups))), self.generator.lifetime)
        tenant_user.check_subject(user)
        return user

    def prune(self) -> None:
        """Kubeconfigs of tenants that are no longer selected."""
        for key, state in sorted(self.fleet.secrets.items(), key=lambda item: item[0]):
            owner = _owner(self.generator.name, key, state, self.wanted.live)
            if owner and key not in self.selected and not is_paused({"metadata": state.metadata}):
                self.changes.append(_deletion(key, owner, "the tenant is no longer selected"))

    def result(self) -> GeneratorPlan:
        expected = self.selected | _remembered(self.wanted.live)
        return GeneratorPlan(
            tuple(sorted(self.changes, key=lambda change: (change.stage, change.object))),
            len(self.selected),
            self.parts,
            self.errors,
            self.waiting,
            frozenset(self.unread),
            frozenset(expected) - self.fleet.secrets.keys() - self.fleet.looked_up,
        )


def _spec(generator: KubeconfigGenerator, tenant: TenantControlPlane, user: User, server: str, authority: SecretState) -> SecretSpec:
    def signer() -> TenantAuthority:
        return TenantAuthority(tenant, server, tenant_user.authority_pair(tenant, authority))

    def check(data: Data, _authorities: Authorities, now: datetime) -> str | None:
        return tenant_user.problem(data.get(KUBECONFIG_KEY, b""), signer(), user, now)

    def make(_authorities: Authorities, now: datetime) -> dict[str, bytes]:
        return {KUBECONFIG_KEY: tenant_user.issue(signer(), user, now)}

    return SecretSpec(
        generator.suffix,
        COMPONENT,
        {
            "user": user.name,
            "groups": list(user.groups),
            "server": server,
            "lifetime": user.lifetime.total_seconds(),
            # Another authority, or one that was only touched: look at both.
            "signer": [authority.metadata["uid"], authority.metadata["resourceVersion"]],
        },
        check,
        make,
        signer=names.CA,
        lifecycle="kubeconfig",
        labels={names.LABEL_MANAGED_BY: generator.name, names.LABEL_MANAGED_FOR: tenant.name},
    )


def _owner(generator: str, key: Key, state: SecretState, live: Json | None) -> str | None:
    """namespace/name of the tenant a Secret of this generator is for; None when the Secret is not this generator's."""
    namespace, name = key
    tenant = name.removesuffix(f"-{generator}")
    if tenant == name:
        return None
    labels = state.metadata.get("labels") or {}
    labelled = (labels.get(names.LABEL_MANAGED_BY), labels.get(names.LABEL_MANAGED_FOR)) == (generator, tenant)
    remembered = _records(live).get("/".join(key), {}).get("uid") == state.metadata["uid"]
    return f"{namespace}/{tenant}" if labelled or remembered else None


def _records(live: Json | None) -> Mapping[str, Json]:
    found: Mapping[str, Json] = (((live or {}).get("status") or {}).get("hosted") or {}).get("secrets") or {}
    return found


def _remembered(live: Json | None) -> frozenset[Key]:
    keys = (text.partition("/") for text in _records(live))
    return frozenset((namespace, name) for namespace, _slash, name in keys)


def _deletion(key: Key, tenant: str, reason: str) -> Change:
    return Change(tenant, Cluster.MANAGEMENT, ObjectRef("v1", "Secret", *key), Action.DELETE, reason, GeneratorStage.SECRETS)
