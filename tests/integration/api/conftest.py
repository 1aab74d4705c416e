# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real API server for all tests of the API layer. A missing bundle is an error that says `run make bundle`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    datastore_definition,
    install_definitions,
    open_driver,
)


@pytest.fixture(scope="session")
def bundle() -> Path:
    """Folder of the bundle under test."""
    return bundle_directory()


@pytest.fixture(scope="session")
def api_server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A kube-apiserver with its own etcd, shared by the session: every test uses a namespace or names of its own."""
    with running_api_server(bundle, tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="session")
def kubeconfig(api_server: ApiServer) -> Path:
    """Path of an admin kubeconfig."""
    return api_server.kubeconfig


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """Name of a fresh namespace; it stays, since nothing here would finish its deletion."""
    name = f"test-{secrets.token_hex(4)}"
    api_server.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture(scope="session")
def tls_etcd(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd of its own that demands client certificates, for datastore tests; they own its users and switch authentication on."""
    with running_etcd(bundle, tmp_path_factory.mktemp("tls-etcd"), tls=True) as etcd:
        yield etcd


@pytest.fixture(scope="session")
def ground(kubeconfig: Path, tls_etcd: Etcd) -> Iterator[Ground]:
    """What the engine needs for tenants that sleep: the resource definitions, and a DataStore over the shared etcd."""
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client, contextlib.closing(open_driver(tls_etcd)) as driver:
        install_definitions(client)
        client.apply(datastore_definition("engine", tls_etcd), force=True)
        yield Ground(client, kubeconfig, tls_etcd, driver, "engine")


@pytest.fixture
def tenant(ground: Ground) -> Tenant:
    """A tenant that does not exist, nor does its namespace."""
    return ground.tenant()
