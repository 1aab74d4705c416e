# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drivers of SQL servers have in common: the parts of a share, names, ways to the server, what cannot be a tenant's."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.diagnose import Fault
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState

USER: Final = "user"
DATABASE: Final = "database"
ACCESS: Final = "access"
PARTS: Final = (USER, PASSWORD, DATABASE, ACCESS)

TABLE: Final = "kine"
"""Where kine keeps a tenant's keys."""

LOGINS_AT_ONCE: Final = 8
# A name's newest row tells whether it exists.
LIVE_KEYS: Final = """
SELECT count(*) FROM (SELECT max(id) AS id FROM {table} GROUP BY name) AS newest JOIN {table} AS row_ ON row_.id = newest.id
 WHERE row_.deleted = 0"""
_NEARLY_ALL: Final = 0.8


@dataclass(frozen=True)
class Login:
    """Who opens a session."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Target:
    """One server: its endpoint, whose name the certificate must carry, and what is dialled instead of it (a port-forward)."""

    endpoint: Endpoint
    dialled: Endpoint | None = None

    @property
    def address(self) -> Endpoint:
        return self.dialled or self.endpoint


class TlsFiles(NamedTuple):
    """Paths of PEM files. certificate and key do not exist when there is no client certificate."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Tls:
    """How both sides prove who they are, PEM."""

    ca_certificate: bytes
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)

    @contextlib.contextmanager
    def files(self) -> Iterator[TlsFiles]:
        """The same in files of a private directory, where the libraries read them: while a session is opened, not longer."""
        with tempfile.TemporaryDirectory(prefix="hosted-kubernetes-") as name:
            paths = TlsFiles(*(Path(name) / file for file in ("ca.crt", "client.crt", "client.key")))
            for path, content in zip(paths, (self.ca_certificate, self.client_certificate, self.client_key), strict=True):
                if content is not None:
                    path.touch(mode=0o600)
                    path.write_bytes(content)
            yield paths


@dataclass(frozen=True)
class Way:
    """How the servers of one store are reached. explain: why a forwarded connection failed, when the way knows."""

    name: str
    targets: tuple[Target, ...]
    tls: Tls
    timeout_s: float
    explain: Callable[[], str | None] | None = None

    def error(self, product: str, target: Target, fault: Fault) -> errors.DatastoreError:
        """The error that a fault of one server is. Its result carries the reason alone too."""
        why = self.explain() if self.explain and fault.error is errors.DatastoreUnreachableError else None
        reason = f"cannot be reached ({why})" if why else fault.reason
        found = fault.error(self.name, f"{product} at {target.endpoint} {reason}; {fault.remedy}", where=str(target.endpoint))
        found.result["reason"] = reason
        return found


@dataclass(frozen=True)
class NameRules:
    """What names a server takes. Lengths in bytes. reserved: names of its own databases and users, in lower case."""

    product: str
    schema_length: int
    user_length: int
    reserved_schemas: frozenset[str]
    reserved_users: frozenset[str]
    reserved_prefix: str = "\0"


def name_refusal(isolation: Isolation, rules: NameRules, administrator: str) -> str:
    """Return why the names of a share cannot be used; empty when they can. Pure.

    kine folds the name of a database to lower case, and so do MySQL servers on some systems: two names that differ in case only
    could be one.
    """
    schema, user = isolation.schema, isolation.user
    if len(schema.encode()) > rules.schema_length:
        return f'spec.dataStoreSchema "{schema}" is longer than the {rules.schema_length} bytes {rules.product} takes; choose a shorter one'
    if schema != schema.lower():
        return f'spec.dataStoreSchema "{schema}" has capitals, which databases cannot be told apart by everywhere; write it in lower case'
    if schema in rules.reserved_schemas:
        return f'spec.dataStoreSchema "{schema}" is a database of {rules.product} itself; choose another name'
    if len(user.encode()) > rules.user_length:
        return f'spec.dataStoreUsername "{user}" is longer than the {rules.user_length} bytes {rules.product} takes; choose a shorter one'
    if user == administrator:
        return f'spec.dataStoreUsername "{user}" is the administration user of the datastore; choose another name'
    if user.lower() in rules.reserved_users or user.startswith(rules.reserved_prefix):
        return f'spec.dataStoreUsername "{user}" is a user of {rules.product} itself; choose another name'
    return ""


def refuse(name: str, refusal: str) -> None:
    """Raise InvalidError when a store cannot hold a share. name: the DataStore's."""
    if refusal:
        raise InvalidError(f"DataStore {name}: {refusal}")


def password_of(name: str, isolation: Isolation) -> str:
    """The password of a share's user. Raises InvalidError when it is not known."""
    if not isolation.password:
        raise InvalidError(
            f'DataStore {name}: the password of user "{isolation.user}" is not known; it is in the Secret <tenant>-datastore-config of its tenant'
        )
    return isolation.password


def state_of(found: Mapping[str, bool | None]) -> IsolationState:
    """The state of a share. found: for each part whether it is as it should be; None when that was not looked at."""
    return IsolationState(
        missing=tuple(part for part in PARTS if found[part] is False),
        present=tuple(part for part in PARTS if found[part]),
        unchecked=tuple(part for part in PARTS if found[part] is None),
    )


def refused(name: str, refusal: str) -> IsolationState:
    """The state of a share that the store cannot hold."""
    return IsolationState(missing=PARTS, present=(), refusal=f"DataStore {name}: {refusal}")


def check_passwords(isolations: Sequence[Isolation], accepts: Callable[[Isolation], bool | None]) -> dict[str, bool | None]:
    """Return schema → whether the user's password is the known one; None when that could not be found out. Each is one login."""
    known = [item for item in isolations if item.password]
    if not known:
        return {}
    with ThreadPoolExecutor(LOGINS_AT_ONCE) as pool:
        return dict(zip((item.schema for item in known), pool.map(accepts, known), strict=True))


def nearly_full(used: int, most: int) -> list[str]:
    """A warning when connections get scarce."""
    return [f"{used} of {most} connections are in use; raise max_connections"] if used >= _NEARLY_ALL * most else []


def version_key(version: str) -> tuple[int, int]:
    """Major and minor of a server's version, to compare."""
    major, minor, *_rest = (*re.findall(r"\d+", version), "0", "0")
    return int(major), int(minor)
