# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of a backup with a key that the user brings: AES-256-GCM, each chunk by itself. Bytes in, bytes out.

Each file has a key of its own, derived (HKDF-SHA256) from the user's and the file's salt, so that the number of a chunk can be its nonce.
The number, the kind and the header are authenticated with each chunk: chunks cannot be left out, moved or brought from another file.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import DamagedError, EncryptionKeyError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.library import AESGCM, HKDF, SHA256, InvalidTag

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
ALGORITHM: Final = "AES-256-GCM"
_REMEDY: Final = "a key is 32 random bytes in base64, as openssl rand -base64 32 makes"


def read_key(content: bytes) -> bytes:
    """Return the key in the content of a key file. Raises EncryptionKeyError, which never repeats the content."""
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except binascii.Error as error:
        raise EncryptionKeyError(f"the encryption key cannot be read; {_REMEDY}") from error
    if len(key) != KEY_BYTES:
        raise EncryptionKeyError(f"the encryption key has {len(key)} bytes; {_REMEDY}")
    return key


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def fingerprint(key: bytes, salt: bytes) -> str:
    """What tells keys apart without telling anything of them; another one for each file."""
    return _derived(key, salt, b"hosted-kubernetes backup fingerprint", 8).hex()


class Cipher:
    """Encrypts or decrypts the chunks of one file. context: what of the file is authenticated with each of them."""

    def __init__(self, key: bytes, salt: bytes, context: bytes) -> None:
        self._cipher = AESGCM(_derived(key, salt, b"hosted-kubernetes backup chunks", KEY_BYTES))
        self._context = context

    def encrypt(self, number: int, kind: int, content: bytes) -> bytes:
        return self._cipher.encrypt(number.to_bytes(12, "big"), content, self._context + bytes([kind]))

    def decrypt(self, number: int, kind: int, content: bytes) -> bytes:
        """Raises DamagedError when this is not the chunk of that number and kind as it was written."""
        try:
            return self._cipher.decrypt(number.to_bytes(12, "big"), content, self._context + bytes([kind]))
        except InvalidTag as error:
            raise DamagedError(f"chunk {number} is not what was encrypted here: it was altered, or belongs to another file") from error


def _derived(key: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(key)
