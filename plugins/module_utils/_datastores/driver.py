# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every datastore driver can do: probe the store, and keep tenants apart in it.

A tenant's share of a store is made of parts (for etcd: user, role, permission, membership, keys). A driver observes which
parts exist and makes or removes one part at a time; the pure planner turns each missing part into one change. Every
operation is idempotent, so that a run killed after any of them converges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

PASSWORD: Final = "password"
"""The part that is a user's password, of drivers that have one in `parts`; making it again changes the password."""


@dataclass(frozen=True, order=True)
class Isolation:
    """A tenant's share of a store. schema: key prefix or database; user: who may use it, and nobody else.

    password: the user's, where the store knows its users by one. Needed to make the part PASSWORD and to count keys; not part of
    what tells two shares apart.
    """

    schema: str
    user: str
    password: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("dataStoreSchema", self.schema), ("dataStoreUsername", self.user)):
            # A slash would reach into another tenant's prefix, root would be the administrator.
            if not value or "/" in value or "\0" in value or value == "root":
                raise InvalidError(f'spec.{name} "{value}" cannot keep tenants apart; use a non-empty name without "/" other than root')


@dataclass(frozen=True)
class IsolationState:
    """Which parts of one share exist.

    unchecked: parts whose content was not looked at (observe with detailed=False, or a password that is not known here).
    refusal: why the store cannot hold such a share, naming the field and what to do; empty when it can. What is there under
    these names is not the tenant's then, so nothing counts as present.
    """

    missing: tuple[str, ...]
    present: tuple[str, ...]
    unchecked: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def absent(self) -> bool:
        """Whether nothing at all is left of the share. Only an observation with keys=True can prove it."""
        return not self.present and not self.unchecked


@dataclass(frozen=True)
class Member:
    """One endpoint as the probe found it. error: why it did not answer, None when it did.

    latency_ms: of this endpoint's own answer, None when there was none. in_use_bytes: what of its size holds data, None when the
    store does not say; the rest is given back by defragmentation.
    """

    endpoint: str
    name: str
    version: str
    leader: bool
    db_size_bytes: int
    error: str | None = None
    latency_ms: float | None = None
    in_use_bytes: int | None = None


NOSPACE: Final = "NOSPACE"
"""The alarm of a member whose quota is used up: the store refuses writes."""
CORRUPT: Final = "CORRUPT"
"""The alarm of a member whose data differs from that of the others."""


@dataclass(frozen=True, order=True)
class Alarm:
    """What a store complains about by itself. kind: NOSPACE, CORRUPT, or a number that is not known here."""

    kind: str
    member: str


@dataclass(frozen=True)
class Probe:
    """What a store said when asked. quota_bytes: None when not known.

    latency_ms: the fastest of several reads (of etcd such that need a quorum), so that one hiccup says nothing about the store.
    problems make the store unusable (each a sentence with its remedy; those of alarms are among them), warnings do not.
    """

    version: str
    latency_ms: float
    db_size_bytes: int
    quota_bytes: int | None
    members: tuple[Member, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tenants: int = field(default=0)
    alarms: tuple[Alarm, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.problems

    @property
    def silent(self) -> list[str]:
        """The endpoints that did not answer, each with why."""
        return [f"{member.endpoint} {member.error}" for member in self.members if member.error is not None]

    def alarmed(self, kind: str) -> list[str]:
        """The members that have an alarm of this kind."""
        return [alarm.member for alarm in self.alarms if alarm.kind == kind]

    @property
    def free_bytes(self) -> int | None:
        """What is left of the quota, None when that is not known."""
        return None if self.quota_bytes is None else max(0, self.quota_bytes - self.db_size_bytes)


@dataclass(frozen=True)
class Usage:
    """What one share uses of a store.

    keys: that exist now (of kine: names that are not deleted). size_bytes: of etcd keys and values that exist now; of a database
    what it takes on disk, history included. writes_per_s: revisions made during the measurement; None when none was asked for.
    error: why something is not known; what is None then.
    """

    keys: int | None = None
    size_bytes: int | None = None
    writes_per_s: float | None = None
    error: str = ""


class Driver(Protocol):
    """One connection to one store. Safe to use from several threads."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a share, in the order of creation."""

    @property
    def purge_parts(self) -> tuple[str, ...]:
        """The parts to delete, in this order, until nothing of a share is left; others vanish with them."""

    def probe(self) -> Probe:
        """Ask the store itself. Raises DatastoreError when it cannot be used at all."""

    def observe(self, isolations: Sequence[Isolation], *, detailed: bool = False, keys: bool = False) -> Mapping[str, IsolationState]:
        """Return schema → state.

        A constant number of calls for any number of shares; detailed also reads the content of each share's parts
        (calls per share), keys also looks whether there is data (one call per share).
        """

    def create_part(self, isolation: Isolation, part: str) -> None:
        """Make one part as it should be, also when it exists and differs. Parts it rests on must exist.

        Raises InvalidError when the store cannot hold such a share (IsolationState.refusal), or when a password is needed.
        """

    def delete_part(self, isolation: Isolation, part: str) -> None:
        """Remove one part; succeeds when it is gone already."""

    def count_keys(self, isolation: Isolation) -> int:
        """Return how many keys or rows the share holds; 0 when nothing of it exists."""

    def account(self, isolations: Sequence[Isolation], *, interval_s: float = 0.0) -> Mapping[str, Usage]:
        """Return schema → what each share uses. Reads only, in pages; what is read is counted and forgotten.

        interval_s: how long writes are counted, at least; 0: not at all. One share that cannot be looked into does not fail the others.
        """

    def close(self) -> None:
        """Close the connection; the driver cannot be used afterwards."""
