# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DataStore resources: rules and their messages, credentials, use by tenants, status."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def secret(key: str) -> dict[str, Any]:
    return {"secretReference": {"namespace": "system", "name": "etcd-client", "keyPath": key}}


ETCD = {
    "apiVersion": "kamaji.clastix.io/v1alpha1",
    "kind": "DataStore",
    "metadata": {"name": "default"},
    "spec": {
        "driver": "etcd",
        "endpoints": ["etcd-0.etcd.system.svc:2379"],
        "tlsConfig": {
            "certificateAuthority": {"certificate": secret("ca.crt"), "privateKey": secret("ca.key")},
            "clientCertificate": {"certificate": secret("tls.crt"), "privateKey": {"content": base64.b64encode(b"KEY").decode()}},
        },
    },
}
POSTGRESQL = {
    "metadata": {"name": "pg"},
    "spec": {"driver": "PostgreSQL", "endpoints": ["db:5432"], "basicAuth": {"username": secret("u"), "password": secret("p")}},
}


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one field set; None removes it."""
    result = copy.deepcopy(base)
    *parents, last = path.split(".")
    item = result
    for part in parents:
        item = item.setdefault(part, {})
    item[last] = value
    if value is None:
        del item[last]
    return result


@pytest.mark.parametrize("definition", [ETCD, POSTGRESQL])
def test_valid_definitions_are_accepted(definition: dict[str, Any]) -> None:
    assert api.validate(definition) == []


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (changed(ETCD, "metadata.name", None), "metadata.name is missing"),
        (changed(ETCD, "metadata.name", "Bad_Name"), 'metadata.name "Bad_Name" is not a DNS name'),
        (changed(ETCD, "kind", "Store"), 'kind "Store" is not DataStore'),
        (changed(ETCD, "apiVersion", "v1"), 'apiVersion "v1" is not served'),
        (changed(ETCD, "spec", None), "spec is missing"),
        (changed(ETCD, "spec.endpoint", []), "spec.endpoint is not a field; did you mean endpoints?"),
        (changed(ETCD, "spec.tlsConfig.ca", {}), "spec.tlsConfig.ca is not a field; known fields are"),
        (changed(ETCD, "spec.tlsConfig", "x"), "spec.tlsConfig is not a mapping"),
        (changed(ETCD, "spec.driver", None), "spec.driver is missing"),
        (changed(ETCD, "spec.driver", "Etcd"), 'spec.driver "Etcd" is not a driver; write etcd'),
        (changed(ETCD, "spec.driver", "redis"), "use one of etcd, MySQL, PostgreSQL, NATS"),
        (changed(ETCD, "spec.endpoints", []), "spec.endpoints is empty"),
        (changed(ETCD, "spec.endpoints", ["https://etcd:2379"]), 'spec.endpoints[0] "https://etcd:2379" is not host:port'),
        (changed(ETCD, "spec.endpoints", ["etcd:0"]), 'spec.endpoints[0] "etcd:0" is not host:port'),
        (changed(ETCD, "spec.endpoints", ["a:1", "a:1"]), "names an endpoint twice"),
        (changed(ETCD, "spec.tlsConfig", None), "spec.tlsConfig.certificateAuthority.certificate is missing"),
        (changed(ETCD, "spec.tlsConfig.certificateAuthority.privateKey", None), "certificateAuthority.privateKey is missing"),
        (changed(ETCD, "spec.tlsConfig.clientCertificate", None), "spec.tlsConfig.clientCertificate.privateKey is missing"),
        (
            changed(ETCD, "spec.tlsConfig.clientCertificate.privateKey", {"content": "%%"}),
            "clientCertificate.privateKey.content is not base64",
        ),
        (
            changed(ETCD, "spec.tlsConfig.clientCertificate.privateKey.content", None),
            "spec.tlsConfig.clientCertificate.privateKey is missing",
        ),
        (
            changed(ETCD, "spec.tlsConfig.clientCertificate.certificate.secretReference.keyPath", None),
            "certificate.secretReference.keyPath is missing",
        ),
        (changed(POSTGRESQL, "spec.basicAuth", None), "spec has neither tlsConfig nor basicAuth"),
        (changed(POSTGRESQL, "spec.basicAuth.password", None), "spec.basicAuth.password is missing"),
    ],
)
def test_refused_definitions_name_the_field_and_the_remedy(definition: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as error:
        api.check(definition)
    assert message in error.value.msg
    assert error.value.msg.startswith("DataStore ")


def test_the_driver_cannot_change() -> None:
    with pytest.raises(InvalidError, match=r'spec\.driver is "PostgreSQL" and cannot become "etcd"'):
        api.check(ETCD, live=POSTGRESQL)


def test_credentials_come_from_content_or_secret() -> None:
    store = api.parse(ETCD)
    data = {("system", "etcd-client"): {"ca.crt": b"CA", "ca.key": b"CAKEY", "tls.crt": b"CRT"}}
    assert store.secrets() == (("system", "etcd-client"),)
    found = api.resolve(store, data)
    assert (found.ca_certificate, found.ca_key, found.client_certificate, found.client_key) == (b"CA", b"CAKEY", b"CRT", b"KEY")
    assert "KEY" not in repr(found)
    assert "content" not in repr(store)


def test_user_and_password_are_text() -> None:
    found = api.resolve(api.parse(POSTGRESQL), {("system", "etcd-client"): {"u": b"root", "p": b"hidden"}})
    assert (found.username, found.password) == ("root", "hidden")
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({}, "spec.tlsConfig.certificateAuthority.certificate refers to Secret system/etcd-client, which does not exist"),
        (
            {("system", "etcd-client"): {"ca.crt": b"CA", "ca.key": b"K", "tls.crt": b""}},
            "clientCertificate.certificate refers to Secret system/etcd-client key tls.crt, which is missing or empty; its keys are: ca.crt",
        ),
    ],
)
def test_missing_credentials_are_named(secrets: Any, message: str) -> None:
    with pytest.raises(api.MissingCredentialError) as error:
        api.resolve(api.parse(ETCD), secrets)
    assert message in error.value.msg


@pytest.mark.parametrize(
    ("text", "host", "service"),
    [
        ("etcd.system.svc:2379", "etcd.system.svc", ("system", "etcd")),
        ("etcd-0.etcd.system.svc:2379", "etcd-0.etcd.system.svc", ("system", "etcd-0.etcd")),
        ("etcd-0.etcd.system.svc.cluster.local:2379", "etcd-0.etcd.system.svc.cluster.local", ("system", "etcd-0.etcd")),
        ("etcd.example.com:2379", "etcd.example.com", None),
        ("198.51.100.7:2379", "198.51.100.7", None),
        ("[2001:db8::1]:2379", "2001:db8::1", None),
    ],
)
def test_endpoints(text: str, host: str, service: tuple[str, str] | None) -> None:
    endpoint = api.Endpoint.parse(text)
    assert (endpoint.host, endpoint.port, endpoint.service, str(endpoint)) == (host, endpoint.port, service, text)


def tenant(name: str, spec: dict[str, Any] | None = None, stored_in: str | None = None) -> dict[str, Any]:
    status = {"storage": {"dataStoreName": stored_in}} if stored_in else {}
    return {"metadata": {"namespace": "team", "name": name}, "spec": spec or {}, "status": status}


def test_used_by_finds_every_kind_of_use() -> None:
    tenants = [
        tenant("named", {"dataStore": "fast"}),
        tenant("defaulted"),
        tenant("defaulted-then-stored", stored_in="fast"),
        tenant("leaving", {"dataStore": "slow"}, stored_in="fast"),
        tenant("partly", {"dataStore": "slow", "dataStoreOverrides": [{"resource": "/events", "dataStore": "fast"}]}),
        tenant("elsewhere", {"dataStore": "slow"}),
        {**tenant("once", {"dataStore": "slow"}), "status": {"hosted": {"dataStores": ["fast"]}}},
    ]
    assert api.used_by("fast", tenants) == ("team/defaulted-then-stored", "team/leaving", "team/named", "team/once", "team/partly")
    assert api.used_by("default", tenants) == ("team/defaulted",)
    choosing = [tenant("choosing", {"dataStoreSelector": {}}), tenant("chosen", {"dataStoreSelector": {}}, stored_in="fast")]
    assert api.used_by("default", choosing) == ()
    assert api.used_by("fast", choosing) == ("team/chosen",)


def with_capacity(**capacity: Any) -> dict[str, Any]:
    pair = {"certificate": {"content": "eA=="}, "privateKey": {"content": "eA=="}}
    spec = {"driver": "etcd", "endpoints": ["a:1"], "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair}}
    return {"metadata": {"name": "s"}, "spec": {**spec, "capacity": capacity}}


def test_capacity_is_read() -> None:
    found = api.check(with_capacity(tenants=1, size="2Gi", latencyMilliseconds=50)).capacity
    assert found == api.Capacity(1, 2 * 1024**3, 50)
    assert api.check(with_capacity()).capacity == api.Capacity()


@pytest.mark.parametrize(
    ("capacity", "message"),
    [
        ({"tenants": -1}, "spec.capacity.tenants -1 is not a whole number from 0 to 10000"),
        ({"tenants": "3"}, 'spec.capacity.tenants "3" is not'),
        ({"latencyMilliseconds": 0}, "spec.capacity.latencyMilliseconds 0 is not a whole number from 1 to 60000"),
        ({"size": "much"}, 'spec.capacity.size "much" is not a size; write for example 4Gi'),
        ({"tenant": 1}, "spec.capacity.tenant is not a field; did you mean tenants?"),
        ({"tenantBudget": "10k"}, 'spec.capacity.tenantBudget "10k" is no budget; write a size of 1Mi or more, for example 512Mi'),
    ],
)
def test_capacity_that_says_nothing_is_refused(capacity: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as error:
        api.check(with_capacity(**capacity))
    assert message in error.value.msg


def status(*conditions: api.Condition, previous: Any = None, now: datetime = NOW) -> Any:
    return api.build_status(conditions, previous=previous, generation=3, used_by=("team/a",), now=now)


def reachable(holds: bool | None) -> api.Condition:
    return api.Condition(api.REACHABLE, holds, "Probed" if holds else "Unreachable", "message")


@pytest.mark.parametrize(
    ("problems", "holds", "ready"), [([], True, True), ([], False, False), ([], None, False), (["field is wrong"], True, False)]
)
def test_ready_needs_a_valid_specification_and_a_reachable_store(problems: list[str], holds: bool | None, ready: bool) -> None:
    result = status(api.validation_condition(problems), reachable(holds))
    assert result["ready"] is ready
    assert result["observedGeneration"] == 3
    assert result["usedBy"] == ["team/a"]


def test_an_unchanged_condition_keeps_its_time() -> None:
    first = status(reachable(True))
    later = NOW + timedelta(hours=1)
    assert status(reachable(True), previous=first, now=later) == first
    flipped = status(reachable(False), previous=first, now=later)
    assert flipped["conditions"][0]["lastTransitionTime"] == "2026-11-22T13:00:00Z"


def test_deletion_condition_names_some_tenants() -> None:
    assert api.deletion_condition(()).holds
    condition = api.deletion_condition([f"team/{index}" for index in range(7)])
    assert not condition.holds
    assert condition.message == "used by team/0, team/1, team/2, team/3, team/4 and 2 more"
