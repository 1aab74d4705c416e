# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roll-outs over tenants that sleep on a real API server: waves, canaries, budget, pause, kills, and fields of others."""

from __future__ import annotations

import re
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import probes
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import rollout
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fleet import Pace
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.rollout import Request
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_rollout
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    RENEW_BEFORE_DAYS,
    Ground,
    Run,
    Tenant,
    assert_predicted,
    later,
    recorded,
    run_and_die,
    settings_of,
)

OLD: Final = "v1.36.3"
NEW: Final = "v1.36.4"
NEWER: Final[Json] = {"kubernetes": {"version": NEW}}
# One canary, then waves of two.
PACE: Final = Pace(canary=1, wave_size="2")


@dataclass(frozen=True)
class Fleet:
    """Tenants of one namespace, and a roll-out over them."""

    tenants: tuple[Tenant, ...]
    name: str

    @property
    def ground(self) -> Ground:
        return self.tenants[0].ground

    @property
    def namespace(self) -> str:
        return self.tenants[0].namespace

    def request(self, **options: Any) -> Request:
        """By default a newer version for all."""
        namespaces = () if {"definition", "tenants"} & options.keys() else (self.namespace,)
        defaults = Request(self.name, patch=NEWER, renew_before_days=RENEW_BEFORE_DAYS, pace=PACE, namespaces=namespaces)
        return replace(defaults, **options)

    def run(
        self,
        *,
        check: bool = False,
        tell: Callable[[str], None] = lambda _text: None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        client, request = self.ground.client, self.request(**options)
        return recorded(client, lambda: rollout.run(client, request, settings_of(check=check, **(settings or {})), tell))

    def failed(self, **options: Any) -> tuple[str, Json]:
        """Message and result of a run that fails."""
        with pytest.raises(HostedKubernetesError) as failure:
            self.run(**options)
        return failure.value.msg, failure.value.result

    def versions(self) -> list[str]:
        """Of each tenant, as its pods would have it."""
        live = self.ground.client.list(resource_of("Deployment"), namespace=self.namespace).items
        found = {item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"] for item in live}
        return [found[tenant.name].partition(":")[2] for tenant in self.tenants]

    def record(self) -> Json | None:
        live = self.ground.client.get(resource_of("ConfigMap"), f"{self.name}.rollout", "default")
        return live and live["data"]

    def kubectl_pause(self, value: str) -> None:
        reference = ObjectRef("v1", "ConfigMap", "default", f"{self.name}.rollout")
        self.ground.client.merge_patch(reference, {"data": {"paused": value}}, field_manager="kubectl")

    def keep_out(self, index: int, *, out: bool = True) -> None:
        """Make a tenant one that must not be changed."""
        value = "true" if out else None
        self.tenants[index].patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: value}}})

    def break_one(self, index: int) -> Callable[[], object]:
        """Take a tenant's authority away: nothing can be planned for it. Returns what brings it back."""
        tenant = self.tenants[index]
        lost = tenant.live("Secret", f"{tenant.name}{names.CA}")
        tenant.delete("Secret", f"{tenant.name}{names.CA}")
        metadata = {name: lost["metadata"][name] for name in ("name", "namespace", "labels")}
        return lambda: self.ground.client.create({**lost, "metadata": metadata})


def made(ground: Ground, count: int) -> Fleet:
    """Tenants without addons: they have what a roll-out is about."""
    namespace = f"fleet-{secrets.token_hex(4)}"
    fleet = Fleet(tuple(ground.tenant(f"tenant-{number}", namespace) for number in range(count)), f"to-{namespace}")
    fleet.tenants[0].run([definition(tenant) for tenant in fleet.tenants])
    return fleet


def definition(tenant: Tenant, **changes: Any) -> Json:
    return tenant.definition({"addons": None, **changes})


@pytest.fixture
def fleet(ground: Ground) -> Fleet:
    """Five tenants: a canary and two waves of two."""
    return made(ground, 5)


@pytest.fixture(scope="module")
def standing(ground: Ground) -> Fleet:
    """Two tenants that no test changes."""
    return made(ground, 2)


def outcomes(result: Json) -> list[tuple[str, str]]:
    """(wave, outcome) of each tenant."""
    return [(item["wave"], item["outcome"]) for item in result["tenants"]]


def waves(outcome: str, *others: str) -> list[tuple[str, str]]:
    """The first tenants with outcomes of their own, the others with the same."""
    numbers = ("canary", "1", "1", "2", "2")
    return list(zip(numbers, (*others, *[outcome] * (5 - len(others))), strict=True))


# The ladder


def test_check_run_again(fleet: Fleet) -> None:
    predicted = fleet.run(check=True)
    assert predicted.writes == []
    assert (predicted.changed, predicted.result["finished"]) == (True, True)
    assert outcomes(predicted.result) == waves("planned")
    assert fleet.versions() == [OLD] * 5
    assert [len(wave["tenants"]) for wave in predicted.result["waves"]] == [1, 2, 2]

    seen: list[tuple[str, list[str]]] = []
    applied = fleet.run(tell=lambda text: seen.append((text, fleet.versions())))
    assert_predicted(predicted, applied)
    assert outcomes(applied.result) == waves("done")
    assert [(item["version"], item["phase"], item["pods"]) for item in applied.result["tenants"]] == [(NEW, "Sleeping", "current")] * 5
    # Nothing of a wave is touched before the one before it has come to its end.
    assert [(text.partition(" (")[0], versions.count(NEW)) for text, versions in seen if text.endswith("begins")] == [
        ("canary wave", 0),
        ("wave 1", 1),
        ("wave 2", 3),
    ]
    assert fleet.record() is None

    again = fleet.run()
    assert (again.changed, again.result["finished"], again.writes) == (False, True, [])
    assert outcomes(again.result) == waves("current")
    assert not fleet.run(check=True).changed


def test_the_table(fleet: Fleet) -> None:
    fleet.break_one(1)
    result = fleet.failed()[1]
    heading, *lines = result["table"]
    assert heading.split() == ["TENANT", "WAVE", "VERSION", "INSTALLED", "PHASE", "PODS", "OUTCOME"]
    # A version that never ran is not installed.
    assert [re.split(r"\s{2,}", line) for line in lines[:3]] == [
        [fleet.tenants[0].key, "canary", NEW, "Sleeping", "current", "done"],
        [fleet.tenants[1].key, "1", NEW, "Sleeping", "unknown", "failed"],
        [fleet.tenants[2].key, "1", NEW, "Sleeping", "current", "done"],
    ]
    assert lines[5].startswith(f"TenantControlPlane {fleet.tenants[1].key}: ")
    assert (fleet.record() or {})["tenants"].splitlines() == result["table"]


# Which tenants, and in which order


def test_tenants_as_given_and_canaries_by_name(fleet: Fleet) -> None:
    keys = [fleet.tenants[index].key for index in (4, 0, 2)]
    result = fleet.run(tenants=(*keys, keys[0]), pace=Pace(canary=(keys[2],), wave_size="1")).result
    assert result["waves"] == [
        {"wave": "canary", "tenants": [keys[2]]},
        {"wave": "1", "tenants": [keys[0]]},
        {"wave": "2", "tenants": [keys[1]]},
    ]
    assert fleet.versions() == [NEW, OLD, NEW, OLD, NEW]


def test_tenants_by_label_without_those_on_their_way_out(fleet: Fleet) -> None:
    for index in (1, 2, 3):
        fleet.tenants[index].patch("TenantControlPlane", {"metadata": {"labels": {"tier": fleet.name}}})
    fleet.tenants[3].delete("TenantControlPlane")
    result = fleet.run(label_selector=f"tier={fleet.name}", namespaces=()).result
    assert [item["tenant"] for item in result["tenants"]] == [fleet.tenants[index].key for index in (1, 2)]
    assert fleet.versions() == [OLD, NEW, NEW, OLD, OLD]


def test_definitions_new_and_changed(ground: Ground, fleet: Fleet) -> None:
    new = ground.tenant("another", fleet.namespace)
    definitions = [definition(new), *(definition(tenant, **{"kubernetes.version": NEW}) for tenant in fleet.tenants[:2])]
    options: Json = {"definition": definitions, "patch": None, "pace": Pace(canary=1, wave_size="1")}
    predicted = fleet.run(check=True, **options)
    applied = fleet.run(**options)
    assert_predicted(predicted, applied)
    assert [item["tenant"] for item in applied.result["tenants"]] == [new.key, *(tenant.key for tenant in fleet.tenants[:2])]
    assert new.get("Deployment")
    assert fleet.versions() == [NEW, NEW, OLD, OLD, OLD]
    assert not fleet.run(**options).changed


def test_a_tenant_that_somebody_deletes_meanwhile_is_no_failure(fleet: Fleet) -> None:
    def delete(text: str) -> None:
        if text.startswith("wave 1"):
            fleet.tenants[3].absent()

    result = fleet.run(tell=lambda text: delete(text) if text.endswith("begins") else None).result
    assert result["finished"]
    assert outcomes(result) == waves("done", "done", "done", "done", "gone")


def test_what_somebody_changes_meanwhile_is_kept(fleet: Fleet) -> None:
    """What a tenant is to be is worked out when its wave begins."""

    def change(text: str) -> None:
        if text.startswith("wave 1") and text.endswith("begins"):
            fleet.tenants[4].run(changes={"addons": None, "controlPlane.deployment.nodeSelector": {"disk": "ssd"}})

    fleet.run(tell=change)
    last = fleet.tenants[4]
    assert last.live("Deployment")["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert fleet.versions() == [NEW] * 5
    assert not last.run(name=last.name).changed


# Failures


def test_over_the_budget_the_rest_is_left_alone_and_it_goes_on_later(fleet: Fleet) -> None:
    restore = fleet.break_one(2)
    predicted = fleet.failed(check=True)
    (problem,) = [item["error"] for item in predicted[1]["tenants"] if item["error"]]
    expected = (
        f"roll-out {fleet.name}: stopped, 1 of 5 tenants failed, and failure_budget allows 0: {problem}; not touched: "
        f"{fleet.tenants[3].key}, {fleet.tenants[4].key}; mend what failed and run it again: it goes on from here"
    )
    assert fleet.versions() == [OLD] * 5
    msg, result = fleet.failed()
    assert predicted[0] == msg == expected
    assert outcomes(predicted[1]) == waves("waiting", "planned", "planned", "failed")
    assert outcomes(result) == waves("waiting", "done", "done", "failed")
    assert (result["changed"], result["finished"]) == (True, False)
    assert fleet.versions() == [NEW, NEW, OLD, OLD, OLD]
    assert (fleet.record() or {})["progress"] == expected

    assert outcomes(fleet.failed()[1]) == waves("waiting", "current", "current", "failed")
    restore()
    result = fleet.run().result
    assert outcomes(result) == waves("done", "current", "current")
    assert (result["finished"], fleet.versions(), fleet.record()) == (True, [NEW] * 5, None)


def test_within_the_budget_it_goes_to_its_end_and_says_who_failed(fleet: Fleet) -> None:
    """One whose authority is lost: nothing can be planned for it."""
    fleet.break_one(1)
    pace = replace(PACE, failure_budget="20%")
    predicted = fleet.failed(check=True, pace=pace)
    msg, result = fleet.failed(pace=pace)
    assert predicted[0] == msg
    assert msg.startswith(f"roll-out {fleet.name}: went to its end, but 1 of 5 tenants failed: TenantControlPlane {fleet.tenants[1].key}: ")
    assert msg.endswith("; run it again to try these")
    assert outcomes(result) == waves("done", "done", "failed")
    assert fleet.versions() == [NEW, OLD, NEW, NEW, NEW]
    assert fleet.tenants[1].live("TenantControlPlane")["spec"]["kubernetes"]["version"] == OLD


def test_a_canary_has_no_budget(fleet: Fleet) -> None:
    fleet.break_one(0)
    msg, result = fleet.failed(pace=replace(PACE, failure_budget="100%"))
    assert msg.startswith(f"roll-out {fleet.name}: stopped, a canary failed: TenantControlPlane {fleet.tenants[0].key}: ")
    assert outcomes(result) == waves("waiting", "failed")
    assert fleet.versions() == [OLD] * 5


def test_who_is_paused_is_left_alone_and_the_others_go_on(fleet: Fleet) -> None:
    for index in (0, 2):
        fleet.keep_out(index)
    predicted, run = fleet.run(check=True), fleet.run()
    assert_predicted(predicted, run)
    # The first one that is not paused is the canary.
    assert [(item["wave"], item["outcome"], item["paused"]) for item in run.result["tenants"]] == [
        ("canary", "done", False),
        ("1", "paused", True),
        ("1", "paused", True),
        ("2", "done", False),
        ("2", "done", False),
    ]
    assert run.result["table"][2].split()[-1] == "paused"
    assert run.result["warnings"] == [
        f"TenantControlPlane {fleet.tenants[index].key}: is paused (annotation {names.ANNOTATION_PAUSED}) and left as it is; remove the "
        "annotation to let it be changed"
        for index in (0, 2)
    ]
    assert (run.changed, run.result["finished"], fleet.versions()) == (True, False, [OLD, NEW, OLD, NEW, NEW])
    fleet.keep_out(2, out=False)
    assert fleet.run().result["finished"] is False
    assert fleet.versions() == [OLD, *[NEW] * 4]


# Pause


def test_paused_by_somebody_else_between_waves_and_resumed(fleet: Fleet) -> None:
    paused: list[Run] = []

    def pause(text: str) -> None:
        if text.startswith("wave 1") and text.endswith("begins"):
            paused.extend(fleet.run(state="paused", check=check) for check in (True, False, False))

    run = fleet.run(tell=pause)
    assert [item.changed for item in paused] == [True, True, False]
    assert paused[0].writes == []
    assert (run.result["paused"], run.result["finished"], run.changed) == (True, False, True)
    assert outcomes(run.result) == waves("waiting", "done", "done", "done")
    (warning,) = run.result["warnings"]
    assert warning == (
        f"roll-out {fleet.name} is paused (ConfigMap default/{fleet.name}.rollout), and 2 tenants wait; state resumed goes on"
    )
    assert fleet.versions() == [NEW, NEW, NEW, OLD, OLD]
    progress = (fleet.record() or {})["progress"]
    assert progress == f"paused before wave 2 ({fleet.tenants[3].key}, {fleet.tenants[4].key})"

    # It stays so, whoever runs it, until somebody takes the pause back.
    for check in (True, False):
        run = fleet.run(check=check)
        assert (run.result["paused"], run.changed, run.writes) == (True, False, [])
    predicted = fleet.run(state="resumed", check=True)
    assert (predicted.result["paused"], predicted.writes) == (False, [])
    resumed = fleet.run(state="resumed")
    assert_predicted(predicted, resumed)
    assert outcomes(resumed.result) == waves("done", "current", "current", "current")
    assert (resumed.result["finished"], fleet.record()) == (True, None)
    assert not fleet.run(state="resumed").changed


def test_paused_and_resumed_with_kubectl(fleet: Fleet) -> None:
    run = fleet.run(tell=lambda text: fleet.kubectl_pause("true") if text.startswith("canary wave") else None)
    assert outcomes(run.result) == waves("waiting", "done")
    assert fleet.run().result["paused"]
    fleet.kubectl_pause("false")
    assert fleet.run().result["finished"]


def test_one_that_does_not_go_on_cannot_be_paused(standing: Fleet) -> None:
    assert standing.failed(state="paused")[0] == (
        f"roll-out {standing.name}: is not going on, ConfigMap default/{standing.name}.rollout does not exist; look at name and "
        "record_namespace, or it has ended"
    )


def test_one_that_shall_not_go_on_is_forgotten(fleet: Fleet) -> None:
    fleet.break_one(0)
    fleet.failed()
    assert fleet.record()
    assert fleet.run(state="absent", check=True).changed
    assert fleet.record()
    assert [fleet.run(state="absent").changed for _time in range(2)] == [True, False]
    assert fleet.record() is None
    assert fleet.versions() == [OLD] * 5


# Kills


@pytest.mark.long
def test_killed_after_any_change_it_goes_on(ground: Ground) -> None:
    """A canary and one wave, killed inside of them and between them."""
    pace = Pace(canary=1, wave_size="1")
    total = len(made(ground, 2).run(check=True, pace=pace).plan)
    assert total > 4
    for number in range(1, total + 1):
        fleet = made(ground, 2)
        request = fleet.request(pace=pace)
        assert run_and_die(str(ground.kubeconfig), request, number, work=rollout.run) == -signal.SIGKILL
        assert fleet.record(), "it says that it was begun"
        left = fleet.run(check=True, pace=pace).plan
        assert len(left) <= total - number
        run = fleet.run(pace=pace, settings={"now": later(80)})
        assert run.result["finished"], f"killed after change {number}"
        assert [item["wave"] for item in run.result["tenants"]] == ["canary", "1"]
        assert (fleet.versions(), fleet.record()) == ([NEW, NEW], None), f"killed after change {number}"
        assert not fleet.run(pace=pace).changed


# Fields of others


def test_a_field_of_another_manager_is_refused_before_anything_is_changed(fleet: Fleet) -> None:
    gitops = fleet.tenants[3]
    gitops.patch("TenantControlPlane", {"spec": {"kubernetes": {"version": "v1.36.2"}}}, manager="gitops")
    expected = (
        f"TenantControlPlane {gitops.key}: field spec.kubernetes.version belongs to manager gitops; change it where that manager has it "
        "from, or leave this tenant out"
    )
    for check in (True, False):
        assert fleet.failed(check=check)[0] == expected
    assert fleet.versions() == [OLD] * 5
    assert fleet.record() is None
    others = tuple(tenant.key for tenant in fleet.tenants if tenant is not gitops)
    assert fleet.run(tenants=others).result["finished"]
    assert gitops.live("TenantControlPlane")["spec"]["kubernetes"]["version"] == "v1.36.2"


def test_a_field_that_somebody_takes_meanwhile_fails_that_tenant(fleet: Fleet) -> None:
    def take(text: str) -> None:
        if text.startswith("canary") and text.endswith("begins"):
            body = {"spec": {"kubernetes": {"version": "v1.36.2"}}}
            fleet.tenants[1].patch("TenantControlPlane", body, manager="gitops")

    msg, result = fleet.failed(tell=take)
    assert "field spec.kubernetes.version belongs to manager gitops" in msg
    assert outcomes(result) == waves("waiting", "done", "failed", "done")


def test_a_patch_owns_what_it_says_and_nothing_else(ground: Ground, namespace: str) -> None:
    """A definition from GitOps, to which a field is added that it does not name, and from which that is taken again."""
    tenant = ground.tenant(namespace=namespace)
    ground.client.apply(definition(tenant), field_manager="gitops", force=False)
    tenant.run(name=tenant.name)
    fleet = Fleet((tenant,), f"to-{namespace}")
    arguments = {"controlPlane": {"deployment": {"extraArgs": {"apiServer": ["--v=4"]}}}}
    assert fleet.run(patch={**arguments, "kubernetes": {"version": OLD}}).changed
    assert "--v=4" in str(tenant.live("Deployment")["spec"]["template"])
    # GitOps goes on with its own fields, without force and without a fight.
    ground.client.apply(definition(tenant, **{"kubernetes.version": NEW}), field_manager="gitops", force=False)
    assert tenant.live("TenantControlPlane")["spec"]["controlPlane"]["deployment"]["extraArgs"] == {"apiServer": ["--v=4"]}
    assert "belongs to manager gitops" in fleet.failed(patch={"kubernetes": {"version": OLD}})[0]

    taken_back: Json = {"controlPlane": {"deployment": {"extraArgs": None}}}
    predicted = fleet.run(check=True, patch=taken_back)
    assert_predicted(predicted, fleet.run(patch=taken_back))
    assert "extraArgs" not in tenant.live("TenantControlPlane")["spec"]["controlPlane"]["deployment"]
    assert "--v=4" not in str(tenant.live("Deployment")["spec"]["template"])
    assert not fleet.run(patch=taken_back).changed


def test_a_patch_leaves_the_number_of_pods_to_who_scales_them(ground: Ground) -> None:
    """Only looked at: no kubelet is here to run pods."""
    fleet = made(ground, 1)
    (tenant,) = fleet.tenants
    tenant.patch("TenantControlPlane", {"spec": {"replicas": 2}}, manager="autoscaler", subresource="scale")
    planned = fleet.run(check=True)
    fields = {obj: paths for _cluster, obj, _action, paths in planned.identities}
    assert fields[f"TenantControlPlane {tenant.key}"] == ("spec.kubernetes.version",)
    assert planned.values()[f"Deployment {tenant.key}", "spec.replicas"] == 2
    conflict = fleet.failed(check=True, patch={"controlPlane": {"deployment": {"replicas": 3}}})[0]
    assert "field spec.controlPlane.deployment.replicas belongs to manager autoscaler" in conflict


# A newer collection


def newer_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gives the pods another template."""
    monkeypatch.setattr(probes, "_LIVENESS", {**probes._LIVENESS, "periodSeconds": 11})


def generations(fleet: Fleet) -> list[int]:
    return [tenant.live("Deployment")["metadata"]["generation"] for tenant in fleet.tenants]


def test_a_newer_collection_by_itself_rolls_no_pods(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generations(fleet)
    newer_collection(monkeypatch)
    first = fleet.tenants[0]
    run = first.run([definition(tenant) for tenant in fleet.tenants])
    assert not run.changed
    assert all(item["deferred"] for item in run.result["tenants"])
    # Nor does a roll-out of something that reaches no pod.
    run = fleet.run(patch={"controlPlane": {"service": {"additionalMetadata": {"labels": {"a": "b"}}}}})
    assert {obj.split()[0] for obj, _action in run.summary} == {"TenantControlPlane", "Service"}
    assert [item["pods"] for item in run.result["tenants"]] == ["deferred"] * 5
    assert generations(fleet) == before


def test_pods_older_than_the_collection_are_replaced_in_waves(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generations(fleet)
    newer_collection(monkeypatch)
    now: Json = {"patch": None, "rollout_now": True}
    predicted = fleet.run(check=True, **now)
    assert [item["pods"] for item in predicted.result["tenants"]] == ["pending"] * 5
    seen: list[list[int]] = []
    applied = fleet.run(tell=lambda text: seen.append(generations(fleet)) if text.endswith("begins") else None, **now)
    assert_predicted(predicted, applied)
    assert {action for _object, action in applied.summary} == {"rollout"}
    assert [sum(new != old for new, old in zip(each, before, strict=True)) for each in seen] == [0, 1, 3]
    assert [item["pods"] for item in applied.result["tenants"]] == ["current"] * 5
    assert not fleet.run(**now).changed


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": None}, "no change is given; set patch, definition, or rollout to now"),
        ({"namespaces": ()}, 'no tenants are chosen; set tenants, label_selector, namespaces ("*" is all) or definition'),
        ({"namespaces": ("nowhere",)}, "no tenant matches label_selector and namespaces; correct them, or name the tenants"),
        ({"tenants": ("here/nobody",)}, "tenants: here/nobody do not exist; correct the names, or give their definition"),
        ({"name": "No Name"}, 'name "No Name" cannot be the name of a roll-out; write at most 100 of a-z, 0-9, "-" and "."'),
        ({"pace": Pace(wave_size="some")}, 'wave_size "some" is neither a number nor a percentage of the tenants; write it as 5 or 20%'),
        ({"record_namespace": "nowhere"}, 'record_namespace "nowhere" does not exist; name a namespace that does'),
        ({"patch": {"kubernetes": {"version": "1.36"}}}, 'spec.kubernetes.version "1.36" is not a Kubernetes version; write it as v1.36.3'),
        ({"patch": {"kubernets": {}}}, "spec.kubernets is not a known field; did you mean kubernetes?"),
    ],
)
def test_refused(standing: Fleet, options: Json, message: str) -> None:
    assert message in standing.failed(**options)[0]
    assert standing.versions() == [OLD] * 2


def test_a_definition_without_a_name_is_refused(standing: Fleet) -> None:
    assert "metadata.name is missing" in standing.failed(definition={"spec": {}}, patch=None)[0]


# The module and the playbook


def arguments(fleet: Fleet, **options: Any) -> Json:
    where = {"kubeconfig": str(fleet.ground.kubeconfig), "name": fleet.name, "renew_before": RENEW_BEFORE_DAYS}
    return {**where, "namespaces": [fleet.namespace], "patch": NEWER, "wave_size": "2", **options}


def test_module(fleet: Fleet, tmp_path: Path) -> None:
    log = tmp_path / "rollout.log"
    predicted = run_module(tenant_rollout.main, arguments(fleet), check=True)
    applied = run_module(tenant_rollout.main, arguments(fleet, log=str(log)))
    assert [item["plan"] for item in predicted["tenants"]] == [item["plan"] for item in applied["tenants"]]
    assert (applied["changed"], applied["finished"], outcomes(applied)) == (True, True, waves("done"))
    assert len(applied["diff"]) == len(predicted["diff"]) > 0
    steps = log.read_text(encoding="utf-8").splitlines()
    assert steps[:2] == [f"== canary wave ({fleet.tenants[0].key}) begins", f"== {fleet.tenants[0].key}: done"]
    assert not run_module(tenant_rollout.main, arguments(fleet))["changed"]


def test_first_example_as_printed(fleet: Fleet) -> None:
    for tenant in fleet.tenants:
        tenant.patch("TenantControlPlane", {"metadata": {"labels": {"tier": "standard"}}})
    example = yaml.safe_load(tenant_rollout.EXAMPLES)[0]["hosted.kubernetes.tenant_rollout"]
    options = {**example, "kubeconfig": str(fleet.ground.kubeconfig), "renew_before": RENEW_BEFORE_DAYS}
    predicted = run_module(tenant_rollout.main, options, check=True)
    assert [wave["wave"] for wave in predicted["waves"]] == ["canary", "1", "2", "3", "4"]
    assert run_module(tenant_rollout.main, options)["finished"]
    assert fleet.versions() == [NEW] * 5
    assert not run_module(tenant_rollout.main, options)["changed"]
    for tenant in fleet.tenants:
        tenant.patch("TenantControlPlane", {"metadata": {"labels": {"tier": None}}})


def test_module_names_canaries_and_takes_empty_texts_for_unset(fleet: Fleet) -> None:
    options = arguments(fleet, tenants=["", "tenant-1", "tenant-0"], wave_size="", failure_budget="", namespace=fleet.namespace)
    del options["namespaces"]
    result = run_module(tenant_rollout.main, {**options, "canary": ["tenant-0"]})
    assert [(wave["wave"], wave["tenants"]) for wave in result["waves"]] == [
        ("canary", [fleet.tenants[0].key]),
        ("1", [fleet.tenants[1].key]),
    ]


@pytest.mark.parametrize("other", ["patch", "tenants", "label_selector", "namespaces"])
def test_module_refuses_a_definition_beside_a_choice(standing: Fleet, other: str) -> None:
    value: Json = {"patch": NEWER, "tenants": ["a"], "label_selector": "a=b", "namespaces": ["a"]}
    given = {"name": "x", "definition": standing.tenants[0].definition(), other: value[other]}
    with pytest.raises(ModuleFailedError, match="mutually exclusive"):
        run_module(tenant_rollout.main, {"kubeconfig": str(standing.ground.kubeconfig), **given})


def playbook(fleet: Fleet, *options: str, **variables: Any) -> PlaybookRun:
    where = {"management_cluster_kubeconfig": str(fleet.ground.kubeconfig), "tenant_rollout_renew_before": RENEW_BEFORE_DAYS}
    where["ansible_connection"] = "local"
    return run_playbook("hosted.kubernetes.tenant_rollout", *options, **{**where, "tenant_rollout_wave_size": "2", **variables})


@pytest.mark.long
def test_playbook(fleet: Fleet) -> None:
    """Steps are shown as they come, the table at the end, also of one that fails."""
    restore = fleet.break_one(2)
    chosen: Json = {"tenant_rollout_namespaces": [fleet.namespace], "tenant_rollout_version": NEW, "tenant_rollout_name": fleet.name}
    done = playbook(fleet, **chosen)
    assert done.status == 2
    assert f"  canary wave ({fleet.tenants[0].key}) begins\n  {fleet.tenants[0].key}: done\n" in done.output
    assert "stopped, 1 of 5 tenants failed" in done.text
    assert re.search(rf"{fleet.tenants[4].key} +2 +{NEW} +Sleeping +pending +waiting", done.output)
    restore()
    done = playbook(fleet, **chosen)
    assert (done.status, done.changed) == (0, 1)
    assert playbook(fleet, **chosen).changed == 0
    assert fleet.versions() == [NEW] * 5


@pytest.mark.long
def test_playbook_brings_the_definitions_of_an_inventory(fleet: Fleet) -> None:
    definitions = [definition(tenant, **{"kubernetes.version": NEW}) for tenant in fleet.tenants[:3]]
    variables: Json = {"tenant_control_plane_definitions": definitions, "tenant_rollout_name": fleet.name, "tenant_rollout_canary": 0}
    checked = playbook(fleet, "--check", "--diff", **variables)
    assert (checked.status, checked.changed) == (0, 1)
    assert f"spec.kubernetes.version: '{NEW}'" in checked.output
    assert fleet.versions() == [OLD] * 5
    assert playbook(fleet, **variables).changed == 1
    assert fleet.versions() == [NEW, NEW, NEW, OLD, OLD]
    # A text, as surveys send it.
    patch = "controlPlane: {deployment: {extraArgs: {apiServer: [--v=4]}}}"
    done = playbook(fleet, tenant_rollout_patch=patch, tenant_rollout_tenants=["tenant-4"], tenant_control_plane_namespace=fleet.namespace)
    assert done.changed == 1, done.output
    assert "--v=4" in str(fleet.tenants[4].live("Deployment")["spec"]["template"])
