# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Just enough DER to tell certificates apart on a host that has Python's standard library only.

Reads the subject's common name, the end of validity and the hash of the public key, as kubeadm pins it
(https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#token-based-discovery-with-ca-pinning).
Nothing here verifies a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s*(.*?)\s*-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTC_TIME = 0x17
_COMMON_NAME = bytes.fromhex("550403")


@dataclass(frozen=True)
class Certificate:
    """What is read of one certificate. public_key_hash is "sha256:" and hexadecimal text; not_after is UTC-aware."""

    common_name: str
    not_after: datetime
    public_key_hash: str


class DerError(ValueError):
    """The bytes are not a certificate."""


def read_pem(text: str) -> list[Certificate]:
    """Read every certificate of a PEM text, in order. Raises DerError when one cannot be read; none at all gives []."""
    try:
        return [read_der(base64.b64decode(body)) for body in PEM.findall(text)]
    except binascii.Error as error:
        raise DerError(f"not base64: {error}") from error


def read_der(data: bytes) -> Certificate:
    """Read one certificate (RFC 5280, section 4.1). Raises DerError."""
    try:
        certificate = _content(next(_walk(data)), _SEQUENCE)
        fields = list(_walk(_content(next(_walk(certificate)), _SEQUENCE)))
        if fields and fields[0][0] == _VERSION:
            fields = fields[1:]
        _serial, _signature, _issuer, validity, subject, key = fields[:6]
        _not_before, not_after = list(_walk(_content(validity, _SEQUENCE)))
        return Certificate(
            common_name=_common_name(_content(subject, _SEQUENCE)),
            not_after=_time(not_after),
            public_key_hash=f"sha256:{hashlib.sha256(key[2]).hexdigest()}",
        )
    except (StopIteration, IndexError, ValueError) as error:
        raise DerError(f"not an X.509 certificate: {error}") from error


_Element = tuple[int, bytes, bytes]  # tag, content, the whole element


def _walk(data: bytes) -> Iterator[_Element]:
    """Yield the elements that follow one another in data."""
    position = 0
    while position < len(data):
        tag, length, header = data[position], data[position + 1], 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position + 2 : position + 2 + size], "big")
            header += size
        end = position + header + length
        if end > len(data):
            raise DerError("it ends in the middle")
        yield tag, data[position + header : end], data[position:end]
        position = end


def _content(element: _Element, tag: int) -> bytes:
    if element[0] != tag:
        raise DerError(f"tag {element[0]:#x} where {tag:#x} belongs")
    return element[1]


def _common_name(names: bytes) -> str:
    for part in _walk(names):
        for attribute in _walk(_content(part, _SET)):
            oid, value = list(_walk(_content(attribute, _SEQUENCE)))[:2]
            if oid[0] == _OID and oid[1] == _COMMON_NAME:
                return value[1].decode(errors="replace")
    return ""


def _time(element: _Element) -> datetime:
    """UTCTime has a year of two digits, 50 and later in the last century (RFC 5280, section 4.1.2.5.1)."""
    text = element[1].decode("ascii")
    if element[0] == _UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
