# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The etcd driver: one user, one role and one key prefix per tenant in a shared store.

A tenant's API server authenticates with a client certificate whose CN is its user; the user's only role may read and
write exactly the keys under /<schema>/. Administration goes through a client certificate with the role root.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import diagnose, driver, errors, etcd_snapshot, etcd_usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation, IsolationState
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_maintenance import Maintenance
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_snapshot import SnapshotStream
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import (
    ALARMS,
    READWRITE,
    Identity,
    Member,
    message,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library import grpc

USER: Final = "user"
ROLE: Final = "role"
PERMISSION: Final = "permission"
MEMBERSHIP: Final = "membership"
KEYS: Final = "keys"
ROOT: Final = "root"
# Of turning authentication on in a new store, in this order.
ROOT_USER: Final = "root user"
ROOT_ROLE: Final = "root role"
ROOT_MEMBERSHIP: Final = "root membership"
AUTHENTICATION: Final = "authentication"

DELETE_CHUNK: Final = 1000
_READS: Final = 3
_OLD_REVISION: Final = "etcdserver: revision of auth store is old"
_AUTH_OFF: Final = "etcdserver: authentication is not enabled"
_NOT_FOUND: Final = ("etcdserver: user name not found", "etcdserver: role name not found")
_EXISTS: Final = ("etcdserver: user name already exists", "etcdserver: role name already exists")
_NOT_GRANTED: Final = (
    "etcdserver: role is not granted to the user",
    "etcdserver: permission is not granted to the role",
)
_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_REQUEST_TOO_LARGE: Final = ("etcdserver: request is too large", "etcdserver: too many operations in txn request")
_UNAUTHENTICATED: Final = ("etcdserver: user name is empty", "etcdserver: invalid auth token")


_REMEDIES: Final = {
    driver.NOSPACE: "its quota is used up and it refuses writes; compact, defragment, raise the quota, then disarm the alarm",
    driver.CORRUPT: "its data differs from the other members'; replace that member",
}


def key_range(schema: str) -> tuple[bytes, bytes]:
    """The keys of a schema: from /schema/ to the end of that prefix, which is /schema0 ("0" follows "/")."""
    return f"/{schema}/".encode(), f"/{schema}0".encode()


class _Refusal(NamedTuple):
    member: Member
    error: Any


class EtcdDriver:
    """Implements driver.Driver for etcd 3.4 and newer. name: the DataStore's, for messages.

    timeout_s: of one call to one member. patience_s: how long calls that etcd itself asks to repeat (election under way,
    users changed meanwhile) are repeated. Other members are tried when one does not answer. explain: why the way to the members
    failed, when the way itself knows (a port-forward); None when it does not.
    """

    parts = (USER, ROLE, PERMISSION, MEMBERSHIP)
    purge_parts = (USER, ROLE, KEYS)

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        identity: Identity,
        *,
        timeout_s: float = 5.0,
        patience_s: float = 15.0,
        explain: Callable[[], str | None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._explain = explain
        self.name = name
        self._members = tuple(members)
        self._identity = identity
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._preferred = 0

    def __enter__(self) -> EtcdDriver:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        for member in self._members:
            member.close()

    def maintenance(self) -> Maintenance:
        """What gives the store its space back."""
        return Maintenance(self.name, self._call, self._members)

    def snapshot(self, *, timeout_s: float) -> SnapshotStream:
        """Begin a snapshot of the whole store. timeout_s: of all of it. Raises DatastoreError when no member can give one."""
        found = etcd_snapshot.candidates(self.probe())
        return etcd_snapshot.begin(self.name, self._members, found, read_timeout_s=self._timeout_s, timeout_s=timeout_s)

    # Probing

    def probe(self) -> driver.Probe:
        latency_ms = min(self._read_ms() for _read in range(_READS))
        enabled = self._call("AuthStatus").enabled
        names = {item.ID: item.name for item in self._call("MemberList").members}
        members, quota, leaders = self._probe_members(names)
        answering = [item for item in members if item.error is None]
        alarms = self._alarms(names)
        problems = [] if enabled else ["authentication is off, so tenants cannot be kept apart; enable it (etcdctl auth enable)"]
        problems += [f"alarm {item.kind} on member {item.member}: {_REMEDIES.get(item.kind, 'see its log')}" for item in alarms]
        warnings = [f"member {item.endpoint} does not answer: {item.error}" for item in members if item.error]
        if not leaders:
            warnings.append("no endpoint names a leader; check the members' logs")
        return driver.Probe(
            version=min((item.version for item in answering), key=_version_key, default=""),
            latency_ms=round(latency_ms, 1),
            db_size_bytes=max((item.db_size_bytes for item in answering), default=0),
            quota_bytes=quota,
            members=members,
            problems=tuple(problems),
            warnings=tuple(warnings),
            tenants=max(0, len(self._call("UserList").users) - 1) if enabled else 0,
            alarms=alarms,
        )

    def _read_ms(self) -> float:
        started = time.monotonic()
        self._call("Range", key=b"/", count_only=True)
        return (time.monotonic() - started) * 1000

    def _probe_members(self, names: Mapping[int, str]) -> tuple[tuple[driver.Member, ...], int | None, set[int]]:
        """All endpoints at the same time: one that hangs costs its own time only."""
        quotas, leaders = set(), set()
        with ThreadPoolExecutor(len(self._members)) as pool:
            answers = list(pool.map(self._member_status, self._members))
        members = []
        for member, (answer, latency_ms) in zip(self._members, answers, strict=True):
            if isinstance(answer, str):
                members.append(driver.Member(member.endpoint, "", "", False, 0, answer))
                continue
            own, name = answer.header.member_id, names.get(answer.header.member_id, "")
            leaders |= {answer.leader} - {0}
            quotas |= {answer.dbSizeQuota} - {0}
            size, in_use = answer.dbSize, answer.dbSizeInUse or None
            leads = answer.leader == own
            members.append(driver.Member(member.endpoint, name, answer.version, leads, size, None, round(latency_ms, 1), in_use))
        return tuple(members), min(quotas) if quotas else None, leaders

    def _member_status(self, member: Member) -> tuple[Any, float]:
        """Its StatusResponse, or why there is none, and the duration of the call in milliseconds."""
        started = time.monotonic()
        try:
            answer = member.call("Status", self._timeout_s)
        except grpc.RpcError as error:
            answer = self._unavailable(member, error).result["reason"]
        return answer, (time.monotonic() - started) * 1000

    def _alarms(self, names: Mapping[int, str]) -> tuple[driver.Alarm, ...]:
        found = self._call("Alarm").alarms
        kinds = ((ALARMS.get(item.alarm, str(item.alarm)), item.memberID) for item in found)
        return tuple(sorted(driver.Alarm(kind, names.get(member, str(member))) for kind, member in kinds))

    # Shares of tenants

    def observe(self, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False) -> dict[str, IsolationState]:
        users = set(self._call("UserList").users)
        roles = set(self._call("RoleList").roles)
        return {
            item.schema: self._state(item, item.user in users, item.schema in roles, detailed=detailed, keys=keys) for item in isolations
        }

    def _state(self, item: Isolation, user: bool, role: bool, *, detailed: bool, keys: bool) -> IsolationState:
        found: dict[str, bool | None] = {USER: user, ROLE: role, PERMISSION: role and None, MEMBERSHIP: user and role and None}
        if detailed and role:
            found[PERMISSION] = self._permissions(item.schema) == [_wanted(item.schema)]
        if detailed and user:
            found[MEMBERSHIP] = role and self._roles(item.user) == [item.schema]
        state = IsolationState(
            missing=tuple(part for part in self.parts if found[part] is False),
            present=tuple(part for part in self.parts if found[part]),
            unchecked=tuple(part for part in self.parts if found[part] is None),
        )
        if keys and self.count_keys(item):
            return IsolationState(state.missing, (*state.present, KEYS), state.unchecked)
        return state

    def create_part(self, isolation: Isolation, part: str) -> None:
        if part == USER:
            self._call("UserAdd", ignore=_EXISTS, name=isolation.user, options=message("UserAddOptions")(no_password=True))
        elif part == ROLE:
            self._call("RoleAdd", ignore=_EXISTS, name=isolation.schema)
        elif part == PERMISSION:
            self._set_permission(isolation.schema)
        elif part == MEMBERSHIP:
            self._set_membership(isolation)
        else:
            raise ValueError(part)

    def delete_part(self, isolation: Isolation, part: str) -> None:
        if part == USER:
            self._call("UserDelete", ignore=_NOT_FOUND, name=isolation.user)
        elif part == ROLE:
            self._call("RoleDelete", ignore=_NOT_FOUND, role=isolation.schema)
        elif part == KEYS:
            self._delete_keys(isolation.schema)
        else:
            raise ValueError(part)

    def count_keys(self, isolation: Isolation) -> int:
        key, end = key_range(isolation.schema)
        return int(self._call("Range", key=key, range_end=end, count_only=True).count)

    def account(self, isolations: Sequence[Isolation], *, interval_s: float = 0.0) -> dict[str, driver.Usage]:
        started = time.monotonic()
        with etcd_usage.counting_writes(
            self._members[self._preferred], [key_range(item.schema) for item in isolations], interval_s
        ) as writes:
            found = {item.schema: self._measured(item.schema) for item in isolations}
            if interval_s:
                self._sleep(max(0.0, started + interval_s - time.monotonic()))
        return {schema: writes.noted(schema, usage) for schema, usage in found.items()}

    def _measured(self, schema: str) -> driver.Usage:
        try:
            return etcd_usage.measure(self._call, *key_range(schema))
        except errors.DatastoreError as error:
            return driver.Usage(error=error.msg)

    def _set_permission(self, schema: str) -> None:
        """Grant first: old versions of the reference gave a range that reaches too far, to tenants that are at work."""
        kind, *wanted = _wanted(schema)
        self._call("RoleGrantPermission", name=schema, perm=message("Permission")(permType=kind, key=wanted[0], range_end=wanted[1]))
        for _kind, key, end in self._permissions(schema):
            if [key, end] != wanted:
                self._call("RoleRevokePermission", ignore=_NOT_GRANTED, role=schema, key=key, range_end=end)

    def _set_membership(self, isolation: Isolation) -> None:
        for role in self._roles(isolation.user):
            if role != isolation.schema:
                self._call("UserRevokeRole", ignore=_NOT_GRANTED, name=isolation.user, role=role)
        self._call("UserGrantRole", user=isolation.user, role=isolation.schema)

    def _delete_keys(self, schema: str) -> None:
        """Delete in chunks, each one raft entry, so that other tenants' requests get their turn between them."""
        key, end = key_range(schema)
        while True:
            page = self._call("Range", key=key, range_end=end, limit=DELETE_CHUNK, keys_only=True)
            if not page.kvs:
                return
            self._call("DeleteRange", key=key, range_end=page.kvs[-1].key + b"\0")

    def _permissions(self, role: str) -> list[tuple[int, bytes, bytes]]:
        return [(item.permType, item.key, item.range_end) for item in self._call("RoleGet", role=role).perm]

    def _roles(self, user: str) -> list[str]:
        return list(self._call("UserGet", name=user).roles)

    # Turning authentication on

    def missing_authentication(self) -> tuple[str, ...]:
        """Return what a new store lacks until it authenticates its users, in the order to make it; empty when it does."""
        if self._call("AuthStatus").enabled:
            return ()
        users, roles = self._call("UserList").users, self._call("RoleList").roles
        granted = ROOT in users and ROOT in roles and ROOT in self._roles(ROOT)
        have = {ROOT_USER: ROOT in users, ROOT_ROLE: ROOT in roles, ROOT_MEMBERSHIP: granted, AUTHENTICATION: False}
        return tuple(part for part, there in have.items() if not there)

    def create_authentication_part(self, part: str) -> None:
        """Make one of the parts missing_authentication() names."""
        if part == ROOT_USER:
            self._call("UserAdd", ignore=_EXISTS, name=ROOT, options=message("UserAddOptions")(no_password=True))
        elif part == ROOT_ROLE:
            self._call("RoleAdd", ignore=_EXISTS, name=ROOT)
        elif part == ROOT_MEMBERSHIP:
            self._call("UserGrantRole", user=ROOT, role=ROOT)
        elif part == AUTHENTICATION:
            self._call("AuthEnable")
        else:
            raise ValueError(part)

    # Calls

    def call(self, method: str, *, ignore: Sequence[str] = (), **fields: Any) -> Any:
        """Make one call of etcd's API, such as call("Range", key=b"/"), as all of the driver's own: members in turn, repeated when etcd asks.

        ignore: messages of etcd that mean None instead of an error. Raises DatastoreError.
        """
        return self._call(method, ignore=ignore, **fields)

    def _call(self, method: str, *, ignore: Sequence[str] = (), **fields: Any) -> Any:
        """Call a member, others in turn when it does not answer. ignore: etcd's messages that mean: already so."""
        deadline, pause_s = time.monotonic() + self._patience_s, 0.02
        while True:
            answer = self._try_members(method, fields)
            if not isinstance(answer, _Refusal):
                return answer
            if answer.error.details() in ignore:
                return None
            if not _repeatable(answer.error) or time.monotonic() >= deadline:
                raise self._translate(answer.member, answer.error) from answer.error
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

    def _try_members(self, method: str, fields: Mapping[str, Any]) -> Any:
        """Return the response, or the _Refusal of the last member that was asked."""
        first, refusal = self._preferred, None
        for offset in range(len(self._members)):
            index = (first + offset) % len(self._members)
            member = self._members[index]
            try:
                response = member.call(method, self._timeout_s, **fields)
            except grpc.RpcError as error:
                refusal = _Refusal(member, error)
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    break
            else:
                self._preferred = index
                return response
        return refusal

    def _translate(self, member: Member, error: Any) -> errors.DatastoreError:
        code, details, where = error.code(), error.details() or "", member.endpoint
        if code == grpc.StatusCode.PERMISSION_DENIED or details in _UNAUTHENTICATED:
            return errors.DatastorePermissionError(
                self.name,
                f"etcd at {where} refuses administration to the client certificate's user ({details.removeprefix('etcdserver: ')}); "
                "use a client certificate whose CN is a user with the role root",
                where=where,
            )
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "space" in details:
            return errors.DatastoreNoSpaceError(
                self.name,
                f"etcd at {where} is full (its quota is used up); compact, defragment, raise the quota, then disarm the alarm",
                where=where,
            )
        large = _too_large(code, details)
        if large:
            return errors.DatastoreTooLargeError(self.name, f"etcd at {where}: {large}", where=where)
        if details == _COMPACTED:
            return errors.DatastoreCompactedError(
                self.name, f"etcd at {where} was compacted while it was read, so that the revision is gone; run again", where=where
            )
        if details == _AUTH_OFF:
            return errors.DatastoreAuthenticationOffError(
                self.name, f"etcd at {where} has authentication off, so tenants cannot be kept apart; enable it", where=where
            )
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return self._unavailable(member, error)
        return errors.DatastoreError(self.name, f"etcd at {where} answered {code.name}: {details}; see its log", where=where)

    def _unavailable(self, member: Member, error: Any) -> errors.DatastoreError:
        details = error.details() or ""
        kind, reason, remedy = self._fault(member, error.code().name, details)
        found = kind(self.name, f"etcd at {member.endpoint} {reason}; {remedy}", where=member.endpoint)
        found.result["reason"] = reason
        return found

    def _fault(self, member: Member, code: str, details: str) -> diagnose.Fault:
        if details.startswith("etcdserver:"):
            return diagnose.Fault(
                errors.DatastoreTimeoutError,
                f"cannot serve the request ({details.removeprefix('etcdserver: ')})",
                "see whether a majority of its members runs and whether their disks keep up",
            )
        found = diagnose.diagnose(member.address, member.server_name, self._identity.ca_certificate, self._timeout_s)
        if found is None:
            return diagnose.after_handshake(code, details)
        way = self._explain() if self._explain and found.error is errors.DatastoreUnreachableError else None
        return found._replace(reason=f"cannot be reached ({way})") if way else found


def _wanted(schema: str) -> tuple[int, bytes, bytes]:
    return (READWRITE, *key_range(schema))


def _repeatable(error: Any) -> bool:
    """Whether etcd asks to repeat: users or roles changed meanwhile, or an election is under way."""
    details = error.details() or ""
    return details == _OLD_REVISION or (error.code() == grpc.StatusCode.UNAVAILABLE and details.startswith("etcdserver:"))


def _too_large(code: Any, details: str) -> str:
    """Which message was too large and what to do; "" when none was."""
    # The second is said by the server's gRPC, before etcd sees the request; the client's begins with "CLIENT:".
    if details in _REQUEST_TOO_LARGE or details.startswith("grpc: received message larger than max"):
        return (
            f"refuses a write ({details.partition(': ')[2]}); give its members the --max-request-bytes and --max-txn-ops "
            "of the etcd where the data comes from"
        )
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return f"gives an answer that is too large ({details})"
    return ""


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit())
