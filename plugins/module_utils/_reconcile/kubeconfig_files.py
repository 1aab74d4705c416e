# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs of one user in many tenants, each in a file of its own on this host."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import private_files
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import tenant_user
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import for_each, told
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import User


@dataclass(frozen=True)
class File:
    """Where the kubeconfig of which tenant lies."""

    namespace: str
    tenant: str
    dest: str


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be in check mode, to one file. reason: "" when it was left alone. before, after: for --diff, never the content.

    server: URL in it; expires: end of its certificate. Both None when the file is to be absent, expires also when it would be written.
    """

    file: File
    reason: str = ""
    before: str = ""
    after: str = ""
    server: str | None = None
    expires: datetime | None = None
    error: HostedKubernetesError | None = None

    def to_result(self) -> Json:
        """For module results."""
        found: Json = {"dest": self.file.dest, "reason": self.reason}
        if self.server is not None:
            found["server"] = self.server
        if self.expires is not None:
            found["expires"] = self.expires.isoformat()
        return found

    def to_entry(self) -> Json:
        """The same among those of other tenants."""
        key = f"{self.file.namespace}/{self.file.tenant}"
        return {"tenant": key, "changed": bool(self.reason), **self.to_result(), "error": told(key, self.error)}

    def to_diff(self) -> Json:
        """For Ansible's --diff."""
        return {"before": self.before, "after": self.after}


def keep_files(management: Client, files: Sequence[File], user: User, *, inside: bool, check: bool, now: datetime) -> list[Outcome]:
    """Write the kubeconfigs that are missing or do not serve; check: only say which. One outcome for each file.

    inside: with the address that works inside the management cluster. now: UTC.
    Raises InvalidError for a user that cannot be, and for two files with one path; ApiError when the tenants cannot be listed.
    """
    tenant_user.check(user)
    _refuse_same_path(files)
    stored = StoredTenants(management, [(file.namespace, file.tenant) for file in files], names.CA)

    def keep(file: File) -> Outcome:
        authority = tenant_user.read_authority(stored, file.namespace, file.tenant, inside=inside)
        content = private_files.read(file.dest)
        reason = tenant_user.problem(content, authority, user, now) or private_files.problem(file.dest)
        before = _described(file, "" if content is None else "as it is")
        if reason and not check:
            content = tenant_user.issue(authority, user, now)
            private_files.write(file.dest, content)
        return Outcome(
            file,
            reason or "",
            before,
            _described(file, str(user)) if reason else before,
            authority.server,
            None if content is None or (reason and check) else tenant_user.expires(content),
        )

    return _each(files, keep)


def remove_files(files: Sequence[File], *, check: bool) -> list[Outcome]:
    """Remove the files; check: only say which. Needs neither the tenants nor their cluster. One outcome for each file."""
    _refuse_same_path(files)

    def remove(file: File) -> Outcome:
        if not private_files.exists(file.dest):
            return Outcome(file)
        if not check:
            private_files.remove(file.dest)
        return Outcome(file, "state is absent", f"{file.dest}\n")

    return _each(files, remove)


def _each(files: Sequence[File], work: Callable[[File], Outcome]) -> list[Outcome]:
    answers = zip(files, for_each(files, work), strict=True)
    return [Outcome(file, error=answer) if isinstance(answer, HostedKubernetesError) else answer for file, answer in answers]


def _refuse_same_path(files: Sequence[File]) -> None:
    owners: dict[str, File] = {}
    for file in files:
        other = owners.setdefault(os.path.abspath(file.dest), file)
        if other is not file:
            raise InvalidError(
                f"dest {file.dest} is that of tenants {other.namespace}/{other.tenant} and {file.namespace}/{file.tenant}; "
                "give each a file of its own"
            )


def _described(file: File, text: str) -> str:
    return f"{file.dest}: {text}\n" if text else ""
