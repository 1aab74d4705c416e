# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module datastore with a real API server, the real resource definition and a real etcd: check, run, again, and refusals."""

from __future__ import annotations

import base64
import copy
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import crd_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ForbiddenError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import datastores
from ansible_collections.hosted.kubernetes.plugins.modules import datastore
from ansible_collections.hosted.kubernetes.tests.support import mariadb, postgresql
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import Server

CRDS = COLLECTION / "roles/tenant_control_plane/files/crds"


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        for name in ("datastore", "tenantcontrolplane"):
            crd = client.apply(yaml.safe_load((CRDS / f"{name}.yaml").read_text(encoding="utf-8")), force=True)
            wait_for(
                client,
                resource_of("CustomResourceDefinition"),
                crd["metadata"]["name"],
                predicate=lambda obj: obj is not None and crd_problem(obj) is None,
                deadline=time.monotonic() + 20,
            )
        yield client


@pytest.fixture(scope="module")
def etcd(tls_etcd: Etcd) -> Etcd:
    """The shared etcd with authentication on."""
    assert tls_etcd.authority
    assert tls_etcd.root
    text = base64.b64encode
    authority, root = tls_etcd.authority.pair, tls_etcd.root
    pair = {"certificate": {"content": text(b"x").decode()}, "privateKey": {"content": text(b"x").decode()}}
    spec = {"driver": "etcd", "endpoints": ["127.0.0.1:1"], "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair}}
    store = dataclasses.replace(
        api.check({"metadata": {"name": "s"}, "spec": spec}), endpoints=(api.Endpoint(tls_etcd.host, tls_etcd.port),)
    )
    credentials = api.Credentials(
        authority.certificate.read_bytes(), None, root.certificate.read_bytes(), root.key.read_bytes(), None, None
    )
    with connect_etcd(store, credentials) as driver:
        for part in driver.missing_authentication():
            driver.create_authentication_part(part)
    return tls_etcd


@pytest.fixture
def secrets(client: Client, etcd: Etcd, namespace: str) -> str:
    """Namespace with Secrets store-ca and store-root, as a managed etcd has them."""
    assert etcd.authority
    assert etcd.root
    for name, files in {
        "store-ca": {"ca.crt": etcd.authority.pair.certificate, "ca.key": etcd.authority.pair.key},
        "store-root": {"tls.crt": etcd.root.certificate, "tls.key": etcd.root.key},
    }.items():
        data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
        client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data})
    return namespace


def definition(namespace: str, etcd: Etcd, **spec: Any) -> Json:
    def content(name: str, key: str) -> Json:
        return {"secretReference": {"namespace": namespace, "name": name, "keyPath": key}}

    tls = {
        "certificateAuthority": {"certificate": content("store-ca", "ca.crt"), "privateKey": content("store-ca", "ca.key")},
        "clientCertificate": {"certificate": content("store-root", "tls.crt"), "privateKey": content("store-root", "tls.key")},
    }
    return {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": {"name": namespace},
        "spec": {"driver": "etcd", "endpoints": [f"{etcd.host}:{etcd.port}"], "tlsConfig": tls, **spec},
    }


@dataclasses.dataclass(frozen=True)
class Case:
    """One DataStore named as the namespace of its Secrets."""

    client: Client
    kubeconfig: Path
    definition: Json

    @property
    def name(self) -> str:
        name: str = self.definition["metadata"]["name"]
        return name

    def run(self, wanted: Json | None = None, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Call the module; a failure is a result too."""
        arguments = {"kubeconfig": str(self.kubeconfig), "definition": wanted or self.definition, "wait_timeout": 1, **options}
        try:
            return run_module(datastore.main, arguments, check=check)
        except ModuleFailedError as error:
            return error.result

    def live(self) -> Json:
        live = self.client.get(resource_of("DataStore"), self.name)
        assert live
        return live


@pytest.fixture
def case(client: Client, kubeconfig: Path, secrets: str, etcd: Etcd) -> Case:
    return Case(client, kubeconfig, definition(secrets, etcd))


def steps(result: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(item["action"], item["object"], [field["path"] for field in item.get("fields", [])]) for item in result["plan"]]


def test_check_run_check_run(case: Case) -> None:
    predicted = case.run(check=True)
    assert predicted["changed"]
    assert case.client.get(resource_of("DataStore"), case.name) is None

    done = case.run()
    assert steps(done) == steps(predicted)
    assert done["datastore"]["ready"]
    assert done["probe"]["healthy"]
    assert done["probe"]["members"][0]["leader"]
    status = case.live()["status"]
    assert status["ready"]
    assert status["observedGeneration"] == 1
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        api.VALIDATION: "True",
        api.REACHABLE: "True",
        api.ENDPOINTS: "True",
        api.LATENCY: "True",
        api.CAPACITY: "True",
        api.INTACT: "True",
        api.ALLOWED_DELETION: "True",
    }

    for check in (True, False):
        again = case.run(check=check)
        assert not again["changed"]
        assert again["plan"] == []


def test_options_say_the_same_as_a_definition(case: Case) -> None:
    case.run()
    spec = case.definition["spec"]
    options = {"name": case.name, "driver": "etcd", "endpoints": spec["endpoints"], "tls_config": spec["tlsConfig"]}
    result = run_module(datastore.main, {"kubeconfig": str(case.kubeconfig), **options})
    assert not result["changed"]


def test_capacity_is_recorded_and_taken_away(case: Case) -> None:
    wanted = copy.deepcopy(case.definition)
    wanted["spec"]["capacity"] = {"tenants": 1, "size": "4Gi", "latencyMilliseconds": 50}
    assert steps(case.run(wanted))[0][0] == "create"
    assert not case.run(wanted)["changed"]
    options = {"name": case.name, **{option: wanted["spec"][field] for option, field in (("driver", "driver"), ("endpoints", "endpoints"))}}
    options |= {"tls_config": wanted["spec"]["tlsConfig"], "capacity": wanted["spec"]["capacity"]}
    assert not run_module(datastore.main, {"kubeconfig": str(case.kubeconfig), **options})["changed"]
    assert steps(case.run())[0] == ("patch", f"DataStore {case.name}", ["spec.capacity"])
    assert "capacity" not in case.live()["spec"]


def test_a_changed_endpoint_is_predicted_and_recorded(case: Case) -> None:
    case.run()
    other = copy.deepcopy(case.definition)
    other["spec"]["endpoints"] = [case.definition["spec"]["endpoints"][0].replace("127.0.0.1", "localhost")]
    predicted = case.run(other, check=True)
    assert steps(predicted)[0] == ("patch", f"DataStore {case.name}", ["spec.endpoints"])
    assert steps(case.run(other)) == steps(predicted)
    assert case.live()["status"]["observedGeneration"] == 2
    assert not case.run(other)["changed"]


def test_a_status_that_somebody_damaged_is_mended(case: Case) -> None:
    case.run()
    case.client.merge_patch(ObjectRef.of(case.live()), {"status": {"ready": False, "usedBy": ["nobody/here"]}}, subresource="status")
    result = case.run()
    assert steps(result) == [("patch", f"DataStore {case.name}", ["status.ready", "status.usedBy"])]
    assert case.live()["status"]["usedBy"] == []


def test_a_store_that_does_not_answer_is_recorded_and_fails(case: Case) -> None:
    case.run()
    dead = copy.deepcopy(case.definition)
    dead["spec"]["endpoints"] = [f"127.0.0.1:{free_ports(1)[0]}"]

    result = case.run(dead)

    assert result["failed"]
    assert "does not accept a connection (Connection refused)" in result["msg"]
    assert result["changed"]
    condition = {item["type"]: item for item in case.live()["status"]["conditions"]}[api.REACHABLE]
    assert (condition["status"], condition["reason"]) == ("False", "Unreachable")
    assert not case.live()["status"]["ready"]

    tolerated = case.run(dead, require_ready=False)
    assert not tolerated.get("failed")
    assert not tolerated["changed"]
    assert "Connection refused" in str(tolerated["warnings"])


def test_an_endpoint_that_is_down_is_named(case: Case) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    half = copy.deepcopy(case.definition)
    half["spec"]["endpoints"].append(dead)
    result = case.run(half)
    assert result["datastore"]["ready"]
    assert dead in str(result["warnings"])
    condition = {item["type"]: item for item in case.live()["status"]["conditions"]}[api.ENDPOINTS]
    assert (condition["status"], condition["reason"]) == ("False", "SomeSilent")
    assert condition["message"] == f"1 of 2 endpoints answer; {dead} does not accept a connection (Connection refused)"
    assert not case.run(half)["changed"]


def test_missing_secrets_are_named_with_their_field(case: Case) -> None:
    case.client.delete(resource_of("Secret"), "store-root", case.name)
    result = case.run()
    assert result["failed"]
    assert f"spec.tlsConfig.clientCertificate.certificate refers to Secret {case.name}/store-root, which does not exist" in result["msg"]
    conditions = {item["type"]: item["status"] for item in case.live()["status"]["conditions"]}
    assert conditions[api.VALIDATION] == "False"
    assert conditions[api.REACHABLE] == "Unknown"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"driver": "MySQL"}, 'spec.driver is "etcd" and cannot become "MySQL"'),
        ({"endpoints": ["nowhere"]}, 'spec.endpoints[0] "nowhere" is not host:port'),
        ({"tlsConfig": {}}, "spec.tlsConfig.certificateAuthority.certificate is missing"),
        ({"endpoint": []}, "spec.endpoint is not a field; did you mean endpoints?"),
    ],
)
def test_bad_definitions_are_refused_before_anything_is_written(case: Case, spec: Json, message: str) -> None:
    case.run()
    before = case.live()["metadata"]["resourceVersion"]
    wrong = {**case.definition, "spec": {**case.definition["spec"], **spec}}
    for check in (True, False):
        result = case.run(wrong, check=check)
        assert result["failed"]
        assert message in result["msg"]
    assert case.live()["metadata"]["resourceVersion"] == before


def test_a_field_of_another_manager_is_a_conflict_that_names_it(case: Case) -> None:
    case.run()
    theirs = copy.deepcopy(case.definition)
    theirs["spec"]["endpoints"] = ["127.0.0.1:1"]
    case.client.apply(theirs, field_manager="gitops", force=True)
    result = case.run()
    assert result["failed"]
    assert "gitops" in result["msg"]
    assert ".spec.endpoints" in result["msg"]


def test_keys_written_inline_never_show(case: Case, etcd: Etcd) -> None:
    assert etcd.root
    inline = copy.deepcopy(case.definition)
    key = base64.b64encode(etcd.root.key.read_bytes()).decode()
    inline["spec"]["tlsConfig"]["clientCertificate"]["privateKey"] = {"content": key}
    for check in (True, False):
        result = case.run(inline, check=check)
        assert not result.get("failed")
        assert key not in str(result)
    assert case.run(inline)["probe"]["healthy"]
    refused = case.run(inline, name=case.name)
    assert "mutually exclusive" in refused["msg"]
    assert key not in str(refused)


def tenant(client: Client, namespace: str, store: str) -> Json:
    service = {"serviceType": "ClusterIP"}
    spec = {"dataStore": store, "kubernetes": {"version": "v1.36.3"}, "controlPlane": {"service": service}}
    metadata = {"name": "acme", "namespace": namespace}
    return client.create({"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": metadata, "spec": spec})


def test_a_used_store_is_not_deleted(case: Case) -> None:
    case.run()
    tenant(case.client, case.name, case.name)
    used = case.run()
    assert used["datastore"]["used_by"] == [f"{case.name}/acme"]

    for check in (True, False):
        result = case.run(state="absent", check=check)
        assert result["failed"]
        assert f"is used by {case.name}/acme; delete these tenant control planes" in result["msg"]
    assert {item["type"]: item["status"] for item in case.live()["status"]["conditions"]}[api.ALLOWED_DELETION] == "False"

    case.client.delete(resource_of("TenantControlPlane"), "acme", case.name)
    assert case.run(state="absent", check=True)["changed"]
    assert case.run(state="absent")["changed"]
    assert not case.run(state="absent")["changed"]


def test_users_that_are_gone_do_not_hold_it(case: Case) -> None:
    case.run()
    case.client.merge_patch(ObjectRef.of(case.live()), {"status": {"usedBy": ["nobody/here"]}}, subresource="status")
    predicted = case.run(state="absent", check=True)
    assert steps(predicted) == [("patch", f"DataStore {case.name}", ["status.usedBy"]), ("delete", f"DataStore {case.name}", [])]
    assert steps(case.run(state="absent")) == steps(predicted)


@pytest.fixture
def guard(client: Client) -> Iterator[None]:
    """The role's policy about DataStores in use, at work."""
    files = sorted((CRDS.parent / "guards").glob("*.yaml"))
    bodies = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    for body in bodies:
        client.apply(body, force=True)
    yield
    for body in bodies:
        client.delete(resource_of(body["kind"]), body["metadata"]["name"])


def is_forbidden(case: Case) -> bool:
    try:
        case.client.delete(resource_of("DataStore"), case.name, dry_run=True)
    except ForbiddenError:
        return True
    return False


@pytest.mark.usefixtures("guard")
def test_the_management_cluster_refuses_to_delete_a_used_store(case: Case) -> None:
    case.run()
    tenant(case.client, case.name, case.name)
    case.run()
    # A policy takes effect a moment after it was written; until then a dry run is let through.
    end = time.monotonic() + 30
    while not is_forbidden(case):
        assert time.monotonic() < end
        time.sleep(0.1)
    with pytest.raises(ForbiddenError, match=rf"is used by {case.name}/acme \(status.usedBy\).*run the module hosted.kubernetes.datastore"):
        case.client.delete(resource_of("DataStore"), case.name)
    case.client.delete(resource_of("TenantControlPlane"), "acme", case.name)
    assert case.run(state="absent")["changed"]


def test_use_is_recorded_without_probing(case: Case) -> None:
    case.run()
    tenant(case.client, case.name, case.name)
    datastores.record_use(case.client, case.name, datetime.now(UTC))
    assert case.live()["status"]["usedBy"] == [f"{case.name}/acme"]
    assert case.live()["status"]["ready"]
    assert len(case.live()["status"]["conditions"]) == 7
    case.client.delete(resource_of("TenantControlPlane"), "acme", case.name)
    datastores.record_use(case.client, case.name, datetime.now(UTC))
    assert case.live()["status"]["usedBy"] == []
    assert not case.run()["changed"]


def test_deleting_what_is_held_says_by_what(case: Case) -> None:
    case.run()
    reference = ObjectRef.of(case.live())
    case.client.merge_patch(reference, {"metadata": {"finalizers": ["example.com/holds"]}})
    result = case.run(state="absent")
    assert result["failed"]
    assert "held by finalizers example.com/holds" in result["msg"]
    case.client.merge_patch(reference, {"metadata": {"finalizers": None}})
    assert not case.run(state="absent")["changed"]


def test_the_engine_reaches_the_store_of_a_resource(case: Case) -> None:
    case.run()
    found = datastores.find_datastore(case.client, case.name)
    with datastores.open_store(case.client, found) as store:
        assert store.credentials.ca_key
        assert store.driver.observe([Isolation("nobody", "nobody")])["nobody"].absent
    with pytest.raises(InvalidError, match=r"DataStore elsewhere does not exist; create it first"):
        datastores.find_datastore(case.client, "elsewhere")


@pytest.mark.parametrize(
    ("slices", "message"), [(False, "Service {0}/store of its endpoint does not exist"), (True, "has no ready pod behind port 2379")]
)
def test_an_in_cluster_endpoint_without_pods_says_so(case: Case, slices: bool, message: str) -> None:
    if slices:
        spec = {"selector": {"app": "store"}, "ports": [{"name": "client", "port": 2379}]}
        metadata = {"name": "store", "namespace": case.name}
        case.client.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    inside = {**case.definition, "spec": {**case.definition["spec"], "endpoints": [f"store.{case.name}.svc:2379"]}}
    with (
        pytest.raises(errors.DatastoreUnreachableError, match=message.format(case.name)),
        datastores.open_store(case.client, api.check(inside)),
    ):
        pass


def test_without_the_resource_definition_the_module_says_how_to_get_it(client: Client, etcd: Etcd) -> None:
    observed = datastores.ObservedStore(api.check(definition("nowhere", etcd)), None, (), served=False)
    with pytest.raises(Exception, match="install the resource definitions first"):
        datastores.apply(client, observed, datastores.plan(observed, datetime.now(UTC)), datetime.now(UTC))


@pytest.fixture(scope="module", params=["PostgreSQL", "MySQL"])
def sql_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind = postgresql if request.param == "PostgreSQL" else mariadb
    start = postgresql.running_postgresql if kind is postgresql else mariadb.running_mariadb
    with start() as server:
        kind.make_administrator(server)
        yield server


@pytest.fixture
def sql_case(client: Client, kubeconfig: Path, namespace: str, sql_server: Server) -> Case:
    """A given SQL server with its credentials in one Secret, as roles/datastore/README.md has it."""
    login = postgresql.ADMINISTRATOR
    values = {
        "ca.crt": sql_server.authority.pair.certificate.read_bytes(),
        "username": login.user.encode(),
        "password": login.password.encode(),
    }
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sql", "namespace": namespace}, "data": data})

    def content(key: str) -> Json:
        return {"secretReference": {"namespace": namespace, "name": "sql", "keyPath": key}}

    spec = {
        "driver": sql_server.driver,
        "endpoints": [sql_server.endpoint],
        "tlsConfig": {"certificateAuthority": {"certificate": content("ca.crt")}},
        "basicAuth": {"username": content("username"), "password": content("password")},
    }
    definition = {"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "DataStore", "metadata": {"name": namespace}, "spec": spec}
    return Case(client, kubeconfig, definition)


def test_a_given_sql_server_is_recorded_and_probed(sql_case: Case) -> None:
    predicted = sql_case.run(check=True)
    made = sql_case.run()
    assert made.get("msg") is None, made["msg"]
    assert steps(predicted) == steps(made) != []
    assert made["probe"]["healthy"]
    assert made["probe"]["members"][0]["error"] is None
    again = sql_case.run()
    assert (again["changed"], again["plan"]) == (False, [])
    found = {item["type"]: item for item in sql_case.live()["status"]["conditions"]}
    assert found[api.REACHABLE]["message"].startswith(f"{sql_case.definition['spec']['driver']} ")
    assert sql_case.live()["status"]["ready"]

    removed = run_module(datastore.main, {"kubeconfig": str(sql_case.kubeconfig), "name": sql_case.name, "state": "absent"})
    assert removed["changed"]


def test_a_given_sql_server_that_refuses_the_login_is_recorded_and_fails(sql_case: Case) -> None:
    value = {"content": base64.b64encode(b"wrong").decode()}
    wanted = copy.deepcopy(sql_case.definition)
    wanted["spec"]["basicAuth"]["password"] = value
    result = sql_case.run(wanted)
    assert "does not know user" in result["msg"]
    assert "correct spec.basicAuth" in result["msg"]
    found = {item["type"]: item for item in sql_case.live()["status"]["conditions"]}
    assert (found[api.REACHABLE]["status"], found[api.REACHABLE]["reason"]) == ("False", "PermissionDenied")


def test_a_given_sql_server_without_authority_or_login_says_what_is_missing(sql_case: Case) -> None:
    for field, message in (("tlsConfig", "spec.tlsConfig.certificateAuthority.certificate"), ("basicAuth", "spec.basicAuth is missing")):
        wanted = copy.deepcopy(sql_case.definition)
        del wanted["spec"][field]
        assert message in sql_case.run(wanted)["msg"]
