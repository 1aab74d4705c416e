# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: made as kubeadm makes them, and checked by a chain of named checks whose first fault is the reason.

Differences from kubeadm (k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil), each on purpose: leaves carry a subject key
identifier, keyEncipherment is claimed for RSA keys only (RFC 5480 §3), and no leaf outlives its CA.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import (
    KeyAlgorithm,
    KeyPair,
    PkiError,
    encode_private_key,
    load_private_key,
    new_private_key,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.library import (
    ExtendedKeyUsageOID,
    InvalidSignature,
    NameOID,
    ec,
    hashes,
    rsa,
    serialization,
    x509,
)

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PrivateKey, PublicKey

    _Extension = TypeVar("_Extension", bound=x509.ExtensionType)

BACKDATE: Final = timedelta(minutes=5)
LEAF_VALIDITY: Final = timedelta(days=365)
"""Certificates are valid from this long ago, so that hosts with a slow clock accept them (kubeadm's CertificateBackdate)."""


@dataclass(frozen=True)
class LeafRequest:
    """What a leaf certificate must say. ip_addresses in any spelling; at least one of client and server is True."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    client: bool = False
    server: bool = False

    def __post_init__(self) -> None:
        if not self.common_name:
            raise PkiError("a certificate needs a common name")
        if not (self.client or self.server):
            raise PkiError(f"certificate {self.common_name}: neither for clients nor for servers")
        if self.server and not (self.dns_names or self.ip_addresses):
            raise PkiError(f"certificate {self.common_name}: a server certificate needs a DNS name or an IP address")


def new_ca(common_name: str, *, algorithm: KeyAlgorithm, now: datetime, validity: timedelta = timedelta(days=3650)) -> KeyPair:
    """Make a self-signed CA as kubeadm does: subject CN only, the name as DNS SAN too, backdated by 5 minutes.

    Raises PkiError when the name cannot stand in a certificate.
    """
    key = new_private_key(algorithm)
    name = _subject(common_name)
    builder = (
        _builder(key.public_key(), name, name, now - BACKDATE, now + validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(key.public_key(), ca=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    )
    return _signed(builder, key, key)


def new_leaf(
    ca: KeyPair,
    request: LeafRequest,
    *,
    algorithm: KeyAlgorithm,
    now: datetime,
    validity: timedelta = LEAF_VALIDITY,
) -> KeyPair:
    """Make a key and a certificate signed by ca; it ends after validity or with the CA, whichever is first.

    Raises PkiError when the CA cannot be used or has ended, or when a name or an address is not one.
    """
    check_ca(ca, now=now)
    issuer = load_certificate(ca.certificate)
    key = new_private_key(algorithm)
    end = min(now + validity, issuer.not_valid_after_utc)
    start = max(now - BACKDATE, issuer.not_valid_before_utc)
    subject = _subject(request.common_name, request.organizations)
    builder = (
        _builder(key.public_key(), subject, issuer.subject, start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(key.public_key(), ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(request)), critical=False)
        .add_extension(_authority(issuer), critical=False)
    )
    names = _alternative_names(request)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _signed(builder, key, load_private_key(ca.key))


def check_ca(pair: KeyPair, *, now: datetime | None = None) -> None:
    """Raise PkiError when the pair cannot sign certificates: unreadable, halves of two pairs, not a CA.

    now: UTC; given, a CA that has ended is refused too.
    """
    certificate = load_certificate(pair.certificate)
    subject = _display(certificate.subject)
    if load_private_key(pair.key).public_key() != certificate.public_key():
        raise PkiError(f"CA {subject}: the private key does not belong to the certificate; restore both from one backup")
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise PkiError(f"CA {subject}: the certificate is not that of a CA (basic constraints)")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise PkiError(f"CA {subject}: its key usage does not allow signing certificates")
    if now is not None and certificate.not_valid_after_utc <= now:
        raise PkiError(f"CA {subject}: ended at {_stamp(certificate.not_valid_after_utc)}; rotate the CA")


def check_leaf(pair: KeyPair, request: LeafRequest, *, ca_certificate: bytes, now: datetime, renew_before: timedelta) -> str | None:
    """Return why the leaf must be issued again, None when it may stay.

    The checks run in a fixed order and the first fault is the reason. The key algorithm is not among them: a changed
    option takes effect when a leaf is next issued. A leaf that ends with its CA is not renewed before that end,
    because a new one could not last longer. Raises PkiError when ca_certificate cannot be read.
    """
    fault = check_trust(pair, ca_certificate=ca_certificate, now=now, renew_before=renew_before)
    if fault:
        return fault
    leaf = load_certificate(pair.certificate)
    checks = (_check_subject, _check_names, _check_purposes)
    return next((reason for reason in (check(leaf, request) for check in checks) if reason), None)


def check_trust(pair: KeyPair, *, ca_certificate: bytes, now: datetime, renew_before: timedelta) -> str | None:
    """Return why a leaf is not, or not for long, one of the CA, whatever it says of its owner; None when it is. See check_leaf."""
    ca = load_certificate(ca_certificate)
    try:
        leaf = load_certificate(pair.certificate)
        key = load_private_key(pair.key)
    except PkiError as exc:
        return exc.msg
    if key.public_key() != leaf.public_key():
        return "the private key does not belong to the certificate"
    return _check_issuer(leaf, ca) or _check_period(leaf, ca, now, renew_before)


def ca_hash(ca_pem: bytes) -> str:
    """Return kubeadm's --discovery-token-ca-cert-hash of a CA: "sha256:" and the hex hash of its public key (SPKI)."""
    key = load_certificate(ca_pem).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def not_after(pem: bytes) -> datetime:
    """Return when the (first) certificate ends, UTC. Raises PkiError when it cannot be read."""
    return load_certificate(pem).not_valid_after_utc


def load_certificate(pem: bytes) -> x509.Certificate:
    """Read the first certificate of a PEM text. Raises PkiError when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as exc:
        raise PkiError("the certificate cannot be read; expected PEM") from exc


def _builder(public: PublicKey, subject: x509.Name, issuer: x509.Name, start: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start.astimezone(UTC))
        .not_valid_after(end.astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: PrivateKey, signer: PrivateKey) -> KeyPair:
    big = isinstance(signer, ec.EllipticCurvePrivateKey) and signer.curve.key_size > 256
    certificate = builder.sign(signer, hashes.SHA384() if big else hashes.SHA256())
    return KeyPair(certificate=certificate.public_bytes(serialization.Encoding.PEM), key=encode_private_key(key))


def _key_usage(public: PublicKey, *, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=isinstance(public, rsa.RSAPublicKey),
        key_cert_sign=ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    if own is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]


def _subject(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    try:
        found = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, item) for item in organizations]
        return x509.Name([*found, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as exc:
        raise PkiError(f"certificate {common_name}: its subject is refused: {exc}") from exc


def _purposes(request: LeafRequest) -> list[x509.ObjectIdentifier]:
    return [ExtendedKeyUsageOID.SERVER_AUTH] * request.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * request.client


def _alternative_names(request: LeafRequest) -> list[x509.GeneralName]:
    try:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys(request.dns_names)]
        addresses = dict.fromkeys(ip_address(address) for address in request.ip_addresses)
    except ValueError as exc:
        raise PkiError(f"certificate {request.common_name}: {exc}") from exc
    return names + [x509.IPAddress(address) for address in addresses]


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_issuer(leaf: x509.Certificate, ca: x509.Certificate) -> str | None:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return f"signed by another CA than the present {_display(ca.subject)}"
    return None


def _check_period(leaf: x509.Certificate, ca: x509.Certificate, now: datetime, renew_before: timedelta) -> str | None:
    end = leaf.not_valid_after_utc
    if end <= now:
        return f"expired at {_stamp(end)}"
    if end - renew_before <= now and end < ca.not_valid_after_utc:
        return f"expires at {_stamp(end)}"
    if leaf.not_valid_before_utc > now + BACKDATE:
        return f"not valid before {_stamp(leaf.not_valid_before_utc)}"
    return None


def _check_subject(leaf: x509.Certificate, request: LeafRequest) -> str | None:
    names = [item.value for item in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [request.common_name]:
        return f"common name is {', '.join(map(str, names)) or 'absent'}, not {request.common_name}"
    found = {item.value for item in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if found != set(request.organizations):
        return f"organizations are {_listed(found)}, not {_listed(request.organizations)}"
    return None


def _check_names(leaf: x509.Certificate, request: LeafRequest) -> str | None:
    extension = _extension(leaf, x509.SubjectAlternativeName)
    found: set[str] = set()
    if extension is not None:
        found.update(name.lower() for name in extension.get_values_for_type(x509.DNSName))
        found.update(str(address) for address in extension.get_values_for_type(x509.IPAddress))
    wanted = {name.lower() for name in request.dns_names} | {_plain(address) for address in request.ip_addresses}
    if wanted - found:
        return f"not valid for {_listed(wanted - found)}"
    if found - wanted:
        return f"valid for {_listed(found - wanted)}, which is no longer wanted"
    return None


def _check_purposes(leaf: x509.Certificate, request: LeafRequest) -> str | None:
    extension = _extension(leaf, x509.ExtendedKeyUsage)
    if set(extension or ()) != set(_purposes(request)):
        wanted = " and ".join(["server"] * request.server + ["client"] * request.client)
        return f"extended key usage is not {wanted} authentication"
    return None


def _plain(address: str) -> str:
    """The canonical spelling; text that is no address (yet) stays as it is, so that no certificate matches it."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _listed(items: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, items))) or "none"


def _display(name: x509.Name) -> str:
    return name.rfc4514_string() or "without a subject"


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
