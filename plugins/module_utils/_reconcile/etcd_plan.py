# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan(etcd, observed, now): the ordered changes that make a managed etcd as it should be, or remove it. Pure.

Both authorities are made once. While members or their volumes exist, a missing authority is an error: every tenant's
certificate hangs on it. Leaf certificates follow from the authorities and are made again whenever a check fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import ManagedEtcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import encoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests import etcd as manifests
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import (
    LeafRequest,
    check_ca,
    check_leaf,
    new_ca,
    new_leaf,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair, PkiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fields
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster, Plan

AUTHORITIES: Final = {"ca": "etcd-ca", "peer-ca": "etcd-peer-ca"}
SIGNER: Final = {"server": "ca", "peer": "peer-ca", "root": "ca"}
# Of objects whose other fields Kubernetes lets nobody change: path → the option that asks for the change.
_FIXED: Final = {
    ("StatefulSet", "spec.volumeClaimTemplates"): "storage_size, storage_class and local_volumes",
    ("StatefulSet", "spec.replicas"): "members",
    ("PersistentVolume", "spec"): "local_volumes and storage_size",
    ("StorageClass", ""): "the StorageClass",
}


@dataclass(frozen=True)
class ObservedEtcd:
    """What the management cluster holds of one etcd.

    objects: by label, and the shared StorageClass. secrets: (metadata, decoded data) by name. claims: names of its
    PersistentVolumeClaims. missing_authentication: from the store itself, None while it cannot be asked.
    """

    namespace_exists: bool = False
    objects: Mapping[ObjectRef, Json] = field(default_factory=dict)
    secrets: Mapping[str, tuple[Json, Mapping[str, bytes]]] = field(default_factory=dict, repr=False)
    claims: tuple[Json, ...] = ()
    missing_authentication: tuple[str, ...] | None = None

    def find(self, kind: str, name: str) -> Json | None:
        return next((obj for ref, obj in self.objects.items() if ref.kind == kind and ref.name == name), None)

    def pair(self, name: str, certificate: str, key: str) -> KeyPair | None:
        if name not in self.secrets:
            return None
        data = self.secrets[name][1]
        return KeyPair(data.get(certificate, b""), data.get(key, b""))


@dataclass(frozen=True)
class Validity:
    """How long leaf certificates are made for, and how long before their end they are made again."""

    leaf: timedelta = timedelta(days=365)
    renew_before: timedelta = timedelta(days=90)

    @classmethod
    def of_days(cls, leaf: int, renew_before: int) -> Validity:
        """Raises InvalidError when certificates would be made again as soon as they are made."""
        if not 0 <= renew_before < leaf:
            raise InvalidError(
                f"renew_before_days is {renew_before} and certificate_days {leaf}; give from 0 to less than the days of validity"
            )
        return cls(timedelta(days=leaf), timedelta(days=renew_before))


class Stage:
    """Order of execution."""

    NAMESPACE: Final = 0
    AUTHORITIES: Final = 1
    LEAVES: Final = 2
    OBJECTS: Final = 3
    AUTHENTICATION: Final = 4


def plan(etcd: ManagedEtcd, observed: ObservedEtcd, now: datetime, validity: Validity, authentication_order: tuple[str, ...]) -> Plan:
    """Return the changes that make an etcd as it should be; empty when it is.

    now: UTC. authentication_order: what switching authentication on consists of, for a store that cannot be asked yet.
    Raises InvalidError for changes that are impossible, HostedKubernetesError when an authority is lost.
    """
    planner = _Planner(etcd, observed, now, validity)
    changes = [
        *planner.namespace(),
        *planner.authorities(),
        *planner.leaves(),
        *planner.objects(),
        *planner.authentication(authentication_order),
    ]
    return Plan(tuple(changes))


def plan_absent(etcd: ManagedEtcd, observed: ObservedEtcd) -> Plan:
    """Return the changes that leave nothing of an etcd but its namespace: members, volumes' claims and keys go, with all data."""
    kept = ("StorageClass",)
    references = [ref for ref in observed.objects if ref.kind not in kept]
    stages = {"StatefulSet": 0, "CronJob": 0, "PersistentVolume": 2}
    changes = [_change(etcd, ref, Action.DELETE, "is to be deleted", stages.get(ref.kind, 1)) for ref in references]
    changes += [_change(etcd, ObjectRef.of(claim), Action.PURGE, "holds a deleted member's data", 1) for claim in observed.claims]
    changes += [
        _change(etcd, ObjectRef("v1", "Secret", etcd.namespace, name), Action.DELETE, "is to be deleted", 3) for name in observed.secrets
    ]
    return Plan(tuple(sorted(changes, key=lambda change: (change.stage, change.object))))


def authentication_changes(etcd: ManagedEtcd, missing: Sequence[str]) -> Iterator[Change]:
    """Return a change for each part of authentication that a store lacks."""
    for offset, part in enumerate(missing):
        change = _change(etcd, ObjectRef("etcd", part, "", etcd.name), Action.GRANT, "is not there yet", Stage.AUTHENTICATION + offset)
        yield replace(change, cluster=Cluster.DATASTORE)


def new_authority(etcd: ManagedEtcd, part: str, now: datetime) -> Json:
    """Make the Secret of an authority."""
    pair = new_ca(f"{etcd.name} {AUTHORITIES[part]}".replace(" ", "-"), algorithm=KeyAlgorithm(etcd.key_algorithm), now=now)
    return _secret(etcd, part, "Opaque", {"ca.crt": pair.certificate, "ca.key": pair.key})


def new_certificate(etcd: ManagedEtcd, part: str, observed: ObservedEtcd, now: datetime, validity: Validity) -> Json:
    """Make the Secret of a leaf certificate; its authority must exist. Replaces exactly the version that was observed."""
    signer = observed.pair(etcd.secret(SIGNER[part]), "ca.crt", "ca.key")
    if signer is None:
        raise ValueError(part)
    pair = new_leaf(signer, leaf_request(etcd, part), algorithm=KeyAlgorithm(etcd.key_algorithm), now=now, validity=validity.leaf)
    secret = _secret(etcd, part, "kubernetes.io/tls", {"tls.crt": pair.certificate, "tls.key": pair.key})
    if etcd.secret(part) in observed.secrets:
        secret["metadata"]["resourceVersion"] = observed.secrets[etcd.secret(part)][0]["resourceVersion"]
    return secret


def leaf_request(etcd: ManagedEtcd, part: str) -> LeafRequest:
    """What a certificate must say. Peers check each other's names against DNS, hence names only, and of every member."""
    hosts = tuple(etcd.member_host(index) for index in range(etcd.members))
    if part == "server":
        names_ = (etcd.name, f"{etcd.name}.{etcd.namespace}", etcd.host, *hosts, "localhost")
        # Clients look at the DNS names only; the host name may be too long for a common name.
        return LeafRequest(etcd.name, dns_names=names_, ip_addresses=("127.0.0.1", "::1"), server=True)
    if part == "peer":
        return LeafRequest(etcd.peers_service, dns_names=hosts, server=True, client=True)
    return LeafRequest("root", client=True)


def _change(etcd: ManagedEtcd, ref: ObjectRef, action: Action, reason: str, stage: int, *, changed: tuple[FieldChange, ...] = ()) -> Change:
    return Change(f"datastore {etcd.name}", Cluster.MANAGEMENT, ref, action, reason, stage, changed)


def _secret(etcd: ManagedEtcd, part: str, kind: str, data: Mapping[str, bytes]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": etcd.secret(part), "namespace": etcd.namespace, "labels": etcd.labels},
        "type": kind,
        "data": encoded(data),
    }


@dataclass(frozen=True)
class _Planner:
    etcd: ManagedEtcd
    observed: ObservedEtcd
    now: datetime
    validity: Validity

    def change(self, ref: ObjectRef, action: Action, reason: str, stage: int, changed: tuple[FieldChange, ...] = ()) -> Change:
        return _change(self.etcd, ref, action, reason, stage, changed=changed)

    def namespace(self) -> Iterator[Change]:
        if not self.observed.namespace_exists:
            ref = ObjectRef.of(manifests.namespace(self.etcd))
            yield self.change(ref, Action.CREATE, "does not exist", Stage.NAMESPACE)

    def authorities(self) -> Iterator[Change]:
        for part in AUTHORITIES:
            name = self.etcd.secret(part)
            pair = self.observed.pair(name, "ca.crt", "ca.key")
            if pair is None:
                self._refuse_loss(part)
                yield self.change(self._secret_ref(part), Action.ISSUE, "does not exist", Stage.AUTHORITIES)
                continue
            try:
                check_ca(pair, now=self.now)
            except PkiError as error:
                raise HostedKubernetesError(f"Secret {self.etcd.namespace}/{name}: {error.msg}") from error

    def _refuse_loss(self, part: str) -> None:
        leaves = [leaf for leaf, signer in SIGNER.items() if signer == part and self.etcd.secret(leaf) in self.observed.secrets]
        alive = self.observed.find("StatefulSet", self.etcd.name) or self.observed.claims
        if not leaves and not alive:
            return
        evidence = f"StatefulSet {self.etcd.namespace}/{self.etcd.name} or its data" if alive else f"Secret {self.etcd.secret(leaves[0])}"
        raise HostedKubernetesError(
            f"etcd {self.etcd.namespace}/{self.etcd.name}: Secret {self.etcd.secret(part)} with its authority is gone while {evidence} "
            "exists; every certificate hangs on it, so it is not made anew: restore the Secret from a backup and run again"
        )

    def leaves(self) -> Iterator[Change]:
        for part in SIGNER:
            reason = self._leaf_fault(part)
            if reason:
                yield self.change(self._secret_ref(part), Action.ISSUE, reason, Stage.LEAVES)

    def _leaf_fault(self, part: str) -> str | None:
        pair = self.observed.pair(self.etcd.secret(part), "tls.crt", "tls.key")
        signer = self.observed.pair(self.etcd.secret(SIGNER[part]), "ca.crt", "ca.key")
        if pair is None or signer is None:
            return "does not exist"
        request = leaf_request(self.etcd, part)
        return check_leaf(pair, request, ca_certificate=signer.certificate, now=self.now, renew_before=self.validity.renew_before)

    def objects(self) -> Iterator[Change]:
        desired = {ObjectRef.of(obj): obj for obj in manifests.objects(self.etcd)}
        for ref, obj in desired.items():
            live = self.observed.objects.get(ref)
            changed = tuple(fields.diff(obj, live, names.FIELD_MANAGER))
            if live is None:
                yield self.change(ref, Action.CREATE, "does not exist", Stage.OBJECTS)
            elif changed:
                self._refuse_fixed(ref, changed)
                yield self.change(ref, Action.PATCH, "differs from what is wanted", Stage.OBJECTS, changed)
            self._refuse_released(ref, live)
        for ref in self.observed.objects:
            if ref not in desired and ref.kind == "CronJob":
                yield self.change(ref, Action.DELETE, "is no longer wanted", Stage.OBJECTS)

    def _refuse_fixed(self, ref: ObjectRef, changed: tuple[FieldChange, ...]) -> None:
        for (kind, path), option in _FIXED.items():
            item = next((item for item in changed if ref.kind == kind and item.path.startswith(path)), None)
            if item:
                raise InvalidError(
                    f"etcd {self.etcd.namespace}/{self.etcd.name}: {option} cannot change once it exists ({ref}: {item.path} is "
                    f"{item.before!r}, wanted {item.after!r}); set the old value; or, while no tenant uses it, remove it with its data (ansible-playbook "
                    "hosted.kubernetes.datastore -e datastore_tasks=absent) and run again; or make another DataStore beside it"
                )

    def _refuse_released(self, ref: ObjectRef, live: Json | None) -> None:
        if live and ref.kind == "PersistentVolume" and live.get("status", {}).get("phase") in ("Released", "Failed"):
            raise HostedKubernetesError(
                f"{ref} still holds the data of a claim that was deleted; to use the data again remove its spec.claimRef.uid, to start "
                "empty delete the volume and empty its directory, then run again"
            )

    def authentication(self, order: tuple[str, ...]) -> Iterator[Change]:
        missing = self.observed.missing_authentication
        if missing is None:
            # A new store lacks all of it. One that exists but does not answer yet is asked when it does.
            missing = () if self.observed.find("StatefulSet", self.etcd.name) else order
        yield from authentication_changes(self.etcd, missing)

    def _secret_ref(self, part: str) -> ObjectRef:
        return ObjectRef("v1", "Secret", self.etcd.namespace, self.etcd.secret(part))
