# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, each on the same machine: a bare process, finished manifests, our module."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import KEYS
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import FreshOpener
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stores import Stores
from ansible_collections.hosted.kubernetes.tests.support.apiserver import prepare, running_prepared
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, binary, kubernetes_version
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd

NAMESPACE: Final = "bench"
STORE: Final = "default"
PHASES_AFTER_READY: Final = ("tenant_objects", "rollout")
_STORE_VARIABLES: Final = {"datastore_name": STORE, "datastore_remove_local_data": True}
_KINDS: Final = ("Service", "Secret", "ConfigMap", "Deployment")
_WAIT_S: Final = 240.0
_POLL_S: Final = 0.1
_CONNECT_S: Final = 0.3
_ANSWER_S: Final = 5.0
# Made by the server or by the engine for itself; a finished manifest has none of it.
_SERVER_METADATA: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences", "finalizers"}
)
_SERVER_SPEC: Final = frozenset({"clusterIP", "clusterIPs", "healthCheckNodePort"})
_PINNED_ADDRESS: Final = "metallb.io/loadBalancerIPs"


@dataclass(frozen=True)
class ModuleCall:
    """One call of the module. Seconds: ready_s until its own authenticated /readyz, total_s the whole process."""

    ready_s: float
    total_s: float
    cpu_s: float
    calls: dict[str, int]
    tenants: list[Json] = field(repr=False)

    @property
    def durations(self) -> dict[str, float]:
        """Phase → seconds of the first tenant."""
        found: dict[str, float] = self.tenants[0]["durations"]
        return found

    @property
    def before_tenant_s(self) -> float:
        """The whole process without the phases that come after the API server is ready."""
        return self.total_s - sum(self.durations.get(phase, 0.0) for phase in PHASES_AFTER_READY)


def bare_process(bundle: Path) -> float:
    """Seconds from the start of kube-apiserver, its certificates ready and its etcd running and empty, to authenticated /readyz."""
    with tempfile.TemporaryDirectory() as name, running_etcd(bundle, Path(name)) as etcd:
        server = prepare(Path(name), etcd)
        started = time.monotonic()
        with running_prepared(bundle, Path(name), server):
            return time.monotonic() - started


@dataclass(frozen=True)
class Ground:
    """A management cluster with a datastore and a load balancer."""

    client: Client
    kubeconfig: Path
    bundle: Path

    def definition(self, name: str) -> Json:
        """A tenant with 1 replica behind a load balancer."""
        return {
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "dataStore": STORE,
                "kubernetes": {"version": kubernetes_version()},
                "controlPlane": {"deployment": {"replicas": 1}, "service": {"serviceType": "LoadBalancer"}},
                "addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}},
            },
        }

    def module(self, *tenants: str) -> ModuleCall:
        """Make new tenants with one call of the module in a fresh process. They stay; see remove()."""
        definitions = [self.definition(name) for name in tenants]
        arguments = json.dumps({"kubeconfig": str(self.kubeconfig), "namespace": NAMESPACE, "definition": definitions})
        environment = {**os.environ, "PYTHONPATH": str(COLLECTION.parents[2])}
        command = [sys.executable, "-m", "ansible_collections.hosted.kubernetes.tests.bench.one_call"]
        started = time.monotonic()
        done = subprocess.run(command, input=arguments, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        total = time.monotonic() - started
        told: dict[str, Any] = json.loads(done.stdout)
        made = [{key: value for key, value in tenant.items() if key != "plan"} for tenant in told["result"]["tenants"]]
        return ModuleCall(told["ready_at"] - started, total, told["cpu_s"], told["calls"], made)

    def remove(self, *tenants: str) -> None:
        """Leave nothing of tenants behind."""
        definitions = [self.definition(name) for name in tenants]
        request = call.Request(definitions, None, None, NAMESPACE, absent=True, rollout_now=False, renew_before_days=30, force=False)
        call.run(self.client, request, call.Settings(holder="bench", timeout_s=_WAIT_S))

    def restarts(self) -> int:
        """Restarts of all containers of tenants that exist."""
        pods = self.client.list(resource_of("Pod"), namespace=NAMESPACE, label_selector=names.PROJECT_SELECTOR).items
        return sum(item["restartCount"] for pod in pods for item in pod["status"].get("containerStatuses", []))


@contextlib.contextmanager
def prepared_ground(cluster: Cluster, bundle: Path) -> Iterator[Ground]:
    """Make the datastore on a running cluster."""
    cluster.playbook("datastore", bundle_dir=str(bundle), **_STORE_VARIABLES)
    with connect(ConnectionOptions(kubeconfig=str(cluster.kubeconfig))) as client:
        yield Ground(client, cluster.kubeconfig, bundle)


class FinishedManifests:
    """What the module made for one tenant, applied with kubectl: the same pods from the same image, keys ready.

    The tenant's user and role stay in the datastore and its address stays reserved for it; its keys do not, so each start
    is that of a new tenant.
    """

    def __init__(self, ground: Ground, directory: Path, tenant: str) -> None:
        self._ground, self._directory, self._tenant = ground, directory, tenant
        made = ground.module(tenant).tenants[0]
        host, _colon, port = made["endpoint"].rpartition(":")
        self._address = host, int(port)
        live = self._live()
        self._references = [ObjectRef.of(item) for item in live]
        self._name, self._tls = self._access()
        self._file = directory / "tenant.json"
        self._file.touch(mode=0o600)
        items = [_finished(item, host) for item in live]
        self._file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8")
        self.clear()

    def apply(self) -> float:
        """Seconds from the start of kubectl apply to authenticated /readyz through the Service."""
        kubectl = [str(binary(self._ground.bundle, "kubectl")), "--kubeconfig", str(self._ground.kubeconfig)]
        started = time.monotonic()
        subprocess.run([*kubectl, "apply", "-f", str(self._file)], check=True, stdout=subprocess.DEVNULL)
        while not self._is_ready():
            if time.monotonic() > started + _WAIT_S:
                raise TimeoutError(f"{self._name} at {self._address} was not ready after {_WAIT_S:.0f} s")
            time.sleep(_POLL_S)
        return time.monotonic() - started

    def clear(self) -> None:
        """Remove the objects, wait until they are gone, then remove what the API server wrote."""
        client, deadline = self._ground.client, time.monotonic() + _WAIT_S
        for reference in self._references:
            client.delete(resource_of(reference.kind), reference.name, reference.namespace)
        for reference in self._references:
            resource = resource_of(reference.kind)
            wait_for(client, resource, reference.name, reference.namespace, predicate=lambda live: live is None, deadline=deadline)
        wait_until(
            client,
            resource_of("Pod"),
            namespace=NAMESPACE,
            label_selector=f"{names.LABEL_NAME}={self._tenant}",
            predicate=lambda pods: not pods,
            deadline=deadline,
            what=f"pods of {self._tenant}",
            explain=lambda pods: f"{len(pods)} are still there",
        )
        share = f"{NAMESPACE}_{self._tenant}"
        with Stores(client, FreshOpener(client)) as stores:
            stores.driver(STORE).delete_part(Isolation(share, share), KEYS)

    def _live(self) -> list[Json]:
        selector = f"{names.LABEL_NAME}={self._tenant}"
        return [
            item
            for kind in _KINDS
            for item in self._ground.client.list(resource_of(kind), namespace=NAMESPACE, label_selector=selector).items
        ]

    def _access(self) -> tuple[str, ssl.SSLContext]:
        """The Service's name, as it stands in the administrator's kubeconfig, and TLS that trusts only the tenant's authority."""
        secret = self._ground.client.get(resource_of("Secret"), self._tenant + names.ADMIN_KUBECONFIG, NAMESPACE)
        if secret is None:
            raise LookupError(f"{self._tenant} has no administrator's kubeconfig")
        config = yaml.safe_load((secret_state(secret, None).data or {})["super-admin.svc"])
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        paths = {}
        for key, value in (*cluster.items(), *user.items()):
            if key.endswith("-data"):
                paths[key] = self._directory / key
                paths[key].touch(mode=0o600)
                paths[key].write_bytes(base64.b64decode(value))
        context = ssl.create_default_context(cafile=str(paths["certificate-authority-data"]))
        context.load_cert_chain(paths["client-certificate-data"], paths["client-key-data"])
        return cluster["server"].removeprefix("https://").rpartition(":")[0], context

    def _is_ready(self) -> bool:
        request = f"GET /readyz HTTP/1.1\r\nHost: {self._name}\r\nConnection: close\r\n\r\n"
        try:
            with socket.create_connection(self._address, timeout=_CONNECT_S) as connection:
                connection.settimeout(_ANSWER_S)
                with self._tls.wrap_socket(connection, server_hostname=self._name) as stream:
                    stream.sendall(request.encode())
                    return stream.recv(64).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


def _finished(live: Json, address: str) -> Json:
    """An object as a person would keep it in a file; the Service asks for the address the certificates name."""
    obj = copy.deepcopy(live)
    obj.pop("status", None)
    obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_METADATA}
    if obj["kind"] == "Service":
        obj["spec"] = {key: value for key, value in obj["spec"].items() if key not in _SERVER_SPEC}
        obj["spec"]["ports"] = [{key: value for key, value in port.items() if key != "nodePort"} for port in obj["spec"]["ports"]]
        obj["metadata"].setdefault("annotations", {})[_PINNED_ADDRESS] = address
    return obj
