# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller as a program: killed, replaced, ended; and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.leader import LEASE
from ansible_collections.hosted.kubernetes.tests.support.controllers import Program, asleep, create, eventually, running_program
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant


@pytest.fixture
def home(ground: Ground) -> Tenant:
    """A tenant that does not exist, in a namespace that does."""
    tenant = ground.tenant("first")
    ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    return tenant


@pytest.fixture
def waiting(ground: Ground, home: Tenant, tmp_path: Path) -> Iterator[tuple[Program, Program]]:
    """Two replicas: the first one works, the second one waits."""
    with (
        running_program(ground.kubeconfig, home.namespace, tmp_path / "a.log", identity="a") as first,
        running_program(ground.kubeconfig, home.namespace, tmp_path / "b.log", identity="b") as second,
    ):
        eventually("one replica works", lambda: first.leads() or second.leads(), 30)
        eventually("both know the cluster", lambda: first.page("/readyz")[0] == second.page("/readyz")[0] == 200, 30)
        yield (first, second) if first.leads() else (second, first)


def holder(tenant: Tenant) -> str:
    return str(tenant.live("Lease", LEASE)["spec"]["holderIdentity"])


@pytest.mark.long
def test_replicas_that_are_killed_and_one_that_ends(ground: Ground, home: Tenant, waiting: tuple[Program, Program], tmp_path: Path) -> None:
    works, waits = waiting
    tenants = [create(ground.tenant(name, home.namespace)) for name in ("first", "second", "third")]
    eventually("it is in the middle of it", lambda: any(tenant.get("Service") for tenant in tenants))
    name = holder(home)
    works.kill()
    # The same replica again: it goes on at once with what it has the Leases of.
    with running_program(ground.kubeconfig, home.namespace, tmp_path / "again.log", identity=name) as again:
        for tenant in tenants:
            asleep(tenant)
        assert again.leads()
        assert not waits.leads()
        authority = home.live("Secret", "first-ca")["metadata"]["uid"]
        again.kill()
    home.delete("Service")
    # Another one: as soon as the Lease has ended.
    eventually("the other replica works", waits.leads, 30)
    eventually("what was deleted meanwhile is back", lambda: home.get("Service"))
    assert home.live("Secret", "first-ca")["metadata"]["uid"] == authority
    asleep(home)
    says_what_it_does(waits, tenants)
    assert waits.end() == 0
    assert home.get("Lease", LEASE) is None
    assert waits.lines()[-1]["finished"] is True


def says_what_it_does(program: Program, tenants: list[Tenant]) -> None:
    assert program.page("/healthz") == (200, "ok\n")
    assert program.page("/nowhere")[0] == 404
    status, text = program.page("/metrics")
    assert status == 200
    namespace = tenants[0].namespace
    for line in (
        f'kamaji_tenant_control_plane_status{{name="first",namespace="{namespace}",status="Sleeping"}} 1.0',
        "hosted_kubernetes_leading 1.0",
        'kamaji_datastore_status{name="engine"} 1.0',
    ):
        assert line in text.splitlines(), line
    for name in (
        "kamaji_build_info",
        "kamaji_tenant_control_plane_info",
        "kamaji_tenant_control_planes_current",
        "kamaji_datastore_info",
        "kamaji_datastores_current",
        "kamaji_certificates_current",
        "kamaji_handler_time_seconds_bucket",
        "hosted_kubernetes_plan_changes_bucket",
        "hosted_kubernetes_certificate_expiry_seconds",
        "rest_client_requests_total",
        "workqueue_depth",
    ):
        assert f"\n{name}" in text, name
    (told,) = [line["msg"] for line in program.lines() if line.get("tenant") == tenants[0].key and "made 1 changes" in line["msg"]]
    assert "Service first (create)" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "KUBERNETES_SERVICE_HOST and _PORT are not set, so this is no pod; give a kubeconfig"),
        (("--kubeconfig=/nowhere",), "kubeconfig /nowhere cannot be read"),
        (("--workers=0",), "must be 1 or more"),
        (("--renew-before=365",), "must be from 0 to 364 days"),
        (("--metrics-address=8080",), "must be HOST:PORT or :PORT"),
    ],
)
def test_what_it_cannot_run_with(arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.__main__ import main

    try:
        status = main(arguments)
    except SystemExit as error:
        status = int(str(error.code))
    assert status != 0
    assert message in capfd.readouterr().err
