# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CustomResourceDefinitions on a real API server: accepted, current, and as strict as the module."""

from __future__ import annotations

import http
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.tests.support import generator_cases
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, RequestError
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.examples import NAMES, example
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import (
    BAD,
    BAD_CHANGES,
    BAD_NAMES,
    GOOD,
    GOOD_CHANGES,
    Case,
    definition,
)
from ansible_collections.hosted.kubernetes.tools import crds

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
ROOT = f"/apis/{KAMAJI_API_VERSION}"
# etcd takes 1.5 MiB; what is applied without server-side apply must fit into an annotation of 256 KiB.
ANNOTATION_LIMIT = 262144

Create = Callable[[Json], Json]


@pytest.fixture(scope="module", autouse=True)
def installed(api_server: ApiServer) -> None:
    """All CRDs of the role, served."""
    for path in sorted((COLLECTION / crds.CRDS).glob("*.yaml")):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = crd["metadata"]["name"]
        api_server.request(
            "PATCH", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=test&force=true", crd, APPLY
        )
        _wait_until_served(api_server, crd["spec"]["names"]["plural"])


def _wait_until_served(api_server: ApiServer, plural: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            api_server.request("GET", f"{ROOT}/{plural}")
        except RequestError:
            assert time.monotonic() < deadline, f"{plural} is not served after 30 s"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def create(api_server: ApiServer, namespace: str) -> Create:
    """Create a tenant control plane in a fresh namespace, as strict about unknown fields as kubectl."""

    def post(body: Json) -> Json:
        body["metadata"]["namespace"] = namespace
        created: Json = api_server.request("POST", f"{_tenants(namespace)}?fieldValidation=Strict", body)
        return created

    return post


def _tenants(namespace: str) -> str:
    return f"{ROOT}/namespaces/{namespace}/tenantcontrolplanes"


def _update(api_server: ApiServer, stored: Json, changes: Json) -> Json:
    stored["spec"] = definition(changes)["spec"]
    path = f"{_tenants(stored['metadata']['namespace'])}/{stored['metadata']['name']}?fieldValidation=Strict"
    updated: Json = api_server.request("PUT", path, stored)
    return updated


def test_files_are_current(api_server: ApiServer) -> None:
    made = crds.generate(crds.fetch(api_server))
    stale = [str(path) for path, text in made.items() if (COLLECTION / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run make crds and commit the result"
    assert {path.name for path in made if path.parent == crds.CRDS} == {path.name for path in (COLLECTION / crds.CRDS).iterdir()}


@pytest.mark.parametrize("name", ["tenantcontrolplane", "datastore", "kubeconfiggenerator"])
def test_size_and_schema(name: str) -> None:
    crd = yaml.safe_load((COLLECTION / crds.CRDS / f"{name}.yaml").read_text(encoding="utf-8"))
    text = json.dumps(crd, separators=(",", ":"))
    assert len(text) < ANNOTATION_LIMIT
    assert '"default":' not in text, "defaults must not be written into the stored spec"
    assert list(_loose(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")) in (
        [],
        # Values of RFC 6902 patches may be of any type; there is no other way to say so.
        [
            "spec.kubernetes.kubelet.configurationJSONPatches[].value",
            "spec.addons.kubeProxy.configurationJSONPatches[].value",
        ],
    )


def _loose(schema: Json, path: str) -> list[str]:
    """Paths of fields that take anything, and of lists and maps of the spec without a bound."""
    found = [path] if schema.get("x-kubernetes-preserve-unknown-fields") else []
    if path.startswith("spec") and schema.get("type") == "array" and "maxItems" not in schema:
        found.append(f"{path} (no maxItems)")
    for key, value in schema.get("properties", {}).items():
        found += _loose(value, f"{path}.{key}".lstrip("."))
    if "items" in schema:
        found += _loose(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        found += _loose(schema["additionalProperties"], f"{path}{{}}")
    return found


@pytest.mark.parametrize("name", GOOD)
def test_good(create: Create, name: str) -> None:
    body = definition(GOOD[name])
    assert create(body)["spec"] == body["spec"], "nothing is added to or taken from what the user wrote"


@pytest.mark.parametrize("name", NAMES)
def test_examples(create: Create, name: str) -> None:
    assert create(example(name))["spec"] == example(name)["spec"]


@pytest.mark.parametrize("name", GOOD_CHANGES)
def test_good_change(api_server: ApiServer, create: Create, name: str) -> None:
    old, new = GOOD_CHANGES[name]
    assert _update(api_server, create(definition(old)), dict(new))["spec"] == definition(new)["spec"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD])
def test_bad(create: Create, case: Case) -> None:
    with pytest.raises(RequestError) as error:
        create(definition(case.changes))
    _expect(error.value, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD_CHANGES])
def test_bad_change(api_server: ApiServer, create: Create, case: Case) -> None:
    stored = create(definition(case.old))
    if case.installed:
        path = f"{_tenants(stored['metadata']['namespace'])}/acme/status"
        stored = api_server.request("PATCH", path, {"status": case.status()}, MERGE)
    with pytest.raises(RequestError) as error:
        _update(api_server, stored, dict(case.changes))
    _expect(error.value, case)


def _expect(error: RequestError, case: Case) -> None:
    assert error.status in {http.HTTPStatus.UNPROCESSABLE_ENTITY, http.HTTPStatus.BAD_REQUEST}
    message = json.loads(error.body)["message"]
    assert [part for part in case.server if part not in message] == [], message


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(create: Create, name: str) -> None:
    with pytest.raises(RequestError) as error:
        create(definition(name=name))
    assert error.value.status == http.HTTPStatus.UNPROCESSABLE_ENTITY


def test_schema_recorded_in_status_cannot_change(api_server: ApiServer, create: Create) -> None:
    stored = create(definition())
    path = f"{_tenants(stored['metadata']['namespace'])}/acme"
    status = {"status": {"storage": {"setup": {"schema": "tenants_acme", "user": "tenants_acme"}}}}
    stored = api_server.request("PATCH", f"{path}/status", status, MERGE)
    with pytest.raises(RequestError, match=r"spec.dataStoreSchema differs"):
        _update(api_server, stored, {"dataStoreSchema": "other"})
    _update(api_server, stored, {"dataStoreSchema": "tenants_acme"})


def test_status_of_the_reference_is_kept(api_server: ApiServer, create: Create) -> None:
    stored = create(definition({"controlPlane.deployment.replicas": 2}))
    path = f"{_tenants(stored['metadata']['namespace'])}/acme"
    secret = {"secretName": "acme-ca", "checksum": "d41d8", "lastUpdate": "2026-01-01T00:00:00Z"}
    status: Json = {
        "observedGeneration": 3,
        "controlPlaneEndpoint": "192.0.2.7:6443",
        "storage": {"driver": "etcd", "dataStoreName": "default", "setup": {"schema": "s", "user": "s", "lastUpdate": None}},
        "certificates": {"ca": secret, "etcd": {"ca": secret}},
        "kubeconfig": {"admin": {"secretName": "acme-admin-kubeconfig"}},
        "kubernetesResources": {
            "version": {"version": "v1.36.3", "status": "CertificateAuthorityRotating"},
            "deployment": {
                "name": "acme",
                "namespace": "tenants",
                "selector": "kamaji.clastix.io/name=acme",
                "replicas": 2,
                "readyReplicas": 2,
                "conditions": [{"type": "Available", "status": "True"}],
            },
            "service": {"name": "acme", "namespace": "tenants", "port": 6443, "loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}},
        },
        "addons": {"konnectivity": {"enabled": True, "agent": {"name": "konnectivity-agent", "mode": "DaemonSet"}}},
        "hosted": {"engineVersion": "0.1.0", "secrets": {"acme-ca": {"uid": "u", "resourceVersion": "1"}}, "deferred": ["spec.template"]},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }
    stored["status"] = status
    written = api_server.request("PUT", f"{path}/status?fieldValidation=Strict", stored)
    assert written["status"] == status
    scale = api_server.request("GET", f"{path}/scale")
    assert scale["status"] == {"replicas": 2, "selector": "kamaji.clastix.io/name=acme"}


def test_scale_subresource(api_server: ApiServer, create: Create) -> None:
    stored = create(definition({"controlPlane.deployment.replicas": 2}))
    path = f"{_tenants(stored['metadata']['namespace'])}/acme"
    api_server.request("PATCH", f"{path}/scale", {"spec": {"replicas": 0}}, MERGE)
    assert api_server.request("GET", path)["spec"]["controlPlane"]["deployment"]["replicas"] == 0


def test_print_columns() -> None:
    crd = yaml.safe_load((COLLECTION / crds.CRDS / "tenantcontrolplane.yaml").read_text(encoding="utf-8"))
    columns = [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Version", "Installed Version", "Status", "Control-Plane endpoint", "Kubeconfig", "Datastore", "Age"]


# DataStore and KubeconfigGenerator

_CONTENT = {"content": "eA=="}
_SECRET = {"secretReference": {"name": "s", "namespace": "n", "keyPath": "k"}}
_TLS = {
    "certificateAuthority": {"certificate": _CONTENT, "privateKey": _SECRET},
    "clientCertificate": {"certificate": _SECRET, "privateKey": _SECRET},
}
_ETCD = {"driver": "etcd", "endpoints": ["etcd-0.etcd.svc:2379", "[fd00::1]:2379"], "tlsConfig": _TLS}


def _store(api_server: ApiServer, spec: Any, name: str | None = None) -> Json:
    name = name or f"store-{secrets.token_hex(4)}"
    body = {"apiVersion": KAMAJI_API_VERSION, "kind": "DataStore", "metadata": {"name": name}, "spec": spec}
    created: Json = api_server.request("POST", f"{ROOT}/datastores?fieldValidation=Strict", body)
    return created


@pytest.mark.parametrize(
    "spec",
    [
        _ETCD,
        {"driver": "PostgreSQL", "endpoints": ["db:5432"], "basicAuth": {"username": _CONTENT, "password": _SECRET}},
        {"driver": "MySQL", "endpoints": ["db:3306"], "tlsConfig": {"certificateAuthority": {"certificate": _CONTENT}}},
    ],
)
def test_good_datastore(api_server: ApiServer, spec: Json) -> None:
    created = _store(api_server, spec)
    assert created["spec"] == spec
    status = {"ready": True, "usedBy": ["a/b"], "observedGeneration": 1, "conditions": []}
    created["status"] = status
    path = f"{ROOT}/datastores/{created['metadata']['name']}/status?fieldValidation=Strict"
    assert api_server.request("PUT", path, created)["status"] == status


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**_ETCD, "driver": "Etcd"}, "spec.driver: Unsupported value"),
        ({**_ETCD, "endpoints": []}, "spec.endpoints"),
        ({**_ETCD, "endpoints": ["https://etcd:2379"]}, "is not host:port"),
        ({"driver": "etcd", "endpoints": ["a:1"]}, "etcd knows its users by client certificates"),
        ({**_ETCD, "tlsConfig": {"certificateAuthority": {"certificate": _CONTENT}}}, "etcd knows its users by client certificates"),
        ({"driver": "MySQL", "endpoints": ["a:1"]}, "neither tlsConfig nor basicAuth"),
        (
            {"driver": "MySQL", "endpoints": ["a:1"], "basicAuth": {"username": {}, "password": _CONTENT}},
            "neither content nor secretReference",
        ),
        ({**_ETCD, "endpoint": "a:1"}, 'unknown field "spec.endpoint"'),
    ],
)
def test_bad_datastore(api_server: ApiServer, spec: Json, message: str) -> None:
    with pytest.raises(RequestError) as error:
        _store(api_server, spec)
    assert message in json.loads(error.value.body)["message"]


def test_driver_cannot_change(api_server: ApiServer) -> None:
    created = _store(api_server, _ETCD)
    created["spec"]["driver"] = "MySQL"
    with pytest.raises(RequestError, match="driver cannot be changed"):
        api_server.request("PUT", f"{ROOT}/datastores/{created['metadata']['name']}", created)


def test_name_of_a_datastore_fits_a_label(api_server: ApiServer) -> None:
    with pytest.raises(RequestError, match="becomes a label"):
        _store(api_server, _ETCD, name="a" * 64)


def _generator(api_server: ApiServer, body: Json) -> Json:
    created: Json = api_server.request("POST", f"{ROOT}/kubeconfiggenerators?fieldValidation=Strict", body)
    return created


@pytest.mark.parametrize("name", generator_cases.GOOD)
def test_good_generator(api_server: ApiServer, name: str) -> None:
    body = generator_cases.definition(f"generator-{secrets.token_hex(4)}", **generator_cases.GOOD[name])
    assert _generator(api_server, body)["spec"] == body["spec"]
    # Tests of other files work on all generators there are.
    api_server.request("DELETE", f"{ROOT}/kubeconfiggenerators/{body['metadata']['name']}")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in generator_cases.BAD])
def test_bad_generator(api_server: ApiServer, case: generator_cases.Case) -> None:
    with pytest.raises(RequestError) as error:
        _generator(api_server, generator_cases.definition(f"generator-{secrets.token_hex(4)}", **case.spec))
    message = json.loads(error.value.body)["message"]
    assert [part for part in case.server if part not in message] == [], message


@pytest.mark.parametrize("name", generator_cases.BAD_NAMES)
def test_bad_name_of_a_generator(api_server: ApiServer, name: str) -> None:
    with pytest.raises(RequestError, match=r"metadata\.name"):
        _generator(api_server, generator_cases.definition(name))


def test_good_name_of_a_generator(api_server: ApiServer) -> None:
    for name in generator_cases.GOOD_NAMES:
        _generator(api_server, generator_cases.definition(name))
        api_server.request("DELETE", f"{ROOT}/kubeconfiggenerators/{name}")
