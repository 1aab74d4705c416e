# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit, authentication, authorization and feature gates: files, flags and mounts. What they do is tested with the real program."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import api_server_files, arguments
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, tenant

POLICY: Final = {"rules": [{"level": "Metadata"}]}
VOLUME: Final = {"controlPlane__deployment__additionalVolumes": [{"name": "audit", "emptyDir": {}}]}
WEBHOOK: Final = {"kubeconfigSecret": {"name": "policy", "key": "kubeconfig"}, "timeout": "3s", "failurePolicy": "Deny"}
AUTHORIZERS: Final[list[Json]] = [
    {"type": "Node", "name": "node"},
    {"type": "RBAC", "name": "rbac"},
    {"type": "Webhook", "name": "policy", "webhook": WEBHOOK},
]


def made(**spec: Any) -> dict[str, Json]:
    return {f"{item['kind']} {item['metadata']['name']}": item for item in objects(tenant(**spec), inputs())}


def added(**spec: Any) -> list[str]:
    """Flags of the API server that a plain tenant does not have."""
    return sorted(set(arguments.api_server(tenant(**spec), inputs())) - set(arguments.api_server(tenant(), inputs())))


def template(**spec: Any) -> Json:
    found: Json = made(**spec)["Deployment acme"]["spec"]["template"]
    return found


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        ({}, []),
        (
            {"kubernetes__audit": {"policy": POLICY}},
            ["--audit-log-path=-", "--audit-policy-file=/etc/kubernetes/configuration/audit-policy.yaml"],
        ),
        (
            {
                **VOLUME,
                "kubernetes__audit": {
                    "policy": POLICY,
                    "log": {"volumeName": "audit", "maxAgeDays": 30, "maxBackups": 0, "maxSizeMegabytes": 50, "compress": True},
                },
            },
            [
                "--audit-log-compress=true",
                "--audit-log-maxage=30",
                "--audit-log-maxbackup=0",
                "--audit-log-maxsize=50",
                "--audit-log-path=/var/log/kubernetes/audit/audit.log",
                "--audit-policy-file=/etc/kubernetes/configuration/audit-policy.yaml",
            ],
        ),
        (
            {"kubernetes__authentication": {"anonymous": {"enabled": False}}},
            ["--authentication-config=/etc/kubernetes/configuration/authentication.yaml"],
        ),
        (
            {"kubernetes__authorization": {"authorizers": AUTHORIZERS}},
            ["--authorization-config=/etc/kubernetes/configuration/authorization.yaml"],
        ),
        ({"kubernetes__featureGates": {"apiServer": {"B": False, "A": True}}}, ["--feature-gates=A=true,B=false"]),
    ],
)
def test_flags(spec: dict[str, Any], flags: list[str]) -> None:
    assert added(**spec) == flags


def test_authorization_takes_the_place_of_the_mode() -> None:
    flags = arguments.api_server(tenant(kubernetes__authorization={"authorizers": AUTHORIZERS}), inputs())
    assert not [flag for flag in flags if flag.startswith("--authorization-mode")]


def test_feature_gates_of_each_component_add_up_with_flags() -> None:
    spec: dict[str, Any] = {
        "kubernetes__featureGates": {"apiServer": {"A": True}, "controllerManager": {"B": True}, "scheduler": {"C": False}},
        "controlPlane__deployment__extraArgs": {"apiServer": ["--feature-gates=D=true"]},
    }
    wanted = tenant(**spec)
    gates = [flag for flag in arguments.api_server(wanted, inputs()) if flag.startswith("--feature-gates")]
    assert gates == ["--feature-gates=A=true", "--feature-gates=D=true"]
    assert "--feature-gates=B=true" in arguments.controller_manager(wanted)
    assert "--feature-gates=C=false" in arguments.scheduler(wanted)


def test_files() -> None:
    found = made(
        kubernetes__audit={"policy": POLICY},
        kubernetes__authentication={"anonymous": {"enabled": False}},
        kubernetes__authorization={"authorizers": AUTHORIZERS},
    )
    data = {name: json.loads(text) for name, text in found["ConfigMap acme-api-server-configuration"]["data"].items()}
    config = "apiserver.config.k8s.io/v1"
    webhook = {
        "timeout": "3s",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/etc/kubernetes/authorization/policy.conf"},
    }
    assert data == {
        "audit-policy.yaml": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **POLICY},
        "authentication.yaml": {"apiVersion": config, "kind": "AuthenticationConfiguration", "anonymous": {"enabled": False}},
        "authorization.yaml": {
            "apiVersion": config,
            "kind": "AuthorizationConfiguration",
            "authorizers": [*AUTHORIZERS[:2], {**AUTHORIZERS[2], "webhook": webhook}],
        },
    }
    (volume,) = [item for item in found["Deployment acme"]["spec"]["template"]["spec"]["volumes"] if item["name"] == "kube-apiserver-files"]
    assert {"secret": {"name": "policy", "items": [{"key": "kubeconfig", "path": "authorization/policy.conf"}]}} in volume["projected"][
        "sources"
    ]


def test_a_plain_tenant_has_none() -> None:
    assert "ConfigMap acme-api-server-configuration" not in made()
    assert "hosted-kubernetes.io/configuration" not in template()["metadata"]["annotations"]


def test_another_policy_is_another_template() -> None:
    """The server reads it once; and what it cannot read is to stop the roll-out, not the next restart."""
    one, other = (template(kubernetes__audit={"policy": {"rules": [{"level": level}]}}) for level in ("None", "Metadata"))
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert one["spec"] == other["spec"]


def test_audit_log_in_a_volume_that_pods_share() -> None:
    spec = {**VOLUME, "kubernetes__audit": {"policy": POLICY, "log": {"volumeName": "audit"}}}
    server = next(item for item in template(**spec)["spec"]["containers"] if item["name"] == "kube-apiserver")
    assert {"name": "audit", "mountPath": api_server_files.AUDIT_LOG_DIR, "subPathExpr": "$(POD_NAME)"} in server["volumeMounts"]
    assert [item["name"] for item in server["env"]] == ["POD_NAME"]


def test_encryption_configuration_is_mounted_once_there_is_one() -> None:
    given = inputs(encryption_checksum="c9")
    assert "--encryption-provider-config=/etc/kubernetes/encryption/encryption-configuration.yaml" in arguments.api_server(tenant(), given)
    pod = next(item for item in objects(tenant(), given) if item["kind"] == "Deployment")["spec"]["template"]
    assert pod["metadata"]["annotations"]["hosted-kubernetes.io/encryption"] == "c9"
    assert "acme-encryption-configuration" in json.dumps(pod["spec"]["volumes"])
    assert "encryption" not in json.dumps(template())
