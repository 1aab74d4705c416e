# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an apply would change, decided on objects recorded from a real API server."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import (
    FieldChange,
    diff,
    emptied_maps,
    equal_quantity,
    owned_fields,
)
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.recorded import DESIRED, recorded

REMOVED: Final = object()
Path = tuple[str | int, ...]
POD: Final[Path] = ("spec", "template", "spec")
CONTAINER: Final[Path] = (*POD, "containers", 0)


def put(obj: Json, path: Path, value: Any) -> None:
    """Set, append (a number past the end) or remove one value inside an object."""
    node: Any = obj
    for step in path[:-1]:
        node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
    last: Any = path[-1]
    if value is REMOVED:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(value)
    else:
        node[last] = value


def desired(kind: str, path: Path = (), value: Any = None) -> Json:
    body = copy.deepcopy(DESIRED[kind])
    if path:
        put(body, path, value)
    return body


def live(kind: str, path: Path = (), value: Any = None) -> Json:
    body = recorded(kind)
    if path:
        put(body, path, value)
    return body


def paths(changes: list[FieldChange]) -> list[str]:
    return [item.path for item in changes]


@pytest.mark.parametrize("kind", DESIRED)
def test_what_was_applied_differs_in_nothing(kind: str) -> None:
    assert diff(desired(kind), live(kind), FIELD_MANAGER) == []


@pytest.mark.parametrize("kind", DESIRED)
def test_what_does_not_exist_differs_in_every_leaf(kind: str) -> None:
    changes = diff(desired(kind), None, FIELD_MANAGER)
    assert changes
    assert all(item.before is None and item.after is not None for item in changes)
    assert paths(changes) == sorted(paths(changes))
    assert not {"apiVersion", "kind", "metadata.name", "metadata.namespace"} & set(paths(changes))


DIFFERENT: Final[tuple[tuple[str, Path, Any, list[FieldChange]], ...]] = (
    ("Deployment", ("spec", "replicas"), 3, [FieldChange("spec.replicas", 2, 3)]),
    ("Deployment", ("metadata", "labels", "new"), "x", [FieldChange("metadata.labels.new", None, "x")]),
    (
        "Deployment",
        ("metadata", "annotations", "example.com/a.b"),
        "d",
        [FieldChange('metadata.annotations."example.com/a.b"', "c", "d")],
    ),
    (
        "Deployment",
        (*CONTAINER, "image"),
        UNKNOWN,
        [FieldChange("spec.template.spec.containers[name=server].image", "example.com/server:1", UNKNOWN)],
    ),
    (
        "Deployment",
        (*CONTAINER, "args"),
        ["--b=2", "--a=1"],
        [FieldChange("spec.template.spec.containers[name=server].args", ["--a=1", "--b=2"], ["--b=2", "--a=1"])],
    ),
    (
        "Deployment",
        (*CONTAINER, "resources", "requests", "cpu"),
        "501m",
        [FieldChange("spec.template.spec.containers[name=server].resources.requests.cpu", "500m", "501m")],
    ),
    (
        "Deployment",
        (*CONTAINER, "env", 0, "value"),
        "2",
        [FieldChange("spec.template.spec.containers[name=server].env[name=A].value", "1", "2")],
    ),
    (
        "Deployment",
        (*CONTAINER, "volumeMounts", 0, "readOnly"),
        False,
        [FieldChange("spec.template.spec.containers[name=server].volumeMounts[mountPath=/keys].readOnly", True, False)],
    ),
    (
        "Deployment",
        (*POD, "tolerations", 0, "key"),
        "b",
        [FieldChange("spec.template.spec.tolerations[0].key", "a", "b")],
    ),
    (
        "Deployment",
        (*POD, "volumes", 2, "projected", "sources", 0, "secret", "items", 0, "path"),
        "other",
        [FieldChange("spec.template.spec.volumes[name=keys].projected.sources[0].secret.items[0].path", "ca.crt", "other")],
    ),
    ("Deployment", (*POD, "nodeSelector", "disk"), "ssd", [FieldChange("spec.template.spec.nodeSelector.disk", None, "ssd")]),
    ("Service", ("spec", "ports", 0, "targetPort"), "api", [FieldChange("spec.ports[port=6443,protocol=TCP].targetPort", 6443, "api")]),
    ("Service", ("spec", "externalIPs"), ["198.18.0.2"], [FieldChange("spec.externalIPs", ["198.18.0.1"], ["198.18.0.2"])]),
    (
        "NetworkPolicy",
        ("spec", "ingress", 0, "ports", 0, "port"),
        6444,
        [
            FieldChange("spec.ingress[0].ports[port=6443,protocol=TCP]", {"port": 6443, "protocol": "TCP"}, None),
            FieldChange("spec.ingress[0].ports[port=6444,protocol=TCP].port", None, 6444),
            FieldChange("spec.ingress[0].ports[port=6444,protocol=TCP].protocol", None, "TCP"),
        ],
    ),
    ("ConfigMap", ("data", "admin.conf"), "b: c\n", [FieldChange('data."admin.conf"', "a: b\n", "b: c\n")]),
    (
        "TenantControlPlane",
        ("spec", "networkProfile", "certSANs"),
        ["a.example.com"],
        [
            FieldChange("spec.networkProfile.certSANs", ["a.example.com", "b.example.com"], ["a.example.com"]),
        ],
    ),
    ("TenantControlPlane", ("spec", "addons", "kubeProxy"), {}, [FieldChange("spec.addons.kubeProxy", None, {})]),
    ("TenantControlPlane", ("spec", "dataStoreSchema"), "", [FieldChange("spec.dataStoreSchema", None, "")]),
    (
        "TenantControlPlane",
        ("metadata", "finalizers"),
        ["example.com/ours", "example.com/more"],
        [FieldChange("metadata.finalizers[example.com/more]", None, "example.com/more")],
    ),
)


@pytest.mark.parametrize(("kind", "path", "value", "changes"), DIFFERENT)
def test_desired_value_differs(kind: str, path: Path, value: Any, changes: list[FieldChange]) -> None:
    assert diff(desired(kind, path, value), live(kind), FIELD_MANAGER) == changes


SAME: Final[tuple[tuple[str, Path, Any], ...]] = (
    ("Deployment", (*CONTAINER, "resources", "requests"), {"cpu": "500m", "memory": "1Gi"}),
    ("Deployment", (*CONTAINER, "resources", "limits", "cpu"), "2000m"),
    ("Deployment", (*CONTAINER, "ports", 0, "protocol"), "TCP"),
    ("Deployment", (*CONTAINER, "lifecycle"), {}),
    ("Deployment", (*CONTAINER, "command"), []),
    ("Deployment", (*CONTAINER, "workingDir"), ""),
    ("Deployment", (*CONTAINER, "livenessProbe"), None),
    ("Deployment", (*POD, "volumes", 0, "emptyDir", "sizeLimit"), "1024Mi"),
    ("NetworkPolicy", ("spec", "ingress", 0, "ports", 1, "protocol"), "TCP"),
    ("TenantControlPlane", ("spec", "controlPlane", "deployment", "resources", "apiServer", "requests", "cpu"), "500m"),
)


@pytest.mark.parametrize(("kind", "path", "value"), SAME)
def test_other_spelling_of_the_same(kind: str, path: Path, value: Any) -> None:
    assert diff(desired(kind, path, value), live(kind), FIELD_MANAGER) == []


REMOVED_FROM_DESIRED: Final[tuple[tuple[str, Path, list[str]], ...]] = (
    ("Deployment", ("spec", "replicas"), ["spec.replicas"]),
    ("Deployment", ("metadata", "labels", "app"), ["metadata.labels.app"]),
    ("Deployment", ("metadata", "labels"), ["metadata.labels"]),
    ("Deployment", ("metadata", "annotations", "example.com/a.b"), ['metadata.annotations."example.com/a.b"']),
    ("Deployment", (*POD, "containers", 1), ["spec.template.spec.containers[name=side]"]),
    ("Deployment", (*CONTAINER, "env", 1), ["spec.template.spec.containers[name=server].env[name=B]"]),
    (
        "Deployment",
        (*CONTAINER, "env", 1, "valueFrom"),
        ["spec.template.spec.containers[name=server].env[name=B].valueFrom"],
    ),
    (
        "Deployment",
        (*CONTAINER, "volumeMounts", 1),
        ["spec.template.spec.containers[name=server].volumeMounts[mountPath=/tmp]"],
    ),
    (
        "Deployment",
        (*CONTAINER, "securityContext", "capabilities"),
        ["spec.template.spec.containers[name=server].securityContext.capabilities"],
    ),
    ("Deployment", (*CONTAINER, "args"), ["spec.template.spec.containers[name=server].args"]),
    ("Deployment", (*POD, "tolerations"), ["spec.template.spec.tolerations"]),
    ("Deployment", (*POD, "tolerations", 1), ["spec.template.spec.tolerations"]),
    ("Deployment", (*POD, "tolerations", 1, "effect"), ["spec.template.spec.tolerations[1].effect"]),
    ("Service", ("spec", "ports", 0), ["spec.ports[port=6443,protocol=TCP]"]),
    ("Service", ("spec", "ports", 1), ["spec.ports[port=8132,protocol=TCP]"]),
    ("Service", ("spec", "externalIPs"), ["spec.externalIPs"]),
    ("Service", ("spec", "selector"), ["spec.selector"]),
    ("Service", ("metadata", "finalizers", 0), ["metadata.finalizers[example.com/ours]"]),
    ("Service", ("metadata", "finalizers"), ["metadata.finalizers"]),
    ("Service", ("metadata", "ownerReferences", 0), ["metadata.ownerReferences[uid=5e10]"]),
    ("NetworkPolicy", ("spec", "ingress", 1), ["spec.ingress"]),
    (
        "NetworkPolicy",
        ("spec", "ingress", 0, "ports", 1),
        ["spec.ingress[0].ports[port=8132,protocol=TCP]"],
    ),
    ("NetworkPolicy", ("spec", "ingress", 1, "from"), ["spec.ingress[1].from"]),
    ("ConfigMap", ("data", "empty"), ["data.empty"]),
    ("ConfigMap", ("data",), ["data"]),
    ("TenantControlPlane", ("spec", "addons", "coreDNS"), ["spec.addons.coreDNS"]),
    ("TenantControlPlane", ("spec", "dataStore"), ["spec.dataStore"]),
    ("TenantControlPlane", ("spec", "networkProfile"), ["spec.networkProfile"]),
)


@pytest.mark.parametrize(("kind", "path", "gone"), REMOVED_FROM_DESIRED)
def test_what_we_own_and_no_longer_want(kind: str, path: Path, gone: list[str]) -> None:
    changes = diff(desired(kind, path, REMOVED), live(kind), FIELD_MANAGER)
    assert paths(changes) == gone
    assert all(item.before is not None for item in changes)


CHANGED_BY_OTHERS: Final[tuple[tuple[str, Path, Any, list[str]], ...]] = (
    # Added beside ours: theirs to keep.
    ("Deployment", ("metadata", "labels", "theirs"), "x", []),
    ("Deployment", ("metadata", "annotations", "deployment.kubernetes.io/revision"), "3", []),
    ("Deployment", (*POD, "containers", 2), {"name": "injected"}, []),
    ("Deployment", (*CONTAINER, "env", 2), {"name": "C", "value": "3"}, []),
    ("Service", ("metadata", "finalizers", 1), "service.kubernetes.io/load-balancer-cleanup", []),
    ("Service", ("spec", "ports", 2), {"port": 80, "protocol": "TCP", "targetPort": 80}, []),
    ("Service", ("spec", "ports", 0, "nodePort"), 30000, []),
    ("ConfigMap", ("data", "theirs"), "x", []),
    ("TenantControlPlane", ("spec", "kubernetes", "kubelet"), {"cgroupfs": "systemd"}, []),
    # Changed or taken away: drift.
    ("Deployment", ("metadata", "labels", "app"), REMOVED, ["metadata.labels.app"]),
    ("Deployment", (*CONTAINER, "imagePullPolicy"), "Always", []),
    ("Deployment", (*CONTAINER, "image"), "x", ["spec.template.spec.containers[name=server].image"]),
    (
        "Deployment",
        (*CONTAINER, "resources", "requests", "cpu"),
        "1",
        ["spec.template.spec.containers[name=server].resources.requests.cpu"],
    ),
    ("Deployment", (*POD, "tolerations", 2), {"key": "c"}, ["spec.template.spec.tolerations"]),
    ("Deployment", (*POD, "nodeSelector"), {"disk": "hdd"}, ["spec.template.spec.nodeSelector.disk"]),
    (
        "Deployment",
        (*POD, "topologySpreadConstraints", 0, "labelSelector", "matchLabels", "more"),
        "x",
        ["spec.template.spec.topologySpreadConstraints[topologyKey=zone,whenUnsatisfiable=ScheduleAnyway].labelSelector.matchLabels.more"],
    ),
    ("Service", ("spec", "ports", 0), REMOVED, [f"spec.ports[port=6443,protocol=TCP].{name}" for name in ("name", "port", "targetPort")]),
    ("Service", ("spec", "selector", "more"), "x", ["spec.selector.more"]),
    ("NetworkPolicy", ("spec", "podSelector", "matchLabels", "more"), "x", ["spec.podSelector.matchLabels.more"]),
    ("NetworkPolicy", ("spec", "ingress", 2), {}, ["spec.ingress"]),
    ("NetworkPolicy", ("spec", "ingress", 0, "ports", 2), {"port": 22, "protocol": "TCP"}, ["spec.ingress[0].ports[port=22,protocol=TCP]"]),
    ("NetworkPolicy", ("spec", "ingress", 0, "from"), [{"ipBlock": {"cidr": "0.0.0.0/0"}}], ["spec.ingress[0].from"]),
    (
        "NetworkPolicy",
        ("spec", "ingress", 1, "from", 0, "podSelector", "matchLabels"),
        {"a": "b"},
        ["spec.ingress[1].from[0].podSelector.matchLabels"],
    ),
    ("TenantControlPlane", ("spec", "addons", "coreDNS"), REMOVED, ["spec.addons.coreDNS"]),
    ("TenantControlPlane", ("spec", "controlPlane", "deployment", "replicas"), False, ["spec.controlPlane.deployment.replicas"]),
)


@pytest.mark.parametrize(("kind", "path", "value", "changed"), CHANGED_BY_OTHERS)
def test_what_others_did(kind: str, path: Path, value: Any, changed: list[str]) -> None:
    assert paths(diff(desired(kind), live(kind, path, value), FIELD_MANAGER)) == changed


def test_what_another_manager_owns_is_not_ours_to_remove() -> None:
    body = desired("Deployment", ("spec", "replicas"), REMOVED)
    found = live("Deployment")
    assert diff(body, found, "somebody") == []
    assert owned_fields(found, "somebody") == {}
    assert "f:replicas" in owned_fields(found, FIELD_MANAGER)["f:spec"]


@pytest.mark.parametrize(
    "spoil", [lambda entry: entry.update(operation="Update"), lambda entry: entry.update(subresource="status")], ids=["update", "status"]
)
def test_only_what_an_apply_of_ours_owns_counts(spoil: Callable[[Json], None]) -> None:
    found = live("Deployment")
    (entry,) = found["metadata"]["managedFields"]
    spoil(entry)
    assert diff(desired("Deployment", ("spec", "replicas"), REMOVED), found, FIELD_MANAGER) == []


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("0.5", "500m", True),
        (2, "2", True),
        ("1Gi", "1024Mi", True),
        ("1G", "1Gi", False),
        ("1e3", "1k", True),
        ("1E3", "1000", True),
        ("1E", "1000P", True),
        ("1Ei", "1024Pi", True),
        ("100u", "0.1m", True),
        ("5n", "0.005u", True),
        ("", "0", False),
        ("much", "much", False),
        (None, "0", False),
    ],
)
def test_quantities(left: Any, right: Any, equal: bool) -> None:
    assert equal_quantity(left, right) is equal


def custom(spec: Json, owned: Json) -> Json:
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": owned}}
    return {"metadata": {"managedFields": [entry]}, "spec": spec}


@pytest.mark.parametrize(
    ("wanted", "live", "owned", "expected"),
    [
        pytest.param({"a": {}}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {"spec": {"a": {"b": None}}}, id="the last field"),
        pytest.param({"a": {}}, {"a": {"b": 1, "c": 2}}, {"f:a": {"f:b": {}}}, {}, id="somebody else's stays"),
        pytest.param({"a": {"b": 2}}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {}, id="changed"),
        pytest.param({}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {}, id="gone with its map"),
        pytest.param({"a": {}}, {}, {}, {}, id="new"),
        pytest.param(
            {"x": {"a": {}, "c": {}}},
            {"x": {"a": {"b": 1}, "c": {"d": {"e": 1}}}},
            {"f:x": {"f:a": {"f:b": {}}, "f:c": {"f:d": {"f:e": {}}}}},
            {"spec": {"x": {"a": {"b": None}, "c": {"d": None}}}},
            id="two of them, deeper",
        ),
    ],
)
def test_maps_that_become_empty(wanted: Json, live: Json, owned: Json, expected: Json) -> None:
    assert emptied_maps({"spec": wanted}, custom(live, owned), FIELD_MANAGER) == expected


def test_no_map_becomes_empty_in_what_does_not_exist() -> None:
    assert emptied_maps({"spec": {"a": {}}}, None, FIELD_MANAGER) == {}
