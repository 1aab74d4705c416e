# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WebSocket protocol as far as port-forward and exec need it: binary messages over an open connection. Bytes in, bytes out.

Source: RFC 6455. Extensions are not offered, so none are in use.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterator
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT: Final = 126
_LONG: Final = 127


class WebSocketError(Exception):
    """The peer broke the protocol."""


def new_key() -> str:
    """A value for the header Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_value(key: str) -> str:
    """What the server must answer in Sec-WebSocket-Accept (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()


def encode(kind: int, payload: bytes) -> bytes:
    """Return one unfragmented frame, masked as a client must."""
    size = len(payload)
    if size < _SHORT:
        head = struct.pack("!BB", _FINAL | kind, _MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FINAL | kind, _MASKED | _SHORT, size)
    else:
        head = struct.pack("!BBQ", _FINAL | kind, _MASKED | _LONG, size)
    mask = os.urandom(4)
    return head + mask + _xor(payload, mask)


class Decoder:
    """Makes messages from what arrives, in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._kind = CONTINUATION
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) of each message complete with data. Raises WebSocketError."""
        self._buffer += data
        while (frame := self._frame()) is not None:
            final, kind, payload = frame
            if kind >= CLOSE:  # control frames may come between the parts of a message
                yield kind, payload
                continue
            if (kind == CONTINUATION) != (self._kind != CONTINUATION):
                raise WebSocketError("a fragment without a beginning, or a message inside another")
            self._kind = kind or self._kind
            self._parts.append(payload)
            if final:
                message = (self._kind, b"".join(self._parts))
                self._kind, self._parts = CONTINUATION, []
                yield message

    def _frame(self) -> tuple[bool, int, bytes] | None:
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70 or second & _MASKED:
            raise WebSocketError("a reserved bit is set, or a server's frame is masked")
        size, start = second, 2
        if size >= _SHORT:
            form, start = ("!H", 4) if size == _SHORT else ("!Q", 10)
            if len(self._buffer) < start:
                return None
            (size,) = struct.unpack(form, self._buffer[2:start])
        if len(self._buffer) < start + size:
            return None
        payload = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return bool(first & _FINAL), first & 0x0F, payload


def _xor(data: bytes, mask: bytes) -> bytes:
    """XOR with a repeated mask, as one big number: fast enough without an extension module."""
    size = len(data)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")
