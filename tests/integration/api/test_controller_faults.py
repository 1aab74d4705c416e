# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller does when the way to the API server, or that server itself, goes away."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.reflector import Reflector
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Changed, Store
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import Selection
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, prepare, running_prepared
from ansible_collections.hosted.kubernetes.tests.support.controllers import asleep, create, eventually, options_of, running_here
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    datastore_definition,
    install_definitions,
    open_driver,
)

GENERATOR: Final[Json] = {
    "apiVersion": KAMAJI_API_VERSION,
    "kind": "KubeconfigGenerator",
    "metadata": {"name": "people"},
    "spec": {"namespaceSelector": {}, "tenantControlPlaneSelector": {}, "user": {"stringValue": "someone"}},
}


@pytest.mark.long
def test_an_api_server_that_restarts(bundle: Path, tmp_path: Path, tls_etcd: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    """Its memory of older versions is gone with it, so that watches cannot go on (410) and everything is listed again.

    This controller serves all namespaces, and with them generators, which belong to none.
    """
    caplog.set_level(logging.INFO, "hosted_kubernetes")
    with running_etcd(bundle, tmp_path) as etcd, contextlib.closing(open_driver(tls_etcd)) as driver:
        server = prepare(tmp_path, etcd)
        with connect(ConnectionOptions(kubeconfig=str(server.kubeconfig))) as client:
            ground = Ground(client, server.kubeconfig, tls_etcd, driver, "restarted")
            tenant = ground.tenant()
            with contextlib.ExitStack() as controller:
                with running_prepared(bundle, tmp_path, server) as process:
                    install_definitions(client)
                    client.create(datastore_definition("restarted", tls_etcd))
                    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
                    running = controller.enter_context(running_here(server.kubeconfig, options_of(tenant.namespace, namespaces=())))
                    client.create(GENERATOR)
                    asleep(create(tenant))
                    eventually("its kubeconfig", lambda: tenant.get("Secret", "acme-people"))
                    eventually("nothing is left to do", lambda: running.queue.is_idle)
                    # News of what nobody watches: the versions that the watches know are old ones now.
                    for number in range(3):
                        make(ground, tenant.namespace, f"x-{number}")
                    process.kill()
                with running_prepared(bundle, tmp_path, server) as process:
                    tenant.delete("Service")
                    eventually("its Service is back", lambda: tenant.get("Service"), 30)
                    asleep(tenant)
                    assert client.delete(resource_of("KubeconfigGenerator"), "people")
                    eventually("its kubeconfig is gone", lambda: tenant.get("Secret", "acme-people") is None)
                    tenant.delete("TenantControlPlane")
                    eventually("it is gone", lambda: tenant.get("TenantControlPlane") is None)
                    assert tenant.left() == []
                    process.kill()
    assert "410" in caplog.text


class Proxy:
    """A way to a server that can fall silent: connections stay open, and nothing goes over them any more."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._all: list[socket.socket] = [self._listening]
        self._servers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def fall_silent(self) -> int:
        """Nothing comes over the present connections any more; return how many there are. New ones work."""
        silent, self._servers = self._servers, []
        for connection in silent:
            connection.shutdown(socket.SHUT_RD)
        return len(silent)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in self._all:
            with contextlib.suppress(OSError):
                # Unlike close(), this wakes a thread that is reading.
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listening.accept()
                server = socket.create_connection(self._target)
                self._all += [client, server]
                self._servers.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Neither end is closed when there is no more to pass on: that would tell the other one."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.fixture
def proxy(api_server: ApiServer) -> Iterator[Proxy]:
    proxy = Proxy((api_server.host, api_server.port))
    yield proxy
    proxy.close()


def test_a_watch_that_dies_without_a_word(ground: Ground, namespace: str, proxy: Proxy, kubeconfig: Path) -> None:
    changed: list[Changed] = []
    store: Store[None] = Store(Selection("ConfigMap"), [namespace], changed.append, lambda _obj: None)
    access = connect(ConnectionOptions(kubeconfig=str(kubeconfig))).access
    stop = threading.Event()
    with Client(type(access)(**{**access.__dict__, "resolve_to": ("127.0.0.1", proxy.port)})) as client:
        reflector = Reflector(client, store, namespace, stop, silence_s=1.0)
        reflector.start()
        eventually("it is listed", lambda: store.is_synced)
        make(ground, namespace, "before")
        eventually("the watch works", lambda: store.get((namespace, "before")))
        assert proxy.fall_silent()
        make(ground, namespace, "after")
        eventually("the watch works again", lambda: store.get((namespace, "after")))
        assert [call.path.partition("?")[2].startswith("watch") for call in client.calls].count(False) == 1, "it was listed once"
        stop.set()
    reflector.join(5)
    assert not reflector.is_alive()
    assert [item.key[1] for item in changed] == ["before", "after"]


def test_a_list_tells_of_what_went_and_came(ground: Ground, namespace: str) -> None:
    """What a watch missed: only differences are told."""
    changed: list[Changed] = []
    store: Store[None] = Store(Selection("ConfigMap"), [namespace], changed.append, lambda _obj: None)
    for name in ("stays", "goes"):
        make(ground, namespace, name)
    store.replace(namespace, ground.client.list(resource_of("ConfigMap"), namespace=namespace).items)
    ground.client.delete(resource_of("ConfigMap"), "goes", namespace)
    make(ground, namespace, "comes")
    changed.clear()
    store.replace(namespace, ground.client.list(resource_of("ConfigMap"), namespace=namespace).items)
    assert sorted(item.key[1] for item in changed) == ["comes", "goes"]
    assert store.get((namespace, "goes")) is None


def make(ground: Ground, namespace: str, name: str) -> None:
    ground.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}})
