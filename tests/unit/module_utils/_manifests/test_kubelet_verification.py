# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server that is told to verify kubelets which nobody gives a certificate is warned of, before it is rolled out."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.kubelet_verification import unverifiable_kubelets
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.support.examples import example
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, tenant

FLAG = "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt"
ASKS = {"op": "add", "path": "/serverTLSBootstrap", "value": True}


@pytest.mark.parametrize(
    ("flags", "patches", "warned"),
    [
        pytest.param([], [], None, id="not verified"),
        pytest.param([FLAG], [ASKS], None, id="verified, with certificates"),
        pytest.param(["--v=2", FLAG], [], 1, id="verified, without"),
        pytest.param(["kubelet_certificate_authority=/x"], [], 0, id="in another spelling"),
        pytest.param([FLAG], [{**ASKS, "value": False}], 0, id="switched off"),
        pytest.param([FLAG], [ASKS, {"op": "remove", "path": "/serverTLSBootstrap"}], 0, id="taken away again"),
        pytest.param([FLAG], [{"op": "remove", "path": "/nothing"}], None, id="a patch that is refused elsewhere"),
    ],
)
def test_remarks(flags: list[str], patches: list[dict[str, Any]], warned: int | None) -> None:
    acme = tenant(controlPlane__deployment__extraArgs={"apiServer": flags}, kubernetes__kubelet={"configurationJSONPatches": patches})
    said = unverifiable_kubelets(acme)
    assert len(said) == (0 if warned is None else 1)
    for text in said:
        assert text.startswith(
            f"TenantControlPlane tenants/acme: spec.controlPlane.deployment.extraArgs.apiServer[{warned}] --kubelet-cert"
        )
        assert "run playbook worker_refresh for all workers, then set the flag again" in text


def test_the_example_reaches_the_api_server() -> None:
    pod = objects(parse(example("kubelet_certificates")), inputs())[-1]["spec"]["template"]["spec"]
    flags = {container["name"]: container["args"] for container in pod["containers"]}
    assert FLAG in flags["kube-apiserver"]
    assert unverifiable_kubelets(parse(example("kubelet_certificates"))) == []
