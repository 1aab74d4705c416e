# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tenant that the reference system made is planned: its pods, and what they rest on, stay until something of the user's changes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import REFERENCE_GUARDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_ca, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import MANAGERS, without_manager
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState, checksum
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stages import Stage
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    desired,
    edit,
    follow,
    recorded,
    reference,
    summary,
)

ALGORITHM: Final = KeyAlgorithm("ECDSA-P256")
TUNNEL: Final = f"acme{names.KONNECTIVITY_CERTIFICATE}"
STORE: Final = f"acme{names.DATASTORE_CERTIFICATE}"
KUBELET: Final = f"acme{names.API_SERVER_KUBELET_CLIENT}"
SCHEDULER: Final = f"acme{names.SCHEDULER_KUBECONFIG}"
ADMIN: Final = f"acme{names.ADMIN_KUBECONFIG}"
LABEL: Final = "component.kamaji.clastix.io/"


def wish(*, manage_resource: bool = False, rollout_now: bool = False, **spec: Any) -> Desired:
    return desired(manage_resource=manage_resource, rollout_now=rollout_now, **spec)


def authority(observed: Observed) -> KeyPair:
    data = observed.secrets[f"acme{names.CA}"].data or {}
    return KeyPair(data["ca.crt"], data["ca.key"])


def with_data(observed: Observed, name: str, **data: bytes) -> Observed:
    """A Secret that holds something else, and that nobody recorded."""
    state = observed.secrets[name]
    found = {**(state.data or {}), **{key.replace("_", "."): value for key, value in data.items()}}
    return observed.with_secrets({name: SecretState(state.metadata, found)})


def mighty(signer: KeyPair, name: str) -> KeyPair:
    """A leaf with more rights than we would give it."""
    request = LeafRequest(name, ("system:masters",), ("any.example.com",), client=True, server=True)
    return new_leaf(signer, request, algorithm=ALGORITHM, now=NOW)


def foreign() -> Observed:
    """acme as the reference leaves it: other keys for konnectivity and the datastore, another template, no record of ours."""
    _wanted, whole = complete()
    assert whole.datastore
    assert whole.datastore.ca
    tunnel, store = mighty(authority(whole), "system:konnectivity-server"), mighty(whole.datastore.ca, "somebody")
    found = with_data(whole, TUNNEL, tls_crt=tunnel.certificate, tls_key=tunnel.key)
    found = with_data(found, STORE, server_crt=store.certificate, server_key=store.key)
    sum_of_store = checksum(found.secrets[STORE].data or {})

    def unmark(deployment: Json) -> None:
        deployment["metadata"].pop("managedFields")
        deployment["metadata"]["annotations"].pop(names.ANNOTATION_TEMPLATE)
        template = deployment["spec"]["template"]
        template["metadata"]["labels"].pop(f"{LABEL}konnectivity-certificate")
        template["metadata"]["annotations"]["storage.kamaji.clastix.io/certificate"] = sum_of_store
        template["spec"]["containers"][0]["args"].append("--of-the-reference")
        template["spec"] |= {"dnsPolicy": "ClusterFirst", "serviceAccount": "default"}

    found = edit(found, "Deployment", unmark)
    resource = copy.deepcopy(found.resource or {})
    resource["status"] = {"storage": {"setup": {"schema": "tenants_acme", "user": "tenants_acme"}}, "certificates": {"ca": {}}}
    policy, budget = reference("NetworkPolicy"), reference("PodDisruptionBudget")
    states = {name: SecretState(state.metadata, state.data) for name, state in found.secrets.items()}
    return replace(found.with_secrets(states), resource=resource).with_objects({policy: None, budget: None})


def decide(observed: Observed, wanted: Desired | None = None) -> Plan:
    found = plan(wanted or wish(), observed, NOW)
    assert not found.unread
    return found


def actions(found: Plan) -> set[Action]:
    return {change.action for change in found}


def issued(found: Plan) -> set[str]:
    return {change.object.name for change in found if change.action is Action.ISSUE}


def deferred(found: Plan) -> dict[str, list[str]]:
    return {str(item.object): [field.path for field in item.fields] for item in found.deferred}


def test_pods_and_keys_stay_and_what_waits_is_listed() -> None:
    found = decide(foreign())
    assert ("Deployment acme", "patch") in summary(found)
    assert not actions(found) & {Action.ISSUE, Action.ROLLOUT, Action.CREATE}
    listed = deferred(found)
    assert listed["Deployment tenants/acme"]
    assert all(path.startswith("spec.template.") for path in listed["Deployment tenants/acme"])
    assert not any("dnsPolicy" in path or "serviceAccount" in path for path in listed["Deployment tenants/acme"])
    assert {f"Secret tenants/{TUNNEL}", f"Secret tenants/{STORE}", "NetworkPolicy tenants/acme"} <= listed.keys()
    reasons = {item.object.name: item.to_result()["reason"] for item in found.deferred if item.reason}
    assert reasons[TUNNEL] == "organizations are system:masters, not none"
    assert reasons[STORE] == "common name is somebody, not tenants_acme"


def test_then_nothing_is_left_to_do() -> None:
    before = decide(foreign())
    adopted = follow(wish(), foreign())
    assert not decide(adopted)
    assert deferred(decide(adopted)) == deferred(before)


def test_a_run_that_was_cut_short_does_not_forget_what_it_took() -> None:
    """It wrote status, but not the Deployment; a later one has to know which Secrets it must make again one day."""
    found = follow(wish(), recorded(wish(), foreign()))
    assert {f"Secret tenants/{TUNNEL}", f"Secret tenants/{STORE}"} <= deferred(decide(found)).keys()
    assert issued(decide(found, wish(rollout_now=True))) >= {TUNNEL, STORE}


# What the user said before its adoption cannot be told from what he says then.
ROLLS: Final[dict[str, tuple[bool, dict[str, Any]]]] = {
    "at once": (False, {"rollout_now": True}),
    "later": (True, {"rollout_now": True}),
    "another version": (True, {"kubernetes__version": "v1.36.4"}),
    "another port": (True, {"networkProfile__port": 6444}),
    "another number": (True, {"controlPlane__deployment__replicas": 3}),
}


@pytest.mark.parametrize(("adopted", "change"), ROLLS.values(), ids=ROLLS.keys())
def test_pods_of_ours_get_keys_of_ours(adopted: bool, change: dict[str, Any]) -> None:
    before = follow(wish(), foreign()) if adopted else foreign()
    wanted = wish(**change)
    found = decide(before, wanted)
    assert issued(found) >= {TUNNEL, STORE, f"acme{names.KONNECTIVITY_KUBECONFIG}"}
    assert Action.ROLLOUT in actions(found)
    assert found.deferred == ()
    after = follow(wanted, before)
    assert not decide(after, wanted)
    container = next(obj for ref, obj in after.objects.items() if ref.kind == "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "--of-the-reference" not in container["args"]


FAULTS: Final[dict[str, tuple[str, bool]]] = {"scheduler": (SCHEDULER, True), "kubelet": (KUBELET, True), "admin": (ADMIN, False)}


@pytest.mark.parametrize(("name", "rolls"), FAULTS.values(), ids=FAULTS.keys())
def test_what_does_not_serve_is_made_again(name: str, rolls: bool) -> None:
    """And with it everything else, when the pods have to read it."""
    key = {SCHEDULER: "scheduler_conf", KUBELET: "apiserver-kubelet-client_crt", ADMIN: "admin_conf"}[name]
    found = decide(with_data(foreign(), name, **{key: b"broken"}))
    assert name in issued(found)
    assert (Action.ROLLOUT in actions(found)) is rolls
    assert (TUNNEL in issued(found)) is rolls


def test_keys_of_another_authority_do_not_serve() -> None:
    other = mighty(new_ca("other", algorithm=ALGORITHM, now=NOW), "system:konnectivity-server")
    found = decide(with_data(foreign(), TUNNEL, tls_crt=other.certificate, tls_key=other.key))
    assert TUNNEL in issued(found)


def test_pods_that_have_not_read_their_secrets_are_rolled() -> None:
    """As the reference would have done: they carry the checksum of what they read."""

    def age(deployment: Json) -> None:
        deployment["spec"]["template"]["metadata"]["labels"][f"{LABEL}scheduler-kubeconfig"] = "older"

    assert Action.ROLLOUT in actions(decide(edit(foreign(), "Deployment", age)))


def test_a_taken_secret_that_somebody_changes_is_made_again() -> None:
    adopted = follow(wish(), foreign())
    pair = mighty(authority(adopted), "system:konnectivity-server")
    found = decide(with_data(adopted, TUNNEL, tls_crt=pair.certificate, tls_key=pair.key))
    assert TUNNEL in issued(found)
    assert Action.ROLLOUT in actions(found)


def test_pods_that_are_like_ours_are_ours() -> None:
    """Nothing waits then: somebody took our record and our ownership away."""
    _wanted, whole = complete()

    def unmark(deployment: Json) -> None:
        deployment["metadata"].pop("managedFields")
        deployment["metadata"]["annotations"].pop(names.ANNOTATION_TEMPLATE)

    found = decide(edit(whole, "Deployment", unmark))
    assert found.deferred == ()
    assert Action.ROLLOUT not in actions(found)
    body = next(change.body for change in found if change.object.kind == "Deployment")
    assert json.loads((body or {})["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])["format"] == 2


@pytest.mark.parametrize("manage_resource", [False, True])
def test_finalizers_of_the_reference_go(manage_resource: bool) -> None:
    observed = foreign()
    resource = copy.deepcopy(observed.resource or {})
    resource["metadata"]["finalizers"] = [names.FINALIZER, names.SOOT_FINALIZER, "example.com/other"]
    observed = replace(observed, resource=resource)
    secret = observed.secrets[f"acme{names.DATASTORE_CONFIG}"]
    marked = {**secret.metadata, "finalizers": [names.SECRET_FINALIZER]}
    observed = observed.with_secrets({f"acme{names.DATASTORE_CONFIG}": replace(secret, metadata=marked)})
    found = {
        str(change.object): change for change in decide(observed, wish(manage_resource=manage_resource)) if "finalizers" in change.reason
    }
    assert {name: change.fields[-1].after for name, change in found.items()} == {
        "TenantControlPlane tenants/acme": ["example.com/other", names.FINALIZER],
        f"Secret tenants/acme{names.DATASTORE_CONFIG}": None,
    }
    assert not decide(follow(wish(), observed))


def test_the_reference_owns_nothing_together_with_us() -> None:
    entry = {"manager": names.REFERENCE_MANAGER, "operation": "Update", "fieldsV1": {}}

    def own(service: Json) -> None:
        service["metadata"]["managedFields"] = [*service["metadata"]["managedFields"], entry, {**entry, "subresource": "status"}]

    _wanted, whole = complete()
    (change,) = decide(edit(whole, "Service", own))
    assert (change.object.kind, [field.path for field in change.fields]) == ("Service", [MANAGERS])
    live = {"metadata": {"managedFields": [entry, {**entry, "subresource": "status"}, {"manager": "other"}]}}
    assert without_manager(live, names.REFERENCE_MANAGER) == [{**entry, "subresource": "status"}, {"manager": "other"}]
    assert without_manager({"metadata": {}}, names.REFERENCE_MANAGER) is None


@pytest.mark.parametrize("limited", [False, True])
def test_guards_in_the_tenant_give_way_to_our_policy(limited: bool) -> None:
    observed = foreign()
    guard = REFERENCE_GUARDS[-1]
    observed = observed.with_tenant_objects(
        {guard: {"apiVersion": guard.api_version, "kind": guard.kind, "metadata": {"name": guard.name}}}
    )
    wanted = wish(writePermissions={"blockCreation": True} if limited else None)
    stages: dict[str, int] = {change.object.kind: change.stage for change in decide(observed, wanted) if change.cluster.value == "tenant"}
    assert stages.pop("ValidatingWebhookConfiguration") == Stage.TAKE_OVER + 1 < Stage.DEPLOYMENT
    policies = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} if limited else set()
    assert stages == dict.fromkeys(policies, Stage.TAKE_OVER)


def test_what_is_inside_the_tenant_waits_for_pods_of_ours() -> None:
    _wanted, whole = complete()
    agents = ObjectRef("apps/v1", "DaemonSet", "kube-system", "konnectivity-agent")
    live = (whole.tenant or {})[agents]
    theirs = {**live, "metadata": {**live["metadata"], "managedFields": []}, "spec": {}}
    observed = foreign().with_tenant_objects({agents: theirs})
    found = decide(observed)
    assert agents not in {change.object for change in found}
    assert "DaemonSet kube-system/konnectivity-agent" in deferred(found)
    assert agents in {change.object for change in decide(observed, wish(rollout_now=True))}
