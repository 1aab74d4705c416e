# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connection settings count: options, environment, neither, both."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import (
    ConnectionOptions,
    client_from_kubeconfig,
    connect,
    resolve,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConnectionSettingsError

AWX = {
    "K8S_AUTH_HOST": "https://awx:6443",
    "K8S_AUTH_API_KEY": "env-token",
    "K8S_AUTH_VERIFY_SSL": "True",
    "K8S_AUTH_SSL_CA_CERT": "/tmp/ca",
}
ENV_FILE = {"K8S_AUTH_KUBECONFIG": "/env/kubeconfig"}
FROM_FILE = ConnectionOptions(kubeconfig="/my/kubeconfig")
FROM_HOST = ConnectionOptions(host="https://mine:6443", api_key="token")


@pytest.mark.parametrize(
    ("options", "environ", "chosen", "from_environment"),
    [
        (FROM_FILE, {}, FROM_FILE, False),
        (FROM_FILE, AWX, FROM_FILE, False),
        (FROM_FILE, {**AWX, **ENV_FILE, "K8S_AUTH_CONTEXT": "other"}, FROM_FILE, False),
        (FROM_FILE, {"K8S_AUTH_PROXY": "http://proxy", "K8S_AUTH_IMPERSONATE_USER": "you"}, FROM_FILE, False),
        (FROM_HOST, {**AWX, "K8S_AUTH_CERT_FILE": "/c", "K8S_AUTH_KEY_FILE": "/k"}, FROM_HOST, False),
        (FROM_HOST, ENV_FILE, FROM_HOST, False),
        (replace(FROM_FILE, context="b"), {"K8S_AUTH_CONTEXT": "c"}, replace(FROM_FILE, context="b"), False),
        (
            ConnectionOptions(),
            AWX,
            ConnectionOptions(host="https://awx:6443", api_key="env-token", ca_cert="/tmp/ca"),
            True,
        ),
        (
            ConnectionOptions(kubeconfig="", host="", api_key=""),
            {**ENV_FILE, "K8S_AUTH_HOST": "", "K8S_AUTH_CONTEXT": "a"},
            ConnectionOptions(kubeconfig="/env/kubeconfig", context="a"),
            True,
        ),
        (
            ConnectionOptions(context="mine"),
            {**ENV_FILE, "K8S_AUTH_CONTEXT": "theirs"},
            ConnectionOptions(kubeconfig="/env/kubeconfig", context="mine"),
            True,
        ),
    ],
)
def test_chosen(options: ConnectionOptions, environ: dict[str, str], chosen: ConnectionOptions, from_environment: bool) -> None:
    found = resolve(options, environ)
    assert (found.options, found.from_environment) == (chosen, from_environment)
    assert found.note == ""


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        (ConnectionOptions(), {}, "no management cluster given"),
        (ConnectionOptions(), {"KUBECONFIG": "/x", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "no management cluster given"),
        (ConnectionOptions(), {**AWX, **ENV_FILE}, "K8S_AUTH_KUBECONFIG and K8S_AUTH_HOST are both set"),
        (ConnectionOptions(api_key="t"), AWX, "option api_key needs host beside it"),
        (ConnectionOptions(ca_cert="/ca"), ENV_FILE, "option ca_cert needs host beside it"),
        (ConnectionOptions(context="a"), AWX, "context does not go with K8S_AUTH_HOST"),
        (replace(FROM_FILE, host="https://mine"), {}, "kubeconfig and host are both set"),
        (replace(FROM_FILE, api_key="t"), {}, "api_key does not go with kubeconfig"),
        (replace(FROM_FILE, proxy="http://p"), {}, "proxy does not go with kubeconfig"),
        (replace(FROM_HOST, context="a"), {}, "context does not go with host"),
        (replace(FROM_HOST, client_cert="/c", api_key=None), {}, "client_cert and client_key belong together"),
        (replace(FROM_HOST, client_cert="/c", client_key="/k"), {}, "api_key and client_cert are both set"),
        (ConnectionOptions(host="https://mine"), AWX, "host needs credentials"),
        (ConnectionOptions(), {"K8S_AUTH_HOST": "https://a"}, "K8S_AUTH_HOST needs credentials: set K8S_AUTH_API_KEY"),
        (ConnectionOptions(), {**AWX, "K8S_AUTH_IMPERSONATE_USER": "x"}, "K8S_AUTH_IMPERSONATE_USER is not supported"),
        (ConnectionOptions(), {**ENV_FILE, "K8S_AUTH_PROXY": "http://p"}, "K8S_AUTH_PROXY does not go with K8S_AUTH_KUBECONFIG"),
    ],
)
def test_refused(options: ConnectionOptions, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=message):
        resolve(options, environ)


@pytest.mark.parametrize("value", ["False", "no", "0"])
def test_switching_verification_off_has_no_effect_and_is_said_when_it_matters(value: str) -> None:
    found = resolve(ConnectionOptions(), {**AWX, "K8S_AUTH_VERIFY_SSL": value})
    assert "K8S_AUTH_VERIFY_SSL asks for no verification and is not followed" in found.note
    assert resolve(FROM_FILE, {"K8S_AUTH_VERIFY_SSL": value}).note == ""


def test_secrets_are_not_shown() -> None:
    options = ConnectionOptions(host="https://a", api_key="sesame", proxy="http://user:sesame@proxy")
    assert "sesame" not in repr(options) + repr(resolve(options, {}))


def _kubeconfig(**parts: Any) -> bytes:
    """A kubeconfig whose cluster and user fields are those given."""
    cluster = {"server": "https://a:6443", **parts.get("cluster", {})}
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": parts.get("user", {"token": "t"})}],
    }
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\t", "is not YAML"),
        (b"[]", "not a YAML mapping"),
        (b"{}", "no current-context"),
        (_kubeconfig(cluster={"server": ""}), "names no server"),
        (_kubeconfig(cluster={"server": "http://a:8080"}), "'http://a:8080' is not an https URL; write https://HOST:PORT"),
        (_kubeconfig(cluster={"server": "a:6443"}), "is not an https URL"),
        (_kubeconfig(cluster={"server": "https://a:port"}), "Port could not be cast"),
        (_kubeconfig(cluster={"insecure-skip-tls-verify": True}), "verification is never off"),
        (_kubeconfig(cluster={"certificate-authority-data": "?"}), "certificate-authority-data is not base64"),
        (_kubeconfig(cluster={"certificate-authority-data": "Tk9QRQ=="}), "the CA certificate cannot be read"),
        (_kubeconfig(user={"client-certificate-data": "Tk9QRQ=="}), "only one of client-certificate and client-key"),
        (_kubeconfig(user={"client-certificate-data": "Tk9QRQ==", "client-key-data": "Tk9QRQ=="}), "must be PEM and belong together"),
        (_kubeconfig(user={"auth-provider": {"name": "oidc"}}), "auth-provider and username are no longer part"),
        (_kubeconfig(user={"username": "a", "password": "b"}), "auth-provider and username are no longer part"),
        (_kubeconfig(user={"token": "two words"}), "the token holds characters that no token has"),
        (_kubeconfig(user={"as": "a", "as-user-extra": {"b": ["c"]}}), "as-user-extra are not supported"),
        (_kubeconfig(cluster={"certificate-authority": "/etc/passwd"}), "only embedded data is accepted"),
        (_kubeconfig(user={"client-certificate": "/c", "client-key": "/k"}), "only embedded data is accepted"),
        (_kubeconfig(user={"tokenFile": "/etc/passwd"}), "names a file or program"),
        (_kubeconfig(user={"exec": {"command": "rm"}}), "names a file or program"),
    ],
)
def test_unusable_kubeconfig_in_memory(data: bytes, message: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=message):
        client_from_kubeconfig(data)


def test_kubeconfig_of_the_operator_may_name_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "config").write_bytes(_kubeconfig(user={"tokenFile": "token", "as": "me", "as-groups": ["g", "h"]}))
    with connect(ConnectionOptions(kubeconfig=str(tmp_path / "config")), {}) as client:
        assert client.identity_headers() == [
            ("Impersonate-User", "me"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Group", "h"),
            ("Authorization", "Bearer from-file"),
        ]
        (tmp_path / "token").write_text("rotated\n")
        assert client.access.credentials is not None
        assert client.access.credentials.renew()
        assert not client.access.credentials.renew()
        assert client.identity_headers()[-1] == ("Authorization", "Bearer rotated")


def test_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    with pytest.raises(ConnectionSettingsError, match=f"kubeconfig {path} cannot be read: No such file"):
        connect(ConnectionOptions(kubeconfig=str(path)), {})
    path.write_bytes(_kubeconfig(cluster={"certificate-authority": "ca.crt"}))
    with pytest.raises(ConnectionSettingsError, match=f"kubeconfig {path}: certificate-authority {tmp_path}/ca.crt cannot be read"):
        connect(ConnectionOptions(kubeconfig=str(path)), {})


def test_credential_plugin(tmp_path: Path) -> None:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-plugin"}}
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [json.dumps(answer)]}
    path = tmp_path / "config"
    path.write_bytes(_kubeconfig(user={"exec": plugin}))
    with connect(ConnectionOptions(kubeconfig=str(path)), {}) as client:
        assert client.identity_headers() == [("Authorization", "Bearer from-plugin")]
    path.write_bytes(_kubeconfig(user={"exec": {**plugin, "command": "false", "args": []}}))
    with pytest.raises(ConnectionSettingsError, match="credential plugin false failed: exec: process returned 1"):
        connect(ConnectionOptions(kubeconfig=str(path)), {})
    path.write_bytes(_kubeconfig(user={"exec": {**plugin, "command": "no-such-program"}}))
    with pytest.raises(ConnectionSettingsError, match="credential plugin no-such-program failed"):
        connect(ConnectionOptions(kubeconfig=str(path)), {})


def test_no_error_quotes_the_kubeconfig() -> None:
    secret = base64.b64encode(b"sesame").decode()
    with pytest.raises(ConnectionSettingsError) as caught:
        client_from_kubeconfig(f"token: {secret}\n\t- {secret}".encode())
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__cause__)
