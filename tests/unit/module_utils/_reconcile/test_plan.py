# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as data: what may run, what is waited for, and what people get to see."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import ANNOTATION_TEMPLATE
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import (
    MISSING,
    Action,
    Barrier,
    Change,
    Cluster,
    Deferred,
    Plan,
    plan_diff,
    share_part,
)


def change(name: str = "a", *, kind: str = "Service", action: Action = Action.PATCH, stage: int = 0, **more: Any) -> Change:
    reference = ObjectRef("v1", kind, "tenants", name)
    return Change("tenants/acme", Cluster.MANAGEMENT, reference, action, "differs", stage, **more)


A, B = change("a", stage=10), change("b", stage=10)
WAITS = change("waits", stage=10, barrier=Barrier.ADDRESS)
LATER = change("later", stage=20)


@pytest.mark.parametrize(
    ("changes", "runnable", "barrier"),
    [
        ((), (), Barrier.NONE),
        ((A, B, LATER), (A, B), Barrier.NONE),
        ((LATER,), (LATER,), Barrier.NONE),
        # The free changes of a stage do not wait for the blocked ones; later stages do.
        ((A, WAITS, LATER), (A,), Barrier.NONE),
        ((WAITS, LATER), (), Barrier.ADDRESS),
        ((change(stage=10, barrier=Barrier.TENANT), LATER), (), Barrier.TENANT),
    ],
)
def test_lowest_stage_first(changes: tuple[Change, ...], runnable: tuple[Change, ...], barrier: Barrier) -> None:
    plan = Plan(changes)
    assert plan.runnable() == runnable
    assert plan.barrier() is barrier
    assert bool(plan) is bool(changes)
    assert tuple(plan) == changes


def test_identity_is_object_action_and_paths() -> None:
    one = change(fields=(FieldChange("spec.a", 1, 2),))
    assert one.identity() == change(fields=(FieldChange("spec.a", 3, UNKNOWN),), body={"x": 1}).identity()
    assert one.identity() != change(fields=(FieldChange("spec.b", 1, 2),)).identity()
    assert one.identity() != change(action=Action.DELETE, fields=one.fields).identity()
    assert one.identity() != change("b", fields=one.fields).identity()


@pytest.mark.parametrize(
    ("kind", "path", "shown"),
    [
        ("Secret", "data.tls.key", "(secret)"),
        ("Secret", 'data."tls.key"', "(secret)"),
        ("Secret", "data", "(secret)"),
        ("Secret", "stringData.password", "(secret)"),
        ("Secret", 'metadata.labels."a"', "hush"),
        ("ConfigMap", "data.key", "hush"),
    ],
)
def test_values_of_secrets_are_not_shown(kind: str, path: str, shown: str) -> None:
    item = change(kind=kind, fields=(FieldChange(path, "hush", "hush"),), body={"data": "hush"})
    assert item.to_result()["fields"] == [{"path": path, "before": shown, "after": shown}]
    (entry,) = plan_diff([item])
    if shown != "hush":
        assert "hush" not in json.dumps([item.to_result(), entry])


def test_absent_stays_absent_when_redacted() -> None:
    result = change(kind="Secret", fields=(FieldChange("data.a", None, "x"), FieldChange("data.b", "x", None))).to_result()
    assert [(item["before"], item["after"]) for item in result["fields"]] == [(None, "(secret)"), ("(secret)", None)]


def test_body_is_never_shown() -> None:
    item = change(kind="Secret", action=Action.ISSUE, body={"data": {"tls.key": "hush"}})
    assert "hush" not in repr(item)
    assert "hush" not in json.dumps([item.to_result(), plan_diff([item])])


PATH = f'metadata.annotations."{ANNOTATION_TEMPLATE}"'


def test_recorded_template_is_shown_as_a_fingerprint() -> None:
    template = json.dumps({"inputs": "x", "template": {"spec": "long " * 1000}})
    item = change(kind="Deployment", fields=(FieldChange(PATH, None, template), FieldChange(PATH, template, template + " ")))
    shown = [(entry["before"], entry["after"]) for entry in item.to_result()["fields"]]
    assert shown[0][0] is None
    assert shown[0][1] == shown[1][0]
    assert shown[1][0] != shown[1][1]
    assert all(text.startswith("(pod template ") and len(text) < 40 for text in (shown[0][1], *shown[1]))
    assert "long" not in json.dumps(plan_diff([item]))


def test_recorded_template_that_is_not_known_yet() -> None:
    item = change(fields=(FieldChange(PATH, None, json.dumps({"checksum": UNKNOWN}, ensure_ascii=False)),))
    assert item.to_result()["fields"][0]["after"] == UNKNOWN


@pytest.mark.parametrize(
    ("item", "before", "after"),
    [
        (change(fields=(FieldChange("spec.a", 1, 2),)), "spec.a: 1\n", "spec.a: 2\n"),
        (change(fields=(FieldChange("spec.a", None, "x"),)), "", "spec.a: 'x'\n"),
        (change(fields=(FieldChange("spec.a", "x", None),)), "spec.a: 'x'\n", ""),
        (change(fields=(FieldChange("spec.a", "x\ny\n", []),)), "spec.a: |\n  x\n  y\n", "spec.a: []\n"),
        (change(fields=(FieldChange("spec.a", ["x"], {"y": 1}),)), 'spec.a:\n  [\n    "x"\n  ]\n', 'spec.a:\n  {\n    "y": 1\n  }\n'),
        (change(action=Action.DELETE), "Service tenants/a\n", ""),
        (change(action=Action.PURGE), "Service tenants/a\n", ""),
    ],
)
def test_diff_shows_before_and_after(item: Change, before: str, after: str) -> None:
    (entry,) = plan_diff([item])
    assert (entry["before"], entry["after"]) == (before, after)
    assert entry["before_header"] == f"management: Service tenants/a ({item.action.value}: differs)"


WRITTEN = Change(
    "tenants/acme",
    Cluster.MANAGEMENT,
    ObjectRef(KAMAJI_API_VERSION, "TenantControlPlane", "tenants", "acme"),
    Action.CREATE,
    MISSING,
    0,
    (FieldChange("spec.kubernetes.version", None, "v1.36.3"),),
)


def new(name: str, *, action: Action = Action.CREATE, **more: Any) -> Change:
    return replace(change(name, action=action, fields=(FieldChange("spec.a", None, "long"),), **more), reason=MISSING)


def test_new_objects_are_a_line_each_and_what_the_user_wrote_is_shown_whole() -> None:
    granted = Change("tenants/acme", Cluster.DATASTORE, share_part("default", "user", "x"), Action.GRANT, "user is missing", 1)
    secret = new("ca", kind="Secret", action=Action.ISSUE)
    patched = change(fields=(FieldChange("spec.a", 1, 2),))

    written, made, differs, last = plan_diff([WRITTEN, granted, new("a"), secret, patched, new("b")])

    assert (written["before"], written["after"]) == ("", "spec.kubernetes.version: 'v1.36.3'\n")
    assert made["before"] == ""
    assert made["after"].splitlines() == [
        "datastore: grant user default/x (user is missing)",
        "management: create Service tenants/a",
        "management: issue Secret tenants/ca",
    ]
    assert made["before_header"] == "tenants/acme: what is made (-v shows each field)"
    assert (differs["before"], differs["after"]) == ("spec.a: 1\n", "spec.a: 2\n")
    assert last["after"] == "management: create Service tenants/b\n"


def test_new_objects_of_two_tenants_are_apart() -> None:
    entries = plan_diff([new("a"), replace(new("b"), tenant="tenants/beta")])
    assert [entry["after_header"].split(":")[0] for entry in entries] == ["tenants/acme", "tenants/beta"]


def test_an_authority_issued_again_is_no_new_object() -> None:
    (entry,) = plan_diff([change(kind="Secret", action=Action.ISSUE)])
    assert (entry["before"], entry["after"]) == ("Secret tenants/a\n", "Secret tenants/a (differs)\n")


def test_deferred_names_the_fields_only() -> None:
    reference = ObjectRef("apps/v1", "Deployment", "tenants", "acme")
    deferred = Deferred("tenants/acme", reference, (FieldChange("spec.template.spec.x", 1, 2),))
    assert deferred.to_result() == {"tenant": "tenants/acme", "object": "Deployment tenants/acme", "fields": ["spec.template.spec.x"]}
