# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores that are killed (SIGKILL) after each of their steps: nothing is lost, and the next run finishes it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup import read_pki
from ansible_collections.hosted.kubernetes.tests.support.backups import (
    backup_request,
    content,
    do_backup,
    do_restore,
    files,
    fill,
    restore_request,
    run_backup,
    run_restore,
)
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Tenant,
    later,
    run_and_die,
)

# Keys of a tenant whose data is larger than a page.
MANY, LARGE = 3000, 4000
# A killed run leaves its Lease behind; it ends after 15 seconds, or when it is older than clocks may differ.
AFTER_THE_LEASE = {"now": later(80), "wait": False}


@pytest.fixture
def made(tenant: Tenant) -> Tenant:
    tenant.run()
    fill(tenant.ground.driver, tenant.isolation, 450)
    return tenant


def test_backup_killed_anywhere(made: Tenant, tmp_path: Path) -> None:
    fill(made.ground.driver, made.isolation, MANY, LARGE)
    request = backup_request(made.namespace, made.name, tmp_path)
    for number in (1, 2):
        assert run_and_die(str(made.ground.kubeconfig), request, number, work=run_backup) == -signal.SIGKILL
        assert request.place.names() == []
        assert len(os.listdir(tmp_path)) == 1
    do_backup(made, tmp_path)
    assert len(files(tmp_path)) == 1


def test_restore_in_place_killed_anywhere(made: Tenant, tmp_path: Path) -> None:
    """The tenant cannot be woken with half of its data, and the next restore finishes it."""
    before = content(made.ground.driver, made.isolation)
    do_backup(made, tmp_path)
    request, number = restore_request(made, tmp_path), 0
    while True:
        number += 1
        fill(made.ground.driver, made.isolation, 440, seed=2)
        status = run_and_die(str(made.ground.kubeconfig), request, number, work=run_restore, timeout_s=5.0)
        if status != -signal.SIGKILL:
            break
        if names.ANNOTATION_RESTORE in (made.live("TenantControlPlane")["metadata"].get("annotations") or {}):
            with pytest.raises(HostedKubernetesError, match="its data is being restored, or that was interrupted"):
                made.run(changes={"controlPlane.deployment.replicas": 2})
        else:
            assert content(made.ground.driver, made.isolation) == before, f"killed after change {number}"
        do_restore(made, request, **AFTER_THE_LEASE)
        assert content(made.ground.driver, made.isolation) == before, f"killed after change {number}"
        assert names.ANNOTATION_RESTORE not in (made.live("TenantControlPlane")["metadata"].get("annotations") or {})
    assert number > 5


def test_restore_as_new_killed_anywhere(made: Tenant, tmp_path: Path) -> None:
    before, pki = content(made.ground.driver, made.isolation), read_pki(made.ground.client, made.namespace, made.name)
    file = do_backup(made, tmp_path)["backup"]["name"]
    number, step = 0, 4
    while True:
        number += step
        copy = made.ground.tenant("copy")
        request = restore_request(copy, tmp_path, file=file, in_place=False)
        status = run_and_die(str(made.ground.kubeconfig), request, number, work=run_restore)
        if status != -signal.SIGKILL:
            assert status == 0
            break
        do_restore(copy, request, **AFTER_THE_LEASE)
        assert content(copy.ground.driver, copy.isolation) == before, f"killed after change {number}"
        assert read_pki(copy.ground.client, copy.namespace, copy.name) == pki
        assert copy.run(name=copy.name, check=True, settings={"now": later(80)}).plan == []
        copy.absent(settings=AFTER_THE_LEASE)
        assert copy.left() == []
    assert number > 20
