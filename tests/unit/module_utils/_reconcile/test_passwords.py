# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants whose datastore knows its users by a password: what is made of Secrets and shares, and in which order."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Barrier, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    SQL_PARTS,
    database,
    desired,
    follow,
    later,
    nothing,
    read,
    store,
)

CONFIG = "acme" + names.DATASTORE_CONFIG
CERTIFICATE = "acme" + names.DATASTORE_CERTIFICATE


def made_anew(**changes: Any) -> tuple[Desired, Observed]:
    """A tenant in which nothing is left to do. changes: of its datastore."""
    wanted = desired()
    return wanted, follow(wanted, replace(nothing(), datastore=database(**changes)))


@cache
def made() -> tuple[Desired, Observed]:
    return made_anew()


def steps(changes: Plan) -> list[str]:
    """What is done to the datastore, the Secret with the password and the pods, in order."""
    order = [f"{change.object.kind} {change.object.name}" for change in changes]
    return [item.partition(" ")[0] for item in order if item in (f"Secret {CONFIG}", "Deployment acme") or item.split(" ")[0] in SQL_PARTS]


def asked_to_rotate(observed: Observed) -> Observed:
    state = observed.secrets[CONFIG]
    annotations = {**state.metadata["annotations"], names.ANNOTATION_ROTATE: ""}
    metadata = {**state.metadata, "annotations": annotations, "resourceVersion": "999"}
    return observed.with_secrets({CONFIG: replace(state, metadata=metadata)})


def test_the_password_is_kept_before_the_store_gets_it_and_pods_come_last() -> None:
    changes = plan(desired(), replace(nothing(), datastore=database()), NOW)
    assert steps(changes) == ["Secret", *SQL_PARTS, "Deployment"]
    assert {change.barrier for change in changes if change.object.kind in SQL_PARTS} == {Barrier.KEYS}


def test_nothing_is_left_to_do_afterwards() -> None:
    wanted, observed = made()
    assert not plan(wanted, observed, NOW)
    assert not plan(wanted, later(observed), NOW)


def test_the_secrets_hold_what_kine_needs() -> None:
    _wanted, observed = made()
    data = dict(observed.secrets[CONFIG].data or {})
    password = data.pop("DB_PASSWORD")
    assert data == {"DB_CONNECTION_STRING": b"postgresql.databases:5432", "DB_SCHEMA": b"tenants_acme", "DB_USER": b"tenants_acme"}
    assert len(password) >= 32
    assert (observed.secrets[CERTIFICATE].data or {}).keys() == {"ca.crt"}


def test_passwords_differ() -> None:
    first, second = ((found[1].secrets[CONFIG].data or {})["DB_PASSWORD"] for found in (made(), made_anew()))
    assert first != second


def test_an_authority_whose_key_is_known_issues_a_client_certificate() -> None:
    wanted, observed = made_anew(ca=store().ca)
    assert (observed.secrets[CERTIFICATE].data or {}).keys() == {"ca.crt", "server.crt", "server.key"}
    withdrawn = replace(observed, datastore=replace(observed.datastore or database(), ca=None))
    changes = plan(wanted, withdrawn, NOW)
    assert [(change.object.name, change.reason) for change in changes][:1] == [(CERTIFICATE, "holds more than the datastore's CA")]


def test_mysql_is_reached_at_one_address() -> None:
    _wanted, observed = made_anew(driver="MySQL", endpoints=("db-0:3306", "db-1:3306"))
    assert (observed.secrets[CONFIG].data or {})["DB_CONNECTION_STRING"] == b"db-0:3306"


def test_a_rotated_password_reaches_the_store_before_the_pods() -> None:
    wanted, observed = made()
    before = (observed.secrets[CONFIG].data or {})["DB_PASSWORD"]
    observed = asked_to_rotate(observed)
    changes = plan(wanted, observed, NOW)
    assert steps(changes) == ["Secret", PASSWORD, "Deployment"]
    after = follow(wanted, observed)
    assert (after.secrets[CONFIG].data or {})["DB_PASSWORD"] != before
    assert not plan(wanted, after, NOW)


def test_a_run_that_was_killed_between_secret_and_store_is_continued() -> None:
    """The store says that it does not accept the password that the Secret holds."""
    wanted, observed = made()
    behind = replace(observed, datastore=(observed.datastore or database()).without_password())
    unread = plan(wanted, later(behind), NOW)
    assert unread.unread == {CONFIG}
    changes = plan(wanted, read(later(behind), behind, frozenset({CONFIG})), NOW)
    assert steps(changes) == [PASSWORD]
    assert not changes.unread


def test_a_lost_secret_is_made_again_with_another_password() -> None:
    wanted, observed = made()
    changes = plan(wanted, observed.with_secrets({CONFIG: None}), NOW)
    assert steps(changes) == ["Secret", PASSWORD, "Deployment"]


def test_a_part_that_was_taken_away_comes_back_alone() -> None:
    wanted, observed = made()
    left = IsolationState(missing=("privileges",), present=("role", PASSWORD, "database"))
    changes = plan(wanted, later(replace(observed, datastore=database(left))), NOW)
    assert steps(changes) == ["privileges"]
    assert not changes.unread, "only the part password needs the Secret"


def test_a_password_that_was_not_tried_is_no_difference() -> None:
    wanted, observed = made()
    state = IsolationState(missing=(), present=("role", "database"), unchecked=(PASSWORD, "privileges"))
    assert not plan(wanted, later(replace(observed, datastore=database(state))), NOW)


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (
            {"dataStoreSchema": "a:b"},
            {},
            (
                'TenantControlPlane tenants/acme: spec.dataStoreSchema "a:b" does not fit a datastore of driver PostgreSQL; '
                'write letters, digits, "_" and "-" only'
            ),
        ),
        ({"dataStoreUsername": "a@b"}, {"driver": "MySQL"}, 'spec.dataStoreUsername "a@b" does not fit a datastore of driver MySQL'),
        (
            {"dataStoreOverrides": [{"resource": "/events", "dataStore": "events"}]},
            {},
            'spec.dataStoreOverrides[0].dataStore "events" and spec.dataStore must both be of driver etcd; they are etcd and PostgreSQL',
        ),
    ],
)
def test_refused(spec: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    observed = replace(nothing(), datastore=database(**changes), overrides={"events": store(name="events")})
    with pytest.raises(HostedKubernetesError) as refusal:
        plan(desired(**spec), observed, NOW)
    assert message in refusal.value.msg
