# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads certificate requests (PKCS #10) that others have made."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_serving import RequestContent
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PkiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.library import NameOID, UnsupportedAlgorithm, x509


def read_request(pem: bytes) -> RequestContent:
    """Return what a request asks for. Raises PkiError when it cannot be read."""
    try:
        request = x509.load_pem_x509_csr(pem)
        names = list(_alternative_names(request))
        return RequestContent(
            common_name=", ".join(_values(request, NameOID.COMMON_NAME)),
            organizations=tuple(_values(request, NameOID.ORGANIZATION_NAME)),
            dns_names=tuple(name.value for name in names if isinstance(name, x509.DNSName)),
            ip_addresses=tuple(str(name.value) for name in names if isinstance(name, x509.IPAddress)),
            others=tuple(_others(request, names)),
            is_signed=request.is_signature_valid,
        )
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise PkiError("the certificate request cannot be read; expected PEM with a PKCS #10 request") from error


def _values(request: x509.CertificateSigningRequest, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(item.value) for item in request.subject.get_attributes_for_oid(kind)]


def _alternative_names(request: x509.CertificateSigningRequest) -> Iterator[x509.GeneralName]:
    try:
        yield from request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return


def _others(request: x509.CertificateSigningRequest, names: list[x509.GeneralName]) -> Iterator[str]:
    """What is no common name, organisation, DNS name or address."""
    for attribute in request.subject:
        if attribute.oid not in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
            yield f"subject attribute {attribute.rfc4514_attribute_name}"
    for name in names:
        if not isinstance(name, (x509.DNSName, x509.IPAddress)):
            yield f"alternative name {type(name).__name__}"
