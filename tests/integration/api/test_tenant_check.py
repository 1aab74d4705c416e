# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_check in clusters that have no worker yet: their system pods cannot run, which is no fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_check
from ansible_collections.hosted.kubernetes.tests.support.apiserver import running_api_server
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.stand_in import standing_in
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

READY: Final[Json] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
STUCK: Final[Json] = {
    "phase": "Pending",
    "containerStatuses": [
        {
            "name": "a",
            "image": "a",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }
    ],
}


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


def show_a_pod(tenant: Tenant, number: int = 0, status: Json | None = None) -> None:
    """What a kubelet would say of the control plane of a tenant for which another API server stands in."""
    where = {"name": f"{tenant.name}-{number}", "namespace": tenant.namespace}
    spec = {"containers": [{"name": "a", "image": "a"}], "automountServiceAccountToken": False}
    tenant.ground.client.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**where, "labels": {names.LABEL_NAME: tenant.name}}, "spec": spec}
    )
    tenant.patch("Pod", {"status": status or READY}, where["name"], subresource="status")


def test_several(bundle: Path, tmp_path: Path, ground: Ground) -> None:
    first = ground.tenant("t0")
    tenants = [first, *(ground.tenant(f"t{number}", first.namespace) for number in (1, 2))]
    for tenant in tenants:
        tenant.run()
    log = tmp_path / "steps.log"
    entries: list[Json] = [{"name": "t0"}, {"name": "t1", "minimum_nodes": 1}, {"name": "t2"}, {"name": "never-was"}]
    arguments: Json = {
        "kubeconfig": str(ground.kubeconfig),
        "namespace": first.namespace,
        "tenants": entries,
        "minimum_nodes": 0,
        "wait_timeout": 1,
        "log": str(log),
    }
    with standing_in(bundle, tmp_path, *tenants[:2]):
        for tenant in tenants[:2]:
            show_a_pod(tenant)
        assert run_module(tenant_check.main, {**arguments, "tenants": entries[:1]})["tenants"][0]["error"] == ""
        with pytest.raises(ModuleFailedError) as error:
            run_module(tenant_check.main, arguments)
        looked = run_module(tenant_check.main, arguments, check=True)
        show_a_pod(tenants[0], 1, STUCK)
        with pytest.raises(
            ModuleFailedError, match="control-plane: a roll-out is stuck: pod t0-1: container a ImagePullBackOff: no such image"
        ):
            run_module(tenant_check.main, {**arguments, "tenants": entries[:1]})
    result = error.value.result
    well, few, asleep, absent = result["tenants"]
    assert [item["tenant"] for item in result["tenants"]] == [f"{first.namespace}/{item['name']}" for item in entries]
    assert [(item["name"], item["ok"]) for item in well["checks"]] == [("control-plane", True), ("nodes", True), ("system", True)]
    assert (well["error"], well["replicas"]) == ("", ["t0-0"])
    assert few["error"].startswith(f"tenant {tenants[1].key}: 1 of 3 checks failed: nodes: ")
    assert "0 of at least 1 nodes have joined" in few["error"]
    assert asleep["error"].startswith(f"TenantControlPlane {tenants[2].key}: sleeps")
    assert absent["error"].startswith(f"TenantControlPlane {first.namespace}/never-was: does not exist")
    assert result["msg"] == "; ".join(item["error"] for item in (few, asleep, absent))
    # In check mode what is wrong is no error.
    warnings = " ".join(map(str, looked["warnings"]))
    assert all(said in warnings for said in ("0 of at least 1 nodes have joined", asleep["error"], absent["error"]))
    steps = log.read_text(encoding="utf-8").splitlines()
    assert any(step.startswith(f"== {tenants[0].key}: 3 checks in ") for step in steps)
    assert f"== {asleep['error']}" in steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_once": 0}, "at_once is 0; at least one tenant has to be proved at a time"),
        ({"tenants": [{"name": "a"}, {"name": "a", "namespace": "default"}]}, "tenants names default/a more than once"),
        ({"tenant": "a"}, "mutually exclusive: tenant|tenants"),
        ({"tenant_kubeconfig": "/a"}, "mutually exclusive: tenant_kubeconfig|tenants"),
    ],
)
def test_refused(kubeconfig: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModuleFailedError, match=message):
        run_module(tenant_check.main, {"kubeconfig": str(kubeconfig), "tenants": [{"name": "a"}], **options})
