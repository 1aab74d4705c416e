# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, certificates and kubeconfigs with the properties that the reference system's have, made without the library under test.

Those of kubeadm: RSA 2048, leaves for a year. Those of its own template (the client of an etcd, konnectivity): ten years, organisation
system:masters, always the same subject key identifier, good for clients, servers and code.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEAR: Final = datetime.timedelta(days=365)
_KEY_ID: Final = bytes([1, 2, 3, 4, 6])
_ANY_PURPOSE: Final = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING)


@dataclass(frozen=True)
class Signer:
    """What signs: a certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    @property
    def loaded(self) -> tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes]:
        key = serialization.load_pem_private_key(self.key, None)
        return x509.load_pem_x509_certificate(self.certificate), cast("CertificateIssuerPrivateKeyTypes", key)


def authority(name: str) -> Signer:
    """As kubeadm makes a CA: ten years, its name as a DNS name too."""
    key = _key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), 10 * YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return Signer(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def leaf(
    signer: Signer,
    name: str,
    *,
    groups: Sequence[str] = (),
    hosts: Sequence[str] = (),
    validity: datetime.timedelta = YEAR,
) -> Signer:
    """As kubeadm makes a leaf: for a server when it has hosts, else for a client."""
    key = next(_LEAF_KEYS)
    issuer, issuer_key = signer.loaded
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_subject(name, groups), issuer.subject, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(_key_identifier(issuer), None, None), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return Signer(_pem(builder.sign(issuer_key, hashes.SHA256())), _key_pem(key))


def all_purpose_leaf(signer: Signer, name: str) -> Signer:
    """As the reference's own template makes one."""
    key = next(_LEAF_KEYS)
    issuer, issuer_key = signer.loaded
    builder = (
        _builder(_subject(name, ("system:masters",)), issuer.subject, key.public_key(), 10 * YEAR)
        .add_extension(x509.SubjectKeyIdentifier(_KEY_ID), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(_key_identifier(issuer), None, None), critical=False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(_ANY_PURPOSE)), critical=False)
    )
    return Signer(_pem(builder.sign(issuer_key, hashes.SHA256())), _key_pem(key))


def service_account_pair() -> tuple[bytes, bytes]:
    """(public, private) PEM."""
    key = _key()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public, _key_pem(key)


def kubeconfig(server: str, ca: bytes, client: Signer, user: str, cluster: str) -> bytes:
    """A kubeconfig of one user of one cluster."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}}],
        "contexts": [{"name": f"{user}@{cluster}", "context": {"cluster": cluster, "user": user}}],
        "current-context": f"{user}@{cluster}",
        "preferences": {},
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": base64.b64encode(client.certificate).decode(),
                    "client-key-data": base64.b64encode(client.key).decode(),
                },
            }
        ],
    }
    return yaml.safe_dump(document).encode()


def md5(data: Mapping[str, bytes]) -> str:
    """How the reference sums up an object's data: the values in order of their keys."""
    return hashlib.md5(b"".join(data[key] for key in sorted(data)), usedforsecurity=False).hexdigest()


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _some_keys(count: int) -> Iterator[rsa.RSAPrivateKey]:
    """The same few keys again and again: making them is what takes longest, and whose key a leaf has matters to nobody."""
    keys: list[rsa.RSAPrivateKey] = []
    for number in itertools.count():
        if len(keys) < count:
            keys.append(_key())
        yield keys[number % count]


_LEAF_KEYS: Final = _some_keys(4)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, validity: datetime.timedelta) -> x509.CertificateBuilder:
    now = datetime.datetime.now(tz=datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(minutes=5),
        not_valid_after=now + validity,
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(issuer: x509.Certificate) -> bytes:
    return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
