# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants for tests of the engine: a management cluster without nodes, a real etcd to share, and tenants that sleep there.

Nothing here needs a kubelet: a tenant with replicas 0 has everything but running pods, so that all of its objects, its share
of the datastore and its status are the real ones.
"""

from __future__ import annotations

import base64
import copy
import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as datastore_api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import crd_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Call, Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import Request, Settings
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd

CRDS: Final = COLLECTION / "roles/tenant_control_plane/files/crds"
# The authority of the test's etcd lives for two days, and so do certificates it signs.
RENEW_BEFORE_DAYS: Final = 1
_KINDS: Final = (
    "TenantControlPlane",
    "Deployment",
    "Service",
    "Ingress",
    "ConfigMap",
    "Secret",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Lease",
)


def install_definitions(client: Client) -> None:
    """Install the role's CustomResourceDefinitions and wait until they are served."""
    for name in ("datastore", "tenantcontrolplane", "kubeconfiggenerator"):
        crd = client.apply(yaml.safe_load((CRDS / f"{name}.yaml").read_text(encoding="utf-8")), force=True)
        wait_for(
            client,
            resource_of("CustomResourceDefinition"),
            crd["metadata"]["name"],
            predicate=lambda obj: obj is not None and crd_problem(obj) is None,
            deadline=time.monotonic() + 20,
        )


def datastore_definition(name: str, etcd: Etcd) -> Json:
    """A DataStore over a test etcd, its keys inline."""
    assert etcd.authority
    assert etcd.root

    def pair(certificate: Path, key: Path) -> Json:
        texts = {"certificate": certificate, "privateKey": key}
        return {field_: {"content": base64.b64encode(path.read_bytes()).decode()} for field_, path in texts.items()}

    authority, root = etcd.authority.pair, etcd.root
    tls = {
        "certificateAuthority": pair(authority.certificate, authority.key),
        "clientCertificate": pair(root.certificate, root.key),
    }
    spec = {"driver": "etcd", "endpoints": [f"{etcd.host}:{etcd.port}"], "tlsConfig": tls}
    return {"apiVersion": KAMAJI_API_VERSION, "kind": "DataStore", "metadata": {"name": name}, "spec": spec}


def delete_datastore(client: Client, name: str) -> None:
    """Delete a DataStore, also one whose list of users is not empty: the policy that refuses this comes with a role that another test may have run."""
    resource = resource_of("DataStore")
    if client.get(resource, name) is not None:
        unused = {"apiVersion": KAMAJI_API_VERSION, "kind": "DataStore", "metadata": {"name": name}, "status": {"usedBy": []}}
        client.apply(unused, force=True, subresource="status")
        client.delete(resource, name)


def open_driver(etcd: Etcd) -> EtcdDriver:
    """A connection to a test etcd as its root; authentication is on afterwards. Close it after use."""
    store = datastore_api.check(datastore_definition("test", etcd))
    driver = connect_etcd(store, datastore_api.resolve(store, {}))
    for part in driver.missing_authentication():
        driver.create_authentication_part(part)
    return driver


@dataclass(frozen=True)
class Ground:
    """What tenants of a test stand on. store: name of their DataStore, which driver administrates: that over etcd, or over a database."""

    client: Client
    kubeconfig: Path
    etcd: Etcd
    driver: Any
    store: str

    def tenant(self, name: str = "acme", namespace: str = "") -> Tenant:
        """A tenant in a namespace of its own that does not exist yet."""
        return Tenant(self, namespace or f"engine-{secrets.token_hex(4)}", name)


@dataclass(frozen=True)
class Tenant:
    """One tenant of a test: its definition, calls of the engine about it, and what is left of it."""

    ground: Ground
    namespace: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def isolation(self) -> Isolation:
        """Its share of the datastore when the definition names none."""
        schema = names.default_schema(self.namespace, self.name)
        return Isolation(schema, names.default_user(schema))

    def definition(self, changes: Mapping[str, Any] | None = None) -> Json:
        """A tenant that sleeps; its address is that of its Service, so not known before. A change to None removes a field."""
        result: Json = {
            "apiVersion": KAMAJI_API_VERSION,
            "kind": "TenantControlPlane",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "dataStore": self.ground.store,
                "kubernetes": {"version": "v1.36.3"},
                "controlPlane": {"deployment": {"replicas": 0}, "service": {"serviceType": "ClusterIP"}},
                "addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}},
            },
        }
        for path, value in (changes or {}).items():
            set_field(result["spec"], path, value)
        return result

    def request(self, definition: Any = None, *, changes: Mapping[str, Any] | None = None, **options: Any) -> Request:
        """A call of the module: about this tenant's definition with changes, or another one, or with name=… about no definition."""
        by_name = "name" in options or "src" in options
        given = None if by_name else copy.deepcopy(definition if definition is not None else self.definition(changes))
        defaults = Request(
            definition=given,
            src=None,
            name=None,
            namespace=self.namespace,
            absent=False,
            rollout_now=False,
            renew_before_days=RENEW_BEFORE_DAYS,
            force=False,
        )
        return replace(defaults, **options)

    def run(self, definition: Any = None, *, settings: Mapping[str, Any] | None = None, check: bool = False, **options: Any) -> Run:
        """Call the engine as the module does. Raises HostedKubernetesError."""
        return recorded_run(self.ground.client, self.request(definition, **options), settings_of(check=check, **(settings or {})))

    def absent(self, **options: Any) -> Run:
        """Remove this tenant."""
        return self.run(absent=True, **options)

    def die_after(self, number: int, **options: Any) -> None:
        """Make the same call in a process of its own that is killed (SIGKILL) right after change `number`."""
        argument = (str(self.ground.kubeconfig), self.request(**options), number)
        status = run_and_die(*argument)
        assert status == -signal.SIGKILL, f"not killed after change {number}: ended with {status}"

    def get(self, kind: str, name: str | None = None) -> Json | None:
        """An object of its namespace; by default the one named as the tenant."""
        return self.ground.client.get(resource_of(kind), name or self.name, self.namespace)

    def live(self, kind: str, name: str | None = None) -> Json:
        found = self.get(kind, name)
        assert found is not None, f"{kind} {name or self.name} does not exist"
        return found

    def patch(self, kind: str, body: Json, name: str | None = None, *, manager: str = "somebody", subresource: str | None = None) -> None:
        """Change an object behind the engine's back."""
        reference = ObjectRef(resource_of(kind).api_version, kind, self.namespace, name or self.name)
        self.ground.client.merge_patch(reference, body, field_manager=manager, subresource=subresource)

    def delete(self, kind: str, name: str | None = None) -> None:
        assert self.ground.client.delete(resource_of(kind), name or self.name, self.namespace)

    def put_keys(self, count: int = 3) -> None:
        """Write keys where the tenant's API server would."""
        for number in range(count):
            key = f"/{self.isolation.schema}/registry/key-{number}".encode()
            self.ground.driver._call("Put", key=key, value=b"value")

    def left(self) -> list[str]:
        """What exists of this tenant, anywhere, as text; empty when nothing does."""
        found = []
        for kind in _KINDS:
            for item in self.ground.client.list(resource_of(kind), namespace=self.namespace).items:
                labels = item["metadata"].get("labels") or {}
                if labels.get(names.LABEL_NAME) == self.name or item["metadata"]["name"] == self.name:
                    found.append(str(ObjectRef.of(item)))
        share = self.ground.driver.observe([self.isolation], detailed=True, keys=True)[self.isolation.schema]
        return [*found, *(f"datastore {part}" for part in (*share.present, *share.unchecked))]


@dataclass(frozen=True)
class Run:
    """What one call of the engine returned, and the calls it made to the management cluster."""

    result: Json = field(repr=False)
    calls: tuple[Call, ...] = field(repr=False)

    @property
    def changed(self) -> bool:
        changed: bool = self.result["changed"]
        return changed

    @property
    def tenant(self) -> Json:
        """The result of the only tenant."""
        (tenant,) = self.result["tenants"]
        found: Json = tenant
        return found

    @property
    def plan(self) -> list[Json]:
        """The changes of all tenants."""
        return [change for tenant in self.result["tenants"] for change in tenant["plan"]]

    @property
    def identities(self) -> list[tuple[str, str, str, tuple[str, ...]]]:
        """What "predicted = applied" compares: cluster, object, action, field paths."""
        return [
            (item["cluster"], item["object"], item["action"], tuple(entry["path"] for entry in item.get("fields", [])))
            for item in self.plan
        ]

    @property
    def summary(self) -> list[tuple[str, str]]:
        """(object, action) of each change; objects without their namespace."""
        return [(_short(item["object"]), item["action"]) for item in self.plan]

    def values(self) -> dict[tuple[str, str], Any]:
        """(object, field path) → value afterwards."""
        return {(item["object"], entry["path"]): entry["after"] for item in self.plan for entry in item.get("fields", [])}

    @property
    def writes(self) -> list[str]:
        return [f"{item.method} {item.path}" for item in self.calls if item.method != "GET"]


def recorded_run(client: Client, request: Request, settings: Settings) -> Run:
    """Call the engine as the module does. Raises HostedKubernetesError."""
    return recorded(client, lambda: call.run(client, request, settings))


def recorded(client: Client, work: Callable[[], Json]) -> Run:
    """Do something that returns a module's result."""
    # A client keeps a limited number of calls, so that their number says nothing in a long session.
    before = client.calls
    result = work()
    known = {id(item) for item in before}
    return Run(result, tuple(item for item in client.calls if id(item) not in known))


def assert_predicted(predicted: Run, applied: Run) -> None:
    """The same objects, actions and field paths in the same order; values equal but for those nobody could know."""
    assert applied.identities == predicted.identities
    known = {key: value for key, value in predicted.values().items() if not has_unknown(value)}
    after = applied.values()
    assert {key: after[key] for key in known} == known


def settings_of(**changes: Any) -> Settings:
    """Settings of a call that fails rather than hangs."""
    return Settings(**{"holder": "test", "timeout_s": 20.0, **changes})


def later(seconds: float) -> Callable[[], datetime]:
    """A clock that is ahead: Leases of killed holders have ended there."""
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds)


def _short(text: str) -> str:
    kind, _unused, name = text.partition(" ")
    return f"{kind} {name.rpartition('/')[2]}"


def set_field(node: Json, path: str, value: Any) -> None:
    """Set a field by its path with dots; None removes it."""
    *above, last = path.split(".")
    for key in above:
        node = node.setdefault(key, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)


def run_and_die(
    kubeconfig: str, request: Any, number: int, *, timeout_s: float = 20.0, work: Callable[[Client, Any, Settings], Json] = call.run
) -> int | None:
    """Call the engine in a process of its own that is killed (SIGKILL) right after change `number`; return its exit status.

    work: what to call, with a request of its kind; a function of a module, which the process can import.
    0 means that there were fewer changes, and that the call ended well. The holder of its Lease is always the same.
    """
    context = multiprocessing.get_context("forkserver")
    # The server, which has imported the engine and never opened a connection, does not learn sys.path from its parent.
    os.environ["PYTHONPATH"] = str(COLLECTION.parents[2])
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_call_and_die, args=(kubeconfig, request, number, timeout_s, work))
    process.start()
    process.join(timeout_s + 40)
    return process.exitcode


def _call_and_die(kubeconfig: str, request: Any, number: int, timeout_s: float, work: Callable[[Client, Any, Settings], Json]) -> None:
    settings = settings_of(holder="killed", timeout_s=timeout_s, after_change=partial(_die, number))
    with connect(ConnectionOptions(kubeconfig=kubeconfig)) as client:
        work(client, request, settings)


def _die(number: int, count: int) -> None:
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)
