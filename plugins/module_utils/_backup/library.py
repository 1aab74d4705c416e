# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to Zstandard and to authenticated encryption: the one file of this package that imports them.

Zstandard is in the standard library from Python 3.14 on (compression.zstd); before that its backport has the same interface. A missing
library must not hinder an import (ansible-test imports every file without it), so the names stand for None until require() is called.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

_ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

zstd: Any
try:
    zstd = importlib.import_module(_ZSTD)
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    zstd = AESGCM = SHA256 = HKDF = None  # type: ignore[assignment,misc]
    InvalidTag = Exception  # type: ignore[assignment,misc]

__all__ = ["AESGCM", "HKDF", "SHA256", "InvalidTag", "require", "zstd"]


def require() -> None:
    """Raise ImportError when one of them cannot be imported."""
    importlib.import_module(_ZSTD)
    importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
