# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Secrets are read, made, made again or left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pytest
from cryptography import x509

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import new_ca
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import derive
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import SecretPlan, plan_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState, checksum, expiry
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    days,
    desired,
    follow,
    later,
    nothing,
    read,
    store,
    sum_of,
)

ADDRESS: Final = "198.18.0.9"
SPEC: Final[Json] = {"controlPlane__deployment__replicas": 0, "networkProfile__address": ADDRESS}
AUTHORITIES: Final = (names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT)
CLUSTER_LEAVES: Final = {
    names.API_SERVER,
    names.API_SERVER_KUBELET_CLIENT,
    names.ADMIN_KUBECONFIG,
    names.CONTROLLER_MANAGER_KUBECONFIG,
    names.SCHEDULER_KUBECONFIG,
    names.KONNECTIVITY_CERTIFICATE,
}
EVERYTHING: Final = {
    *AUTHORITIES,
    *CLUSTER_LEAVES,
    names.KONNECTIVITY_KUBECONFIG,
    names.FRONT_PROXY_CLIENT,
    names.DATASTORE_CONFIG,
    names.DATASTORE_CERTIFICATE,
}


def decide(wanted: Desired, observed: Observed, now: datetime = NOW) -> SecretPlan:
    return plan_secrets(wanted, observed, derive(wanted, observed), now)


def decide_read(wanted: Desired, seen: Observed, whole: Observed, now: datetime = NOW) -> SecretPlan:
    """The decision once all Secrets were read that it asked for."""
    for _round in range(5):
        found = decide(wanted, seen, now)
        if not found.unread:
            return found
        seen = read(seen, whole, found.unread)
    raise AssertionError("it asks for the same Secrets again and again")


def issued(found: SecretPlan) -> set[str]:
    return {change.object.name.removeprefix("acme") for change in found.changes if change.action is Action.ISSUE}


def reasons(found: SecretPlan) -> Mapping[str, str]:
    return {change.object.name.removeprefix("acme"): change.reason for change in found.changes}


@pytest.fixture
def standing() -> tuple[Desired, Observed]:
    return complete(**SPEC)


def touched(observed: Observed, suffix: str, **metadata: Any) -> Observed:
    """A Secret that somebody wrote: its resourceVersion is no longer the recorded one."""
    state = observed.secrets[f"acme{suffix}"]
    return observed.with_secrets({f"acme{suffix}": replace(state, metadata={**state.metadata, "resourceVersion": "999999", **metadata})})


def with_data(observed: Observed, suffix: str, change: Callable[[dict[str, bytes]], None]) -> Observed:
    """A Secret whose content somebody changed, read."""
    name = f"acme{suffix}"
    data = dict(observed.secrets[name].data or {})
    change(data)
    moved = touched(observed, suffix)
    return moved.with_secrets({name: replace(moved.secrets[name], data=data)})


# Reading


def test_recorded_secrets_are_not_read(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    found = decide(wanted, later(observed))
    assert found.changes == ()
    assert found.unread == frozenset()
    assert found.checksums == {suffix: sum_of(observed.secrets[f"acme{suffix}"]) for suffix in EVERYTHING}
    assert found.ca_certificate != UNKNOWN


@pytest.mark.parametrize(
    ("suffix", "needed"),
    [
        (names.CA, {names.CA}),
        (names.SERVICE_ACCOUNT, {names.SERVICE_ACCOUNT}),
        (names.SCHEDULER_KUBECONFIG, {names.SCHEDULER_KUBECONFIG, names.CA}),
        (names.FRONT_PROXY_CLIENT, {names.FRONT_PROXY_CLIENT, names.FRONT_PROXY_CA}),
        (names.DATASTORE_CERTIFICATE, {names.DATASTORE_CERTIFICATE}),
        (names.KONNECTIVITY_KUBECONFIG, {names.KONNECTIVITY_KUBECONFIG, names.KONNECTIVITY_CERTIFICATE, names.CA}),
    ],
)
def test_a_touched_secret_is_read_with_what_judges_it(standing: tuple[Desired, Observed], suffix: str, needed: set[str]) -> None:
    wanted, observed = standing
    seen = touched(later(observed), suffix)
    found = decide(wanted, seen)
    assert found.unread == {f"acme{item}" for item in needed}
    assert issued(found) == set()
    assert decide_read(wanted, seen, observed).changes == ()


def test_nothing_is_recorded_of_an_object_with_another_uid(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    seen = later(observed)
    name = f"acme{names.SCHEDULER_KUBECONFIG}"
    other = replace(seen.secrets[name], metadata={**seen.secrets[name].metadata, "uid": "another"})
    assert name in decide(wanted, seen.with_secrets({name: other})).unread


def test_without_any_record_all_are_read(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    seen = replace(later(observed), resource={**(observed.resource or {}), "status": {}})
    states = {name: SecretState(state.metadata) for name, state in observed.secrets.items()}
    assert decide(wanted, replace(seen, secrets=states)).unread == {f"acme{suffix}" for suffix in EVERYTHING}


# Time


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (0, set()),
        (334, set()),
        (336, EVERYTHING - {*AUTHORITIES, names.DATASTORE_CONFIG}),
    ],
)
def test_leaves_are_renewed_before_they_end(standing: tuple[Desired, Observed], day: int, expected: set[str]) -> None:
    """They last a year; 30 days before that they are due."""
    wanted, observed = standing
    found = decide_read(wanted, later(observed), observed, days(day))
    assert issued(found) == expected


def test_renewal_keeps_the_authorities_and_lasts_another_year(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    after = follow(wanted, observed, now=days(336))
    for suffix in AUTHORITIES:
        assert after.secrets[f"acme{suffix}"].data == observed.secrets[f"acme{suffix}"].data
    end = expiry(after.secrets[f"acme{names.API_SERVER}"].data or {})
    assert end is not None
    assert end > days(336 + 360)
    assert not plan(wanted, later(after), days(337))


def test_an_authority_that_ends_is_an_error(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    with pytest.raises(HostedKubernetesError, match=r"Secret tenants/acme-ca .*restore that Secret from a backup"):
        decide_read(wanted, later(observed), observed, days(3651))


# What the content follows from


def san(observed: Observed) -> set[str]:
    certificate = x509.load_pem_x509_certificate((observed.secrets[f"acme{names.API_SERVER}"].data or {})["apiserver.crt"])
    names_of = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names_of}


def test_name_added_and_removed(standing: tuple[Desired, Observed]) -> None:
    _wanted, observed = standing
    more = desired(**SPEC, networkProfile__certSANs=["acme.example.com", "192.0.2.7"])
    assert issued(decide_read(more, later(observed), observed)) == {names.API_SERVER}
    after = follow(more, observed)
    assert {"acme.example.com", "192.0.2.7"} <= san(after)
    less = desired(**SPEC)
    assert issued(decide_read(less, later(after), after)) == {names.API_SERVER}
    assert not {"acme.example.com", "192.0.2.7"} & san(follow(less, after))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"networkProfile__address": "198.18.0.10"},
            {names.API_SERVER, names.ADMIN_KUBECONFIG, names.KONNECTIVITY_CERTIFICATE, names.KONNECTIVITY_KUBECONFIG},
        ),
        (
            {"controlPlane__gateway": {"hostname": "acme.example.com:443"}},
            {names.API_SERVER, names.ADMIN_KUBECONFIG, names.KONNECTIVITY_CERTIFICATE, names.KONNECTIVITY_KUBECONFIG},
        ),
        (
            {"networkProfile__port": 6444},
            {names.ADMIN_KUBECONFIG, names.CONTROLLER_MANAGER_KUBECONFIG, names.SCHEDULER_KUBECONFIG, names.KONNECTIVITY_KUBECONFIG},
        ),
        ({"networkProfile__serviceCidrs": ["10.97.0.0/16"]}, {names.API_SERVER}),
        ({"networkProfile__clusterDomain": "acme.local"}, {names.API_SERVER}),
        ({"kubernetes__version": "v1.36.4"}, set()),
    ],
)
def test_only_what_follows_from_a_field_is_made_again(standing: tuple[Desired, Observed], changes: Json, expected: set[str]) -> None:
    _wanted, observed = standing
    assert issued(decide_read(desired(**{**SPEC, **changes}), later(observed), observed)) == expected


def test_another_authority_of_the_datastore(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    ca = new_ca("other", algorithm=KeyAlgorithm("ECDSA-P256"), now=NOW)
    seen = replace(later(observed), datastore=store(ca_certificate=ca.certificate, ca=ca))
    found = decide_read(wanted, seen, observed)
    assert reasons(found) == {names.DATASTORE_CERTIFICATE: "the datastore's CA changed"}


def test_other_endpoints_of_the_datastore(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    seen = replace(later(observed), datastore=store(endpoints=("a:2379", "b:2379")))
    assert reasons(decide_read(wanted, seen, observed)) == {names.DATASTORE_CONFIG: "DB_CONNECTION_STRING differs"}


# Content


@pytest.mark.parametrize("suffix", sorted(CLUSTER_LEAVES | {names.FRONT_PROXY_CLIENT, names.DATASTORE_CERTIFICATE, names.DATASTORE_CONFIG}))
def test_content_that_is_gone_is_made_again(standing: tuple[Desired, Observed], suffix: str) -> None:
    wanted, observed = standing
    found = decide(wanted, with_data(observed, suffix, dict.clear))
    follows = {names.KONNECTIVITY_KUBECONFIG} if suffix == names.KONNECTIVITY_CERTIFICATE else set()
    assert issued(found) == {suffix} | follows
    assert found.checksums[suffix] == UNKNOWN


def test_a_key_of_another_certificate_is_noticed(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    other = (observed.secrets[f"acme{names.API_SERVER_KUBELET_CLIENT}"].data or {})["apiserver-kubelet-client.key"]
    spoiled = with_data(observed, names.API_SERVER, lambda data: data.update({"apiserver.key": other}))
    assert issued(decide(wanted, spoiled)) == {names.API_SERVER}


def test_deleted_leaf_needs_its_signer_read(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    seen = later(observed).with_secrets({f"acme{names.SCHEDULER_KUBECONFIG}": None})
    found = decide(wanted, seen)
    assert issued(found) == {names.SCHEDULER_KUBECONFIG}
    assert found.unread == {f"acme{names.CA}"}


def test_what_rests_on_a_secret_is_made_again_with_it(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    seen = later(observed).with_secrets({f"acme{names.KONNECTIVITY_CERTIFICATE}": None})
    found = decide_read(wanted, seen, observed)
    assert issued(found) == {names.KONNECTIVITY_CERTIFICATE, names.KONNECTIVITY_KUBECONFIG}
    assert reasons(found)[names.KONNECTIVITY_KUBECONFIG] == f"rests on Secret acme{names.KONNECTIVITY_CERTIFICATE}"


# Authorities


@pytest.mark.parametrize("suffix", AUTHORITIES)
def test_lost_authority_of_a_living_tenant_is_an_error(standing: tuple[Desired, Observed], suffix: str) -> None:
    wanted, observed = standing
    with pytest.raises(HostedKubernetesError) as failure:
        decide(wanted, later(observed).with_secrets({f"acme{suffix}": None}))
    assert failure.value.msg.startswith(f"TenantControlPlane tenants/acme: Secret tenants/acme{suffix} does not exist (or lost its labels")
    assert "restore that Secret from a backup of the management cluster and run again" in failure.value.msg


@pytest.mark.parametrize("suffix", AUTHORITIES)
def test_authority_is_made_while_the_tenant_does_not_live_yet(suffix: str) -> None:
    """Killed before the first status: neither the Deployment nor a record is there."""
    wanted, observed = complete(**SPEC)
    young = replace(observed, objects={}, resource={**(observed.resource or {}), "status": {}})
    lost = young.with_secrets({f"acme{suffix}": None})
    assert suffix in issued(decide(wanted, lost))


@pytest.mark.parametrize("suffix", AUTHORITIES)
def test_broken_authority_is_never_replaced(suffix: str) -> None:
    """Also not before the tenant lives: somebody's key may be in there."""
    wanted, observed = complete(**SPEC)
    young = replace(observed, objects={}, resource={**(observed.resource or {}), "status": {}})
    with pytest.raises(HostedKubernetesError, match="restore that Secret from a backup"):
        decide(wanted, with_data(young, suffix, lambda data: data.update(dict.fromkeys(data, b"broken"))))


def test_all_leaves_are_named_when_their_authority_is_to_be_made() -> None:
    found = decide(desired(**SPEC), nothing())
    assert issued(found) == EVERYTHING
    assert found.ca_certificate == UNKNOWN
    assert set(found.checksums.values()) == {UNKNOWN}


# Metadata


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"labels": {}}, "metadata.labels."),
        ({"annotations": {names.ANNOTATION_CHECKSUM: "other"}}, f'metadata.annotations."{names.ANNOTATION_CHECKSUM}"'),
        ({"annotations": None}, f'metadata.annotations."{names.ANNOTATION_CHECKSUM}"'),
        ({"ownerReferences": [{"uid": "other"}]}, "metadata.ownerReferences"),
    ],
)
def test_metadata_is_patched_without_touching_the_content(standing: tuple[Desired, Observed], metadata: Json, path: str) -> None:
    wanted, observed = standing
    found = decide_read(wanted, touched(later(observed), names.SCHEDULER_KUBECONFIG, **metadata), observed)
    (change,) = found.changes
    assert change.action is Action.PATCH
    assert change.fields
    assert all(item.path.startswith(path) for item in change.fields)
    assert "data" not in (change.body or {})


def test_rotation_is_asked_for_by_an_empty_annotation(standing: tuple[Desired, Observed]) -> None:
    wanted, observed = standing
    annotations = {names.ANNOTATION_CHECKSUM: sum_of(observed.secrets[f"acme{names.API_SERVER}"]), names.ANNOTATION_ROTATE: ""}
    found = decide_read(wanted, touched(later(observed), names.API_SERVER, annotations=annotations), observed)
    assert reasons(found) == {names.API_SERVER: "rotation was asked for"}


def test_no_secret_shows_in_texts(standing: tuple[Desired, Observed]) -> None:
    _wanted, observed = standing
    for state in observed.secrets.values():
        assert "PRIVATE KEY" not in repr(state)
    assert "PRIVATE KEY" not in repr(observed)


def test_checksum_is_over_the_values_in_order_of_their_keys() -> None:
    assert checksum({"b": b"2", "a": b"1"}) == checksum({"a": b"1", "b": b"2"}) == "c20ad4d76fe97759aa27a0c99bff6710"
