# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a backup: what was written comes back, and nothing else is ever taken for it."""

from __future__ import annotations

import hashlib
import io
import secrets
import struct
from collections.abc import Callable

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import encryption, format
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import DamagedError, EncryptionKeyError

HEADER = format.Header("team-a/acme", "2026-11-28T05:00:00Z", "0.1.0", "v1.36.3", "etcd", "default", "team-a_acme")
RESOURCES = {"tenant": {"kind": "TenantControlPlane"}, "secrets": []}
RECORDS = [Record(b"registry/%04d" % number, secrets.token_bytes(number % 70), number % 3 and 60) for number in range(300)]
KEY = bytes(range(32))
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])


def written(key: bytes | None, pages: int = 3) -> bytes:
    stream = io.BytesIO()
    writer = format.Writer(stream.write, HEADER, key)
    writer.resources(RESOURCES)
    for number in range(pages):
        writer.keys(RECORDS[number * len(RECORDS) // pages : (number + 1) * len(RECORDS) // pages])
    assert writer.end(7) == format.Summary(300, sum(len(item.key) + len(item.value) for item in RECORDS), 7)
    content = stream.getvalue()
    assert (writer.size, writer.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return content


def read(content: bytes, key: bytes | None = None) -> list[Record]:
    reader = format.Reader(io.BytesIO(content).read, key)
    assert reader.resources() == RESOURCES
    return list(reader.records())


def spans(content: bytes) -> list[tuple[int, int]]:
    """Where each chunk begins and ends, its digest included."""
    (length,) = struct.unpack_from(">I", content, 8)
    position, found = 12 + length + 32, []
    while position < len(content):
        _kind, _raw, size = struct.unpack_from(">BII", content, position)
        found.append((position, position + 9 + size + 32))
        position = found[-1][1]
    return found


def mended(content: bytes, chunks: list[bytes]) -> bytes:
    """The file with other chunks, and every digest made right again: what somebody who means harm can do."""
    (length,) = struct.unpack_from(">I", content, 8)
    result = content[: 12 + length + 32]
    for chunk in chunks:
        result += chunk[:-32]
        result += hashlib.sha256(result).digest()
    return result


def chunks_of(content: bytes) -> list[bytes]:
    return [content[start:end] for start, end in spans(content)]


@KEYS
def test_comes_back(key: bytes | None) -> None:
    content = written(key)
    reader = format.Reader(io.BytesIO(content).read, key)
    assert (reader.header.tenant, reader.header.schema, reader.header.encrypted) == ("team-a/acme", "team-a_acme", key is not None)
    assert reader.resources() == RESOURCES
    assert list(reader.records()) == RECORDS
    assert reader.summary
    assert reader.summary.revision == 7
    assert reader.sha256 == hashlib.sha256(content).hexdigest()


@KEYS
def test_a_tenant_without_keys(key: bytes | None) -> None:
    stream = io.BytesIO()
    writer = format.Writer(stream.write, HEADER, key)
    writer.resources(RESOURCES)
    writer.end(1)
    assert read(stream.getvalue(), key) == []


def test_large_pages_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "CHUNK_BYTES", 1000)
    content = written(None, pages=1)
    assert len(spans(content)) > 8
    assert read(content) == RECORDS


@KEYS
def test_cut_off_anywhere(key: bytes | None) -> None:
    content = written(key)
    ends = {start for start, _end in spans(content)}
    for length in {*range(0, len(content), 53), *ends, len(content) - 1}:
        with pytest.raises(DamagedError):
            read(content[:length], key)
    with pytest.raises(DamagedError, match=r"ends after .* bytes, in the middle"):
        read(content[: max(ends)], key)


@KEYS
def test_a_flipped_bit_anywhere(key: bytes | None) -> None:
    content = written(key)
    for position in range(0, len(content), 31):
        altered = bytearray(content)
        altered[position] ^= 1 << position % 8
        with pytest.raises((DamagedError, EncryptionKeyError)):
            read(bytes(altered), key)


def test_a_plain_file_where_an_encrypted_one_is_expected() -> None:
    with pytest.raises(EncryptionKeyError, match="is not encrypted, so that anybody may have written it"):
        read(written(None), KEY)


def test_something_behind_its_end() -> None:
    with pytest.raises(DamagedError, match="something follows"):
        read(written(None) + b"x")


def test_no_backup() -> None:
    for content in (b"", b"PK\3\4 something else"):
        with pytest.raises(DamagedError, match="no backup"):
            read(content)


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "reordered": lambda chunks: [chunks[0], chunks[2], chunks[1], *chunks[3:]],
    "left out": lambda chunks: [*chunks[:2], *chunks[3:]],
    "repeated": lambda chunks: [*chunks[:2], chunks[1], *chunks[2:]],
    "without resources": lambda chunks: chunks[1:],
    "end too early": lambda chunks: [chunks[0], chunks[1], chunks[-1]],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_chunks_of_an_encrypted_file_keep_their_place(change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Also when whoever changed it made all checksums right again."""
    content = written(KEY)
    assert mended(content, chunks_of(content)) == content
    with pytest.raises(DamagedError, match="altered"):
        read(mended(content, change(chunks_of(content))), KEY)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_chunks_of_a_plain_file_keep_their_place(change: Callable[[list[bytes]], list[bytes]]) -> None:
    content = written(None)
    (length,) = struct.unpack_from(">I", content, 8)
    with pytest.raises(DamagedError, match="checksum"):
        read(content[: 12 + length + 32] + b"".join(change(chunks_of(content))))


def test_a_chunk_of_another_file_with_the_same_key() -> None:
    content, other = written(KEY), written(KEY)
    chunks = chunks_of(content)
    chunks[1] = chunks_of(other)[1]
    with pytest.raises(DamagedError, match="chunk 1 is not what was encrypted here"):
        read(mended(content, chunks), KEY)


def test_a_plain_end_that_lies() -> None:
    content = written(None)
    chunks = chunks_of(content)
    del chunks[2]
    with pytest.raises(DamagedError, match="its end counts 300 keys, but it holds 200"):
        read(mended(content, chunks))


def test_a_chunk_that_decompresses_to_more_than_it_says() -> None:
    content = written(None)
    chunks = chunks_of(content)
    kind, raw, size = struct.unpack_from(">BII", chunks[1])
    chunks[1] = struct.pack(">BII", kind, raw - 1, size) + chunks[1][9:]
    with pytest.raises(DamagedError, match="does not have the length"):
        read(mended(content, chunks))


def test_keys() -> None:
    content = written(KEY)
    with pytest.raises(EncryptionKeyError, match="is encrypted; give the file with its key"):
        read(content)
    with pytest.raises(EncryptionKeyError, match="with another key"):
        read(content, bytes(32))


def test_a_newer_format() -> None:
    content = written(None).replace(b'"format": 1', b'"format": 2', 1)
    with pytest.raises(DamagedError, match="is of format 2"):
        read(content)


def test_key_files() -> None:
    assert encryption.read_key(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n") == KEY
    for content, problem in ((b"not base64!", "cannot be read"), (b"AAEC", "has 3 bytes"), (b"", "has 0 bytes")):
        with pytest.raises(EncryptionKeyError, match=problem):
            encryption.read_key(content)
