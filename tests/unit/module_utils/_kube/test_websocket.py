# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSocket frames: what is encoded is what a server would read, what is decoded survives any splitting."""

from __future__ import annotations

import itertools
import struct

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.websocket import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Decoder,
    WebSocketError,
    accept_value,
    encode,
    new_key,
)


def _frame(kind: int, payload: bytes, *, final: bool = True) -> bytes:
    """A server's frame (not masked)."""
    size = len(payload)
    first = (0x80 if final else 0) | kind
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + struct.pack("!H", size) + payload
    return bytes([first, 127]) + struct.pack("!Q", size) + payload


def _unmasked(frame: bytes) -> bytes:
    """The frame as a server sees it after removing the mask."""
    size, start = frame[1] & 0x7F, 2
    start += {126: 2, 127: 8}.get(size, 0)
    mask, payload = frame[start : start + 4], frame[start + 4 :]
    plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([frame[0], frame[1] & 0x7F]) + frame[2:start] + plain


def test_handshake_value_is_that_of_the_rfc() -> None:
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert len(new_key()) == 24
    assert new_key() != new_key()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 65535, 65536, 70001])
def test_encoded_frames_are_read_back(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    frame = encode(BINARY, payload)
    assert frame[1] & 0x80
    assert list(Decoder().feed(_unmasked(frame))) == [(BINARY, payload)]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_messages_arrive_in_any_pieces(step: int) -> None:
    stream = (
        _frame(BINARY, b"x" * 300)
        + _frame(BINARY, b"one ", final=False)
        + _frame(PING, b"?")
        + _frame(0, b"two ", final=False)
        + _frame(0, b"three")
        + _frame(TEXT, b"")
        + _frame(CLOSE, b"\x03\xe8")
    )
    decoder = Decoder()
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    messages = list(itertools.chain.from_iterable(decoder.feed(piece) for piece in pieces))
    assert messages == [(BINARY, b"x" * 300), (PING, b"?"), (BINARY, b"one two three"), (TEXT, b""), (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    "data",
    [
        _frame(0, b"no beginning"),
        _frame(BINARY, b"a", final=False) + _frame(BINARY, b"b"),
        encode(BINARY, b"masked"),
        bytes([0x80 | 0x40 | BINARY, 0]),
    ],
    ids=["continuation first", "message in a message", "masked", "reserved bit"],
)
def test_broken_protocol_is_noticed(data: bytes) -> None:
    with pytest.raises(WebSocketError):
        list(Decoder().feed(data))
