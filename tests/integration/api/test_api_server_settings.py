# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fields of spec.kubernetes do in the real kube-apiserver, with the flags and files the engine makes of docs/examples."""

from __future__ import annotations

import base64
import contextlib
import http
import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.encryption import IDENTITY, Key, Layout
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.rewrite import rewrite
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.control_plane import ControlPlane, prepared
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd
from ansible_collections.hosted.kubernetes.tests.support.examples import example


def spec_of(name: str, *fields: str) -> dict[str, Any]:
    """Changes of a definition: fields of an example, by their path."""
    found: dict[str, Any] = {}
    for path in fields:
        value: Any = example(name)["spec"]
        for key in path.split("."):
            value = value[key]
        found[path] = value
    return found


@contextlib.contextmanager
def serving(control_plane: ControlPlane) -> Iterator[Client]:
    """Run the API server; a client of its administrator."""
    with (
        control_plane.run("kube-apiserver", "/readyz"),
        connect(ConnectionOptions(kubeconfig=str(control_plane.kubeconfig))) as client,
    ):
        yield client


def secret(name: str, content: str = "hush") -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": {"word": content}}


# Audit


@pytest.mark.parametrize("volume", [True, False], ids=["volume", "output"])
def test_audit(bundle: Path, tmp_path: Path, volume: bool) -> None:
    changes = spec_of("audit", "kubernetes.audit", "controlPlane.deployment.additionalVolumes")
    if not volume:
        changes["kubernetes.audit"] = {"policy": changes["kubernetes.audit"]["policy"]}
    log = tmp_path / ("audit/audit.log" if volume else "kube-apiserver.log")
    with prepared(bundle, tmp_path, changes) as control_plane:
        log.parent.mkdir(exist_ok=True)
        with serving(control_plane) as client:
            client.create(secret("told"))
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith('{"kind":"Event"')]
    (told,) = [event for event in events if (event.get("objectRef") or {}).get("name") == "told"]
    assert (told["level"], told["verb"], told["user"]["username"]) == ("Metadata", "create", "admin")
    assert "requestObject" not in told, "what a Secret holds is not recorded"
    assert {event["stage"] for event in events} <= {"ResponseComplete", "ResponseStarted", "Panic"}


# Authentication


class _Issuer(http.server.BaseHTTPRequestHandler):
    """An OpenID Connect issuer: discovery document and keys."""

    documents: dict[str, Json]

    def do_GET(self) -> None:
        found = self.documents.get(self.path)
        body = json.dumps(found or {}).encode()
        self.send_response(http.HTTPStatus.OK if found else http.HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


def _url_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def issuer(authority: Authority, key: rsa.RSAPrivateKey) -> Iterator[str]:
    """The URL of an issuer whose tokens this key signs."""
    pair = authority.server("issuer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    numbers = key.public_key().public_numbers()
    jwk = {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": "1",
        "n": _url_text(numbers.n.to_bytes(256, "big")),
        "e": _url_text(numbers.e.to_bytes(3, "big")),
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Issuer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}"
    _Issuer.documents = {
        "/.well-known/openid-configuration": {
            "issuer": url,
            "jwks_uri": f"{url}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        "/keys": {"keys": [jwk]},
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def token(key: rsa.RSAPrivateKey, claims: Json) -> str:
    parts = ".".join(_url_text(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims))
    return f"{parts}.{_url_text(key.sign(parts.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def ask(control_plane: ControlPlane, path: str, bearer: str = "", body: Json | None = None) -> tuple[int, Any]:
    """Ask without a client certificate."""
    context = ssl.create_default_context(cafile=str(control_plane.authority.pair.certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", control_plane.ports["kube-apiserver"], context=context, timeout=10)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
    return response.status, json.loads(text) if text.startswith("{") else text


def test_authentication(bundle: Path, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    authority = Authority(tmp_path, "issuer-ca")
    with issuer(authority, key) as url:
        changes = spec_of("authentication", "kubernetes.authentication")
        # The example names a public host; here one on loopback answers.
        wanted = changes["kubernetes.authentication"]["jwt"][0]["issuer"]
        wanted.update(url=url, certificateAuthority=authority.pair.certificate.read_text(encoding="utf-8"))
        with prepared(bundle, tmp_path, changes) as control_plane, serving(control_plane):
            claims = {
                "iss": url,
                "aud": "acme",
                "sub": "1",
                "exp": int(time.time()) + 600,
                "email": "ann@example.com",
                "email_verified": True,
                "groups": ["makers"],
            }
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            deadline = time.monotonic() + 30
            while ask(control_plane, path, token(key, claims), review)[0] != http.HTTPStatus.CREATED:
                assert time.monotonic() < deadline, "the server fetches the issuer's keys"
                time.sleep(0.2)
            status, answer = ask(control_plane, path, token(key, claims), review)
            assert status == http.HTTPStatus.CREATED
            user: Json = answer["status"]["userInfo"]
            assert user["username"] == "oidc:ann@example.com"
            assert "oidc:makers" in user["groups"]
            for changed in ({"email_verified": False}, {"aud": "other"}, {"exp": 1}):
                assert ask(control_plane, path, token(key, {**claims, **changed}), review)[0] == http.HTTPStatus.UNAUTHORIZED
            assert ask(control_plane, "/livez")[0] == http.HTTPStatus.OK
            assert ask(control_plane, "/api")[0] == http.HTTPStatus.UNAUTHORIZED, "nobody without credentials but for the named paths"


# Authorization


def test_authorization(bundle: Path, tmp_path: Path) -> None:
    """The webhook of the example does not answer, so that its failure policy refuses those whom it is asked about."""
    changes = spec_of("authorization", "kubernetes.authorization")
    webhook = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    secrets = {"acme-policy-webhook": {"kubeconfig": json.dumps(webhook).encode()}}
    with prepared(bundle, tmp_path, changes, secrets) as control_plane, serving(control_plane) as client:
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "makers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name} for name in ("plain", "oidc:ann")],
        }
        client.create(binding)

        def may(user: str) -> bool:
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}},
            }
            answer = client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
            allowed: bool = answer["status"]["allowed"]
            return allowed

        deadline = time.monotonic() + 15
        while not may("plain"):
            assert time.monotonic() < deadline, "RBAC decides what the webhook is not asked about"
            time.sleep(0.1)
        assert not may("oidc:ann")


# Feature gates


def test_feature_gates(bundle: Path, tmp_path: Path) -> None:
    with prepared(bundle, tmp_path, spec_of("feature_gates", "kubernetes.featureGates")) as control_plane, contextlib.ExitStack() as stack:
        client = stack.enter_context(serving(control_plane))
        stack.enter_context(control_plane.run("kube-controller-manager", "/healthz"))
        stack.enter_context(control_plane.run("kube-scheduler", "/healthz"))
        metrics = client.get_raw("/metrics")
    (line,) = [line for line in metrics.splitlines() if line.startswith('kubernetes_feature_enabled{name="APIServingWithRoutine"')]
    assert line.endswith(" 1")


# Encryption

OLD: Final = Key("aescbc", "key-old", base64.b64encode(b"o" * 32).decode())
NEW: Final = Key("secretbox", "key-new", base64.b64encode(b"n" * 32).decode())


def stored(bundle: Path, etcd: Etcd | None, kind: str, name: str) -> bytes:
    """What the datastore holds of an object in namespace default."""
    assert etcd
    assert etcd.authority
    assert etcd.root
    argv = [
        str(binary(bundle, "etcdctl")),
        f"--endpoints={etcd.url}",
        f"--cacert={etcd.authority.pair.certificate}",
        f"--cert={etcd.root.certificate}",
        f"--key={etcd.root.key}",
        "get",
        "--print-value-only",
        f"/tenants_acme/{kind}/default/{name}",
    ]
    return subprocess.run(argv, check=True, capture_output=True).stdout


@pytest.mark.long
def test_keys_are_changed_step_by_step(bundle: Path, tmp_path: Path) -> None:
    """Each step as the engine goes it: what was stored before stays readable, what is written anew has the new key."""
    first: Layout = {"secrets": (IDENTITY, OLD)}
    targets = {"secrets": OLD}
    with prepared(
        bundle, tmp_path, spec_of("encryption", "kubernetes.encryption"), {f"acme{names.ENCRYPTION}": _data(first)}
    ) as control_plane:
        with serving(control_plane) as client:
            client.create(secret("early"))
            plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": secret("early")["metadata"], "data": {"a": "plain"}}
            client.create(plain)
        assert b"hush" in stored(bundle, control_plane.etcd, "secrets", "early")

        layout = encryption.next_layout(first, targets, rolled=True, rewritten=False)
        with configured(control_plane, layout) as client:
            client.create(secret("late"))
            assert b"k8s:enc:aescbc:v1:key-old:" in stored(bundle, control_plane.etcd, "secrets", "late")
            assert b"hush" in stored(bundle, control_plane.etcd, "secrets", "early")
            assert rewrite(client, ["secrets", "nothing.example.com"]) >= 2
            assert b"k8s:enc:aescbc:v1:key-old:" in stored(bundle, control_plane.etcd, "secrets", "early")

        targets = {"secrets": NEW, "configmaps": NEW}
        for rolled, rewritten in ((True, True), (True, False)):
            layout = encryption.next_layout(layout, targets, rolled=rolled, rewritten=rewritten)
            with configured(control_plane, layout) as client:
                assert base64.b64decode(read(client, "early")["data"]["word"]) == b"hush"
                writes = layout["secrets"][0]
                client.create(secret(f"with-{writes.name}"))
                assert f"k8s:enc:{writes.provider}:v1:{writes.name}:".encode() in stored(
                    bundle, control_plane.etcd, "secrets", f"with-{writes.name}"
                )
                if writes == NEW:
                    rewrite(client, ["secrets", "configmaps"])
        layout = encryption.next_layout(layout, targets, rolled=True, rewritten=True)
        assert layout == {"secrets": (NEW, IDENTITY), "configmaps": (NEW, IDENTITY)}
        with configured(control_plane, layout) as client:
            for name in ("early", "late", "with-key-old", "with-key-new"):
                assert base64.b64decode(read(client, name)["data"]["word"]) == b"hush"
                assert b"k8s:enc:secretbox:v1:key-new:" in stored(bundle, control_plane.etcd, "secrets", name)
            assert b"k8s:enc:secretbox:v1:key-new:" in stored(bundle, control_plane.etcd, "configmaps", "early")


def _data(layout: Layout) -> dict[str, bytes]:
    return {encryption.DATA_KEY: encryption.render(layout)}


def read(client: Client, name: str) -> Json:
    found: Json = client.request("GET", f"/api/v1/namespaces/default/secrets/{name}")
    return found


@contextlib.contextmanager
def configured(control_plane: ControlPlane, layout: Layout) -> Iterator[Client]:
    """The API server started with another layout, as a roll-out does it."""
    path = control_plane.directory / "kube-apiserver-files/encryption" / encryption.DATA_KEY
    path.write_bytes(encryption.render(layout))
    with serving(control_plane) as client:
        yield client
