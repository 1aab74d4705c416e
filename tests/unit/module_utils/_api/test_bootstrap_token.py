# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens: the Secret's shape, whose tokens are ours, and when cluster-info is signed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import bootstrap_token as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError

EXPIRES = datetime(2026, 11, 22, 12, 15, tzinfo=UTC)
TOKEN = api.Token(id="abcdef", secret="0123456789abcdef", host="worker-1", expires=EXPIRES)


def test_secret_as_the_api_documents_it() -> None:
    manifest = TOKEN.manifest()
    data = {key: base64.b64decode(value).decode() for key, value in manifest["data"].items()}
    assert manifest["type"] == "bootstrap.kubernetes.io/token"
    assert manifest["metadata"]["name"] == "bootstrap-token-abcdef"
    assert manifest["metadata"]["namespace"] == "kube-system"
    assert data == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "expiration": "2026-11-22T12:15:00Z",
        "usage-bootstrap-signing": "true",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        "description": "hosted.kubernetes: join of host worker-1",
    }
    assert TOKEN.text == "abcdef.0123456789abcdef"


def test_the_secret_part_is_not_shown() -> None:
    assert TOKEN.secret not in repr(TOKEN)


@pytest.mark.parametrize(("identifier", "secret"), [("abc", "0123456789abcdef"), ("abcdef", "short"), ("ABCDEF", "0123456789abcdef")])
def test_malformed_tokens_are_refused(identifier: str, secret: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        api.Token(id=identifier, secret=secret, host="h", expires=EXPIRES)


@pytest.mark.parametrize("ttl_s", [60, 900])
def test_lifetimes(ttl_s: int) -> None:
    api.check_ttl(ttl_s)


@pytest.mark.parametrize("ttl_s", [0, 59, 901, 86_400])
def test_refused_lifetimes(ttl_s: int) -> None:
    with pytest.raises(InvalidError, match=f"ttl {ttl_s}: a bootstrap token lives 60 to 900 seconds"):
        api.check_ttl(ttl_s)


def test_only_our_tokens_of_that_host_are_found() -> None:
    ours, other_host = TOKEN.manifest(), api.Token("ghijkl", TOKEN.secret, "worker-2", EXPIRES).manifest()
    kubeadms = {"metadata": {"name": "bootstrap-token-zzzzzz"}}
    assert api.tokens_of("worker-1", [kubeadms, other_host, ours]) == ["bootstrap-token-abcdef"]


@pytest.mark.parametrize(
    ("cluster_info", "said"),
    [
        (None, "does not exist"),
        ({"data": {"kubeconfig": "x"}}, "has not signed"),
        ({"data": {"jws-kubeconfig-zzzzzz": "x"}}, "has not signed"),
    ],
)
def test_unsigned(cluster_info: dict[str, object] | None, said: str) -> None:
    assert said in (api.unsigned("abcdef", cluster_info) or "")


def test_signed() -> None:
    assert api.unsigned("abcdef", {"data": {"jws-kubeconfig-abcdef": "eyJ..x"}}) is None


def test_cluster_of_cluster_info_without_a_context() -> None:
    # As kubeadm 1.36.3 writes it.
    kubeconfig = """
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: YWJj
    server: https://198.51.100.20:6443
  name: ""
contexts: null
current-context: ""
kind: Config
users: null
"""
    found = api.cluster_of({"data": {"kubeconfig": kubeconfig}})
    assert found.server == "https://198.51.100.20:6443"
    assert found.embedded(found.cluster, "certificate-authority-data") == b"abc"


@pytest.mark.parametrize("data", [{}, {"kubeconfig": ""}, {"kubeconfig": "clusters: []"}, {"kubeconfig": "{"}])
def test_cluster_info_without_a_cluster(data: dict[str, str]) -> None:
    with pytest.raises(HostedKubernetesError, match="kube-public/cluster-info: its kubeconfig names no cluster"):
        api.cluster_of({"data": data})


def test_a_bundle_of_certificates_is_split() -> None:
    one, two = (f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode() for text in ("AAAA", "BBBB"))
    assert api.certificates(one + b"# comment\n" + two) == [one, two]
