# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kubeadm against the golden files, and our objects in a real API server against its."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER, PROJECT_SELECTOR
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import ObjectRef, find_resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import LISTED_KINDS, READ_OBJECTS, objects
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import fields
from ansible_collections.hosted.kubernetes.tests.golden.differences import ADDITIONS, expected, ref_of
from ansible_collections.hosted.kubernetes.tests.golden.make import clean, record
from ansible_collections.hosted.kubernetes.tests.golden.scenarios import (
    CA_PLACEHOLDER,
    DEFAULT,
    DUAL_STACK,
    SCENARIOS,
    Json,
    Scenario,
)
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
APPLY = "application/apply-patch+yaml"
WITH_KONNECTIVITY: Json = {"addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}}}


@pytest.fixture(scope="module")
def recorded(bundle: Path) -> Json:
    """What the kubeadm of the bundle makes of all scenarios (about 7 s each)."""
    return record(bundle)


@pytest.fixture(scope="module")
def applied(api_server: ApiServer, recorded: Json) -> list[Json]:
    """Our objects of the default scenario with konnectivity, applied in their order; as the server answered."""
    return [_apply(api_server, obj) for obj in _wanted(recorded["version"], WITH_KONNECTIVITY)]


def _wanted(version: str, spec: Json | None = None) -> list[Json]:
    tenant = parse(
        {**DEFAULT.definition(version), "spec": {**(DEFAULT.spec if spec is None else spec), "kubernetes": {"version": version}}}
    )
    return objects(tenant, TenantInputs(DEFAULT.address, DEFAULT.port, CA_PLACEHOLDER, DEFAULT.address))


def _apply(server: ApiServer, obj: Json) -> Json:
    return _json(server.request("PATCH", f"{_path(obj)}?fieldManager={FIELD_MANAGER}&force=true", obj, APPLY))


def _path(obj: Json) -> str:
    resource = find_resource(obj["apiVersion"], obj["kind"])
    assert resource is not None
    return resource.path(obj["metadata"].get("namespace"), obj["metadata"]["name"])


def _json(value: Any) -> Json:
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_kubeadm_still_makes_what_the_golden_files_hold(recorded: Json, scenario: Scenario) -> None:
    folder = GOLDEN / ".".join(recorded["version"].removeprefix("v").split(".")[:2])
    golden = yaml.safe_load((folder / f"{scenario.name}.yaml").read_text(encoding="utf-8"))
    summary = yaml.safe_load((folder / "kubeadm.yaml").read_text(encoding="utf-8"))
    assert recorded["version"] == summary["kubeadm"], f"run make golden with kubeadm {recorded['version']}"
    assert recorded["scenarios"][scenario.name]["sent"] == golden
    assert recorded["scenarios"][scenario.name]["images"] == summary["images"][scenario.name]


def test_the_server_stores_ours_as_it_stores_those_of_kubeadm(recorded: Json, applied: list[Json]) -> None:
    theirs = expected(DEFAULT.name, [dict(obj) for obj in recorded["scenarios"][DEFAULT.name]["live"]])
    ours = {ref_of(obj): clean(obj, CA_PLACEHOLDER) for obj in applied}
    assert set(ADDITIONS) <= set(ours) - set(theirs)
    for ref, obj in theirs.items():
        assert ours[ref] == obj, ref


def test_an_applied_object_has_no_drift(recorded: Json, applied: list[Json]) -> None:
    for wanted, live in zip(_wanted(recorded["version"], WITH_KONNECTIVITY), applied, strict=True):
        assert fields.diff(wanted, live, FIELD_MANAGER) == [], ref_of(wanted)


def test_applying_again_writes_nothing(api_server: ApiServer, recorded: Json, applied: list[Json]) -> None:
    for wanted, live in zip(_wanted(recorded["version"], WITH_KONNECTIVITY), applied, strict=True):
        again = _apply(api_server, wanted)
        assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"], ref_of(wanted)


def test_a_dual_stack_server_gives_dns_an_address_of_each_family_in_the_users_order(bundle: Path, recorded: Json, tmp_path: Path) -> None:
    tenant = parse(DUAL_STACK.definition(recorded["version"]))
    wanted = objects(tenant, TenantInputs(DUAL_STACK.address, DUAL_STACK.port, CA_PLACEHOLDER, DUAL_STACK.address))
    flags = (f"--service-cluster-ip-range={DUAL_STACK.service_cidrs}",)
    with running_api_server(bundle, tmp_path, extra_flags=flags) as server:
        live = [_apply(server, obj) for obj in wanted]
    assert [fields.diff(obj, found, FIELD_MANAGER) for obj, found in zip(wanted, live, strict=True)] == [[]] * len(wanted)
    (service,) = [obj for obj in live if ref_of(obj) == "Service kube-dns"]
    assert service["spec"]["clusterIPs"] == ["fd00:96::a", "10.96.0.10"]
    assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    (endpoints,) = [obj for obj in live if ref_of(obj) == "EndpointSlice kubernetes"]
    assert endpoints["addressType"] == "IPv6"


@pytest.mark.usefixtures("applied")
def test_eight_lists_and_six_reads_see_every_object(api_server: ApiServer, recorded: Json) -> None:
    wanted = {ObjectRef.of(obj) for obj in _wanted(recorded["version"], WITH_KONNECTIVITY)}
    seen = {ref for ref in READ_OBJECTS if ref in wanted and api_server.request("GET", _path(_manifest(ref)))}
    for api_version, kind in LISTED_KINDS:
        resource = find_resource(api_version, kind)
        assert resource is not None
        listed = api_server.request("GET", f"{resource.path()}?labelSelector={PROJECT_SELECTOR}")
        seen |= {ObjectRef.of({"apiVersion": api_version, "kind": kind, **item}) for item in listed["items"]}
    assert wanted <= seen
    assert (len(LISTED_KINDS), len(READ_OBJECTS)) == (8, 6)


def _manifest(ref: ObjectRef) -> Json:
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {"namespace": ref.namespace, "name": ref.name}}


@pytest.mark.usefixtures("applied")
def test_the_signatures_of_the_controller_manager_stay(api_server: ApiServer, recorded: Json) -> None:
    (wanted,) = [obj for obj in _wanted(recorded["version"]) if ref_of(obj) == "ConfigMap cluster-info"]
    signed = _json(api_server.request("GET", _path(wanted)))
    signed["data"]["jws-kubeconfig-abcdef"] = "signature"
    api_server.request("PUT", f"{_path(wanted)}?fieldManager=kube-controller-manager", signed)
    live = _apply(api_server, wanted)
    assert live["data"]["jws-kubeconfig-abcdef"] == "signature"
    assert fields.diff(wanted, live, FIELD_MANAGER) == []


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("user", "verb", "namespace", "allowed"),
    [
        ("system:konnectivity-server", "create", "kube-system", True),
        ("system:konnectivity-server", "delete", "kube-system", True),
        ("system:konnectivity-server", "update", "kube-system", True),
        ("system:konnectivity-server", "update", "kube-node-lease", False),
        ("system:serviceaccount:kube-system:konnectivity-agent", "list", "kube-system", True),
        ("system:serviceaccount:kube-system:konnectivity-agent", "watch", "kube-system", True),
        ("system:serviceaccount:kube-system:konnectivity-agent", "update", "kube-system", False),
    ],
)
def test_konnectivity_may_do_no_more_with_leases_than_it_must(
    api_server: ApiServer, user: str, verb: str, namespace: str, allowed: bool
) -> None:
    attributes = {"verb": verb, "namespace": namespace, "group": "coordination.k8s.io", "resource": "leases", "name": "any"}
    assert _may(api_server, user, attributes) is allowed


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(("resource", "allowed"), [("tokenreviews", True), ("serviceaccounts", False)])
def test_the_konnectivity_server_may_check_tokens_and_make_none(api_server: ApiServer, resource: str, allowed: bool) -> None:
    group = "authentication.k8s.io" if resource == "tokenreviews" else ""
    attributes = {"verb": "create", "group": group, "resource": resource}
    assert _may(api_server, "system:konnectivity-server", attributes) is allowed


def _may(server: ApiServer, user: str, attributes: Json) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = _json(server.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review))
    return bool(answer["status"]["allowed"])
