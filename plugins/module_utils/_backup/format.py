# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
r"""The file of a backup: streamed in both directions, compressed, checksummed, encrypted when there is a key. Bytes in, bytes out.

    file    = magic (8 bytes), length (u32) and JSON of the header, digest, chunk ..., end
    chunk   = kind (u8), raw length (u32), length (u32), content, digest
    content = Zstandard frame of the raw content; with a key the ciphertext of that and its tag
    digest  = SHA-256 of all bytes of the file before it (32 bytes)

Numbers are big endian. Kinds: R resources (JSON, first), K keys, E end (JSON: counts). A chunk of keys is a sequence of records: length of key,
length of value, seconds to live (u32 each; 0 for ever), key, value. Every digest covers all that comes before it, so a reader notices at
each chunk that something is missing, altered or in another order; only with a key is that proof against somebody who means harm.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import encryption
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import DamagedError, EncryptionKeyError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.library import zstd

MAGIC: Final = b"HKBACKUP"
FORMAT: Final = 1
LEVEL: Final = 1
CHUNK_BYTES: Final = 4 << 20
# Above any chunk that is written: a page of records is cut when it has CHUNK_BYTES, and etcd takes no value of this size.
_MOST_BYTES: Final = 256 << 20
_DIGEST_BYTES: Final = 32
_HEADER: Final = struct.Struct(">I")
_CHUNK: Final = struct.Struct(">BII")
_RECORD: Final = struct.Struct(">III")
_RESOURCES, _KEYS, _END = b"RKE"


@dataclass(frozen=True)
class Header:
    """What a backup says about itself before it is decrypted.

    tenant: namespace/name. created: RFC 3339, UTC. engine: version of the collection. schema: name of the share whose keys these are.
    salt, fingerprint: hex, of the encryption key; empty when there is none. format: of the file.
    """

    tenant: str
    created: str
    engine: str
    kubernetes: str
    driver: str
    datastore: str
    schema: str
    salt: str = ""
    fingerprint: str = ""
    format: int = FORMAT

    @property
    def encrypted(self) -> bool:
        return bool(self.salt)


@dataclass(frozen=True)
class Summary:
    """What the end of a backup counts. bytes: of keys and values. revision: of the store, at which all keys were read."""

    keys: int
    bytes: int
    revision: int


class Writer:
    """Writes one backup: resources() once, keys() for each page, end(). write: takes bytes, in order."""

    def __init__(self, write: Callable[[bytes], object], header: Header, key: bytes | None = None) -> None:
        self._write, self._digest = write, hashlib.sha256()
        self._number, self._keys, self._raw_bytes = 0, 0, 0
        self.size = 0
        salt = encryption.new_salt() if key else b""
        if key:
            header = replace(header, salt=salt.hex(), fingerprint=encryption.fingerprint(key, salt))
        text = json.dumps(asdict(header), sort_keys=True).encode()
        self._put(MAGIC + _HEADER.pack(len(text)) + text)
        self._cipher = encryption.Cipher(key, salt, self._digest.digest()) if key else None
        self._put(self._digest.digest())

    @property
    def sha256(self) -> str:
        """Of all that was written so far."""
        return self._digest.hexdigest()

    def resources(self, content: Json) -> None:
        self._chunk(_RESOURCES, json.dumps(content, sort_keys=True).encode())

    def keys(self, records: Iterable[Record]) -> None:
        """Write some records; they follow those of earlier calls in the order of keys."""
        raw, count, size = bytearray(), 0, 0
        for key, value, ttl_s in records:
            raw += _RECORD.pack(len(key), len(value), ttl_s)
            raw += key
            raw += value
            count += 1
            size += len(key) + len(value)
            if size >= CHUNK_BYTES:
                self._flush(raw, count, size)
                raw, count, size = bytearray(), 0, 0
        if count:
            self._flush(raw, count, size)

    def end(self, revision: int) -> Summary:
        """Write the end, without which a backup is none."""
        summary = Summary(self._keys, self._raw_bytes, revision)
        self._chunk(_END, json.dumps(asdict(summary), sort_keys=True).encode())
        return summary

    def _flush(self, raw: bytearray, count: int, size: int) -> None:
        self._keys += count
        self._raw_bytes += size
        self._chunk(_KEYS, raw)

    def _chunk(self, kind: int, raw: bytes | bytearray) -> None:
        content = zstd.compress(raw, LEVEL)
        if self._cipher:
            content = self._cipher.encrypt(self._number, kind, content)
        self._number += 1
        self._put(_CHUNK.pack(kind, len(raw), len(content)))
        self._put(content)
        self._put(self._digest.digest())

    def _put(self, content: bytes) -> None:
        self._digest.update(content)
        self._write(content)
        self.size += len(content)


class Reader:
    """Reads one backup from its beginning. read: returns as many bytes as asked for, fewer at the end only.

    header is there at once; resources() must be read before records(). Raises DamagedError wherever the file is not what was written, and
    EncryptionKeyError when the key is not the one it was written with.
    """

    def __init__(self, read: Callable[[int], bytes], key: bytes | None = None) -> None:
        self._read, self._digest = read, hashlib.sha256()
        self._number = 0
        self.size = 0
        self.summary: Summary | None = None
        self.header = self._read_header()
        context = self._digest.digest()
        self._check_digest()
        self._cipher = self._open(key, context)

    @property
    def sha256(self) -> str:
        """Of all that was read so far."""
        return self._digest.hexdigest()

    def resources(self) -> Json:
        kind, raw = self._chunk()
        if kind != _RESOURCES:
            raise DamagedError("the resources do not come first")
        return _loaded(raw)

    def records(self) -> Iterator[Record]:
        """Yield all records. What was yielded counts only when this ends without an error; summary is known then."""
        keys = size = 0
        while True:
            kind, raw = self._chunk()
            if kind == _END:
                break
            if kind != _KEYS:
                raise DamagedError(f"chunk {self._number - 1} is of no known kind")
            for record in _records(raw):
                keys += 1
                size += len(record.key) + len(record.value)
                yield record
        self.summary = _summary(_loaded(raw))
        if (self.summary.keys, self.summary.bytes) != (keys, size):
            raise DamagedError(f"its end counts {self.summary.keys} keys, but it holds {keys}")
        if self._read(1):
            raise DamagedError("something follows its end")

    def _read_header(self) -> Header:
        start = self._read(len(MAGIC))
        if start != MAGIC:
            raise DamagedError("is no backup of this collection")
        self._note(start)
        (length,) = _HEADER.unpack(self._take(_HEADER.size))
        if length > CHUNK_BYTES:
            raise DamagedError("its header is altered")
        found = _loaded(self._take(length))
        if found.get("format") != FORMAT:
            raise DamagedError(
                f"is of format {found.get('format')}, this version of the collection reads {FORMAT}; use the one that wrote it"
            )
        try:
            return Header(**found)
        except TypeError as error:
            raise DamagedError("its header is altered") from error

    def _open(self, key: bytes | None, context: bytes) -> encryption.Cipher | None:
        if not self.header.encrypted:
            if key is not None:
                raise EncryptionKeyError(
                    "is not encrypted, so that anybody may have written it, though encryption_key_file is given; leave that out if you trust it"
                )
            return None
        if key is None:
            raise EncryptionKeyError("is encrypted; give the file with its key in encryption_key_file")
        salt = bytes.fromhex(self.header.salt)
        if encryption.fingerprint(key, salt) != self.header.fingerprint:
            raise EncryptionKeyError("is encrypted with another key; give the one it was made with in encryption_key_file")
        return encryption.Cipher(key, salt, context)

    def _chunk(self) -> tuple[int, bytes]:
        kind, raw_length, length = _CHUNK.unpack(self._take(_CHUNK.size))
        if max(raw_length, length) > _MOST_BYTES:
            raise DamagedError(f"chunk {self._number} is altered")
        content = self._take(length)
        self._check_digest()
        if self._cipher:
            content = self._cipher.decrypt(self._number, kind, content)
        raw = _decompressed(content, raw_length, self._number)
        self._number += 1
        return kind, raw

    def _check_digest(self) -> None:
        wanted = self._digest.digest()
        if self._take(_DIGEST_BYTES) != wanted:
            raise DamagedError(f"its checksum does not match before byte {self.size}: it was altered or damaged")

    def _take(self, length: int) -> bytes:
        content = self._read(length)
        self._note(content)
        if len(content) < length:
            raise DamagedError(f"ends after {self.size} bytes, in the middle: it was not written or copied to its end")
        return content

    def _note(self, content: bytes) -> None:
        self._digest.update(content)
        self.size += len(content)


def _decompressed(content: bytes, length: int, number: int) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    try:
        raw: bytes = decompressor.decompress(content, length)
    except zstd.ZstdError as error:
        raise DamagedError(f"chunk {number} cannot be decompressed") from error
    if len(raw) != length or not decompressor.eof or decompressor.unused_data:
        raise DamagedError(f"chunk {number} does not have the length that was written")
    return raw


def _records(raw: bytes) -> Iterator[Record]:
    position, end = 0, len(raw)
    while position < end:
        if position + _RECORD.size > end:
            raise DamagedError("a record is cut off")
        key_length, value_length, ttl_s = _RECORD.unpack_from(raw, position)
        start = position + _RECORD.size
        middle, position = start + key_length, start + key_length + value_length
        if position > end:
            raise DamagedError("a record is cut off")
        yield Record(raw[start:middle], raw[middle:position], ttl_s)


def _summary(found: Json) -> Summary:
    try:
        return Summary(**found)
    except TypeError as error:
        raise DamagedError("its end is altered") from error


def _loaded(text: bytes) -> Json:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise DamagedError("holds text that is no JSON: it was altered or damaged") from error
    if not isinstance(found, dict):
        raise DamagedError("holds JSON that is no object: it was altered or damaged")
    return found
