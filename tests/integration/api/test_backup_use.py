# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups are for: a real API server serves what was restored; playbooks do what the modules do."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.tests.support.backups import (
    content,
    do_backup,
    do_restore,
    files,
    fill,
    key_file,
    restore_request,
)
from ansible_collections.hosted.kubernetes.tests.support.control_plane import prepared
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    RENEW_BEFORE_DAYS,
    Ground,
    Tenant,
    datastore_definition,
    open_driver,
)


@pytest.fixture
def made(tenant: Tenant) -> Tenant:
    tenant.run()
    fill(tenant.ground.driver, tenant.isolation, 450)
    return tenant


@pytest.mark.long
def test_a_real_api_server_serves_what_was_restored(ground: Ground, bundle: Path, tmp_path: Path) -> None:
    """Objects of then with all they had, at a resourceVersion that is higher than any before."""
    with prepared(bundle, tmp_path, {}) as control_plane:
        etcd = control_plane.etcd
        assert etcd
        with contextlib.closing(open_driver(etcd)) as driver:
            ground.client.apply(datastore_definition("restored", etcd), force=True)
            tenant = replace(ground, etcd=etcd, driver=driver, store="restored").tenant("acme", "tenants")
            tenant.run()
            path = "/api/v1/namespaces/default/configmaps"
            with control_plane.run("kube-apiserver", "/readyz"), client_from_kubeconfig(control_plane.kubeconfig.read_bytes()) as client:
                for name in ("kept", "deleted"):
                    client.create(
                        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"}}
                    )
                do_backup(tenant, tmp_path / "backups")
                client.request("DELETE", f"{path}/deleted")
                client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later", "namespace": "default"}})
                changed = client.request("PATCH", f"{path}/kept", body={"data": {"a": "2"}}, content_type="application/merge-patch+json")
            do_restore(tenant, restore_request(tenant, tmp_path / "backups"))
            with control_plane.run("kube-apiserver", "/readyz"), client_from_kubeconfig(control_plane.kubeconfig.read_bytes()) as client:
                found = {item["metadata"]["name"]: item for item in client.request("GET", path)["items"]}
                assert {"kept", "deleted"} <= found.keys()
                assert "later" not in found
                assert found["kept"]["data"] == {"a": "1"}
                since = changed["metadata"]["resourceVersion"]
                assert int(found["kept"]["metadata"]["resourceVersion"]) > int(since)
                # Whoever watched before is told to list again.
                (line,) = client.get_raw(f"{path}?watch=true&resourceVersion={since}&timeoutSeconds=1").splitlines()
                assert (json.loads(line)["type"], json.loads(line)["object"]["code"]) == ("ERROR", 410)


def test_playbooks(made: Tenant, tmp_path: Path) -> None:
    fill(made.ground.driver, made.isolation, 1200)
    directory, key = tmp_path / "backups", key_file(tmp_path)
    variables: dict[str, Any] = {
        "tenant_control_plane_kubeconfig": str(made.ground.kubeconfig),
        "tenant_backup_tenants": f"{made.key}, ",
        "tenant_backup_directory": str(directory),
        "tenant_backup_encryption_key_file": str(key),
        "tenant_backup_keep": 2,
    }
    predicted = run_playbook("hosted.kubernetes.tenant_backup", "--check", "--diff", **variables)
    assert (predicted.status, files(directory)) == (0, []), predicted.output
    done = run_playbook("hosted.kubernetes.tenant_backup", **variables)
    assert (done.status, len(files(directory))) == (0, 1), done.output
    fill(made.ground.driver, made.isolation, 10)
    del variables["tenant_backup_tenants"]
    extra: dict[str, Any] = {
        "tenant_restore_tenant": made.key,
        "tenant_restore_in_place": True,
        "tenant_control_plane_renew_before": RENEW_BEFORE_DAYS,
    }
    done = run_playbook("hosted.kubernetes.tenant_restore", **variables, **extra)
    assert (done.status, done.changed) == (0, 1), done.output
    assert len(content(made.ground.driver, made.isolation)) == 1200
    done = run_playbook("hosted.kubernetes.tenant_restore", **variables, **extra)
    assert (done.status, done.changed) == (0, 0), done.output


def test_playbooks_refuse_to_guess(tmp_path: Path) -> None:
    directory = {"tenant_backup_directory": str(tmp_path)}
    tried = run_playbook("hosted.kubernetes.tenant_restore", **directory)
    assert 'tenant_restore_tenant "" must be namespace/name of a tenant' in tried.text
    tried = run_playbook("hosted.kubernetes.tenant_restore", tenant_restore_tenant="acme", **directory)
    assert 'tenant_restore_tenant "acme" must be namespace/name of a tenant' in tried.text
    tried = run_playbook("hosted.kubernetes.tenant_backup")
    assert 'One of tenant_backup_directory "" and tenant_backup_s3_bucket "" must be where the backups go' in tried.text
    tried = run_playbook("hosted.kubernetes.tenant_backup", tenant_backup_tenants="tenants/acme, other", **directory)
    assert 'tenant_backup_tenants "tenants/acme, other" names of tenants with their namespaces (namespace/name)' in tried.text
    tried = run_playbook("hosted.kubernetes.tenant_backup", tenant_backup_s3_bucket="backups", **directory)
    assert f'One of tenant_backup_directory "{tmp_path}" and tenant_backup_s3_bucket "backups" must be where' in tried.text
