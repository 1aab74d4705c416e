# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KubeconfigGenerators that are right or wrong, for the module's rules and for those of the CRD alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json

USER: Final = {"stringValue": "robot"}


def definition(name: str = "viewer", **spec: Any) -> Json:
    """A generator for all tenants, with other fields of the spec; None leaves one out."""
    fields = {"user": USER, **spec}
    return {
        "apiVersion": KAMAJI_API_VERSION,
        "kind": "KubeconfigGenerator",
        "metadata": {"name": name},
        "spec": {key: value for key, value in fields.items() if value is not None},
    }


@dataclass(frozen=True)
class Case:
    """spec: fields that differ from a good one. module, server: what each says, in parts."""

    name: str
    spec: Json
    module: tuple[str, ...]
    server: tuple[str, ...] = field(default=())


def _expression(**fields: Any) -> Json:
    return {"namespaceSelector": {"matchExpressions": [fields]}}


GOOD: Final[dict[str, Json]] = {
    "least": {},
    "everything": {
        "namespaceSelector": {"matchLabels": {"stage": "production", "example.com/team": ""}},
        "tenantControlPlaneSelector": {
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["x", "y_Z.1"]},
                {"key": "example.com/b", "operator": "NotIn", "values": [""]},
                {"key": "c", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist", "values": []},
            ]
        },
        "user": {"fromDefinition": "metadata.labels.team"},
        "groups": [{"stringValue": "system:masters"}, {"fromDefinition": "metadata.namespace"}],
        "controlPlaneEndpointFrom": "super-admin.conf",
        "expirationSeconds": 600,
    },
    "longest": {"user": {"stringValue": "u" * 64}, "groups": [{"stringValue": "g" * 253}], "expirationSeconds": 31536000},
    "empty selectors": {"namespaceSelector": {}, "tenantControlPlaneSelector": {"matchLabels": {}}},
    # The reference's own example.
    "reference": {
        "user": {"fromDefinition": "metadata.name"},
        "controlPlaneEndpointFrom": "admin.svc",
        "groups": [{"stringValue": "custom"}],
    },
}

BAD: Final = (
    Case("no user", {"user": None}, ("spec.user is missing",), ("spec.user: Required value",)),
    Case("neither", {"user": {}}, ("spec.user needs exactly one of stringValue and fromDefinition",), ("needs exactly one of",)),
    Case(
        "both",
        {"groups": [USER, {**USER, "fromDefinition": "metadata.name"}]},
        ("spec.groups[1] needs exactly one of stringValue and fromDefinition",),
        ("spec.groups[1]", "needs exactly one of"),
    ),
    Case("empty text", {"user": {"stringValue": ""}}, ("spec.user.stringValue is empty",), ("spec.user.stringValue", "at least 1 chars")),
    Case(
        "long user",
        {"user": {"stringValue": "ü" * 33}},
        ("spec.user.stringValue has 66 bytes", "at most 64, so shorten it"),
        ("spec.user.stringValue", "more than 64 bytes"),
    ),
    *(
        Case(
            f"path {path}",
            {"user": {"fromDefinition": path}},
            (f'spec.user.fromDefinition "{path}" is not a path of names with dots between them; write for example metadata.name',),
            ("spec.user.fromDefinition", "should match"),
        )
        for path in (".metadata.name", "metadata..name", "metadata.")
    ),
    Case(
        "another key",
        {"controlPlaneEndpointFrom": "admin.config"},
        ('spec.controlPlaneEndpointFrom "admin.config" is not possible; did you mean admin.conf?',),
        ("spec.controlPlaneEndpointFrom: Unsupported value",),
    ),
    Case(
        "short",
        {"expirationSeconds": 599},
        ("spec.expirationSeconds 599 is out of range; write a number from 600",),
        ("spec.expirationSeconds",),
    ),
    Case("long", {"expirationSeconds": 31536001}, ("spec.expirationSeconds 31536001 is out of range",), ("spec.expirationSeconds",)),
    Case("unknown field", {"group": []}, ("spec.group is not a known field; did you mean groups?",), ('unknown field "spec.group"',)),
    Case("too many", {"groups": [USER] * 65}, ("spec.groups has 65 elements; at most 64",), ("spec.groups: Too many",)),
    Case(
        "operator",
        _expression(key="a", operator="Is"),
        ('spec.namespaceSelector.matchExpressions[0].operator "Is" is not possible; known are In, NotIn, Exists, DoesNotExist',),
        ("matchExpressions[0].operator: Unsupported value",),
    ),
    Case(
        "In without values",
        _expression(key="a", operator="In"),
        ("spec.namespaceSelector.matchExpressions[0].values is empty; In needs at least one value",),
        ("In and NotIn need at least one",),
    ),
    Case(
        "Exists with values",
        _expression(key="a", operator="Exists", values=["b"]),
        ("values must be left out, since Exists looks at the key alone",),
        ("Exists and DoesNotExist have none",),
    ),
    Case(
        "key",
        _expression(key="a b", operator="Exists"),
        ('matchExpressions[0].key "a b" is not the name of a label; write a name such as example.com/team',),
        ("matchExpressions[0].key", "should match"),
    ),
    Case(
        "value",
        _expression(key="a", operator="In", values=["ok", "-b"]),
        ('matchExpressions[0].values[1] "-b" is not the value of a label',),
        ("matchExpressions[0].values[1]", "should match"),
    ),
    Case(
        "value of a label",
        {"tenantControlPlaneSelector": {"matchLabels": {"team": "A & B"}}},
        ('spec.tenantControlPlaneSelector.matchLabels.team "A & B" is not the value of a label',),
        ("spec.tenantControlPlaneSelector.matchLabels.team", "should match"),
    ),
)

BAD_NAMES: Final = ("Viewer", "a" * 64, "a_b", "-a", "ca", "dev-ca", "admin-kubeconfig", "kubeconfig", "sa-certificate")
GOOD_NAMES: Final = ("viewer", "a.b", "a" * 63, "cax", "dev-kubeconfig", "0")
