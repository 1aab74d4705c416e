# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for a tenant, from what is desired and what is observed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Barrier, Change, Cluster, Plan, plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    PARTS,
    complete,
    definition,
    desired,
    edit,
    follow,
    later,
    live,
    nothing,
    read,
    reference,
    store,
    summary,
)

ASLEEP: Final[Json] = {"controlPlane__deployment__replicas": 0}


def found(changes: Plan, kind: str, name: str = "acme", cluster: Cluster = Cluster.MANAGEMENT) -> Change:
    return next(item for item in changes if (item.object.kind, item.object.name, item.cluster) == (kind, name, cluster))


def refusal(observed: Observed, **wanted: Any) -> str:
    with pytest.raises(HostedKubernetesError) as failure:
        plan(desired(**wanted), observed, NOW)
    return failure.value.msg


# From nothing


def test_everything_is_made_in_order() -> None:
    changes = plan(desired(), nothing(), NOW)
    assert not changes.unread
    stages = [change.stage for change in changes]
    assert stages == sorted(stages)
    assert {change.action for change in changes} == {Action.CREATE, Action.ISSUE, Action.GRANT, Action.SCALE}
    management = [item for item in summary(changes) if "acme" in item[0]]
    assert management[0] == ("TenantControlPlane acme", "create")
    assert [item for item in management if item[0].split()[0] != "ConfigMap"][-2:] == [
        ("Deployment acme", "create"),
        ("TenantControlPlane acme", "scale"),
    ]
    assert [change.object.kind for change in changes if change.cluster is Cluster.DATASTORE] == list(PARTS)
    assert summary(changes)[0] == ("Namespace tenants", "create")


def test_what_rests_on_something_else_waits_for_it() -> None:
    changes = plan(desired(), nothing(), NOW)
    assert found(changes, "Service").barrier is not Barrier.TENANT
    assert found(changes, "Secret", f"acme{names.CA}").barrier is Barrier.NONE
    assert found(changes, "Secret", f"acme{names.SCHEDULER_KUBECONFIG}").barrier is Barrier.KEYS
    assert found(changes, "Secret", f"acme{names.API_SERVER}").barrier is Barrier.ADDRESS
    assert found(changes, "Secret", f"acme{names.ADMIN_KUBECONFIG}").barrier is Barrier.ADDRESS
    assert found(changes, "ConfigMap", f"acme{names.KUBEADM_CONFIG}").barrier is Barrier.ADDRESS
    assert found(changes, "Deployment").barrier is Barrier.ADDRESS
    assert {change.barrier for change in changes if change.cluster is Cluster.TENANT} == {Barrier.TENANT}
    assert has_unknown(found(changes, "Deployment").body)


def test_no_barrier_but_keys_when_the_address_is_given() -> None:
    changes = plan(desired(networkProfile__address="198.18.0.9"), nothing(), NOW)
    assert found(changes, "Secret", f"acme{names.API_SERVER}").barrier is Barrier.KEYS
    assert found(changes, "Deployment").barrier is Barrier.KEYS


def test_no_key_is_in_a_plan() -> None:
    whole, observed = complete()
    for changes in (plan(desired(), nothing(), NOW), plan(whole, replace(observed, objects={}), NOW)):
        text = json.dumps([[change.to_result() for change in changes], plan_diff(changes)]) + repr(changes)
        assert "PRIVATE KEY" not in text
        assert "client-key-data" not in text


def test_the_diff_of_a_new_tenant_can_be_read() -> None:
    """Ansible adds four lines to each entry. Every object is named, and the definition is there."""
    changes = plan(desired(), nothing(), NOW)
    entries = plan_diff(changes)
    shown = "".join(entry["after_header"] + "\n" + entry["after"] for entry in entries)
    assert {str(change.object) for change in changes if str(change.object) not in shown} == set()
    assert "spec.kubernetes.version: " in shown
    assert shown.count("\n") + 4 * len(entries) < 150


@pytest.mark.parametrize("spec", [{}, ASLEEP, {"addons": None}, {"controlPlane__deployment__hardening": "none"}], ids=str)
def test_a_plan_that_was_followed_leaves_nothing_to_do(spec: Json) -> None:
    wanted, observed = complete(**spec)
    assert not plan(wanted, observed, NOW)
    changes = plan(wanted, later(observed), NOW)
    assert not changes
    assert not changes.unread, "what status recorded needs no reading"


def test_prediction_holds() -> None:
    """The first plan lists what all later plans do: the same objects and actions."""
    wanted, observed = desired(), nothing()
    predicted = {change.identity() for change in plan(wanted, observed, NOW)}
    after = follow(wanted, observed)
    made = {*after.objects, *(after.tenant or {}), *(reference("Secret", name) for name in after.secrets)}
    listed = {
        ObjectRef(change.object.api_version, change.object.kind, change.object.namespace, change.object.name)
        for change in plan(wanted, observed, NOW)
    }
    assert made <= listed
    assert len(predicted) == len(made) + len(PARTS) + 3  # the namespace, the resource and its number of pods


# Drift


def _drop(kind: str, name: str = "acme") -> Callable[[Observed], Observed]:
    return lambda observed: observed.with_objects({next(ref for ref in observed.objects if (ref.kind, ref.name) == (kind, name)): None})


def _edit(kind: str, path: tuple[str | int, ...], value: Any, name: str = "acme") -> Callable[[Observed], Observed]:
    def change(obj: Json) -> None:
        node: Any = obj
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return lambda observed: edit(observed, kind, change, name)


POD: Final = ("spec", "template", "spec")
DRIFT: Final[tuple[tuple[Callable[[Observed], Observed], list[tuple[str, str]], str], ...]] = (
    (_drop("NetworkPolicy"), [("NetworkPolicy acme", "create")], "does not exist"),
    (_drop("PodDisruptionBudget"), [("PodDisruptionBudget acme", "create")], "does not exist"),
    (_drop("ConfigMap", f"acme{names.EGRESS_SELECTOR}"), [(f"ConfigMap acme{names.EGRESS_SELECTOR}", "create")], "does not exist"),
    (_drop("Deployment"), [("Deployment acme", "create")], "does not exist"),
    (_edit("Deployment", ("spec", "replicas"), 5), [("Deployment acme", "patch")], "spec.replicas differs"),
    (
        _edit("Deployment", (*POD, "containers", 0, "image"), "other"),
        [("Deployment acme", "rollout")],
        "spec.template.spec.containers[name=kube-apiserver].image differs",
    ),
    (
        _edit("ConfigMap", ("data", "ClusterConfiguration"), "other", f"acme{names.KUBEADM_CONFIG}"),
        [(f"ConfigMap acme{names.KUBEADM_CONFIG}", "patch")],
        "data.ClusterConfiguration differs",
    ),
    (
        _edit("Service", ("spec", "ports", 0, "targetPort"), 1),
        [("Service acme", "patch")],
        "spec.ports[port=6443,protocol=TCP].targetPort differs",
    ),
    (
        _edit("Service", ("metadata", "ownerReferences"), []),
        [("Service acme", "patch")],
        "metadata.ownerReferences",
    ),
    (
        lambda observed: replace(observed, datastore=store(IsolationState(("permission",), ("user", "role", "membership")))),
        [("permission tenants_acme", "grant")],
        "permission is missing",
    ),
)


@pytest.mark.parametrize(("spoil", "expected", "reason"), DRIFT)
def test_one_drift_is_one_change(spoil: Callable[[Observed], Observed], expected: list[tuple[str, str]], reason: str) -> None:
    wanted, observed = complete(controlPlane__deployment__replicas=2)
    changes = plan(wanted, spoil(later(observed)), NOW)
    assert summary(changes) == expected
    assert changes.changes[0].reason.startswith(reason)


def test_tenant_objects_drift() -> None:
    wanted, observed = complete()
    tenant = dict(observed.tenant or {})
    gone = next(ref for ref in tenant if ref.kind == "DaemonSet")
    assert summary(plan(wanted, replace(later(observed), tenant={ref: obj for ref, obj in tenant.items() if ref != gone}), NOW)) == [
        (f"DaemonSet {gone.name}", "create")
    ]


def test_service_that_is_made_again_keeps_its_cluster_ip() -> None:
    spec: Json = {"controlPlane__service__serviceType": "ClusterIP", **ASLEEP}
    wanted = desired(**spec)
    first = plan(wanted, nothing(), NOW)
    assert "clusterIP" not in (found(first, "Service").body or {})["spec"]
    resource = {**live(definition(**spec)), "status": {"controlPlaneEndpoint": "10.96.7.7:6443"}}
    again = plan(wanted, Observed(resource=resource, datastore=store()), NOW)
    assert (found(again, "Service").body or {})["spec"]["clusterIP"] == "10.96.7.7"


def test_service_with_a_load_balancers_name_keeps_its_cluster_ip() -> None:
    """It is what the API server calls itself."""
    recorded = {"hosted": {"addresses": ["lb.example.com"], "advertiseAddress": "10.96.7.7"}}
    again = plan(desired(**ASLEEP), Observed(resource={**live(definition(**ASLEEP)), "status": recorded}, datastore=store()), NOW)
    assert (found(again, "Service").body or {})["spec"]["clusterIP"] == "10.96.7.7"
    named = plan(
        desired(**ASLEEP, networkProfile__advertiseAddress="192.0.2.8"),
        Observed(resource={**live(definition(**ASLEEP)), "status": recorded}, datastore=store()),
        NOW,
    )
    assert "clusterIP" not in (found(named, "Service").body or {})["spec"]


ROUTED: Final[Json] = {**ASLEEP, "controlPlane__service__serviceType": "ClusterIP", "networkProfile__address": "10.96.7.7"}


@pytest.mark.parametrize(
    ("way", "made"),
    [
        ("ingress", [("Ingress acme", "create")]),
        ("gateway", [("TLSRoute acme", "create"), ("TLSRoute acme-konnectivity", "create")]),
    ],
)
def test_a_route_comes_and_goes(way: str, made: list[tuple[str, str]]) -> None:
    _wanted, observed = complete(**ROUTED)
    route: Json = {f"controlPlane__{way}": {"hostname": "acme.example.com:443"}}
    wanted = desired(**ROUTED, **route)
    seen = later(observed)
    changes = plan(wanted, read(seen, observed, plan(wanted, seen, NOW).unread), NOW)
    assert [item for item in summary(changes) if item[0].split()[0] in ("Ingress", "TLSRoute")] == made
    assert (found(changes, "ConfigMap", f"acme{names.KUBEADM_CONFIG}").body or {})["data"]["ClusterConfiguration"].count(
        "acme.example.com:443"
    ) == 1
    after = follow(wanted, observed)
    back = plan(desired(**ROUTED), after, NOW)
    assert [item for item in summary(back) if item[1] == "delete"] == [(name, "delete") for name, _unused in made]


# Replicas


@pytest.mark.parametrize(("replicas", "expected"), [(2, "kept as we wrote it"), (7, "mended")])
def test_replicas_that_the_definition_does_not_name(replicas: int, expected: str) -> None:
    """As long as nobody else has taken the field, what we wrote stays."""
    wanted, observed = complete()
    deployment = observed.find("Deployment", "acme")
    assert deployment
    assert deployment["spec"]["replicas"] == 2
    assert not plan(wanted, edit(later(observed), "Deployment", lambda obj: obj["spec"].update(replicas=replicas)), NOW), expected


def test_replicas_of_an_autoscaler_are_left_alone() -> None:
    wanted, observed = complete()

    def scaled(deployment: Json) -> None:
        deployment["spec"]["replicas"] = 7
        del deployment["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"]

    changes = plan(wanted, edit(later(observed), "Deployment", scaled), NOW)
    assert not changes
    budget = plan(wanted, _drop("PodDisruptionBudget")(edit(later(observed), "Deployment", scaled)), NOW)
    assert summary(budget) == [("PodDisruptionBudget acme", "create")]


def test_replicas_that_the_definition_names_are_ours() -> None:
    _wanted, observed = complete()
    changes = plan(desired(controlPlane__deployment__replicas=3), later(observed), NOW)
    deployment = found(changes, "Deployment")
    assert deployment.action is Action.PATCH
    assert [item.path for item in deployment.fields] == ["spec.replicas"]


# Pruning


def test_addon_that_is_off_is_pruned() -> None:
    _wanted, observed = complete()
    wanted = desired(addons={})
    seen = later(observed)
    changes = plan(wanted, seen, NOW)
    if changes.unread:
        changes = plan(wanted, read(seen, observed, changes.unread), NOW)
    deleted = {(change.cluster, change.object.kind, change.object.name) for change in changes if change.action is Action.DELETE}
    assert {(kind, name) for cluster, kind, name in deleted if cluster is Cluster.MANAGEMENT} == {
        ("ConfigMap", f"acme{names.EGRESS_SELECTOR}"),
        ("Secret", f"acme{names.KONNECTIVITY_CERTIFICATE}"),
        ("Secret", f"acme{names.KONNECTIVITY_KUBECONFIG}"),
    }
    inside = {(kind, name) for cluster, kind, name in deleted if cluster is Cluster.TENANT}
    assert {("Deployment", "coredns"), ("DaemonSet", "kube-proxy"), ("DaemonSet", "konnectivity-agent")} <= inside
    assert {change.stage for change in changes if change.action is Action.DELETE} == {Stage.PRUNE}


def test_budget_goes_with_the_second_replica() -> None:
    _wanted, observed = complete(controlPlane__deployment__replicas=2)
    changes = plan(desired(controlPlane__deployment__replicas=1), later(observed), NOW)
    assert ("PodDisruptionBudget acme", "delete") in summary(changes)


def test_what_others_made_is_not_pruned() -> None:
    """An object with our labels, but applied by somebody else."""
    wanted, observed = complete()
    theirs = live({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acme-theirs", "namespace": "tenants"}, "data": {}})
    theirs["metadata"]["managedFields"][0]["manager"] = "somebody"
    assert not plan(wanted, later(observed).with_objects({ObjectRef.of(theirs): theirs}), NOW)


# Asleep


def test_nothing_is_planned_inside_a_tenant_that_sleeps() -> None:
    changes = plan(desired(**ASLEEP), nothing(), NOW)
    assert {change.cluster for change in changes} == {Cluster.MANAGEMENT, Cluster.DATASTORE}


def test_falling_asleep_touches_the_number_of_replicas_only() -> None:
    _wanted, observed = complete(controlPlane__deployment__replicas=1)
    changes = plan(desired(**ASLEEP), later(observed), NOW)
    assert summary(changes) == [("TenantControlPlane acme", "patch"), ("Deployment acme", "patch")]


def test_a_tenant_that_was_filled_before_and_does_not_answer_is_not_filled_again() -> None:
    wanted, observed = complete()
    assert not plan(wanted, replace(later(observed), tenant=None), NOW)


# The resource


def test_definition_as_stored_only_gets_the_finalizer() -> None:
    stored = live(definition())
    stored["metadata"]["finalizers"] = ["example.com/hold"]
    changes = plan(desired(manage_resource=False), Observed(resource=stored, datastore=store()), NOW)
    resource = found(changes, "TenantControlPlane")
    assert [(item.path, item.after) for item in resource.fields] == [("metadata.finalizers", ["example.com/hold", names.FINALIZER])]
    assert resource.body == {
        "metadata": {"finalizers": ["example.com/hold", names.FINALIZER], "resourceVersion": stored["metadata"]["resourceVersion"]}
    }
    assert not plan(
        desired(manage_resource=False), follow(desired(manage_resource=False), Observed(resource=stored, datastore=store())), NOW
    )


def test_field_that_left_the_definition() -> None:
    _wanted, observed = complete(**ASLEEP, writePermissions={"blockCreation": True})
    changes = plan(desired(**ASLEEP), later(observed), NOW)
    assert [(item.path, item.after) for item in found(changes, "TenantControlPlane").fields] == [("spec.writePermissions", None)]


# Refusals


def with_status(**status: Any) -> Observed:
    return Observed(resource={**live(definition()), "status": status}, datastore=store())


def test_refused_while_it_is_being_deleted() -> None:
    resource = live(definition())
    resource["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert refusal(Observed(resource=resource, datastore=store())) == (
        "TenantControlPlane tenants/acme: is being deleted; finish that with state absent, then create it again"
    )


@pytest.mark.parametrize(
    ("observed", "wanted", "message"),
    [
        (Observed(namespace_ending=True, datastore=store()), {}, "its namespace is being deleted; wait until it is gone"),
        (Observed(datastore=store()), {"manage_resource": False}, "does not exist; give its definition to create it"),
        (Observed(), {"dataStore": "fast"}, 'spec.dataStore "fast" does not exist; create that DataStore first'),
        (Observed(), {}, 'spec.dataStore "default" does not exist; create that DataStore first'),
        (Observed(datastore=store(error="DataStore default: no answer; start it")), {}, "DataStore default: no answer; start it"),
        (
            Observed(datastore=store(IsolationState(PARTS, (), refusal='spec.dataStoreSchema "postgres" is not for tenants'))),
            {},
            'spec.dataStoreSchema "postgres" is not for tenants',
        ),
        (with_status(storage={"dataStoreName": "old"}), {}, 'spec.dataStore "default" is not where its data is, that is "old"'),
        (
            Observed(unserved=frozenset({"TLSRoute"}), datastore=store()),
            {"controlPlane__gateway": {"hostname": "acme.example.com"}},
            "spec.controlPlane.gateway needs TLSRoute of gateway.networking.k8s.io/v1, which the management cluster does not serve",
        ),
        (with_status(hosted={"engineVersion": "99.0.0"}), {}, "last changed by hosted.kubernetes 99.0.0"),
    ],
)
def test_refused(observed: Observed, wanted: Json, message: str) -> None:
    text = refusal(observed, **wanted)
    assert text.startswith(f"TenantControlPlane tenants/acme: {message}")


def test_read_only_what_the_plan_asks_for() -> None:
    wanted, observed = complete()
    seen = later(observed)
    name = f"acme{names.SCHEDULER_KUBECONFIG}"
    state = seen.secrets[name]
    moved = seen.with_secrets({name: replace(state, metadata={**state.metadata, "resourceVersion": "999999"})})
    changes = plan(wanted, moved, NOW)
    assert changes.unread == {name, f"acme{names.CA}"}
    assert not plan(wanted, read(moved, observed, changes.unread), NOW)
