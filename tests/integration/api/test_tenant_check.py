# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_check in a cluster that has no worker yet: its system pods cannot run, which is no fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_check
from ansible_collections.hosted.kubernetes.tests.support.apiserver import running_api_server
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module


def test_without_workers(bundle: Path, tmp_path: Path) -> None:
    template = {"metadata": {"labels": {"app": "dns"}}, "spec": {"containers": [{"name": "dns", "image": "dns"}]}}
    dns = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dns", "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": {"app": "dns"}}, "template": template},
    }
    with running_api_server(bundle, tmp_path) as server:
        server.request("POST", "/apis/apps/v1/namespaces/kube-system/deployments", dns)
        arguments: Json = {"tenant_kubeconfig": str(server.kubeconfig), "wait_timeout": 1}
        with pytest.raises(ModuleFailedError, match="0 of at least 1 nodes have joined"):
            run_module(tenant_check.main, arguments)
        result = run_module(tenant_check.main, {**arguments, "minimum_nodes": 0})
    assert [(item["name"], item["ok"], item["message"]) for item in result["checks"]] == [
        ("nodes", True, "no worker has joined, and none is asked for"),
        ("system", True, "not looked at: it runs on workers, and there is none"),
    ]
