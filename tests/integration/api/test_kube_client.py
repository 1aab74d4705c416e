# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client, the waits and the connection rules against a real API server."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import ObjectRef, Resource, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ExpiredCredentialError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    TlsError,
    UnauthorizedError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.probe import certificate_ends
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import WaitTimeout, wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_ca, new_leaf, not_after
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import kubeconfig as make_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.modules import management_cluster_info
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module

CONFIG_MAP = resource_of("ConfigMap")


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), {}) as made:
        yield made


def config_map(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def test_object_from_creation_to_deletion(client: Client, namespace: str) -> None:
    made = client.create(config_map(namespace, one="1"))
    with pytest.raises(AlreadyExistsError):
        client.create(config_map(namespace))
    assert client.get(CONFIG_MAP, "a", namespace) == made
    assert made["kind"] == "ConfigMap"

    stale = {**made, "data": {"one": "2"}}
    replaced = client.replace(stale)
    with pytest.raises(ConflictError, match="the object has been modified"):
        client.replace(stale)

    patched = client.merge_patch(ObjectRef.of(made), {"data": {"one": None, "two": "2"}})
    assert patched["data"] == {"two": "2"}
    outdated = {"metadata": {"resourceVersion": replaced["metadata"]["resourceVersion"]}, "data": {"two": "3"}}
    with pytest.raises(ConflictError):
        client.merge_patch(ObjectRef.of(made), outdated)

    with pytest.raises(ConflictError):
        client.delete(CONFIG_MAP, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ConflictError):
        client.delete(CONFIG_MAP, "a", namespace, resource_version=made["metadata"]["resourceVersion"])
    assert client.delete(CONFIG_MAP, "a", namespace, dry_run=True)
    assert client.delete(CONFIG_MAP, "a", namespace, uid=made["metadata"]["uid"])
    assert not client.delete(CONFIG_MAP, "a", namespace)
    assert client.get(CONFIG_MAP, "a", namespace) is None


def test_apply_owns_fields(client: Client, namespace: str) -> None:
    assert client.apply(config_map(namespace, a="1"), force=False, dry_run=True)["data"] == {"a": "1"}
    assert client.get(CONFIG_MAP, "a", namespace) is None
    first = client.apply(config_map(namespace, a="1", b="1"), force=False)
    same = client.apply(config_map(namespace, a="1", b="1"), force=False)
    assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError, match=r"field \.data\.a belongs to manager hosted-kubernetes$"):
        client.apply(config_map(namespace, a="2"), force=False, field_manager="other")
    assert client.apply(config_map(namespace, a="2"), force=True, field_manager="other")["data"] == {"a": "2", "b": "1"}
    assert client.apply(config_map(namespace), force=False)["data"] == {"a": "2"}


def test_unknown_field_is_refused(client: Client, namespace: str) -> None:
    with pytest.raises(InvalidObjectError, match=r"\.dta: field not declared in schema"):
        client.apply({**config_map(namespace), "dta": {}}, force=True)
    with pytest.raises(InvalidObjectError, match='unknown field "dta"'):
        client.create({**config_map(namespace), "dta": {}})
    assert len(client.calls) == 2


def test_names_and_kinds_that_are_not_there(client: Client) -> None:
    assert client.get(CONFIG_MAP, "a", "no-such-namespace") is None
    assert client.list(CONFIG_MAP, namespace="no-such-namespace").items == []
    unknown = Resource("example.com/v1", "Widget", "widgets", True)
    assert client.get(unknown, "a", "default") is None
    assert not client.delete(unknown, "a", "default")
    with pytest.raises(NotFoundError):
        client.list(unknown)
    with pytest.raises(NotFoundError, match=r"the server knows no kind Widget in example\.com/v1; check apiVersion and kind"):
        client.resource_for("example.com/v1", "Widget")
    with pytest.raises(NotFoundError, match="knows no kind Widget in v1"):
        client.resource_for("v1", "Widget")


def test_discovery_asks_once_for_each_group(client: Client) -> None:
    driver = client.resource_for("storage.k8s.io/v1", "CSIDriver")
    assert driver == Resource("storage.k8s.io/v1", "CSIDriver", "csidrivers", False)
    client.resource_for("storage.k8s.io/v1", "CSINode")
    client.resource_for("apps/v1", "Deployment")
    assert [call.path for call in client.calls] == ["/apis/storage.k8s.io/v1"]


def test_long_lists_come_in_pages(client: Client, namespace: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client.create(config_map(namespace, f"a{number:04}", text="x" * 100)), range(1050)))
    before = len(client.calls)
    whole = client.list(CONFIG_MAP, namespace=namespace)
    assert len(client.calls) - before == 3
    assert len({item["metadata"]["name"] for item in whole.items}) == 1050
    assert {(item["apiVersion"], item["kind"]) for item in whole.items} == {("v1", "ConfigMap")}

    metadata = client.list(CONFIG_MAP, namespace=namespace, field_selector="metadata.name=a0001", metadata_only=True)
    assert [(item["kind"], item["metadata"]["name"], "data" in item) for item in metadata.items] == [("ConfigMap", "a0001", False)]
    single = client.get(CONFIG_MAP, "a0001", namespace, metadata_only=True)
    assert single is not None
    assert single == metadata.items[0]


def test_watch(client: Client, namespace: str) -> None:
    made = client.create(config_map(namespace, a="1"))
    listed = client.list(CONFIG_MAP, namespace=namespace)
    seen = []
    watch = client.watch(CONFIG_MAP, namespace=namespace, resource_version=listed.resource_version, timeout_s=20)
    client.merge_patch(ObjectRef.of(made), {"data": {"a": "2"}})
    client.delete(CONFIG_MAP, "a", namespace)
    for event in watch:
        seen.append((event.type, event.object["kind"], event.object["data"]["a"]))
        if event.type == "DELETED":
            break
    assert seen == [("MODIFIED", "ConfigMap", "2"), ("DELETED", "ConfigMap", "2")]


def test_watch_ends_in_its_time_and_keeps_the_connection(client: Client, namespace: str) -> None:
    started = time.monotonic()
    events = list(client.watch(CONFIG_MAP, namespace=namespace, timeout_s=1))
    assert 0.9 < time.monotonic() - started < 5
    assert {event.type for event in events} <= {"BOOKMARK"}


def test_wait_sees_what_happens_later(client: Client, namespace: str) -> None:
    timer = threading.Timer(0.3, lambda: client.create(config_map(namespace, a="1")))
    timer.start()
    found = wait_for(client, CONFIG_MAP, "a", namespace, predicate=lambda obj: obj is not None, deadline=time.monotonic() + 20)
    assert found is not None
    assert found["data"] == {"a": "1"}
    timer = threading.Timer(0.3, lambda: client.delete(CONFIG_MAP, "a", namespace))
    timer.start()
    assert wait_for(client, CONFIG_MAP, "a", namespace, predicate=lambda obj: obj is None, deadline=time.monotonic() + 20) is None
    assert len([call for call in client.calls if "watch=true" not in call.path and call.method == "GET"]) == 2


def test_wait_tells_what_it_last_saw(client: Client, namespace: str) -> None:
    with pytest.raises(WaitTimeout, match=rf"ConfigMap {namespace}/a: not ready after 1 s: it does not exist"):
        wait_for(client, CONFIG_MAP, "a", namespace, predicate=lambda obj: obj is not None, deadline=time.monotonic() + 1)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    client.create(service)
    with pytest.raises(WaitTimeout, match="no load-balancer address has been assigned") as caught:
        wait_for(client, resource_of("Service"), "a", namespace, predicate=lambda obj: False, deadline=time.monotonic())
    assert caught.value.last[namespace, "a"]["spec"]["type"] == "LoadBalancer"


def test_wait_for_several(client: Client, namespace: str) -> None:
    for name in ("a", "b", "c"):
        client.create({**config_map(namespace, name), "metadata": {"name": name, "namespace": namespace, "labels": {"of": "three"}}})
    threading.Timer(0.2, lambda: [client.delete(CONFIG_MAP, name, namespace) for name in ("a", "b")]).start()
    left = wait_until(
        client,
        CONFIG_MAP,
        namespace=namespace,
        label_selector="of=three",
        predicate=lambda objects: len(objects) == 1,
        deadline=time.monotonic() + 20,
        what="config maps",
        explain=lambda objects: f"{len(objects)} are left",
    )
    assert list(left) == [(namespace, "c")]


def _pair(server: ApiServer) -> KeyPair:
    """The authority of the server."""
    return KeyPair(server.authority.pair.certificate.read_bytes(), server.authority.pair.key.read_bytes())


def _config(server: ApiServer, *, ca: bytes | None = None, issuer: KeyPair | None = None, **validity: Any) -> bytes:
    """A kubeconfig for the user a-user."""
    authority = _pair(server)
    client = new_leaf(
        issuer or authority,
        LeafRequest("a-user", client=True),
        algorithm=KeyAlgorithm.ECDSA_P256,
        now=datetime.now(UTC),
        **validity,
    )
    return make_kubeconfig(server=server.url, ca_certificate=ca or authority.certificate, client=client, user="a-user", cluster="a")


def test_keys_and_kubeconfigs_of_ours_are_accepted(api_server: ApiServer) -> None:
    with client_from_kubeconfig(_config(api_server)) as client:
        assert client.get_raw("/readyz") == "ok"
        user = client.create({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {"name": ""}})
        assert user["status"]["userInfo"]["username"] == "a-user"
        with pytest.raises(
            ForbiddenError, match=r'User "a-user" cannot list resource "secrets".*; grant this to the user of kubeconfig in memory'
        ):
            client.list(resource_of("Secret"))


def test_wrong_authorities_and_ended_certificates(api_server: ApiServer) -> None:
    other = new_ca("kubernetes", algorithm=KeyAlgorithm.ECDSA_P256, now=datetime.now(UTC))
    with (
        client_from_kubeconfig(_config(api_server, ca=other.certificate)) as client,
        pytest.raises(TlsError, match="not signed by the given CA"),
    ):
        client.get_raw("/readyz")
    with (
        client_from_kubeconfig(_config(api_server, issuer=other)) as client,
        pytest.raises(UnauthorizedError, match="does not accept the credentials of kubeconfig in memory"),
    ):
        client.list(CONFIG_MAP)
    ended = _config(api_server, validity=timedelta(seconds=-1))
    with client_from_kubeconfig(ended) as client, pytest.raises(ExpiredCredentialError, match="the client certificate ended at"):
        client.list(CONFIG_MAP)


def test_explicit_kubeconfig_beats_the_environment_of_awx(api_server: ApiServer, kubeconfig: Path) -> None:
    environ = {"K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "x", "K8S_AUTH_VERIFY_SSL": "False"}
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), environ) as client:
        assert client.get_raw("/readyz") == "ok"
    environ["K8S_AUTH_HOST"] = api_server.url
    with connect(ConnectionOptions(), environ) as client, pytest.raises(TlsError, match="K8S_AUTH_VERIFY_SSL asks for no verification"):
        client.get_raw("/readyz")
    environ["K8S_AUTH_SSL_CA_CERT"] = str(api_server.authority.pair.certificate)
    with connect(ConnectionOptions(), environ) as client, pytest.raises(UnauthorizedError):
        client.list(CONFIG_MAP)


def test_token_and_impersonation(api_server: ApiServer, client: Client, namespace: str, tmp_path: Path) -> None:
    client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": namespace}})
    path = resource_of("ServiceAccount").path(namespace, "robot", "token")
    token = client.request("POST", path, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    ca = str(api_server.authority.pair.certificate)
    options = ConnectionOptions(host=api_server.url, api_key=token["status"]["token"], ca_cert=ca)
    assert _who(options)["username"] == f"system:serviceaccount:{namespace}:robot"

    config = json.loads(api_server.kubeconfig.read_text())
    config["users"][0]["user"].update({"as": "somebody", "as-groups": ["one", "two"]})
    (tmp_path / "config").write_text(json.dumps(config))
    told = _who(ConnectionOptions(kubeconfig=str(tmp_path / "config")))
    assert (told["username"], told["groups"]) == ("somebody", ["one", "two", "system:authenticated"])


def _who(options: ConnectionOptions) -> dict[str, Any]:
    with connect(options, {}) as client:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {"name": ""}}
        found: dict[str, Any] = client.create(review)["status"]["userInfo"]
        return found


def test_threads_share_a_client(client: Client, namespace: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: client.apply(config_map(namespace, f"a{number}"), force=True), range(100)))
    assert len(made) == len(client.calls) == 100
    assert {call.status for call in client.calls} == {201}


def test_secret_bytes_survive(client: Client, namespace: str) -> None:
    value = base64.b64encode(bytes(range(256))).decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": namespace}, "data": {"a": value}}
    assert client.apply(secret, force=True)["data"] == {"a": value}


def test_when_the_certificates_of_a_connection_end(client: Client, kubeconfig: Path) -> None:
    pem = ssl.get_server_certificate((client.access.host, client.access.port))
    ends = certificate_ends(client)
    assert ends == {"server": not_after(pem.encode()), "client": not_after(client.access.client_certificate or b"")}

    found = run_module(management_cluster_info.main, {"kubeconfig": str(kubeconfig), "warn_before_days": 100_000})
    assert found["certificates"]["server"] == f"{ends['server']:%Y-%m-%dT%H:%M:%SZ}"
    # ansible-core keeps the warnings of one process.
    said = [text for text in map(str, found["warnings"]) if f"(kubeconfig {kubeconfig})" in text]
    assert [("of the API server" in text, "of the kubeconfig" in text) for text in said] == [(True, False), (False, True)]
