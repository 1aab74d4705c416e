# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore is to do, in which order, and what refuses it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.format import Header, Summary
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Replaced
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import backup_content, encryption, restore_plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup_content import KeptSecret
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed, restore_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.replicas import settle
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.restore_plan import Seen, Wanted

FILE = "team-a_acme_20261128T050000Z.hkbackup"
PKI = {suffix: KeptSecret("Opaque", "ca", {}, {"a": suffix.encode()}) for suffix in (names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT)}

BOUND = KeptSecret(
    "Opaque",
    "encryption-configuration",
    {},
    {encryption.DATA_KEY: encryption.render({"secrets": (encryption.Key("aesgcm", "key-1", "b2xk"),)})},
)


def stored(note: str | None = None, **metadata: object) -> Json:
    annotations = {} if note is None else {names.ANNOTATION_RESTORE: note}
    return {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": {"name": "acme", "namespace": "team-a", "annotations": annotations, **metadata},
        "spec": {"kubernetes": {"version": "v1.36.3"}, "controlPlane": {"deployment": {"replicas": 3}}},
    }


WANTED = Wanted(
    "team-a",
    "acme",
    FILE,
    in_place=True,
    header=Header("team-a/acme", "2026-11-28T05:00:00Z", "0.1.0", "v1.36.3", "etcd", "default", "team-a_acme"),
    summary=Summary(12, 1200, 34),
    resources=backup_content.resources_of(stored(), PKI, with_pki=True),
)
SEEN = Seen(stored(), {"spec": {"replicas": 3}}, PKI, Share("default", "team-a_acme", "team-a_acme"), "etcd", 9, Replaced(5, 2, 7))


def steps(seen: Seen) -> list[tuple[str, str]]:
    return [(f"{change.object.kind} {change.object.name}", change.action.value) for change in restore_plan.plan(WANTED, seen)]


MARK, KEYS = ("TenantControlPlane acme", "patch"), ("keys team-a_acme", "restore")
SCALE = ("Deployment acme", "scale")


def test_order() -> None:
    """The mark goes first and leaves last; nobody is awake in between."""
    assert steps(replace(SEEN, pki={names.CA: PKI[names.CA]})) == [
        MARK,
        ("Secret acme-front-proxy-ca-certificate", "create"),
        ("Secret acme-sa-certificate", "create"),
        SCALE,
        KEYS,
        SCALE,
        MARK,
    ]


def test_one_that_sleeps_is_not_woken() -> None:
    assert steps(replace(SEEN, live={"spec": {"replicas": 0}})) == [MARK, KEYS, MARK]


def test_nothing_to_do() -> None:
    assert steps(replace(SEEN, data=Replaced(kept=9))) == []


def test_only_a_secret_is_missing() -> None:
    assert KEYS not in steps(replace(SEEN, data=Replaced(kept=9), pki={}))


def test_an_interrupted_one_is_finished() -> None:
    """With the number of pods that it noted, also when all data is written already."""
    note = json.dumps({"backup": FILE, "replicas": 3})
    seen = replace(SEEN, stored=stored(note), live={"spec": {"replicas": 0}})
    assert steps(seen) == [KEYS, SCALE, MARK]
    assert steps(replace(seen, data=Replaced(kept=9))) == [SCALE, MARK]
    assert restore_plan.note(WANTED, seen) == note


def test_another_backup_takes_an_interrupted_one_over() -> None:
    seen = replace(SEEN, stored=stored(json.dumps({"backup": "other", "replicas": 3})), live={"spec": {"replicas": 0}})
    assert steps(seen) == [MARK, KEYS, SCALE, MARK]
    assert json.loads(restore_plan.note(WANTED, seen)) == {"backup": FILE, "replicas": 3}


@pytest.mark.parametrize("note", ["", "no JSON", "[]", '{"replicas": "x"}'])
def test_notes_that_somebody_changed(note: str) -> None:
    assert restore_plan.noted_replicas(stored(note)) is None
    assert restore_plan.noted_backup(stored(note)) is None
    assert restore_problem(stored(note))


@pytest.mark.parametrize(
    ("in_place", "found", "problem"),
    [
        (True, stored(), None),
        (True, None, "does not exist, so that nothing can be restored in place"),
        (False, None, None),
        (False, stored(), "exists already; give in_place"),
        (False, stored("{}"), None),
        (True, stored(deletionTimestamp="2026-11-28T05:00:00Z"), "is being deleted"),
        (True, stored(annotations={names.ANNOTATION_PAUSED: ""}), "is paused"),
    ],
)
def test_existence(in_place: bool, found: Json | None, problem: str | None) -> None:
    wanted = replace(WANTED, in_place=in_place)
    if problem is None:
        restore_plan.check_existence(wanted, found)
        return
    with pytest.raises(InvalidError, match=problem):
        restore_plan.check_existence(wanted, found)


def test_every_misfit_is_named_at_once() -> None:
    other = KeptSecret("Opaque", "ca", {}, {"a": b"other"})
    wanted = replace(WANTED, header=replace(WANTED.header, kubernetes="v1.30.0"))
    with pytest.raises(InvalidError) as failed:
        restore_plan.check_fit(wanted, replace(SEEN, pki={**PKI, names.CA: other}))
    assert len(failed.value.result["problems"]) == 2
    assert failed.value.msg.startswith("TenantControlPlane team-a/acme: Secret team-a/acme-ca is another one")
    restore_plan.check_fit(WANTED, SEEN)


def test_a_new_tenant_gets_no_share_with_data() -> None:
    with pytest.raises(InvalidError, match='holds 9 keys under "team-a_acme" that belong to no tenant known here'):
        restore_plan.check_fit(WANTED, replace(SEEN, stored=None))
    restore_plan.check_fit(WANTED, replace(SEEN, stored=None, keys=0))


@pytest.mark.parametrize(
    ("driver", "schema", "fits"),
    [
        ("etcd", "team-a_acme", True),
        ("etcd", "team-a_other", False),
        ("PostgreSQL", "team-a_acme", False),
        ("MySQL", "registry", False),
        ("etcd", "registry", False),
    ],
)
def test_data_that_is_encrypted_for_its_keys_stays_under_them(driver: str, schema: str, fits: bool) -> None:
    """A database has the API server's default prefix, whatever its name is; an etcd the name of the share."""
    seen = replace(SEEN, driver=driver, share=Share("default", schema, "team-a_acme"), pki={**PKI, names.ENCRYPTION: BOUND})
    resources = backup_content.resources_of(stored(), {**PKI, names.ENCRYPTION: BOUND}, with_pki=True)
    wanted = replace(WANTED, resources=resources)
    if fits:
        restore_plan.check_fit(wanted, seen)
    else:
        with pytest.raises(
            InvalidError, match=r'binds it to keys under "/team-a_acme/", and here they are under "/(registry|team-a_other)/"'
        ):
            restore_plan.check_fit(wanted, seen)
    from_database = replace(wanted, header=replace(wanted.header, driver="MySQL", schema="anything"))
    if driver != "etcd" or schema == "registry":
        restore_plan.check_fit(from_database, seen)


@pytest.mark.parametrize(("start", "warned"), [(33, True), (34, False), (35, False)])
def test_revisions_that_are_behind_are_told(start: int, warned: bool) -> None:
    assert bool(restore_plan.lag(WANTED, SEEN, start)) is warned


@pytest.mark.parametrize("manage_resource", [True, False])
def test_a_held_tenant_sleeps_whatever_its_definition_says(manage_resource: bool) -> None:
    desired = settle(Desired(parse(stored()), manage_resource, held=True), Observed(resource=stored()))
    assert desired.tenant.asleep
    assert desired.tenant.manifest()["spec"]["controlPlane"]["deployment"]["replicas"] == 3
