# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of datastores: which store, what is wrong, what to do. Each class is one kind of remedy."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class DatastoreError(HostedKubernetesError):
    """A datastore did not do what was asked of it. datastore: its name; where: the endpoint or object concerned."""

    def __init__(self, datastore: str, what: str, *, where: str | None = None) -> None:
        super().__init__(f"DataStore {datastore}: {what}", datastore=datastore, where=where)


class DatastoreUnreachableError(DatastoreError):
    """No endpoint answers: name, address, port, firewall, or the store is down. Nothing is known about its content."""


class DatastoreTlsError(DatastoreError):
    """An endpoint answers, but one side does not trust the other's certificate."""


class DatastorePermissionError(DatastoreError):
    """The store knows us, but our user may not do this."""


class DatastoreAuthenticationOffError(DatastoreError):
    """The store does not authenticate its users, so it cannot keep tenants apart."""


class DatastoreNoSpaceError(DatastoreError):
    """The store refuses writes because its quota is used up."""


class DatastoreTimeoutError(DatastoreError):
    """The store answers, but did not finish in time: no leader, no quorum, or a disk that is too slow."""


class DatastoreCompactedError(DatastoreError):
    """The store has dropped the revision that is being read: too much time passed. Nothing is wrong with it; begin again."""


class DatastoreTooLargeError(DatastoreError):
    """A request or an answer is larger than one of the sides takes."""
