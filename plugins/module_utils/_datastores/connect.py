# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a DataStore resource and its credentials to a driver."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Credentials, DataStore, Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, library, sql
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import Identity, Member
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import load_certificate
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PkiError, load_private_key

# Gives the (host, port) to dial instead of an endpoint, or None to dial the endpoint itself.
Forward = Callable[[Endpoint], "tuple[str, int] | None"]


def connect(
    datastore: DataStore,
    credentials: Credentials,
    *,
    forward: Forward | None = None,
    explain: Callable[[], str | None] | None = None,
    timeout_s: float = 5.0,
) -> Driver:
    """Return the driver of a DataStore, over all its endpoints. No call is made yet; close it after use.

    forward: how to reach endpoints that only the management cluster can (its port-forwards stay the caller's).
    explain: why that way failed, None when it did not.
    TLS is always verified, for the endpoint's own name also when another address is dialled.
    Raises DatastoreTlsError when the credentials cannot be used, DatastoreError when the driver is not available.
    """
    if datastore.driver == api.ETCD:
        return connect_etcd(datastore, credentials, forward=forward, explain=explain, timeout_s=timeout_s)
    if datastore.driver == api.POSTGRESQL:
        return _postgresql(*_sql_way(datastore, credentials, forward, explain, timeout_s))
    if datastore.driver == api.MYSQL:
        return _mysql(*_sql_way(datastore, credentials, forward, explain, timeout_s))
    raise errors.DatastoreError(
        datastore.name,
        f'spec.driver "{datastore.driver}" is not available: its users cannot be made at run time, so tenants would share one login; '
        f"use {api.ETCD}, {api.POSTGRESQL} or {api.MYSQL}",
    )


def connect_etcd(
    datastore: DataStore,
    credentials: Credentials,
    *,
    forward: Forward | None = None,
    explain: Callable[[], str | None] | None = None,
    timeout_s: float = 5.0,
) -> EtcdDriver:
    """connect() for a store whose driver is etcd; gives also what belongs to managing the store itself."""
    library.require()
    identity = _identity(datastore.name, credentials)
    members = []
    for endpoint in datastore.endpoints:
        dialled = forward(endpoint) if forward else None
        address = str(Endpoint(*dialled)) if dialled else str(endpoint)
        members.append(Member(str(endpoint), address, identity, endpoint.host if dialled else None))
    return EtcdDriver(datastore.name, members, identity, explain=explain, timeout_s=timeout_s)


# The client of a database takes a fifth of the imports' time: only who needs it pays for it.


def _postgresql(way: sql.Way, login: sql.Login) -> Driver:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import library_psycopg
    from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql import PostgresqlDriver

    library_psycopg.require()
    return PostgresqlDriver(way, login)


def _mysql(way: sql.Way, login: sql.Login) -> Driver:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import library_pymysql
    from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql import MysqlDriver

    library_pymysql.require()
    return MysqlDriver(way, login)


def _sql_way(
    datastore: DataStore, credentials: Credentials, forward: Forward | None, explain: Callable[[], str | None] | None, timeout_s: float
) -> tuple[sql.Way, sql.Login]:
    """How an SQL server is reached, and who administrates it. Raises DatastoreError naming the field that is missing or not usable."""
    if not credentials.username or not credentials.password:
        raise errors.DatastorePermissionError(
            datastore.name,
            f"spec.basicAuth is missing; driver {datastore.driver} logs in with username and password of a user that may make users and databases",
            where="spec.basicAuth",
        )
    _check_certificates(datastore.name, credentials)
    targets = []
    for endpoint in datastore.endpoints:
        dialled = forward(endpoint) if forward else None
        targets.append(sql.Target(endpoint, Endpoint(*dialled) if dialled else None))
    tls = sql.Tls(credentials.ca_certificate or b"", credentials.client_certificate, credentials.client_key)
    way = sql.Way(datastore.name, tuple(targets), tls, timeout_s, explain)
    return way, sql.Login(credentials.username, credentials.password)


def _identity(name: str, credentials: Credentials) -> Identity:
    """Raises DatastoreTlsError naming the field that cannot be used."""
    _check_certificates(name, credentials, client=True)
    return Identity(credentials.ca_certificate or b"", credentials.client_certificate or b"", credentials.client_key or b"")


def _check_certificates(name: str, credentials: Credentials, *, client: bool = False) -> None:
    """Raise DatastoreTlsError naming the field that cannot be used. client: whether there must be a client certificate."""
    field = "spec.tlsConfig.certificateAuthority.certificate"
    try:
        load_certificate(credentials.ca_certificate or b"")
        if credentials.client_certificate is None and not client:
            return
        field = "spec.tlsConfig.clientCertificate.certificate"
        certificate = load_certificate(credentials.client_certificate or b"")
        field = "spec.tlsConfig.clientCertificate.privateKey"
        key = load_private_key(credentials.client_key or b"")
        if key.public_key() != certificate.public_key():
            raise PkiError("it does not belong to the client certificate; give the two halves of one pair")
    except PkiError as error:
        raise errors.DatastoreTlsError(name, f"{field}: {error.msg}", where=field) from error
