# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to cryptography: the one file of this package that imports it.

A module's adapter checks for the library and gives the message; until then a missing library must not hinder an import
(ansible-test imports every file without it), so the names stand for None.
"""

from __future__ import annotations

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    x509 = hashes = serialization = ec = rsa = None  # type: ignore[assignment]
    ExtendedKeyUsageOID = NameOID = None  # type: ignore[assignment,misc]
    InvalidSignature = UnsupportedAlgorithm = Exception  # type: ignore[assignment,misc]

__all__ = [
    "ExtendedKeyUsageOID",
    "InvalidSignature",
    "NameOID",
    "UnsupportedAlgorithm",
    "ec",
    "hashes",
    "rsa",
    "serialization",
    "x509",
]
