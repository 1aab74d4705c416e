# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version may follow the installed one, and in what order things change when it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import upgrade
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Barrier, Cluster, Plan, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    desired,
    edit,
    follow,
    later,
    rolled_out,
    summary,
)

NEXT = "v1.37.2"
NODES = {"a": "v1.36.3", "b": "v1.34.9"}


def running(nodes: Mapping[str, str] | None = None, *, replicas: int = 2) -> Observed:
    """A tenant of v1.36.3 that is Ready; a later call sees it."""
    _wanted, observed = complete(controlPlane__deployment__replicas=replicas)
    return replace(later(rolled_out(observed)), nodes=nodes)


def installed(observed: Observed, version: str | None) -> Observed:
    """The same with another version recorded as installed."""
    status = {**observed.status, "kubernetesResources": {"version": {"version": version}}}
    return replace(observed, resource={**(observed.resource or {}), "status": status})


def asleep(version: str) -> tuple[Json, Observed]:
    """Spec and observation of a tenant that fell asleep with a version installed; its definition still says v1.36.3."""
    spec = {"controlPlane__deployment__replicas": 0}
    _wanted, observed = complete(**spec)
    return spec, later(installed(observed, version))


def to(version: str, replicas: int = 2, **spec: Any) -> Any:
    return desired(kubernetes__version=version, **{"controlPlane__deployment__replicas": replicas, **spec})


def refusal(wanted: Any, observed: Observed) -> str:
    with pytest.raises(HostedKubernetesError) as failure:
        plan(wanted, observed, NOW)
    return failure.value.msg.removeprefix("TenantControlPlane tenants/acme: ")


# Refusals


@pytest.mark.parametrize(
    ("version", "before", "message"),
    [
        (
            "v1.35.4",
            "v1.36.3",
            "spec.kubernetes.version: a downgrade from v1.36.3 to v1.35.4 is not possible; create a new tenant, or stay on 1.36",
        ),
        (NEXT, "v1.35.4", "spec.kubernetes.version: v1.35.4 to v1.37.2 skips a minor; upgrade to 1.36 first"),
        ("v1.33.1", "v1.33.1", "spec.kubernetes.version v1.33.1 is too old; supported are 1.34 to 1.37"),
        ("v1.38.0", "v1.37.2", "spec.kubernetes.version v1.38.0 is too new; supported are 1.34 to 1.37"),
        ("v1.33.1", None, "spec.kubernetes.version v1.33.1 is too old; supported are 1.34 to 1.37"),
    ],
)
def test_refused(version: str, before: str | None, message: str) -> None:
    assert refusal(to(version), installed(running(NODES), before)) == message


def test_refused_with_the_list_of_workers_that_are_too_old() -> None:
    nodes = {"new": "v1.38.0", "fits": "v1.34.0", "old": "v1.33.12", "older": "v1.32.1+vendor.1", "virtual": "agent-2"}
    assert refusal(to(NEXT), running(nodes)) == (
        "spec.kubernetes.version v1.37.2 cannot follow v1.36.3 while workers are too old for it: old (v1.33.12), older (v1.32.1+vendor.1); "
        "upgrade them first"
    )


def test_a_long_list_of_workers_is_cut() -> None:
    text = refusal(to(NEXT), running({f"node-{number:02}": "v1.33.0" for number in range(13)}))
    assert "node-09 (v1.33.0) and 3 more; upgrade them first" in text


def test_refused_while_workers_cannot_be_asked() -> None:
    assert "its API server does not answer, so its workers cannot be asked" in refusal(to(NEXT), replace(running(), tenant=None))


@pytest.mark.parametrize("before", ["v1.35.4", "v1.37.2"])
def test_a_tenant_that_sleeps_goes_on_from_what_ran(before: str) -> None:
    """Whatever its definition said in between."""
    spec, observed = asleep(before)
    wanted = desired(**spec, kubernetes__version="v1.37.2" if before == "v1.35.4" else "v1.36.3")
    assert "spec.kubernetes.version: " in refusal(wanted, observed)


# What needs no look at the workers


@pytest.mark.parametrize(
    ("version", "needed"),
    [("v1.36.3", False), ("v1.36.9", False), ("v1.36.0", False), (NEXT, True)],
    ids=["same", "patch", "back", "minor"],
)
def test_workers_are_looked_at_for_another_minor_only(version: str, needed: bool) -> None:
    observed = running()
    assert upgrade.needs_nodes(to(version), observed) is needed
    if not needed:
        plan(to(version), observed, NOW)


def test_workers_are_not_looked_at_while_nobody_can_be_asked_or_all_is_decided() -> None:
    spec, sleeping = asleep("v1.35.4")
    assert not upgrade.needs_nodes(desired(**spec, kubernetes__version="v1.36.3"), sleeping)
    assert not upgrade.needs_nodes(to("v1.36.3"), sleeping), "waking up"
    assert not upgrade.needs_nodes(to(NEXT), replace(running(), objects={})), "no Deployment"
    assert not upgrade.needs_nodes(to(NEXT), installed(running(), None)), "nothing ran yet"
    halfway = edit(running(), "Deployment", lambda obj: _set_image(obj, "registry.k8s.io/kube-apiserver:v1.37.2"))
    assert not upgrade.needs_nodes(to(NEXT), halfway), "the pods are being replaced"


def _set_image(deployment: Json, image: str) -> None:
    (container,) = [item for item in deployment["spec"]["template"]["spec"]["containers"] if item["name"] == "kube-apiserver"]
    container["image"] = image


def test_a_sleeping_tenant_goes_one_minor_further() -> None:
    spec, observed = asleep("v1.36.3")
    changes = plan(desired(**spec, kubernetes__version=NEXT), observed, NOW)
    assert ("Deployment acme", "rollout") in summary(changes)


# Carrying it out


def test_inside_the_tenant_the_new_version_waits_for_the_new_pods() -> None:
    changes = plan(to(NEXT), running(NODES), NOW)
    assert ("Deployment acme", "rollout") in summary(changes)
    inside = [change for change in changes if change.cluster is Cluster.TENANT]
    assert {"kube-proxy", "kubeadm-config", "coredns"} <= {change.object.name for change in inside}
    assert {change.barrier for change in inside} == {Barrier.ROLLOUT}
    assert min(change.stage for change in inside) > Stage.DEPLOYMENT
    after = follow(to(NEXT), running(NODES))
    assert after.status["kubernetesResources"]["version"] == {"version": NEXT, "status": "Ready"}
    assert not plan(to(NEXT), later(after), NOW)


def test_an_upgrade_that_was_interrupted_goes_on() -> None:
    """Killed right after the Deployment was patched: workers are no question any more, the rest still waits for the pods."""
    halfway = running(NODES)
    for change in plan(to(NEXT), halfway, NOW):
        if change.cluster is Cluster.MANAGEMENT and change.object.kind == "Deployment":
            halfway = halfway.with_objects({change.object: {**(change.body or {}), "metadata": _metadata(halfway, change.body or {})}})
    halfway = replace(halfway, nodes=None)
    changes = plan(to(NEXT), halfway, NOW)
    assert {change.barrier for change in changes if change.cluster is Cluster.TENANT} == {Barrier.ROLLOUT}
    assert {change.barrier for change in plan(to(NEXT), rolled_out(halfway), NOW)} == {Barrier.NONE}


def _metadata(observed: Observed, body: Json) -> Json:
    live = observed.find("Deployment", "acme") or {}
    return {**live["metadata"], **body["metadata"], "generation": live["metadata"]["generation"] + 1}


def test_other_changes_inside_do_not_wait() -> None:
    changes = plan(desired(controlPlane__deployment__replicas=2, addons__coreDNS=None), running(), NOW)
    assert {change.barrier for change in changes} == {Barrier.NONE}


def test_the_diff_of_an_upgrade_shows_what_changes() -> None:
    changes = plan(to(NEXT), running(NODES), NOW)
    after = "".join(entry["after"] for entry in plan_diff(changes))
    before = "".join(entry["before"] for entry in plan_diff(changes))
    for image in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        assert f"registry.k8s.io/{image}:v1.36.3" in before
        assert f"registry.k8s.io/{image}:{NEXT}" in after
    assert "spec.kubernetes.version: 'v1.36.3'\n" in before
    assert f"spec.kubernetes.version: '{NEXT}'\n" in after
    assert "registry.k8s.io/coredns/coredns:v1.14.6" in after
    assert _untouched(changes) == set()


def _untouched(changes: Plan) -> set[str]:
    """Objects of the plan whose change shows no field: nobody could see what happens to them."""
    return {str(change.object) for change in changes if not change.fields}
