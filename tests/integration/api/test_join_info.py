# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a tenant cannot be asked about a host: the role worker decides by it whether to go on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.modules import join_info
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import Tenant


def refusal(kubeconfig: Path, tenant: Tenant) -> tuple[str, str]:
    arguments = {"kubeconfig": str(kubeconfig), "tenant": tenant.name, "namespace": tenant.namespace, "node_name": "worker-1"}
    with pytest.raises(ModuleFailedError) as caught:
        run_module(join_info.main, arguments)
    return caught.value.result["tenant_state"], caught.value.result["msg"]


def test_a_tenant_that_cannot_be_asked_says_why(kubeconfig: Path, tenant: Tenant) -> None:
    state, message = refusal(kubeconfig, tenant)
    assert state == "absent"
    assert f"TenantControlPlane {tenant.key}: does not exist in https://" in message

    tenant.run()
    state, message = refusal(kubeconfig, tenant)
    assert state == "asleep"
    assert f"TenantControlPlane {tenant.key}: sleeps (spec.controlPlane.deployment.replicas is 0)" in message
    assert "set replicas to 1 or more and run the tenant's playbook first" in message

    tenant.patch("TenantControlPlane", {"spec": {"controlPlane": {"deployment": {"replicas": 1}}}})
    tenant.delete("Secret", tenant.name + names.ADMIN_KUBECONFIG)
    state, message = refusal(kubeconfig, tenant)
    assert state == "unfinished"
    assert "has no admin.conf yet" in message


@pytest.fixture
def joinable(api_server: ApiServer) -> Iterator[ApiServer]:
    """A cluster with what kubeadm publishes for hosts that join, and agents of konnectivity."""
    authority = api_server.authority.pair.certificate.read_bytes()
    cluster = {"server": api_server.url, "certificate-authority-data": base64.b64encode(authority).decode()}
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]}
    info: Json = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": json.dumps(kubeconfig)}}
    labels = {"app": "konnectivity-agent"}
    arguments = ["--proxy-server-host=2001:db8::20", "--proxy-server-port=8132"]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": "agent", "args": arguments}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    agents: Json = {"metadata": {"name": "konnectivity-agent", "namespace": "kube-system"}, "spec": spec}
    paths: dict[str, Json] = {"/api/v1/namespaces/kube-public/configmaps": info, "/apis/apps/v1/namespaces/kube-system/daemonsets": agents}
    for path, body in paths.items():
        api_server.request("POST", path, body)
    yield api_server
    for path, body in paths.items():
        api_server.request("DELETE", f"{path}/{body['metadata']['name']}")


def test_where_a_host_must_be_able_to_connect_to(kubeconfig: Path, joinable: ApiServer) -> None:
    found = run_module(join_info.main, {"tenant_kubeconfig": str(kubeconfig), "node_name": "worker-1"})
    assert found["target"]["endpoint"] == joinable.url
    assert found["ca"] == joinable.authority.pair.certificate.read_text(encoding="utf-8")
    assert found["konnectivity"] == "[2001:db8::20]:8132"
