# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are kept: what every place can do, how files are called, and which of them are too many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final, Protocol

SUFFIX: Final = ".hkbackup"
SNAPSHOT_SUFFIX: Final = ".snapshot.db"
"""Of a whole etcd, as its own tools call one."""
# Namespaces and names hold no underscore.
_NAME: Final = re.compile(r"(?P<namespace>[a-z0-9.-]+)_(?P<name>[a-z0-9.-]+)_(?P<time>\d{8}T\d{6}Z)" + re.escape(SUFFIX))
_SNAPSHOT: Final = re.compile(r"(?P<store>[a-z0-9.-]+)_(?P<time>\d{8}T\d{6}Z)" + re.escape(SNAPSHOT_SUFFIX))


class Sink(Protocol):
    """A backup on its way. What was written is there, under its name, only when its block ends without an error."""

    def write(self, content: bytes) -> object: ...


class Source(Protocol):
    """A backup to be read, any number of times, though its name may be given to another one meanwhile."""

    def rewind(self) -> None:
        """Begin again."""

    def read(self, length: int) -> bytes:
        """Return that many bytes, fewer at the end only."""


class BackupTarget(Protocol):
    """One place. Every error is a BackupError that names the place and says what to do."""

    def describe(self, name: str) -> str:
        """A file of this place as people call it."""

    def names(self) -> list[str]:
        """All files whose names are those of backups; empty when the place does not exist yet."""

    def create(self, name: str) -> AbstractContextManager[Sink]:
        """Write a file that does not exist; an error leaves nothing behind."""

    def open(self, name: str) -> AbstractContextManager[Source]:
        """Read a file."""

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""


def name_of(namespace: str, tenant: str, now: datetime) -> str:
    """How the backup of a tenant at that moment is called."""
    return f"{namespace}_{tenant}_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"


def snapshot_name(store: str, now: datetime) -> str:
    """How the snapshot of a DataStore at that moment is called."""
    return f"{store}_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}{SNAPSHOT_SUFFIX}"


def is_name(name: str) -> bool:
    return series_of(name) is not None


def series_of(name: str) -> str | None:
    """What a file is one backup of several of, in any words; None when it is called like no backup."""
    tenant = tenant_of(name)
    if tenant is not None:
        return f"tenant {tenant[0]}/{tenant[1]}"
    match = _SNAPSHOT.fullmatch(name)
    return f"store {match['store']}" if match else None


def tenant_of(name: str) -> tuple[str, str] | None:
    """Namespace and name of the tenant whose backup is called so; None when that is no name of a backup."""
    match = _NAME.fullmatch(name)
    return (match["namespace"], match["name"]) if match else None


def of_tenant(names: Sequence[str], namespace: str, tenant: str) -> list[str]:
    """The backups of one tenant among them, the oldest first."""
    found = ((match["time"], name) for name in names if (match := _NAME.fullmatch(name)) and match.group(1, 2) == (namespace, tenant))
    return [name for _time, name in sorted(found)]


def of_store(names: Sequence[str], store: str) -> list[str]:
    """The snapshots of one DataStore among them, the oldest first."""
    found = ((match["time"], name) for name in names if (match := _SNAPSHOT.fullmatch(name)) and match["store"] == store)
    return [name for _time, name in sorted(found)]


def superfluous(names: Sequence[str], namespace: str, tenant: str, keep: int) -> list[str]:
    """The backups of a tenant beyond its newest `keep`, the oldest first; none for keep 0."""
    return of_tenant(names, namespace, tenant)[:-keep] if keep else []
