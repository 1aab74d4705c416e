# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed etcd planned against a real API server: plan, apply, drift, lost authorities. Nothing here runs its pods."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import LocalVolume, ManagedEtcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests import etcd as manifests
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import etcd_plan, managed_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.etcd_plan import Validity
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Plan
from ansible_collections.hosted.kubernetes.plugins.modules import datastore_etcd
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

VALIDITY = Validity()
IMAGE = "registry.k8s.io/etcd:3.6.8-0"


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        yield client


@pytest.fixture
def etcd(namespace: str) -> ManagedEtcd:
    """One with everything that can be asked for, in a namespace of its own."""
    return ManagedEtcd(
        name="store",
        namespace=namespace,
        members=3,
        image=IMAGE,
        storage_size="8Gi",
        quota_bytes=4 * 1024**3,
        local_volumes=tuple(LocalVolume(f"node-{index}", "/var/lib/etcd-store") for index in range(3)),
        defragmentation_schedule="30 3 * * 0",
        priority_class="system-cluster-critical",
        tolerations=({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},),
        node_selector={"kubernetes.io/os": "linux"},
    )


def now() -> datetime:
    return datetime.now(UTC)


def plan(client: Client, etcd: ManagedEtcd, at: datetime | None = None) -> list[Change]:
    """What is to be done in the management cluster; of the store itself nothing can be known here."""
    changes = managed_etcd.plan_present(client, etcd, at or now(), VALIDITY)
    return [change for change in changes if change.stage < etcd_plan.Stage.AUTHENTICATION]


def apply(client: Client, etcd: ManagedEtcd, changes: list[Change]) -> None:
    for change in changes:
        managed_etcd.make(client, etcd, change, now=now, validity=VALIDITY)


def objects(changes: list[Change]) -> list[str]:
    return [f"{change.action.value} {change.object.kind} {change.object.name}" for change in changes]


def test_everything_is_planned_applied_and_then_as_it_should_be(client: Client, etcd: ManagedEtcd) -> None:
    client.delete(resource_of("StorageClass"), "hosted-kubernetes-local")
    changes = plan(client, etcd)
    assert objects(changes) == [
        "issue Secret store-etcd-ca",
        "issue Secret store-etcd-peer-ca",
        "issue Secret store-etcd-server",
        "issue Secret store-etcd-peer",
        "issue Secret store-etcd-root",
        "create StorageClass hosted-kubernetes-local",
        *[f"create PersistentVolume {etcd.namespace}-store-{index}" for index in range(3)],
        "create Service store",
        "create Service store-peers",
        "create PodDisruptionBudget store",
        "create StatefulSet store",
        "create CronJob store-defragmentation",
    ]
    apply(client, etcd, changes)
    assert plan(client, etcd) == []


def test_every_step_of_a_new_store_is_predicted(client: Client, etcd: ManagedEtcd) -> None:
    missing = dataclasses.replace(etcd, namespace=f"{etcd.namespace}-new", local_volumes=())
    predicted = managed_etcd.plan_present(client, missing, now(), VALIDITY)
    assert next(iter(predicted)).object.kind == "Namespace"
    assert [change.object.kind for change in predicted][-4:] == list(managed_etcd.AUTHENTICATION_ORDER)


def test_observing_costs_the_same_for_one_member_and_five(client: Client, etcd: ManagedEtcd) -> None:
    apply(client, etcd, plan(client, etcd))
    before = len(client.calls)
    plan(client, etcd)
    assert len(client.calls) - before <= 10


@pytest.mark.parametrize("killed_after", range(1, 14))
def test_a_run_that_was_killed_anywhere_is_completed(client: Client, etcd: ManagedEtcd, killed_after: int) -> None:
    changes = plan(client, etcd)
    apply(client, etcd, changes[:killed_after])
    rest = plan(client, etcd)
    assert objects(rest) == objects(changes[killed_after:])
    apply(client, etcd, rest)
    assert plan(client, etcd) == []


def set_fields(path: str, value: Any) -> Callable[[Json], None]:
    def change(obj: Json) -> None:
        item: Any = obj
        *parents, last = path.split(".")
        for part in parents:
            item = item[int(part)] if isinstance(item, list) else item[part]
        item[last] = value

    return change


@pytest.mark.parametrize(
    ("kind", "name", "damage", "paths"),
    [
        (
            "StatefulSet",
            "store",
            set_fields("spec.template.spec.containers.0.image", "evil:1.0"),
            ["spec.template.spec.containers[name=etcd].image"],
        ),
        ("Service", "store", set_fields("spec.ports.0.targetPort", 1), ["spec.ports[port=2379,protocol=TCP].targetPort"]),
        ("PodDisruptionBudget", "store", set_fields("spec.maxUnavailable", 3), ["spec.maxUnavailable"]),
        ("CronJob", "store-defragmentation", set_fields("spec.schedule", "0 0 * * *"), ["spec.schedule"]),
    ],
)
def test_drift_is_found_field_by_field_and_mended(
    client: Client, etcd: ManagedEtcd, *, kind: str, name: str, damage: Callable[[Json], None], paths: list[str]
) -> None:
    apply(client, etcd, plan(client, etcd))
    live = client.get(resource_of(kind), name, etcd.namespace)
    assert live
    damage(live)
    client.replace(live, field_manager="somebody")

    changes = plan(client, etcd)

    assert objects(changes) == [f"patch {kind} {name}"]
    assert [item.path for item in changes[0].fields] == paths
    apply(client, etcd, changes)
    assert plan(client, etcd) == []


@pytest.mark.parametrize("name", ["server", "peer", "root"])
def test_a_lost_certificate_is_made_again(client: Client, etcd: ManagedEtcd, name: str) -> None:
    apply(client, etcd, plan(client, etcd))
    client.delete(resource_of("Secret"), etcd.secret(name), etcd.namespace)
    changes = plan(client, etcd)
    assert objects(changes) == [f"issue Secret {etcd.secret(name)}"]
    apply(client, etcd, changes)
    assert plan(client, etcd) == []


@pytest.mark.parametrize("name", ["ca", "peer-ca"])
def test_a_lost_authority_is_an_error_and_never_made_again(client: Client, etcd: ManagedEtcd, name: str) -> None:
    apply(client, etcd, plan(client, etcd))
    client.delete(resource_of("Secret"), etcd.secret(name), etcd.namespace)
    with pytest.raises(HostedKubernetesError, match=rf"Secret {etcd.secret(name)} with its authority is gone.*restore the Secret"):
        plan(client, etcd)


def test_certificates_are_renewed_before_they_end(client: Client, etcd: ManagedEtcd) -> None:
    apply(client, etcd, plan(client, etcd))
    changes = plan(client, etcd, now() + timedelta(days=300))
    assert objects(changes) == [f"issue Secret {etcd.secret(part)}" for part in ("server", "peer", "root")]
    assert all("expires at" in change.reason for change in changes)
    before = client.get(resource_of("Secret"), etcd.secret("root"), etcd.namespace)
    apply(client, etcd, changes)
    after = client.get(resource_of("Secret"), etcd.secret("root"), etcd.namespace)
    assert before
    assert after
    assert before["data"]["tls.crt"] != after["data"]["tls.crt"]
    assert before["metadata"]["uid"] == after["metadata"]["uid"]


def test_defragmentation_can_be_switched_off(client: Client, etcd: ManagedEtcd) -> None:
    apply(client, etcd, plan(client, etcd))
    without = dataclasses.replace(etcd, defragmentation_schedule="")
    changes = plan(client, without)
    assert objects(changes) == ["delete CronJob store-defragmentation"]
    apply(client, without, changes)
    assert plan(client, without) == []


@pytest.mark.parametrize(
    ("option", "changed"),
    [
        ("members", {"members": 1, "local_volumes": (LocalVolume("node-0", "/var/lib/etcd-store"),)}),
        ("local_volumes and storage_size", {"local_volumes": tuple(LocalVolume(f"node-{index}", "/other") for index in range(3))}),
    ],
)
def test_what_cannot_change_is_refused(client: Client, etcd: ManagedEtcd, option: str, changed: dict[str, Any]) -> None:
    apply(client, etcd, plan(client, etcd))
    with pytest.raises(
        InvalidError, match=rf"{option} cannot change once it exists .*; set the old value; or, .* -e datastore_tasks=absent\)"
    ):
        plan(client, dataclasses.replace(etcd, **changed))


def test_a_changed_size_of_claims_is_refused(client: Client, etcd: ManagedEtcd) -> None:
    etcd = dataclasses.replace(etcd, local_volumes=())
    apply(client, etcd, plan(client, etcd))
    with pytest.raises(InvalidError, match="storage_size, storage_class and local_volumes cannot change"):
        plan(client, dataclasses.replace(etcd, storage_size="9Gi"))


def test_removal_leaves_nothing_but_the_namespace(client: Client, etcd: ManagedEtcd) -> None:
    apply(client, etcd, plan(client, etcd))
    removal = etcd_plan.plan_absent(etcd, managed_etcd.observe(client, etcd))
    volumes = [change for change in removal if change.object.kind == "PersistentVolume"]
    assert len(volumes) == 3
    # The protection of volumes is a controller's business, and none runs here.
    for change in volumes:
        client.merge_patch(change.object, {"metadata": {"finalizers": None}})
    managed_etcd.remove(client, removal, timeout_s=10)
    left = managed_etcd.observe(client, etcd)
    assert etcd_plan.plan_absent(etcd, left) == Plan()
    assert not left.secrets
    assert {ref.kind for ref in left.objects} <= {"StorageClass"}


def test_objects_of_another_store_in_the_same_namespace_are_left_alone(client: Client, etcd: ManagedEtcd) -> None:
    other = dataclasses.replace(etcd, name="store-2", local_volumes=())
    apply(client, etcd, plan(client, etcd))
    apply(client, other, plan(client, other))
    removal = etcd_plan.plan_absent(other, managed_etcd.observe(client, other))
    assert all("store-2" in change.object.name for change in removal)
    assert plan(client, etcd) == []


def pods_of(etcd: ManagedEtcd) -> dict[str, Json]:
    """The pods of the StatefulSet and of the CronJob, as their controllers would make them."""
    wanted = {obj["kind"]: obj.get("spec", {}) for obj in manifests.objects(etcd)}
    member = copy.deepcopy(wanted["StatefulSet"]["template"]["spec"])
    member["volumes"].append({"name": "data", "emptyDir": {}})
    return {"member": member, "defragmentation": wanted["CronJob"]["jobTemplate"]["spec"]["template"]["spec"]}


@pytest.mark.parametrize("pod", ["member", "defragmentation"])
def test_pods_meet_the_restricted_standard_and_hold_no_authority_key(client: Client, etcd: ManagedEtcd, pod: str) -> None:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.merge_patch(ObjectRef("v1", "Namespace", "", etcd.namespace), {"metadata": {"labels": label}})
    plain = dataclasses.replace(etcd, priority_class=None)
    spec = pods_of(plain)[pod]
    metadata = {"name": pod, "namespace": etcd.namespace}
    created = client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, dry_run=True)
    mounted = [
        (source["secret"]["name"], item["key"])
        for volume in created["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    ]
    assert mounted
    assert not [item for item in mounted if item[1] == "ca.key"]


def test_the_module_predicts_in_check_mode_and_says_what_is_missing(kubeconfig: Path, namespace: str) -> None:
    options = {"kubeconfig": str(kubeconfig), "name": "checked", "namespace": namespace, "image": IMAGE}
    result = run_module(datastore_etcd.main, options, check=True)
    assert result["changed"]
    assert result["plan"][0]["object"] == f"Secret {namespace}/checked-etcd-ca"
    assert result["plan"][-1]["object"] == "authentication checked"
    assert result["datastore"]["spec"]["endpoints"] == [f"checked.{namespace}.svc:2379"]
    assert "BEGIN" not in str(result)


@pytest.mark.parametrize(("labels", "called"), [({}, "store-node"), ({"kubernetes.io/hostname": "store-host"}, "store-host")])
def test_volumes_on_nodes_that_are_not_there(client: Client, kubeconfig: Path, namespace: str, labels: dict[str, str], called: str) -> None:
    def run(node: str) -> dict[str, Any]:
        volumes = [{"node": node, "path": "/data"}]
        options = {"kubeconfig": str(kubeconfig), "namespace": namespace, "image": IMAGE, "members": 1, "local_volumes": volumes}
        return run_module(datastore_etcd.main, options, check=True)

    client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "store-node", "labels": labels}})
    try:
        with pytest.raises(ModuleFailedError, match=rf"nodes that the management cluster does not have: mgmt; its nodes are .*{called}"):
            run("mgmt")
        assert run(called)["changed"]
    finally:
        client.delete(resource_of("Node"), "store-node")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 2}, "members is 2; an etcd has 1, 3 or 5 members"),
        ({"image": "registry.k8s.io/etcd:3.5.21-0"}, "older than etcd 3.6"),
        ({"image": "registry.k8s.io/etcd"}, "has no version in its tag"),
        ({"name": "Bad_Name"}, 'name "Bad_Name" is not a DNS label'),
        (
            {"members": 1, "local_volumes": [{"node": "a", "path": "relative"}]},
            "local_volumes[0] needs the name of a node and an absolute path",
        ),
        (
            {"local_volumes": [{"node": "a", "path": "/data"}]},
            "local_volumes names 1 directories for 3 members",
        ),
        (
            {"members": 1, "storage_class": "fast", "local_volumes": [{"node": "a", "path": "/d"}]},
            "storage_class and local_volumes exclude each other",
        ),
        ({"quota_bytes": 0}, "quota_bytes is 0"),
        ({"storage_size": "much"}, 'storage_size "much" is not a size'),
        ({"compaction_retention": "5 minutes"}, 'compaction_retention "5 minutes" is not a duration'),
        ({"defragmentation_schedule": "weekly"}, 'defragmentation_schedule "weekly" is not a cron expression'),
        ({"extra_args": ["--client-cert-auth=false"]}, 'extra_args "--client-cert-auth=false" cannot be set here'),
        ({"renew_before_days": 365}, "renew_before_days is 365 and certificate_days 365"),
    ],
)
def test_bad_options_are_named(kubeconfig: Path, namespace: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModuleFailedError) as error:
        run_module(datastore_etcd.main, {"kubeconfig": str(kubeconfig), "namespace": namespace, "image": IMAGE, **options})
    assert message in error.value.result["msg"]


def test_an_etcd_with_a_datastore_resource_is_not_removed(client: Client, etcd: ManagedEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = etcd.datastore()
    monkeypatch.setattr(client, "get", lambda *_args, **_options: recorded)
    with pytest.raises(InvalidError, match="DataStore store refers to; delete that first"):
        managed_etcd.refuse_if_recorded(client, etcd)


def test_actions_are_those_of_the_engine(client: Client, etcd: ManagedEtcd) -> None:
    assert {change.action for change in plan(client, etcd)} == {Action.ISSUE, Action.CREATE}
    assert ObjectRef("apps/v1", "StatefulSet", etcd.namespace, "store") in {change.object for change in plan(client, etcd)}
