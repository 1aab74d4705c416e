# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate requests as kubelets make them, made without the library under test."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

SIGNER = "kubernetes.io/kubelet-serving"
USAGES = ("digital signature", "server auth")


def general_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Names and addresses as they stand in a request; "mailto:…" and "https:…" are what they look like."""
    return [_general_name(host) for host in hosts]


def pkcs10(
    user: str, hosts: Sequence[str], groups: Sequence[str] = ("system:nodes",), more: Sequence[x509.NameAttribute[str]] = ()
) -> bytes:
    """A request (PEM) for a user with names and addresses."""
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user), *more])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(hosts)), critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def serving_request(node: str, hosts: Sequence[str], usages: Sequence[str] = USAGES) -> Json:
    """The CertificateSigningRequest that a kubelet creates; the server names it."""
    spec = {"request": base64.b64encode(pkcs10(f"system:node:{node}", hosts)).decode(), "signerName": SIGNER, "usages": list(usages)}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return {**kind, "metadata": {"generateName": "csr-"}, "spec": spec}


def _general_name(host: str) -> x509.GeneralName:
    if host.startswith("mailto:"):
        return x509.RFC822Name(host.removeprefix("mailto:"))
    if host.startswith("https:"):
        return x509.UniformResourceIdentifier(host)
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
