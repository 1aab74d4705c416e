# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_check on a real cluster of one node; with a tenant, konnectivity and two workers it is tried by the scenario default."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import LABEL, NEED_PODS
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_check
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

NAMESPACE = resource_of("Namespace")


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), {}) as made:
        yield made
        assert left(made) == []


def left(client: Client) -> list[str]:
    return [item["metadata"]["name"] for item in client.list(NAMESPACE, label_selector=LABEL).items]


def run(kubeconfig: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(tenant_check.main, {"tenant_kubeconfig": str(kubeconfig), **options}, check=check)


def test_a_good_cluster_is_proven_and_left_as_it_was(kubeconfig: Path, client: Client) -> None:
    result = run(kubeconfig)
    assert [item["name"] for item in result["checks"]] == ["nodes", "system", *NEED_PODS]
    assert {item["ok"] for item in result["checks"]} == {True}
    assert result["changed"] is False
    assert len(result["nodes"]) == 1
    assert left(client) == []


def test_check_mode_only_reads(kubeconfig: Path, client: Client) -> None:
    before = client.list(NAMESPACE).resource_version
    result = run(kubeconfig, check=True, minimum_nodes=2)
    assert [(item["name"], item["ok"]) for item in result["checks"]] == [("nodes", False), ("system", True)]
    assert result["skipped_checks"] == list(NEED_PODS)
    assert "1 of at least 2 nodes have joined" in json.dumps(result["warnings"])
    assert not [item for item in client.list(NAMESPACE).items if int(item["metadata"]["resourceVersion"]) > int(before)]


def test_all_that_fails_is_named_with_node_and_reason_and_nothing_stays(kubeconfig: Path, client: Client) -> None:
    image = "registry.invalid/agnhost:1"
    with pytest.raises(ModuleFailedError) as failed:
        run(kubeconfig, image=image, minimum_nodes=2, wait_timeout=15)
    result = failed.value.result
    node = client.list(resource_of("Node")).items[0]["metadata"]["name"]
    assert {item["name"]: item["ok"] for item in result["checks"]} == {"nodes": False, "system": True, "pods": False, "removal": True}
    assert "2 of 4 checks failed: nodes: workers: not ready after 15 s: 1 of at least 2 nodes have joined" in result["msg"]
    assert f"pods: image {image}: not ready after 15 s: node {node}: pod check-" in result["msg"]
    assert "give every worker the image" in result["msg"]


def test_what_a_killed_run_has_left_is_removed_by_the_next(kubeconfig: Path, client: Client, tmp_path: Path) -> None:
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"tenant_kubeconfig": str(kubeconfig)}}), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, tenant_check.__file__, str(arguments)], env=environment) as process:
        deadline = time.monotonic() + 60
        while not left(client) and time.monotonic() < deadline:
            assert process.poll() is None
        process.kill()
    assert len(left(client)) == 1
    assert run(kubeconfig, repeats=0)["changed"] is False
