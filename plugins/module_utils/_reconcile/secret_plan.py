# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a tenant's Secrets must be made, made again or relabelled. Pure.

A Secret whose uid and resourceVersion are those that status recorded needs no reading: status also recorded its checksum,
its expiry and a fingerprint of its inputs. Any other is asked for (Plan.unread) and checked by its content.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import (
    Json,
    ObjectRef,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import encoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.common import owner_reference
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption, templates
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import Facts, derive
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import MISSING, Action, Barrier, Change, Cluster
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import (
    Authorities,
    SecretInputs,
    SecretSpec,
    SecretState,
    authority_specs,
    checksum,
    digest,
    leaf_specs,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage


@dataclass(frozen=True)
class SecretPlan:
    """changes to Secrets; checksums by suffix; the CA certificate as base64 text (UNKNOWN while not made); issued: suffixes of what is made.

    Of the encryption configuration there is a checksum only while the API servers are to use it.
    taken: suffix → reason and fingerprint of Secrets that stay as another system made them, with its pods.
    """

    changes: tuple[Change, ...]
    checksums: Mapping[str, str]
    ca_certificate: str
    unread: frozenset[str]
    issued: frozenset[str] = frozenset()
    taken: Mapping[str, Json] = field(default_factory=dict)


def plan_secrets(desired: Desired, observed: Observed, facts: Facts, now: datetime) -> SecretPlan:
    """Decide about every Secret of a tenant. Raises when an authority of a living tenant is lost or broken.

    Secrets that another system made stay, as long as its pods do; pods of ours need ours.
    """
    live = observed.find("Deployment", desired.tenant.name)
    taken = templates.taken(live)
    if taken is None:
        return _decide(_Run(desired, observed, facts, now))
    kept = _decide(_Run(desired, observed, facts, now, taken=taken))
    if kept.unread:
        return kept
    checksums = replace(facts, checksums=kept.checksums)
    if templates.stay(live, desired.tenant, checksums, rollout_now=desired.rollout_now):
        return kept
    return _decide(_Run(desired, observed, facts, now, distrusted=frozenset(kept.taken)))


def _decide(run: _Run) -> SecretPlan:
    desired, observed = run.desired, run.observed
    for spec in authority_specs(desired.tenant, _own_pair(observed)):
        run.decide(spec)
    for stage in (0, 1):
        for spec in run.leaf_specs():
            if spec.stage == stage:
                run.decide(spec)
    run.decide_encryption()
    run.read_signers()
    return SecretPlan(tuple(run.changes), run.checksums, run.ca_certificate(), frozenset(run.unread), frozenset(run.issued), run.kept)


def plan_additional(desired: Desired, observed: Observed, spec: SecretSpec, now: datetime) -> SecretPlan:
    """Decide about one Secret beside those that every tenant has; observed needs no more than it and the Secret of its signer."""
    run = _Run(desired, observed, derive(desired, observed), now)
    run.decide(spec)
    run.read_signers()
    return SecretPlan(tuple(run.changes), run.checksums, UNKNOWN, frozenset(run.unread))


def secret_specs(desired: Desired, observed: Observed, facts: Facts) -> list[SecretSpec]:
    """All Secrets of a tenant, as the executor needs them to make one. facts.checksums must be those of the plan."""
    inputs = secret_inputs(observed, facts, facts.checksums)
    keys = encryption.of(desired.tenant, observed).spec
    own = _own_pair(observed)
    return [*authority_specs(desired.tenant, own), *leaf_specs(desired.tenant, inputs, desired.renew_before), *([keys] if keys else [])]


def _own_pair(observed: Observed) -> KeyPair | None:
    return observed.own_authority.pair if observed.own_authority else None


def secret_inputs(observed: Observed, facts: Facts, checksums: Mapping[str, str]) -> SecretInputs:
    view = observed.datastore
    return SecretInputs(
        addresses=facts.addresses,
        advertise_address=facts.advertise_address,
        endpoint_host=facts.endpoint_host,
        endpoint_port=facts.endpoint_port,
        tunnel_host=facts.tunnel_host,
        checksums=checksums,
        datastore_endpoints=",".join(view.reached_endpoints) if view else "",
        schema=facts.schema,
        user=facts.user,
        datastore_ca=view.ca_certificate if view else None,
        datastore_ca_checksum=checksum({"ca.crt": view.ca_certificate}) if view else "",
        datastore_signs=view.signs if view else False,
    )


def authorities(tenant: TenantControlPlane, observed: Observed) -> Authorities:
    """The signing key pairs whose Secrets were read."""

    def pair(suffix: str, certificate: str, key: str) -> KeyPair | None:
        state = observed.secrets.get(tenant.secret_name(suffix))
        data = (state.data if state else None) or {}
        return KeyPair(data[certificate], data[key]) if certificate in data and key in data else None

    return Authorities(
        cluster=pair(names.CA, "ca.crt", "ca.key"),
        front_proxy=pair(names.FRONT_PROXY_CA, "front-proxy-ca.crt", "front-proxy-ca.key"),
        datastore=observed.datastore.ca if observed.datastore else None,
        konnectivity=pair(names.KONNECTIVITY_CERTIFICATE, "tls.crt", "tls.key"),
    )


def secret_manifest(tenant: TenantControlPlane, spec: SecretSpec, uid: str, data: Mapping[str, bytes]) -> Json:
    """The Secret as it is written. Metadata also serves to notice labels or owners that were taken away."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": spec.secret_type,
        "metadata": {
            "name": tenant.secret_name(spec.suffix),
            "namespace": tenant.namespace,
            "labels": _labels(tenant, spec),
            "annotations": {**spec.annotations, names.ANNOTATION_CHECKSUM: checksum(data)},
            "ownerReferences": [owner_reference(tenant, uid)],
        },
        "data": encoded(data),
    }


def _labels(tenant: TenantControlPlane, spec: SecretSpec) -> dict[str, str]:
    labels = {**spec.labels, **names.labels(tenant.name, spec.component)}
    return {**labels, names.LABEL_LIFECYCLE: spec.lifecycle} if spec.lifecycle else labels


class _Run:
    """One pass over a tenant's Secrets; collects changes, checksums and what must be read.

    taken: the pods that Secrets of another system's making may stay with; kept says which do. distrusted: suffixes of Secrets whose
    content counts, whatever status recorded.
    """

    def __init__(
        self,
        desired: Desired,
        observed: Observed,
        facts: Facts,
        now: datetime,
        *,
        taken: templates.Taken | None = None,
        distrusted: frozenset[str] = frozenset(),
    ) -> None:
        self.desired, self.observed, self.facts, self.now = desired, observed, facts, now
        self.taken, self.distrusted = taken, distrusted
        self.kept: dict[str, Json] = dict(taken.secrets or {}) if taken else {}
        self.tenant = desired.tenant
        self.changes: list[Change] = []
        self.checksums: dict[str, str] = {}
        self.unread: set[str] = set()
        self.signers: set[str] = set()
        self.issued: set[str] = set()
        self.authorities = authorities(desired.tenant, observed)

    def leaf_specs(self) -> list[SecretSpec]:
        inputs = secret_inputs(self.observed, self.facts, self.checksums)
        return leaf_specs(self.tenant, inputs, self.desired.renew_before)

    def decide(self, spec: SecretSpec) -> None:
        name = self.tenant.secret_name(spec.suffix)
        state = self.observed.secrets.get(name)
        reason = MISSING
        if state is not None:
            found = self._reason(spec, name, state)
            if found is None:
                self.checksums[spec.suffix] = self._checksum(name, state)
                self.changes += self._relabel(spec, state)
                return
            reason = found
        if spec.permanent:
            self._refuse_lost(spec, name, state, reason)
        self.checksums[spec.suffix] = UNKNOWN
        self.kept.pop(spec.suffix, None)
        self.issued.add(spec.suffix)
        self.signers.add(spec.signer)
        self.changes.append(self._issue(spec, name, reason))

    def decide_encryption(self) -> None:
        wanted = encryption.of(self.tenant, self.observed)
        if wanted.spec is None:
            return
        self.decide(wanted.spec)
        if not wanted.used:
            self.checksums.pop(names.ENCRYPTION)

    def read_signers(self) -> None:
        """What is to be signed needs the signer's key, as far as that exists already."""
        for suffix in self.signers - {""}:
            state = self.observed.secrets.get(self.tenant.secret_name(suffix))
            if state is not None and state.data is None:
                self.unread.add(self.tenant.secret_name(suffix))
        # kubeconfigs built on the konnectivity certificate also hold the cluster's CA
        if names.KONNECTIVITY_CERTIFICATE in self.signers:
            ca = self.observed.secrets.get(self.tenant.secret_name(names.CA))
            if ca is not None and ca.data is None:
                self.unread.add(self.tenant.secret_name(names.CA))

    def ca_certificate(self) -> str:
        name = self.tenant.secret_name(names.CA)
        state = self.observed.secrets.get(name)
        if state is None:
            return UNKNOWN
        if state.data is not None:
            return base64.b64encode(state.data["ca.crt"]).decode()
        if state.recorded and (state.record or {}).get("certificate"):
            return base64.b64encode((state.record or {})["certificate"].encode()).decode()
        self.unread.add(name)
        return UNKNOWN

    def _reason(self, spec: SecretSpec, name: str, state: SecretState) -> str | None:
        """Why this Secret must be made again, None when it is good (or cannot be judged before it was read)."""
        if spec.signer in self.issued:
            return f"rests on Secret {self.tenant.secret_name(spec.signer)}"
        if has_unknown(spec.inputs):
            return None
        record = state.record or {}
        # What a first run that was cut short has recorded of them does not say which were taken.
        is_new = self.taken is not None and self.taken.secrets is None
        trusted = state.recorded and spec.suffix not in self.distrusted and not is_new
        if trusted and record.get("inputs") == spec.digest and not self._due(record):
            return None
        if names.ANNOTATION_ROTATE in self._annotations(state) and not self._annotations(state)[names.ANNOTATION_ROTATE]:
            return "rotation was asked for"
        needed = {name} | ({self.tenant.secret_name(spec.signer)} if spec.signer else set())
        if spec.signer == names.KONNECTIVITY_CERTIFICATE:
            needed.add(self.tenant.secret_name(names.CA))
        missing = {item for item in needed if (found := self.observed.secrets.get(item)) and found.data is None}
        if missing:
            self.unread |= missing
            return None
        return self._fault(spec, state.data or {})

    def _fault(self, spec: SecretSpec, data: Mapping[str, bytes]) -> str | None:
        """Why the content must be made again; not because another system made it in another way for pods that stay."""
        reason = spec.check(data, self.authorities, self.now)
        self.kept.pop(spec.suffix, None)
        fingerprint = digest([spec.digest, checksum(data)])
        if not reason or not spec.works or not self.taken or not self.taken.has(spec.suffix, fingerprint):
            return reason
        fault = spec.works(data, self.authorities, self.now)
        if not fault:
            self.kept[spec.suffix] = {"reason": reason, "fingerprint": fingerprint}
        return fault

    def _due(self, record: Json) -> bool:
        end: str = record.get("notAfter") or ""
        return bool(end) and datetime.fromisoformat(end) - self.desired.renew_before <= self.now

    def _checksum(self, name: str, state: SecretState) -> str:
        if state.data is not None:
            return checksum(state.data)
        if state.recorded:
            return str((state.record or {}).get("checksum", UNKNOWN))
        self.unread.add(name)
        return UNKNOWN

    def _refuse_lost(self, spec: SecretSpec, name: str, state: SecretState | None, reason: str) -> None:
        if state is None and not self.observed.lives(self.tenant.name):
            return
        if state is None:
            reason += f" (or lost its labels {names.LABEL_PROJECT}, {names.LABEL_NAME})"
        raise HostedKubernetesError(
            f"TenantControlPlane {self.tenant.key}: Secret {self.tenant.namespace}/{name} {reason}, but workers and "
            f"kubeconfigs of this tenant trust the {spec.component} it held; restore that Secret from a backup of the "
            "management cluster and run again (a new one would cut every worker off)"
        )

    def _relabel(self, spec: SecretSpec, state: SecretState) -> Iterator[Change]:
        labels, annotations = state.metadata.get("labels") or {}, self._annotations(state)
        wanted = _labels(self.tenant, spec)
        fields = [
            FieldChange(f'metadata.labels."{key}"', labels.get(key), value) for key, value in wanted.items() if labels.get(key) != value
        ]
        found = self.checksums[spec.suffix]
        if not has_unknown(found) and annotations.get(names.ANNOTATION_CHECKSUM) != found:
            path = f'metadata.annotations."{names.ANNOTATION_CHECKSUM}"'
            fields.append(FieldChange(path, annotations.get(names.ANNOTATION_CHECKSUM), found))
        finalizers = state.metadata.get("finalizers") or []
        left = [item for item in finalizers if item != names.SECRET_FINALIZER]
        if left != finalizers:
            fields.append(FieldChange("metadata.finalizers", finalizers, left or None))
        owners = [item.get("uid") for item in state.metadata.get("ownerReferences") or []]
        if not has_unknown(self.facts.uid) and self.facts.uid not in owners:
            fields.append(FieldChange("metadata.ownerReferences", owners or None, [self.facts.uid]))
        if fields:
            body = {
                "metadata": {
                    "labels": wanted,
                    "annotations": {names.ANNOTATION_CHECKSUM: found},
                    "ownerReferences": [owner_reference(self.tenant, self.facts.uid)],
                    **({"finalizers": left or None} if left != finalizers else {}),
                }
            }
            reason = f"{fields[0].path} differs"
            change = self._change(spec, state.metadata["name"], Action.PATCH, reason)
            yield replace(change, fields=tuple(fields), body=body)

    def _issue(self, spec: SecretSpec, name: str, reason: str) -> Change:
        change = self._change(spec, name, Action.ISSUE, reason)
        if has_unknown(spec.inputs):
            unknown_address = has_unknown(self.facts.address) and _mentions_address(spec)
            return replace(change, barrier=Barrier.ADDRESS if unknown_address else Barrier.KEYS)
        return change

    def _change(self, spec: SecretSpec, name: str, action: Action, reason: str) -> Change:
        return Change(
            tenant=self.tenant.key,
            cluster=Cluster.MANAGEMENT,
            object=ObjectRef("v1", "Secret", self.tenant.namespace, name),
            action=action,
            reason=reason,
            stage=_stage(spec),
        )

    @staticmethod
    def _annotations(state: SecretState) -> Mapping[str, str]:
        return state.metadata.get("annotations") or {}


def _mentions_address(spec: SecretSpec) -> bool:
    return has_unknown({key: value for key, value in spec.inputs.items() if key != "signer"})


def _stage(spec: SecretSpec) -> int:
    if spec.permanent:
        return Stage.FOUNDATION
    if spec.suffix in (names.API_SERVER, names.ADMIN_KUBECONFIG, names.KONNECTIVITY_CERTIFICATE):
        return Stage.ADDRESSED
    return Stage.CHAINED_LEAVES if spec.stage else Stage.LEAVES
