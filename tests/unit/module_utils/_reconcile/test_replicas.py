# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose number of pods counts: the definition's, else that of whoever scaled the resource; ours is a placeholder."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.replicas import missing, settle, stored
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    definition,
    desired,
    edit,
    later,
    live,
    placeholder,
    scaled,
    store,
    summary,
)

OURS: Final = 2


def seen(number: int | None = None, **spec: Any) -> Observed:
    """The stored resource, scaled to a number; where that is OURS, we wrote it."""
    resource = live(definition(**spec))
    if number is not None:
        resource = placeholder(scaled(resource, number), OURS)
    return Observed(resource=resource, datastore=store())


NAMED: Json = {"controlPlane__deployment__replicas": 4}


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param({}, Observed(), None, id="not stored yet"),
        pytest.param({}, seen(), None, id="nobody names one"),
        pytest.param({}, seen(OURS), None, id="only ours"),
        pytest.param({}, seen(3), 3, id="scaled"),
        pytest.param({}, seen(0), 0, id="put to sleep"),
        pytest.param(NAMED, seen(3), 4, id="the definition wins"),
        pytest.param({}, seen(**NAMED), None, id="no longer named"),
    ],
)
def test_whose_number_counts(wanted: Json, observed: Observed, expected: int | None) -> None:
    deployment = settle(desired(**wanted), observed).tenant.deployment
    assert (deployment.replicas if deployment.replicas_named else None) == expected


@pytest.mark.parametrize(("number", "expected"), [(OURS, None), (3, 3)])
def test_definition_as_stored(number: int, expected: int | None) -> None:
    observed = seen(number)
    wanted = Desired(parse(observed.resource or {}), manage_resource=False)
    deployment = settle(wanted, observed).tenant.deployment
    assert (deployment.replicas if deployment.replicas_named else None) == expected


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param({}, Observed(), 2, id="from the start"),
        pytest.param({}, seen(), 2, id="where it is missing"),
        pytest.param({}, seen(**NAMED), 2, id="where we take it away"),
        pytest.param({}, seen(3), None, id="where somebody wrote it"),
        pytest.param(NAMED, Observed(), None, id="where it is named"),
    ],
)
def test_where_a_number_is_missing(wanted: Json, observed: Observed, expected: int | None) -> None:
    assert missing(settle(desired(**wanted), observed), observed) == expected


def test_it_is_the_number_that_is_there() -> None:
    _wanted, observed = complete(**NAMED)
    assert missing(desired(), observed) == 4


def test_a_number_that_is_no_longer_named_stays_as_a_placeholder() -> None:
    _wanted, observed = complete(**NAMED)
    changes = plan(desired(), later(observed), NOW)
    assert summary(changes) == [("TenantControlPlane acme", "patch"), ("TenantControlPlane acme", "scale")]


def test_scaled_resource_scales_the_pods() -> None:
    wanted, observed = complete()
    observed = later(observed)
    resource = scaled(observed.resource or {}, 3)
    assert stored(resource) == 3
    by_kubectl = Observed(**{**observed.__dict__, "resource": resource})
    changes = plan(settle(wanted, by_kubectl), by_kubectl, NOW)
    assert list(summary(changes)) == [("Deployment acme", "patch")]
    assert [item.after for item in changes.changes[0].fields] == [3]


def test_autoscaler_of_the_deployment_is_no_reason_to_write_the_resource() -> None:
    wanted, observed = complete()

    def by_autoscaler(deployment: Json) -> None:
        deployment["spec"]["replicas"] = 7
        del deployment["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"]

    seen_later = edit(later(observed), "Deployment", by_autoscaler)
    assert not plan(settle(wanted, seen_later), seen_later, NOW)
