# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status that belongs to an observation, and the patch that brings it about."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.facts import derive
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Deferred, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secret_plan import plan_secrets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import checksum
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.status import Health, build, merge_patch, ready_condition
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    days,
    desired,
    edit,
    follow,
    later,
    live,
    reference,
    store,
    sum_of,
)

UP: Final = Health(reached=True, exposed=True)
DOWN: Final = Health(reached=False, exposed=False, message="no pod is ready")
SECRET_FIELDS: Final = frozenset({"checksum", "lastUpdate", "secretName"})
LIMITED: Final[Json] = {"writePermissions": {"blockDeletion": True}}
ASLEEP: Final[Json] = {"controlPlane__deployment__replicas": 0}


def status(wanted: Desired, observed: Observed, health: Health, left: Plan | None = None, now: Any = NOW) -> Json:
    checksums = plan_secrets(wanted, observed, derive(wanted, observed), now).checksums
    return build(wanted, observed, left if left is not None else plan(wanted, observed, now), health, checksums, now)


def running(**spec: Any) -> tuple[Desired, Observed]:
    """A complete tenant whose pods are ready, without any status yet."""
    wanted, observed = complete(**spec)
    available = [{"type": "Available", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}]
    ready = {
        "conditions": available,
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
    }
    observed = edit(observed, "Deployment", lambda obj: obj.update(status=ready))
    return wanted, replace(observed, resource={**(observed.resource or {}), "status": {}})


def conditions(found: Json) -> dict[str, tuple[str, str, str]]:
    return {item["type"]: (item["status"], item["reason"], item["message"]) for item in found["conditions"]}


def test_ready() -> None:
    found = status(*running(), UP)
    assert found["kubernetesResources"]["version"] == {"version": "v1.36.3", "status": "Ready"}
    assert found["controlPlaneEndpoint"] == "198.18.0.200:6443"
    assert conditions(found) == {
        "Ready": ("True", "Ready", ""),
        "Exposed": ("True", "Answers", ""),
        "Deferred": ("False", "UpToDate", ""),
    }
    assert ready_condition(found)
    assert found["hosted"]["engineVersion"] == ENGINE_VERSION
    assert found["hosted"]["installed"] is True


def test_addresses_are_recorded() -> None:
    found = status(*running(), UP)
    assert (found["hosted"]["addresses"], found["hosted"]["advertiseAddress"]) == (["198.18.0.200"], "198.18.0.200")


def test_routes() -> None:
    spec: Json = {"controlPlane__gateway": {"hostname": "acme.example.com:443", "parentRefs": [{"name": "public"}]}}
    found = status(*running(**spec), UP)
    assert found["controlPlaneEndpoint"] == "acme.example.com:443"
    assert found["kubernetesResources"]["gateway"] == {
        "routeRef": {"name": "acme"},
        "accessPoints": [{"type": "Hostname", "value": "acme.example.com", "port": 443, "urls": ["https://acme.example.com:443"]}],
    }
    assert found["addons"]["konnectivity"]["gateway"]["accessPoints"][0]["urls"] == ["https://acme.example.com:8132"]
    ingress = status(*running(controlPlane__ingress={"hostname": "acme.example.com"}), UP)
    assert ingress["kubernetesResources"]["ingress"] == {"name": "acme", "namespace": "tenants"}
    assert "gateway" not in ingress["kubernetesResources"]


@pytest.mark.parametrize(
    ("spec", "ready", "recorded", "health", "phase"),
    [
        ({}, 0, {}, DOWN, "Provisioning"),
        ({}, 0, {"hosted": {"installed": True}}, DOWN, "NotReady"),
        ({}, 2, {}, DOWN, "Provisioning"),
        ({}, 2, {}, UP, "Ready"),
        ({}, 2, {"kubernetesResources": {"version": {"version": "v1.36.3"}}}, DOWN, "NotReady"),
        ({}, 2, {"kubernetesResources": {"version": {"version": "v1.35.1"}}}, DOWN, "Upgrading"),
        (ASLEEP, 0, {}, DOWN, "Sleeping"),
        (LIMITED, 2, {}, UP, "WriteLimited"),
        (LIMITED, 0, {"hosted": {"installed": True}}, DOWN, "NotReady"),
        (LIMITED, 2, {"kubernetesResources": {"version": {"version": "v1.35.1"}}}, DOWN, "Upgrading"),
        ({**LIMITED, **ASLEEP}, 0, {}, DOWN, "Sleeping"),
    ],
)
def test_phase(spec: Json, ready: int, recorded: Json, health: Health, phase: str) -> None:
    wanted, observed = running(**spec)
    observed = edit(observed, "Deployment", lambda obj: obj.update(status={"readyReplicas": ready}))
    observed = replace(observed, resource={**(observed.resource or {}), "status": recorded})
    found = status(wanted, observed, health, Plan())
    assert found["kubernetesResources"]["version"]["status"] == phase


def test_the_version_moves_on_when_the_upgrade_is_through() -> None:
    wanted, observed = running()
    old = replace(observed, resource={**(observed.resource or {}), "status": {"kubernetesResources": {"version": {"version": "v1.35.1"}}}})
    assert status(wanted, old, DOWN)["kubernetesResources"]["version"]["version"] == "v1.35.1"
    assert status(wanted, old, UP)["kubernetesResources"]["version"]["version"] == "v1.36.3"


@pytest.mark.parametrize("spec", [{}, LIMITED], ids=["free", "limited"])
def test_the_installed_version_is_one_that_ran(spec: Json) -> None:
    """Upgrades go from there: while a tenant sleeps, its version in the definition is a wish."""
    wanted, observed = running(**spec, **ASLEEP)
    assert "version" not in status(wanted, observed, DOWN)["kubernetesResources"]["version"]
    before = {"kubernetesResources": {"version": {"version": "v1.35.1"}}}
    observed = replace(observed, resource={**(observed.resource or {}), "status": before})
    assert status(wanted, observed, DOWN)["kubernetesResources"]["version"] == {"version": "v1.35.1", "status": "Sleeping"}


@pytest.mark.parametrize("spec", [{}, ASLEEP], ids=["awake", "asleep"])
def test_not_ready_while_anything_is_left_to_do(spec: Json) -> None:
    wanted, observed = running(**spec)
    missing = observed.with_objects({reference("NetworkPolicy"): None})
    found = status(wanted, missing, UP)
    assert conditions(found)["Ready"] == ("False", "NotReady", "1 changes are left to do")
    assert not ready_condition(found)


def test_a_sleeping_tenant_that_lacks_nothing_is_ready() -> None:
    found = status(*running(**ASLEEP), Health(reached=False, exposed=False))
    assert conditions(found)["Ready"] == ("True", "Ready", "")
    assert "installed" not in found["hosted"]


def test_deferred_fields_are_listed() -> None:
    deferred = Deferred("tenants/acme", reference("Deployment"), (FieldChange("spec.template.spec.x", 1, 2),))
    found = status(*running(), UP, Plan((), (deferred,)))
    assert found["hosted"]["deferred"] == ["spec.template.spec.x"]
    assert conditions(found)["Deferred"] == ("True", "NewerEngine", "")


def test_secrets_are_recorded_by_what_says_that_they_are_the_same() -> None:
    wanted, observed = running()
    found = status(wanted, observed, UP)
    records = found["hosted"]["secrets"]
    assert set(records) == set(observed.secrets)
    for name, record in records.items():
        state = observed.secrets[name]
        assert (record["uid"], record["resourceVersion"]) == (state.metadata["uid"], state.metadata["resourceVersion"])
        assert record["checksum"] == sum_of(state)
    assert records[f"acme{names.API_SERVER}"]["notAfter"] == days(365).isoformat()
    assert found["certificates"]["ca"] == {
        "secretName": f"acme{names.CA}",
        "checksum": sum_of(observed.secrets[f"acme{names.CA}"]),
        "lastUpdate": "2026-01-01T00:00:00Z",
    }
    assert set(found["kubeconfig"]) == {"admin", "controllerManager", "scheduler"}


def test_no_key_is_in_a_status() -> None:
    text = json.dumps(status(*running(), UP))
    assert "PRIVATE KEY" not in text
    assert "client-key-data" not in text
    assert "BEGIN CERTIFICATE" in text, "the CA certificate is recorded"


def test_unread_secrets_keep_their_record_and_touched_ones_lose_it() -> None:
    wanted, observed = running()
    first = status(wanted, observed, UP)
    seen = later(replace(observed, resource={**(observed.resource or {}), "status": first}))
    assert status(wanted, seen, UP)["hosted"]["secrets"] == first["hosted"]["secrets"]
    name = f"acme{names.ADMIN_KUBECONFIG}"
    touched = seen.with_secrets({name: replace(seen.secrets[name], metadata={**seen.secrets[name].metadata, "resourceVersion": "9"})})
    assert name not in status(wanted, touched, UP, Plan())["hosted"]["secrets"]


def test_storage_and_where_the_data_is() -> None:
    wanted, observed = running()
    storage = status(wanted, observed, UP)["storage"]
    assert (storage["driver"], storage["dataStoreName"]) == ("etcd", "default")
    names_of_data = {"schema": "tenants_acme", "user": "tenants_acme"}
    digest = checksum({key: value.encode() for key, value in names_of_data.items()})
    assert storage["setup"] == {**names_of_data, "checksum": digest, "lastUpdate": "2026-01-01T00:00:00Z"}
    assert set(storage["config"]) == {"secretName", "checksum"}
    assert set(storage["certificate"]) == {"secretName", "checksum", "lastUpdate"}
    assert storage["config"]["secretName"] == f"acme{names.DATASTORE_CONFIG}"


def test_every_field_of_the_reference() -> None:
    """kamaji.md §1.3; ingress, gateway and what only a migration or a rotation writes have tests of their own."""
    found = status(*running(), UP)
    assert fields_of(found) == {
        "addons": {
            "coreDNS": {"enabled", "lastUpdate"},
            "kubeProxy": {"enabled", "lastUpdate"},
            "konnectivity": {
                "agent": {"lastUpdate", "mode", "name", "namespace"},
                "certificate": SECRET_FIELDS,
                "clusterrolebinding": {"lastUpdate", "name"},
                "configMap": {"checksum", "name"},
                "enabled": set(),
                "kubeconfig": SECRET_FIELDS,
                "sa": {"lastUpdate", "name", "namespace"},
                "service": {"loadBalancer", "name", "namespace", "port"},
            },
        },
        "certificates": {
            **dict.fromkeys(("apiServer", "apiServerKubeletClient", "ca", "frontProxyCA", "frontProxyClient", "sa"), SECRET_FIELDS),
            "etcd": dict.fromkeys(("apiServer", "ca"), SECRET_FIELDS),
        },
        "conditions": set(),
        "controlPlaneEndpoint": set(),
        "hosted": {"addresses", "advertiseAddress", "engineVersion", "installed", "secrets"},
        "kubeadmPhase": {"bootstrapToken": {"checksum", "lastUpdate"}},
        "kubeadmconfig": {"checksum", "configmapName", "lastUpdate"},
        "kubeconfig": dict.fromkeys(("admin", "controllerManager", "scheduler"), SECRET_FIELDS),
        "kubernetesResources": {
            "deployment": {
                "availableReplicas",
                "conditions",
                "lastUpdate",
                "name",
                "namespace",
                "observedGeneration",
                "readyReplicas",
                "replicas",
                "selector",
                "updatedReplicas",
            },
            "service": {"loadBalancer", "name", "namespace", "port"},
            "version": {"status", "version"},
        },
        "observedGeneration": set(),
        "storage": {
            "certificate": SECRET_FIELDS,
            "config": {"checksum", "secretName"},
            "dataStoreName": set(),
            "driver": set(),
            "setup": {"checksum", "lastUpdate", "schema", "user"},
        },
    }
    assert found["addons"]["konnectivity"]["agent"]["mode"] == "DaemonSet"
    assert found["addons"]["konnectivity"]["service"]["port"] == 8132


def fields_of(value: Any) -> Any:
    """Names of fields: a set where none of them has fields itself; the records of Secrets are of no interest."""
    if not isinstance(value, dict):
        return set()
    inner = {key: fields_of(item if key not in ("secrets", "loadBalancer") else None) for key, item in value.items()}
    return inner if any(inner.values()) else set(inner)


def test_a_checksum_is_that_of_what_was_observed() -> None:
    wanted, observed = running()
    before = status(wanted, observed, UP)
    observed = replace(observed, resource={**(observed.resource or {}), "status": before})
    name = f"acme{names.KUBEADM_CONFIG}"
    touched = edit(observed, "ConfigMap", lambda obj: obj["data"].update(ClusterConfiguration="{}"), name)
    after = status(wanted, touched, UP, now=days(1))
    assert after["kubeadmconfig"]["checksum"] != before["kubeadmconfig"]["checksum"]
    assert after["kubeadmconfig"]["lastUpdate"] == "2026-01-02T00:00:00Z"
    assert after["kubeadmPhase"] == before["kubeadmPhase"]


@pytest.mark.parametrize("spec", [ASLEEP, {}], ids=["asleep", "no answer"])
def test_inside_a_tenant_that_is_not_seen_all_is_as_it_was(spec: Json) -> None:
    wanted, observed = running()
    before = status(wanted, observed, UP)
    unseen = replace(observed, resource={**(observed.resource or {}), "status": before}, tenant=None)
    after = status(desired(**spec), unseen, DOWN, Plan(), now=days(1))
    assert after["addons"] == before["addons"]
    assert after["kubeadmPhase"] == before["kubeadmPhase"]


def test_an_addon_that_is_gone() -> None:
    _wanted, observed = complete()
    after = follow(desired(addons={"coreDNS": {}}), observed).status["addons"]
    assert after["coreDNS"]["enabled"] is True
    assert after["kubeProxy"]["enabled"] is False
    assert after["konnectivity"] == {"enabled": False}


def test_konnectivity_as_a_deployment() -> None:
    _wanted, observed = complete(addons={"konnectivity": {"agent": {"mode": "Deployment"}}})
    assert observed.status["addons"]["konnectivity"]["agent"]["mode"] == "Deployment"


def test_times_change_only_with_what_they_are_about() -> None:
    wanted, observed = running()
    first = status(wanted, observed, UP)
    seen = later(replace(observed, resource={**(observed.resource or {}), "status": first}))
    assert merge_patch(first, status(wanted, seen, UP, now=days(3))) == {}
    down = status(wanted, seen, DOWN, now=days(3))
    times = {item["type"]: item["lastTransitionTime"] for item in down["conditions"]}
    assert times == {"Ready": "2026-01-04T00:00:00Z", "Exposed": "2026-01-04T00:00:00Z", "Deferred": "2026-01-01T00:00:00Z"}


def test_endpoint_is_left_out_while_it_is_not_known() -> None:
    wanted = desired()
    observed = Observed(resource=live({"apiVersion": "v1", "kind": "X", "metadata": {"name": "acme"}}), datastore=store())
    found = status(wanted, observed, DOWN)
    assert "controlPlaneEndpoint" not in found
    assert "certificates" not in found
    assert found["kubernetesResources"]["version"]["status"] == "Provisioning"


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 2}}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
        ({"a": {}}, {"a": {}}, {}),
    ],
)
def test_merge_patch(before: Json, after: Json, patch: Json) -> None:
    assert merge_patch(before, after) == patch


@pytest.mark.parametrize(("limited", "phase", "reason"), [(False, "Ready", "NearlyUsedUp"), (True, "WriteLimited", "UsedUp")])
def test_a_data_budget(limited: bool, phase: str, reason: str) -> None:
    budget = DataBudget("default", 1 << 30, 95, limited)
    wanted, observed = running()
    found = status(replace(wanted, budgets=(budget,)), observed, UP, left=Plan())
    assert found["kubernetesResources"]["version"]["status"] == phase
    assert found["hosted"]["dataStoreBudgets"] == [budget.to_status()]
    assert conditions(found)["WithinBudget"][:2] == ("False", reason)
    kept = status(wanted, replace(observed, resource={**(observed.resource or {}), "status": found}), UP, left=Plan())
    assert merge_patch(found, kept) == {}, "who does not measure keeps what was found"
