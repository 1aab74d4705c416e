# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and kubeconfigs: what is issued passes every check, and each fault is found and named."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import (
    LeafRequest,
    ca_hash,
    check_ca,
    check_leaf,
    load_certificate,
    new_ca,
    new_leaf,
    not_after,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import (
    KeyAlgorithm,
    KeyPair,
    PkiError,
    encode_private_key,
    new_private_key,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import (
    check_kubeconfig,
    kubeconfig,
    read_kubeconfig_client,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MONTH = timedelta(days=30)
EC = KeyAlgorithm.ECDSA_P256
CA = new_ca("kubernetes", algorithm=EC, now=NOW)
OTHER_CA = new_ca("kubernetes", algorithm=EC, now=NOW)
SERVER = LeafRequest(
    "kube-apiserver",
    dns_names=("kubernetes", "kubernetes.default.svc"),
    ip_addresses=("10.96.0.1", "fd00::1"),
    server=True,
)
ADMIN = LeafRequest("kubernetes-admin", organizations=("kubeadm:cluster-admins", "ops"), client=True)
SERVER_PAIR = new_leaf(CA, SERVER, algorithm=EC, now=NOW)
ADMIN_PAIR = new_leaf(CA, ADMIN, algorithm=EC, now=NOW)

# Made by kubeadm v1.36.3 (`kubeadm init phase certs ca`); the hash is openssl's of the same public key.
KUBEADM_CA = b"""-----BEGIN CERTIFICATE-----
MIIDBTCCAe2gAwIBAgIIVOlQx+91vV8wDQYJKoZIhvcNAQELBQAwFTETMBEGA1UE
AxMKa3ViZXJuZXRlczAeFw0yNjExMjIxODM3NTdaFw0zNjExMTkxODQyNTdaMBUx
EzARBgNVBAMTCmt1YmVybmV0ZXMwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEK
AoIBAQDcsjVO4sevZ6xArSI03TfIH3WZxi+HgYQYLGJfYtySyjmcyADY23HE/Ee2
BqopOfzm6Kny+AkoIFOlq0gbCT8ZCJV0amA25p235xOIUAaO2oAzabdR0Hs6mNBJ
rO6F5NVgbTqQrWlewIafZMexEqZ84lsLC9SlvQvx5kCwWDJRMbOU93O05Wa0uxG3
xeWD0ofFKDbahOKv61GJV5iANV1XWeVpxfSdToo286se3MpLKyG66/IZm0uPbqVM
vmYG8STSmow+lcsSiECO7xpt8vZHX2vmJ0StmFKWkDubKGyDOYapSoMBPFA8hnMu
tTA3ejcI+UrG3m286nIuA2G74uUjAgMBAAGjWTBXMA4GA1UdDwEB/wQEAwICpDAP
BgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBTRy25uuOTfEzqjmitJeNJ/n4grRDAV
BgNVHREEDjAMggprdWJlcm5ldGVzMA0GCSqGSIb3DQEBCwUAA4IBAQBnI96iza/9
lrkjVrmJyRMxKFhRXC75mZyc4x+OvvZZ7X7kGnG0yvkv4/3HWDgLyEvu/mjlCdP+
qcKh5v2iDZGn8ChW8mV7m/UE4zke9rTqHyBJJvdr03scAexJ9yR6LezlLYTK0UV9
CbCxFtMIUc7tFkRpSLRfnf8/Yk2W2KJwqdYlMQ7tLRFqpnJCs6+S29FJuigReKt5
f9YTqGbSU694MC090ieNbk7oE9Zi0665i2jR/SMkSiZ7Bfga8WMIWgnx3jAm3Nq4
v5x+VHXE4bFl26YFDAO/yO42dclQ/ESPidxJJLEX5tdOmiY72H81HIYdRk6iZxSI
PA8Zptq0aOhG
-----END CERTIFICATE-----
"""
KUBEADM_HASH = "sha256:a851ed21574d7ea0f426f8a0bd3f270a0d003863f9a467569ddf0a68f2d2d485"


def _value(pem: bytes, kind: type[Any]) -> Any:
    return load_certificate(pem).extensions.get_extension_for_class(kind).value


def _check(pair: KeyPair, request: LeafRequest, *, ca: KeyPair = CA, now: datetime = NOW) -> str | None:
    return check_leaf(pair, request, ca_certificate=ca.certificate, now=now, renew_before=MONTH)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048])
def test_ca_says_what_kubeadms_says(algorithm: KeyAlgorithm) -> None:
    ca = new_ca("kubernetes", algorithm=algorithm, now=NOW)
    ours, theirs = load_certificate(ca.certificate), load_certificate(KUBEADM_CA)
    check_ca(ca, now=NOW)
    assert ours.subject == ours.issuer == theirs.subject
    assert ours.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert ours.not_valid_after_utc == NOW + timedelta(days=3650)
    assert {item.oid: item.critical for item in ours.extensions} == {item.oid: item.critical for item in theirs.extensions}
    for kind in (x509.BasicConstraints, x509.SubjectAlternativeName):
        assert _value(ca.certificate, kind) == _value(KUBEADM_CA, kind)
    usage = _value(ca.certificate, x509.KeyUsage)
    assert usage.key_cert_sign
    assert usage.digital_signature
    assert usage.key_encipherment == isinstance(ours.public_key(), rsa.RSAPublicKey)


def test_ca_hash_is_kubeadms() -> None:
    assert ca_hash(KUBEADM_CA) == KUBEADM_HASH


@pytest.mark.parametrize("ca_algorithm", [KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048])
@pytest.mark.parametrize("request_", [SERVER, ADMIN, replace(SERVER, client=True)], ids=["server", "client", "both"])
def test_a_new_leaf_passes_every_check(ca_algorithm: KeyAlgorithm, request_: LeafRequest) -> None:
    ca = new_ca("kubernetes", algorithm=ca_algorithm, now=NOW)
    pair = new_leaf(ca, request_, algorithm=EC, now=NOW)
    assert _check(pair, request_, ca=ca) is None


def test_leaf_fields() -> None:
    leaf = load_certificate(SERVER_PAIR.certificate)
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert not_after(SERVER_PAIR.certificate) == NOW + timedelta(days=365)
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=5)
    names = _value(SERVER_PAIR.certificate, x509.SubjectAlternativeName)
    assert tuple(names.get_values_for_type(x509.DNSName)) == SERVER.dns_names
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.96.0.1"), ip_address("fd00::1")]
    own = _value(CA.certificate, x509.SubjectKeyIdentifier)
    assert _value(SERVER_PAIR.certificate, x509.AuthorityKeyIdentifier).key_identifier == own.digest
    assert not _value(SERVER_PAIR.certificate, x509.BasicConstraints).ca
    subject = load_certificate(ADMIN_PAIR.certificate).subject
    assert subject.rfc4514_string() == "CN=kubernetes-admin,O=ops,O=kubeadm:cluster-admins"


def test_serials_are_random() -> None:
    pairs = [new_leaf(CA, ADMIN, algorithm=EC, now=NOW) for _unused in range(5)]
    assert len({load_certificate(pair.certificate).serial_number for pair in pairs}) == 5


def test_no_leaf_outlives_its_ca_and_none_is_renewed_in_vain() -> None:
    ca = new_ca("kubernetes", algorithm=EC, now=NOW, validity=timedelta(days=10))
    pair = new_leaf(ca, ADMIN, algorithm=EC, now=NOW)
    assert not_after(pair.certificate) == not_after(ca.certificate)
    assert _check(pair, ADMIN, ca=ca) is None
    assert _check(pair, ADMIN, ca=ca, now=NOW + timedelta(days=10)) == "expired at 2026-12-02T12:00:00Z"


REISSUED_CA = KeyPair(new_ca("other-name", algorithm=EC, now=NOW).certificate, CA.key)


@pytest.mark.parametrize(
    ("pair", "request_", "options", "reason"),
    [
        (replace(SERVER_PAIR, certificate=b"no PEM"), SERVER, {}, "the certificate cannot be read; expected PEM"),
        (
            replace(SERVER_PAIR, key=b""),
            SERVER,
            {},
            "the private key cannot be read; expected PEM with an ECDSA or RSA key",
        ),
        (replace(SERVER_PAIR, key=ADMIN_PAIR.key), SERVER, {}, "the private key does not belong to the certificate"),
        (SERVER_PAIR, SERVER, {"ca": OTHER_CA}, "signed by another CA than the present CN=kubernetes"),
        (SERVER_PAIR, SERVER, {"ca": REISSUED_CA}, "signed by another CA than the present CN=other-name"),
        (SERVER_PAIR, SERVER, {"now": NOW + timedelta(days=334)}, None),
        (SERVER_PAIR, SERVER, {"now": NOW + timedelta(days=335)}, "expires at 2027-11-22T12:00:00Z"),
        (SERVER_PAIR, SERVER, {"now": NOW + timedelta(days=365)}, "expired at 2027-11-22T12:00:00Z"),
        (SERVER_PAIR, SERVER, {"now": NOW - timedelta(minutes=9)}, None),
        (SERVER_PAIR, SERVER, {"now": NOW - timedelta(minutes=11)}, "not valid before 2026-11-22T11:55:00Z"),
        (SERVER_PAIR, replace(SERVER, common_name="etcd"), {}, "common name is kube-apiserver, not etcd"),
        (ADMIN_PAIR, replace(ADMIN, organizations=("ops", "kubeadm:cluster-admins")), {}, None),
        (
            ADMIN_PAIR,
            replace(ADMIN, organizations=("system:masters",)),
            {},
            "organizations are kubeadm:cluster-admins, ops, not system:masters",
        ),
        (SERVER_PAIR, replace(SERVER, organizations=("a",)), {}, "organizations are none, not a"),
        (
            SERVER_PAIR,
            replace(SERVER, dns_names=(*SERVER.dns_names, "b.example.com", "a.example.com")),
            {},
            "not valid for a.example.com, b.example.com",
        ),
        (SERVER_PAIR, replace(SERVER, dns_names=("KUBERNETES", "kubernetes.default.svc")), {}, None),
        (SERVER_PAIR, replace(SERVER, ip_addresses=("10.96.0.1", "fd00:0::1")), {}, None),
        (SERVER_PAIR, replace(SERVER, ip_addresses=("10.96.0.1",)), {}, "valid for fd00::1, which is no longer wanted"),
        (
            SERVER_PAIR,
            replace(SERVER, ip_addresses=(*SERVER.ip_addresses, "⟨known after apply⟩")),
            {},
            "not valid for ⟨known after apply⟩",
        ),
        (SERVER_PAIR, replace(SERVER, client=True), {}, "extended key usage is not server and client authentication"),
        (ADMIN_PAIR, replace(ADMIN, client=False, server=True, dns_names=("a",)), {}, "not valid for a"),
    ],
)
def test_reason_to_issue_again(pair: KeyPair, request_: LeafRequest, options: dict[str, Any], reason: str | None) -> None:
    assert _check(pair, request_, **options) == reason


def test_another_algorithm_is_no_reason() -> None:
    assert _check(new_leaf(CA, ADMIN, algorithm=KeyAlgorithm.RSA_2048, now=NOW), ADMIN) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"common_name": ""}, "needs a common name"),
        ({"server": False}, "neither for clients nor for servers"),
        ({"dns_names": (), "ip_addresses": ()}, "needs a DNS name or an IP address"),
    ],
)
def test_contradicting_request_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PkiError, match=message):
        replace(SERVER, **fields)


@pytest.mark.parametrize(
    ("ca", "request_", "now", "message"),
    [
        (CA, replace(SERVER, ip_addresses=("10.96.0.300",)), NOW, "'10.96.0.300' does not appear to be"),
        (CA, replace(SERVER, dns_names=("bücher",)), NOW, "certificate kube-apiserver: "),
        (CA, replace(ADMIN, common_name="a" * 65), NOW, f"certificate {'a' * 65}: its subject is refused: .*64"),
        (CA, SERVER, NOW + timedelta(days=3650), "CA CN=kubernetes: ended at 2036-11-19T12:00:00Z; rotate the CA"),
        (replace(CA, key=OTHER_CA.key), SERVER, NOW, "does not belong to the certificate"),
        (SERVER_PAIR, SERVER, NOW, "not that of a CA"),
        (replace(CA, certificate=b""), SERVER, NOW, "cannot be read"),
    ],
    ids=["address", "name", "long", "ended", "mixed", "leaf", "empty"],
)
def test_issuing_is_refused(ca: KeyPair, request_: LeafRequest, now: datetime, message: str) -> None:
    with pytest.raises(PkiError, match=message):
        new_leaf(ca, request_, algorithm=EC, now=now)


def test_name_of_a_ca_that_is_too_long() -> None:
    with pytest.raises(PkiError, match=f"certificate {'a' * 65}: its subject is refused: "):
        new_ca("a" * 65, algorithm=EC, now=NOW)


def test_ca_that_must_not_sign_is_refused() -> None:
    key = new_private_key(EC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mine")])
    usage = x509.KeyUsage(True, False, False, False, False, False, True, False, False)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + MONTH)
    builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(PkiError, match="does not allow signing"):
        check_ca(KeyPair(pem, encode_private_key(key)))


# kubeconfigs
URL = "https://198.18.0.200:6443"
FILE = kubeconfig(server=URL, ca_certificate=CA.certificate, client=ADMIN_PAIR, user="kubernetes-admin", cluster="acme")


def test_kubeconfig_has_kubeadms_form() -> None:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    expected = f"""\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {encoded(CA.certificate)}
    server: https://198.18.0.200:6443
  name: acme
contexts:
- context:
    cluster: acme
    user: kubernetes-admin
  name: kubernetes-admin@acme
current-context: kubernetes-admin@acme
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: {encoded(ADMIN_PAIR.certificate)}
    client-key-data: {encoded(ADMIN_PAIR.key)}
"""
    assert FILE.decode() == expected


def test_kubeconfig_is_read_back() -> None:
    assert read_kubeconfig_client(FILE) == (URL, CA.certificate, ADMIN_PAIR)


def _edited(**changes: Any) -> bytes:
    """FILE with fields of its cluster and user replaced."""
    document = yaml.safe_load(FILE)
    for section in (document["clusters"][0]["cluster"], document["users"][0]["user"]):
        section.update({name: value for name, value in changes.items() if name in section})
    return yaml.safe_dump(document).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (FILE, None),
        (b"", "the kubeconfig is not a YAML mapping"),
        (b"a: [", "the kubeconfig is not YAML"),
        (b"\xff\xfe\xff", "the kubeconfig is not YAML"),
        (b"kind: Config", "the kubeconfig has no current-context; name the context to use"),
        (_edited(server="https://198.18.0.201:6443"), f"server is https://198.18.0.201:6443, not {URL}"),
        (_edited(server=""), "the kubeconfig names no server"),
        (
            _edited(**{"certificate-authority-data": base64.b64encode(OTHER_CA.certificate).decode()}),
            "the CA certificate it trusts is not the present one",
        ),
        (_edited(**{"client-key-data": "?"}), "the kubeconfig's client-key-data is not base64"),
        (_edited(**{"client-certificate-data": None}), "the kubeconfig has no client-certificate-data"),
        (
            _edited(**{"client-key-data": base64.b64encode(SERVER_PAIR.key).decode()}),
            "the private key does not belong to the certificate",
        ),
    ],
)
def test_reason_to_write_a_kubeconfig_again(data: bytes, reason: str | None) -> None:
    found = check_kubeconfig(data, ADMIN, server=URL, ca_certificate=CA.certificate, now=NOW, renew_before=MONTH)
    assert found == reason
