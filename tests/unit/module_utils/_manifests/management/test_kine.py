# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kine in the pod, apart from its flags."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import kine
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.deployment import deployment
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, kine_inputs, tenant

DEPLOYMENT = "controlPlane__deployment__"
USER = "$(DB_USER):$(DB_PASSWORD)"


def pod(datastore: dict[str, Any] | None = None, /, **spec: Any) -> Json:
    result: Json = deployment(tenant(**spec), kine_inputs(**(datastore or {})))["spec"]["template"]["spec"]
    return result


def sidecar(datastore: dict[str, Any] | None = None, /, **spec: Any) -> Json:
    found: Json = pod(datastore, **spec)["initContainers"][-1]
    assert found["name"] == "kine"
    return found


def test_it_starts_before_the_others_and_runs_as_long_as_they_do() -> None:
    assert sidecar()["restartPolicy"] == "Always"
    assert sidecar()["startupProbe"] == {
        "httpGet": {"path": "/metrics", "port": 8135, "scheme": "HTTP"},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 300,
        "successThreshold": 1,
    }
    both = pod(**{DEPLOYMENT + "additionalInitContainers": [{"name": "init", "image": "i"}]})
    assert [item["name"] for item in both["initContainers"]] == ["init", "kine"]


@pytest.mark.parametrize(
    ("driver", "endpoints", "expected"),
    [
        ("PostgreSQL", ("pg:5432",), f"postgres://{USER}@$(DB_CONNECTION_STRING)/$(DB_SCHEMA)"),
        (
            "PostgreSQL",
            ("pg-0:5432", "[2001:db8::7]:5433"),
            f"postgres://{USER}@/$(DB_SCHEMA)?host=pg-0,2001:db8::7&port=5432,5433&target_session_attrs=read-write",
        ),
        ("MySQL", ("db:3306",), f"mysql://{USER}@tcp($(DB_CONNECTION_STRING))/$(DB_SCHEMA)"),
    ],
)
def test_endpoint(driver: str, endpoints: tuple[str, ...], expected: str) -> None:
    assert kine.endpoint(dataclasses.replace(inputs().datastore, driver=driver, endpoints=endpoints)) == expected


def test_credentials_stand_in_the_secret_only() -> None:
    found = sidecar()
    assert found["envFrom"] == [{"secretRef": {"name": "acme-datastore-config"}}]
    assert [item["name"] for item in found["env"]] == ["KINE_ENDPOINT"]
    assert not any("$(" in text for text in (*found["command"], *found["args"])), "the kubelet would put it onto the command line"


@pytest.mark.parametrize(("client_certificate", "keys"), [(True, ["ca.crt", "server.crt", "server.key"]), (False, ["ca.crt"])])
def test_files(client_certificate: bool, keys: list[str]) -> None:
    volumes = {volume["name"]: volume for volume in pod({"client_certificate": client_certificate})["volumes"]}
    (source,) = volumes["kine-files"]["projected"]["sources"]
    assert source["secret"]["name"] == "acme-datastore-certificate"
    assert [item["path"] for item in source["secret"]["items"]] == [f"pki/datastore/{key}" for key in keys]
    assert "acme-datastore-certificate" not in str(volumes["kube-apiserver-files"])


def test_the_api_server_finds_its_socket() -> None:
    found = pod()
    assert {"name": "kine-uds", "emptyDir": {"medium": "Memory"}} in found["volumes"]
    sharing = {item["name"] for item in [*found["initContainers"], *found["containers"]] if "kine-uds" in str(item["volumeMounts"])}
    assert sharing == {"kine", "kube-apiserver"}


def test_it_runs_as_the_user_of_the_api_server_and_has_no_capability() -> None:
    """Only the owner of its socket may open it."""
    contexts = {DEPLOYMENT + "containerSecurityContexts": {"apiServer": {"runAsUser": 1000, "capabilities": {"add": ["SYS_TIME"]}}}}
    for spec in ({}, contexts):
        found = pod(**spec)
        server = next(item for item in found["containers"] if item["name"] == "kube-apiserver")["securityContext"]
        assert found["initContainers"][-1]["securityContext"] == {**server, "capabilities": {"drop": ["ALL"]}}
    assert "securityContext" not in sidecar(**{DEPLOYMENT + "hardening": "none"})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "ghcr.io/k3s-io/kine:v0.17.5-nocgo"),
        ({"registrySettings": {"registry": "mirror.example"}}, "mirror.example/k3s-io/kine:v0.17.5-nocgo"),
        ({"additionalContainers": [{"name": "kine", "image": "mine/kine:1"}]}, "mine/kine:1"),
        ({"additionalContainers": [{"name": "kine"}]}, "ghcr.io/k3s-io/kine:v0.17.5-nocgo"),
    ],
)
def test_image(spec: Json, expected: str) -> None:
    found = pod(**{DEPLOYMENT + field: value for field, value in spec.items()})
    assert found["initContainers"][-1]["image"] == expected
    assert found["containers"][0]["name"] == "kube-apiserver", "one named kine is no container of its own"


def test_the_image_is_the_bundles() -> None:
    defaults = yaml.safe_load((COLLECTION / "roles/bundle/defaults/main.yml").read_text(encoding="utf-8"))
    assert kine.image(tenant()) == f"ghcr.io/k3s-io/kine:{defaults['bundle_kine_version']}-nocgo"


def test_resources_of_the_user() -> None:
    assert sidecar()["resources"].keys() == {"requests"}
    limits = {"limits": {"memory": "1Gi"}}
    assert sidecar(**{DEPLOYMENT + "resources": {"kine": limits}})["resources"] == limits


def test_etcd_needs_none() -> None:
    spec = deployment(tenant(**{DEPLOYMENT + "additionalContainers": [{"name": "kine", "image": "x"}]}), inputs())["spec"]["template"][
        "spec"
    ]
    assert "kine" not in str(spec)
