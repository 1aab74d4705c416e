# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a tenant is not ready: the first phase that fails, the reason there, and the next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.diagnose import Diagnosis, diagnose, next_expiry
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import NOW, complete, edit, nothing, reference, store

Situation = Callable[[Observed], Observed]
RUNNING: Final[Json] = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
SILENT: Final = "connection to 198.18.0.200:6443 refused"


def pod(name: str, waiting: Json | None = None, **status: Any) -> Json:
    """A pod that is ready, or whose container waits."""
    ready = {"type": "Ready", "status": "False" if waiting else "True"}
    containers = [{"name": "kube-apiserver", "state": {"waiting": waiting} if waiting else {"running": {}}}]
    return {"metadata": {"name": name}, "status": {"conditions": [ready], "containerStatuses": containers, **status}}


def running(**status: Any) -> Situation:
    return lambda observed: edit(observed, "Deployment", lambda obj: obj.update(status={**RUNNING, **status}))


def marked(**metadata: Any) -> Situation:
    def mark(observed: Observed) -> Observed:
        resource = observed.resource or {}
        return replace(observed, resource={**resource, "metadata": {**resource["metadata"], **metadata}})

    return mark


def after(*steps: Situation) -> Situation:
    def all_of_them(observed: Observed) -> Observed:
        for step in steps:
            observed = step(observed)
        return observed

    return all_of_them


def crashing(observed: Observed) -> Observed:
    pull = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "images.example.com/kube-apiserver:v1.36.3"'}
    return replace(running(availableReplicas=1)(observed), pods=(pod("acme-1"), pod("acme-2", pull)))


def without(kind: str) -> Situation:
    return lambda observed: observed.with_objects({reference(kind): None})


def no_address(observed: Observed) -> Observed:
    """A Service that never got one."""
    bare = edit(observed, "Service", lambda obj: obj.pop("status"))
    return replace(bare, resource={**(bare.resource or {}), "status": {}})


RUN_AGAIN: Final = "run the module tenant_control_plane again (or let the controller do it)"
PHASES: Final[dict[str, tuple[Situation, str, Diagnosis]]] = {
    "ready": (running(), "", Diagnosis()),
    "being deleted": (
        marked(deletionTimestamp="2026-01-01T00:00:00Z"),
        "",
        Diagnosis("deletion", "the resource is being deleted", "finish it: module tenant_control_plane with state absent"),
    ),
    "restore": (
        marked(annotations={names.ANNOTATION_RESTORE: "{}"}),
        "",
        Diagnosis(
            "restore",
            "its data is being restored, or that was interrupted (annotation hosted-kubernetes.io/restore); finish it with module tenant_restore, "
            "which can be run again",
            "run module tenant_restore again",
        ),
    ),
    "paused": (
        marked(annotations={names.ANNOTATION_PAUSED: ""}),
        "",
        Diagnosis("paused", "annotation kamaji.clastix.io/paused is set", "remove the annotation"),
    ),
    "no datastore": (
        lambda observed: replace(observed, datastore=None),
        "",
        Diagnosis("datastore", "DataStore default does not exist", "mend or create the datastore; module datastore probes it"),
    ),
    "silent datastore": (
        lambda observed: replace(observed, datastore=store(error="etcd-0.etcd:2379 does not answer")),
        "",
        Diagnosis("datastore", "etcd-0.etcd:2379 does not answer", "mend or create the datastore; module datastore probes it"),
    ),
    "no address": (no_address, "", Diagnosis("address", "the Service has no address", "look at the load balancer and its address pool")),
    "object missing": (
        after(running(), without("NetworkPolicy")),
        "",
        Diagnosis("management_objects", "NetworkPolicy tenants/acme: does not exist", RUN_AGAIN),
    ),
    "pods": (
        crashing,
        SILENT,
        Diagnosis(
            "pods",
            "1 of 2 pods are available; pod acme-2: container kube-apiserver ImagePullBackOff: Back-off pulling image "
            '"images.example.com/kube-apiserver:v1.36.3"',
            "kubectl describe and logs of the pods with label kamaji.clastix.io/name=acme",
        ),
    ),
    "no answer": (running(), SILENT, Diagnosis("api_server", SILENT, "look at the logs of container kube-apiserver")),
    "nothing inside": (
        lambda observed: replace(running()(observed), tenant={}),
        "",
        Diagnosis("tenant_objects", "DaemonSet kube-system/konnectivity-agent: does not exist", RUN_AGAIN),
    ),
    # The first phase that fails counts, whatever else is wrong.
    "everything at once": (
        after(crashing, without("NetworkPolicy"), lambda observed: replace(observed, datastore=None)),
        SILENT,
        Diagnosis("datastore", "DataStore default does not exist", "mend or create the datastore; module datastore probes it"),
    ),
}


def planned(wanted: Desired, observed: Observed) -> Plan:
    """What is left to do; a tenant that cannot be planned for has nothing."""
    return plan(wanted, observed, NOW) if observed.datastore and not observed.datastore.error and not observed.deleting else Plan()


@pytest.mark.parametrize(("situation", "inside", "expected"), PHASES.values(), ids=PHASES.keys())
def test_phases(situation: Situation, inside: str, expected: Diagnosis) -> None:
    wanted, observed = complete()
    found = situation(observed)
    assert diagnose(wanted, found, planned(wanted, found), inside) == expected


def test_why_no_plan_can_be_made() -> None:
    wanted, observed = complete()
    found = diagnose(wanted, observed, "the version v1.36.3 needs a newer collection", "")
    assert found == Diagnosis("definition", "the version v1.36.3 needs a newer collection", "correct what the message names")


def test_before_anything_is_made() -> None:
    wanted, _unused = complete()
    found = diagnose(wanted, nothing(), plan(wanted, nothing(), NOW), "")
    assert found.phase == "management_objects"
    assert found.reason.endswith("does not exist")


def test_asleep_is_no_fault() -> None:
    wanted, observed = complete(controlPlane__deployment__replicas=0)
    assert diagnose(wanted, observed, Plan(), SILENT) == Diagnosis()
    assert diagnose(wanted, without("NetworkPolicy")(observed), plan(wanted, without("NetworkPolicy")(observed), NOW), "").phase


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({}, None),
        ({"a": {"checksum": "x"}}, None),
        ({"a": {"notAfter": "2026-03-01T00:00:00Z"}, "b": {"notAfter": "2026-02-01T01:00:00+02:00"}, "c": {}}, "2026-02-01T01:00:00+02:00"),
    ],
)
def test_next_expiry(secrets: Json, expected: str | None) -> None:
    assert next_expiry({"hosted": {"secrets": secrets}} if secrets else {}) == expected
