# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gives an etcd its space back: compaction drops history, defragmentation returns the free pages of one member to its disk.

Source: https://etcd.io/docs/v3.6/op-guide/maintenance/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import NOSPACE
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import ALARMS, Member
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library import grpc

_COMPACTED: Final = ("etcdserver: mvcc: required revision has been compacted",)
_DISARM: Final = 2


class Maintenance:
    """One etcd. call: EtcdDriver's, to any member. members: those that its endpoints name."""

    def __init__(self, name: str, call: Callable[..., Any], members: Sequence[Member]) -> None:
        self._name, self._call, self._members = name, call, members

    def client_endpoints(self) -> tuple[str, ...]:
        """host:port under which each member says that clients reach it, in the order of names; only those with TLS."""
        members = sorted(self._call("MemberList").members, key=lambda item: str(item.name))
        urls = [urlsplit(url) for item in members for url in list(item.clientURLs)[:1]]
        return tuple(url.netloc for url in urls if url.scheme == "https")

    def compact(self) -> None:
        """Drop all history up to now, and wait until it is gone. Watches that lag behind begin anew, as API servers know to do."""
        revision = self._call("Range", key=b"/", count_only=True).header.revision
        self._call("Compact", ignore=_COMPACTED, revision=revision, physical=True)

    def defragment(self, endpoint: str, *, timeout_s: float) -> None:
        """Defragment the member behind one endpoint, which does not answer meanwhile. Raises DatastoreError."""
        member = next(item for item in self._members if item.endpoint == endpoint)
        try:
            member.call("Defragment", timeout_s)
        except grpc.RpcError as error:
            details = error.details() or error.code().name
            raise errors.DatastoreError(
                self._name, f"etcd at {endpoint} could not be defragmented ({details}); see its log, and run again", where=endpoint
            ) from error

    def disarm(self) -> None:
        """Take back the alarms of members whose quota was used up."""
        for alarm in self._call("Alarm").alarms:
            if ALARMS.get(alarm.alarm) == NOSPACE:
                self._call("Alarm", action=_DISARM, memberID=alarm.memberID, alarm=alarm.alarm)
