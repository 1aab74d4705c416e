# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's gRPC API on the wire: message classes, and one channel to one member.

The JSON gateway cannot authenticate by client certificate (etcd refuses it), hence gRPC. The message classes come from a
descriptor pool of their own (see tools/proto/generate.py) and work with any protobuf runtime from 4.22 on.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import CORRUPT, NOSPACE
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_schema import DESCRIPTOR_BASE64
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library import (
    descriptor_pb2,
    descriptor_pool,
    grpc,
    message_factory,
)

PACKAGE: Final = "hosted_kubernetes_etcd"
READWRITE: Final = 2
ALARMS: Final = {1: NOSPACE, 2: CORRUPT}
MOST_BYTES: Final = 64 << 20
"""Of one answer."""

_SERVICES: Final = {
    "KV": {"Range": "Range", "Put": "Put", "DeleteRange": "DeleteRange", "Txn": "Txn", "Compact": "Compaction"},
    "Watch": {"Watch": "Watch"},
    "Lease": {"LeaseGrant": "LeaseGrant", "LeaseTimeToLive": "LeaseTimeToLive"},
    "Auth": {
        "AuthEnable": "AuthEnable",
        "AuthStatus": "AuthStatus",
        "UserAdd": "AuthUserAdd",
        "UserGet": "AuthUserGet",
        "UserList": "AuthUserList",
        "UserDelete": "AuthUserDelete",
        "UserGrantRole": "AuthUserGrantRole",
        "UserRevokeRole": "AuthUserRevokeRole",
        "RoleAdd": "AuthRoleAdd",
        "RoleGet": "AuthRoleGet",
        "RoleList": "AuthRoleList",
        "RoleDelete": "AuthRoleDelete",
        "RoleGrantPermission": "AuthRoleGrantPermission",
        "RoleRevokePermission": "AuthRoleRevokePermission",
    },
    "Cluster": {"MemberList": "MemberList"},
    "Maintenance": {"Alarm": "Alarm", "Status": "Status", "Defragment": "Defragment", "Snapshot": "Snapshot"},
}


@dataclass(frozen=True)
class Method:
    """path: of the HTTP/2 request. request, response: message classes."""

    path: str
    request: Any
    response: Any


@cache
def _pool() -> Any:
    files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTOR_BASE64))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def message(name: str) -> Any:
    """Return the class of a message, such as RangeRequest."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def methods() -> dict[str, Method]:
    """Every call that is known here, by its name, such as Range."""
    return {
        method: Method(f"/etcdserverpb.{service}/{method}", message(f"{stem}Request"), message(f"{stem}Response"))
        for service, stems in _SERVICES.items()
        for method, stem in stems.items()
    }


@dataclass(frozen=True)
class Identity:
    """How both sides prove who they are, PEM. The client certificate's CN is the etcd user."""

    ca_certificate: bytes
    certificate: bytes
    key: bytes = field(repr=False)


class Member:
    """A channel to one member. server_name: the name its certificate is checked for, when it is not the address dialled."""

    def __init__(self, endpoint: str, address: str, identity: Identity, server_name: str | None = None) -> None:
        self.endpoint = endpoint
        self.address = address
        self.server_name = server_name
        # Datastore traffic never goes through a web proxy, whatever the environment says.
        options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", MOST_BYTES)]
        if server_name:
            options += [("grpc.ssl_target_name_override", server_name), ("grpc.default_authority", server_name)]
        credentials = grpc.ssl_channel_credentials(identity.ca_certificate, identity.key, identity.certificate)
        self._channel = grpc.secure_channel(address, credentials, options)
        self._calls: dict[str, Any] = {}

    def call(self, method: str, timeout_s: float, **fields: Any) -> Any:
        """Make one call, such as call("Range", 5.0, key=b"/"). Raises grpc.RpcError."""
        kind = methods()[method]
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(
                kind.path,
                request_serializer=kind.request.SerializeToString,
                response_deserializer=kind.response.FromString,
            )
        return self._calls[method](kind.request(**fields), timeout=timeout_s)

    def stream(self, method: str, timeout_s: float) -> Any:
        """Make a call that is answered by a stream of messages, such as stream("Snapshot", 60.0). timeout_s: of all of it."""
        kind = methods()[method]
        opened = self._channel.unary_stream(
            kind.path, request_serializer=kind.request.SerializeToString, response_deserializer=kind.response.FromString
        )
        return opened(kind.request(), timeout=timeout_s)

    def watch(self, requests: Iterator[Any], timeout_s: float) -> Any:
        """Open a stream of WatchResponses; it lasts until it is cancelled, or for timeout_s. requests: must not end before."""
        kind = methods()["Watch"]
        stream = self._channel.stream_stream(
            kind.path,
            request_serializer=kind.request.SerializeToString,
            response_deserializer=kind.response.FromString,
        )
        return stream(requests, timeout=timeout_s)

    def close(self) -> None:
        self._channel.close()
