# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kine with flags, files and environment of a tenant's Deployment, between the real API server and real databases."""

from __future__ import annotations

import contextlib
import http
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.control_plane import ControlPlane, prepared_on
from ansible_collections.hosted.kubernetes.tests.support.databases import KINDS, Database, running_database
from ansible_collections.hosted.kubernetes.tests.support.processes import StartError, free_ports

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module", params=[*KINDS])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with running_database(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    with running_database("PostgreSQL") as found:
        yield found


def send(control_plane: ControlPlane, method: str, path: str, body: Json | None = None) -> int:
    """Status of a request as administrator."""
    with contextlib.closing(control_plane.connect("kube-apiserver")) as connection:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        return connection.getresponse().status


def write(control_plane: ControlPlane, name: str) -> int:
    return send(control_plane, "POST", CONFIG_MAPS, {"metadata": {"name": name}, "data": {"key": "value"}})


def wait_for(control_plane: ControlPlane, path: str) -> None:
    deadline = time.monotonic() + 60
    while control_plane.get("kube-apiserver", path)[0] != http.HTTPStatus.OK:
        assert time.monotonic() < deadline, path
        time.sleep(0.1)


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024


def test_a_control_plane_lives_on_a_database(database: Database, bundle: Path, tmp_path: Path) -> None:
    with database.share() as store:
        control_plane = prepared_on(store, bundle, tmp_path, {})
        password = store.config["DB_PASSWORD"]
        with ExitStack() as stack:
            process = stack.enter_context(control_plane.run_kine())
            stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
            stack.enter_context(control_plane.run("kube-controller-manager", "/healthz"))
            stack.enter_context(control_plane.run("kube-scheduler", "/healthz"))
            wait_for(control_plane, "/api/v1/namespaces/kube-public/configmaps/kube-root-ca.crt")
            wait_for(control_plane, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler")
            assert write(control_plane, "kept") == http.HTTPStatus.CREATED
            assert password not in Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8")
            print(f"{database.server.driver}: kine has {resident_mib(process.pid)} MiB in memory")
        assert password not in (tmp_path / "kine.log").read_text(encoding="utf-8")
        with control_plane.run_kine(), control_plane.run("kube-apiserver", "/readyz"):
            assert control_plane.get("kube-apiserver", f"{CONFIG_MAPS}/kept")[0] == http.HTTPStatus.OK
        with database.driver() as driver:
            isolation = Isolation(store.inputs.schema, store.inputs.user, password)
            assert driver.count_keys(isolation) > 0
            assert not driver.observe([isolation], detailed=True)[isolation.schema].missing, "kine needs no more than the share"


def test_a_database_of_another_authority_gets_no_password(database: Database, bundle: Path, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with database.share() as store:
        control_plane = prepared_on(replace(store, certificate={"ca.crt": stranger.pair.certificate}), bundle, tmp_path, {})
        with pytest.raises(StartError, match="x509: certificate signed by unknown authority"), control_plane.run_kine(timeout_s=4):
            pass


def test_the_server_that_takes_writes_is_found(postgresql: Database, bundle: Path, tmp_path: Path) -> None:
    endpoints = [f"127.0.0.1:{free_ports(1)[0]}", postgresql.server.endpoint]
    with postgresql.share(endpoints) as store, prepared_on(store, bundle, tmp_path, {}).run_kine() as process:
        assert process.poll() is None


@pytest.mark.long
def test_a_new_password_is_taken_by_new_pods_and_old_ones_go_on(database: Database, bundle: Path, tmp_path: Path) -> None:
    """The order of a rotation: the store accepts the password, then pods with it start, then those with the old one end."""
    old_pod, new_pod = tmp_path / "old", tmp_path / "new"
    for folder in (old_pod, new_pod):
        folder.mkdir()
    with database.share() as store, database.driver() as driver, ExitStack() as stack:
        control_plane = prepared_on(store, bundle, old_pod, {})
        stack.enter_context(control_plane.run_kine())
        stack.enter_context(control_plane.run("kube-apiserver", "/readyz"))
        fresh = Isolation(store.inputs.schema, store.inputs.user, secrets.token_urlsafe(24))
        driver.create_part(fresh, PASSWORD)
        stack.enter_context(prepared_on(database.store(fresh), bundle, new_pod, {}).run_kine())
        failed = [status for number in range(100) if (status := write(control_plane, f"during-{number}")) != http.HTTPStatus.CREATED]
        assert failed == [], "what is connected stays connected"
