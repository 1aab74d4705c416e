# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of a whole etcd, as one member streams it: its database file, and the SHA-256 of that at the end.

Source: etcd's server, etcdserver/api/v3rpc/maintenance.go. Only a user with the role root may ask for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, Probe
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import Member
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library import grpc

_DIGEST_BYTES: Final = hashlib.sha256().digest_size


class BrokenSnapshotError(Exception):
    """What was streamed is not what the member meant to send."""


@dataclass
class SnapshotStream:
    """A snapshot on its way. endpoint: of the member that gives it. revision: it holds all that was written up to there, perhaps more.

    version: of the member's storage, known once the first piece was read; "" of an etcd before 3.6.
    """

    store: str
    endpoint: str
    revision: int
    member: Member
    timeout_s: float
    version: str = ""

    def pieces(self) -> Iterator[bytes]:
        """All of it, checksum included; only when the iteration ends it is proven to be whole. Raises DatastoreError."""
        try:
            yield from checked(self._blobs())
        except grpc.RpcError as error:
            reason = error.details() or error.code().name
            raise errors.DatastoreError(
                self.store, f"the snapshot from {self.endpoint} broke off ({reason}); see its log, and run again", where=self.endpoint
            ) from error
        except BrokenSnapshotError as error:
            raise errors.DatastoreError(
                self.store, f"the snapshot from {self.endpoint} {error}; run again, and look at that member's disk", where=self.endpoint
            ) from error

    def _blobs(self) -> Iterator[bytes]:
        for answer in self.member.stream("Snapshot", self.timeout_s):
            self.version = str(answer.version)
            yield answer.blob


def checked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass pieces on, and prove at their end that the last 32 bytes are the SHA-256 of all before. Raises BrokenSnapshotError."""
    digest, held = hashlib.sha256(), b""
    for piece in pieces:
        held += piece
        digest.update(held[:-_DIGEST_BYTES])
        held = held[-_DIGEST_BYTES:]
        yield piece
    if len(held) < _DIGEST_BYTES:
        raise BrokenSnapshotError("ended before its checksum")
    if held != digest.digest():
        raise BrokenSnapshotError("does not match its checksum")


def candidates(found: Probe) -> tuple[str, ...]:
    """The endpoints that can give a snapshot: those that answer and are not corrupt, the leader last, since it has most to do. Pure."""
    corrupt = set(found.alarmed(CORRUPT))
    members = [item for item in found.members if item.error is None and item.name not in corrupt]
    return tuple(item.endpoint for item in sorted(members, key=lambda item: (item.leader, item.endpoint)))


def begin(store: str, members: Sequence[Member], endpoints: Sequence[str], *, read_timeout_s: float, timeout_s: float) -> SnapshotStream:
    """Choose the first of the endpoints whose member is not behind. timeout_s: of the whole stream.

    Raises DatastoreError when there is none.
    """
    failed = []
    for endpoint in endpoints:
        member = next(item for item in members if item.endpoint == endpoint)
        try:
            # Answered once the member has all that was written before.
            answer = member.call("Range", read_timeout_s, key=b"\0", count_only=True)
        except grpc.RpcError as error:
            failed.append(f"{endpoint}: {error.details() or error.code().name}")
            continue
        return SnapshotStream(store, endpoint, int(answer.header.revision), member, timeout_s)
    reasons = "; ".join(failed) or "all that answer have the alarm CORRUPT"
    raise errors.DatastoreError(store, f"no member can give a snapshot ({reasons}); bring one back first")
