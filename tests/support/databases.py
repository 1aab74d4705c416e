# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers as datastores of tenants: a DataStore over one, and a tenant's share of one."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver, Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs
from ansible_collections.hosted.kubernetes.tests.support import mariadb, postgresql
from ansible_collections.hosted.kubernetes.tests.support.control_plane import Store
from ansible_collections.hosted.kubernetes.tests.support.sql_servers import Server


@dataclass(frozen=True)
class Kind:
    """A database server of packages: how it is started, and its administrator, as docs/datastores.md has it."""

    run: Callable[[], AbstractContextManager[Server]]
    make_administrator: Callable[[Server], None]
    administrator: Login


KINDS = {
    "PostgreSQL": Kind(postgresql.running_postgresql, postgresql.make_administrator, postgresql.ADMINISTRATOR),
    "MariaDB": Kind(mariadb.running_mariadb, mariadb.make_administrator, mariadb.ADMINISTRATOR),
}


@dataclass(frozen=True)
class Database:
    """A running server with its administrator."""

    server: Server
    administrator: Login

    def definition(self, name: str) -> Json:
        """A DataStore over it, its credentials inline."""

        def content(value: bytes) -> Json:
            return {"content": base64.b64encode(value).decode()}

        basic = {"username": self.administrator.user, "password": self.administrator.password}
        authority = content(self.server.authority.pair.certificate.read_bytes())
        spec = {
            "driver": self.server.driver,
            "endpoints": [self.server.endpoint],
            "basicAuth": {field: content(text.encode()) for field, text in basic.items()},
            "tlsConfig": {"certificateAuthority": {"certificate": authority}},
        }
        return {"apiVersion": KAMAJI_API_VERSION, "kind": "DataStore", "metadata": {"name": name}, "spec": spec}

    @contextlib.contextmanager
    def driver(self) -> Iterator[Driver]:
        """A connection as its administrator."""
        store = api.check(self.definition("test"))
        with contextlib.closing(connect(store, api.resolve(store, {}))) as driver:
            yield driver

    @contextlib.contextmanager
    def share(self, endpoints: Sequence[str] = ()) -> Iterator[Store]:
        """A share of it as a tenant's programs have it, until the block ends. endpoints: others than its own."""
        name = f"tenants_{secrets.token_hex(4)}"
        isolation = Isolation(name, name, secrets.token_urlsafe(24))
        with self.driver() as driver:
            for part in driver.parts:
                driver.create_part(isolation, part)
            yield self.store(isolation, endpoints)
            for part in driver.purge_parts:
                driver.delete_part(isolation, part)

    def store(self, isolation: Isolation, endpoints: Sequence[str] = ()) -> Store:
        reached = tuple(endpoints) or (self.server.endpoint,)
        inputs = DatastoreInputs("shared", self.server.driver, reached, isolation.schema, isolation.user, "", "", client_certificate=False)
        config = {
            "DB_CONNECTION_STRING": ",".join(reached),
            "DB_SCHEMA": isolation.schema,
            "DB_USER": isolation.user,
            "DB_PASSWORD": isolation.password or "",
        }
        return Store(inputs, {"ca.crt": self.server.authority.pair.certificate}, config)


@contextlib.contextmanager
def running_database(kind: str) -> Iterator[Database]:
    """Run a new server of one of KINDS."""
    found = KINDS[kind]
    with found.run() as server:
        found.make_administrator(server)
        yield Database(server, found.administrator)
