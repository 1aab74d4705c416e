# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose node a host is: the tenants of a real management cluster are asked, and the role decides."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import ca_hash
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_ca_info
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_role
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._api.test_join import facts

ENDPOINT = "198.51.100.7:6443"


@pytest.fixture
def pair(ground: Ground) -> tuple[Tenant, Tenant]:
    """Two tenants that sleep."""
    blue = ground.tenant("blue")
    red = ground.tenant("red", blue.namespace)
    for tenant in (blue, red):
        tenant.run()
    return blue, red


def hash_of(tenant: Tenant) -> str:
    return ca_hash(base64.b64decode(tenant.live("Secret", tenant.name + names.CA)["data"]["ca.crt"]))


def asked(tenant: Tenant, *ca_hashes: str) -> dict[str, Any]:
    return run_module(tenant_ca_info.main, {"kubeconfig": str(tenant.ground.kubeconfig), "ca_hashes": list(ca_hashes)})


def test_a_tenant_is_found_by_its_ca_also_while_it_sleeps(pair: tuple[Tenant, Tenant]) -> None:
    blue, red = pair
    blue.patch("TenantControlPlane", {"status": {"controlPlaneEndpoint": ENDPOINT}}, subresource="status")
    of_blue = {"namespace": blue.namespace, "name": "blue", "endpoint": ENDPOINT}
    found = asked(blue, hash_of(blue), "sha256:00")
    assert found["tenants"] == [of_blue]
    assert "BEGIN" not in json.dumps(found)
    assert [item["name"] for item in asked(blue, hash_of(red), hash_of(blue))["tenants"]] == ["blue", "red"]
    assert asked(blue, "sha256:00")["tenants"] == []

    # One that lost its authority is nobody's, and holds up no other.
    red.delete("Secret", red.name + names.CA)
    assert asked(blue, hash_of(blue))["tenants"] == [of_blue]


def decide(folder: Path, blue: Tenant, ca: str, tasks_from: str = "decide", **variables: Any) -> PlaybookRun:
    """What the role decides about a host that trusts this CA and whose tenant is another one than blue."""
    (folder / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": []}), encoding="utf-8")
    conf = {"server": f"https://{ENDPOINT}", "ca_hashes": [ca], "ca_names": ["kubernetes"], "client_not_after_s": 1, "problem": None}
    target = {"tenant": "tenants/beta", "endpoint": "https://x:1", "ca_hashes": ["sha256:00"], "version": "v1.36.3", "has_node": False}
    return run_role(
        folder,
        "worker",
        tasks_from=tasks_from,
        __worker_facts={"host": facts({"kubelet_conf": {**conf, "node_name": "worker-1"}})},
        __worker_join={"target": target},
        worker_bundle_dir=str(folder),
        worker_management_kubeconfig=str(blue.ground.kubeconfig),
        worker_tenant="beta",
        **variables,
    )


def test_a_join_names_the_playbook_that_moves_a_node_of_another_tenant(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    blue, _red = pair
    done = decide(tmp_path, blue, hash_of(blue))
    assert done.status == 2
    assert f"that is tenant {blue.key}: move the host from there (playbook worker_move)" in done.text

    done = decide(tmp_path, blue, hash_of(blue), __worker_may_move=True)
    assert done.status == 0, done.output
    assert f"host localhost: it is a node of tenant {blue.key} and becomes one of tenant tenants/beta" in done.text


def test_a_node_of_no_tenant_is_not_moved(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    done = decide(tmp_path, pair[0], "sha256:ff", __worker_may_move=True)
    assert done.status == 2
    assert f"https://{ENDPOINT} with CA kubernetes (sha256:ff)" in done.text
    assert "no tenant of this management cluster has that CA" in done.text


def test_a_node_of_a_tenant_that_sleeps_is_not_moved_yet(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    """Nobody could drain and delete it; the host is not touched."""
    blue, _red = pair
    plan = {"action": "move", "leaves": {"namespace": blue.namespace, "name": "blue"}}
    done = decide(tmp_path, blue, hash_of(blue), "leave", __worker_plan=plan)
    assert done.status == 2
    assert f"TenantControlPlane {blue.key}: sleeps" in done.text
    assert "Stop the kubelet" not in done.text


def test_a_host_whose_new_tenant_sleeps_stays_where_it_is(tmp_path: Path, pair: tuple[Tenant, Tenant]) -> None:
    blue, red = pair
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": []}), encoding="utf-8")
    done = run_role(
        tmp_path,
        "worker",
        tasks_from="move",
        worker_bundle_dir=str(tmp_path),
        worker_management_kubeconfig=str(blue.ground.kubeconfig),
        worker_tenant=red.name,
        worker_namespace=red.namespace,
    )
    assert done.status == 0, done.output
    assert f"host localhost is left as it is: TenantControlPlane {red.key}: sleeps" in done.text
    assert done.changed == 0
