# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in a cluster, or in many tenant clusters at once.

There are two rounds, each for several tenants at a time: first everything is applied everywhere, then it is waited for where something is not
ready yet, all with one deadline. So a tenant in which nothing becomes ready takes time from no other one. Between the rounds no
connection is kept: hundreds of tenants would need more than a process may open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import for_each, refuse_twice, told
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.object_list import (
    ObjectAction,
    ObjectList,
    ObjectResult,
    leaving,
    unready,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import administrator_of


@dataclass(frozen=True)
class Wanted:
    """Objects (as parse_objects gives them) of one cluster: of a tenant, or (None) of the cluster that the connection leads to."""

    tenant: TenantKey | None
    objects: Sequence[Json] = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """How a call works. absent: make the objects not be there. timeout_s: for all clusters together. The rest: as ObjectList has it."""

    field_manager: str
    namespace: str
    force: bool
    dry_run: bool
    absent: bool
    wait: bool
    timeout_s: float


@dataclass
class Outcome:
    """What was done, or would be in a dry run, in one cluster. error: why it failed; what was done before that is in results."""

    tenant: TenantKey | None
    results: list[ObjectResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: HostedKubernetesError | None = None

    @property
    def changes(self) -> list[ObjectResult]:
        return [result for result in self.results if result.action is not ObjectAction.NONE]

    @property
    def label(self) -> str:
        """namespace/name of the tenant, "" for no tenant."""
        return "/".join(self.tenant or ())

    def to_result(self) -> Json:
        """For module results."""
        return {"changed": bool(self.changes), "results": [result.to_result() for result in self.results]}

    def to_entry(self) -> Json:
        """The same among those of other tenants."""
        return {"tenant": self.label, **self.to_result(), "error": told(self.label, self.error)}

    def to_diff(self) -> list[Json]:
        """For Ansible's --diff: one entry for each object that was changed."""
        return [result.to_diff(self.label) for result in self.changes]


def keep_objects(connection: Client, wanted: Sequence[Wanted], settings: Settings) -> list[Outcome]:
    """Make objects be, or not be, in each of these clusters. One outcome for each; one that fails does not hold up the others.

    connection: to the cluster itself, or to the tenants' management cluster.
    Raises InvalidError when a tenant is there twice, ApiError when the tenants cannot be listed.
    """
    tenants = [item.tenant for item in wanted if item.tenant]
    refuse_twice(tenants)
    call = _Call(connection, StoredTenants(connection, tenants, names.ADMIN_KUBECONFIG), settings, time.monotonic() + settings.timeout_s)
    jobs = [_Job(call, item) for item in wanted]
    _round(jobs, _Job.make)
    if settings.wait and not settings.dry_run:
        _round([job for job in jobs if job.waits], _Job.wait)
    return [job.outcome for job in jobs]


def _round(jobs: Sequence[_Job], step: Callable[[_Job], None]) -> None:
    for job, answer in zip(jobs, for_each(jobs, step), strict=True):
        job.outcome.error = answer


@dataclass(frozen=True)
class _Call:
    """What the clusters of one call share."""

    connection: Client
    stored: StoredTenants
    settings: Settings
    deadline: float

    @contextmanager
    def client(self, tenant: TenantKey | None) -> Iterator[Client]:
        """A connection to one of the clusters."""
        if tenant is None:
            yield self.connection
            return
        with administrator_of(self.stored, tenant).access(self.connection) as client:
            yield client


class _Job:
    """The objects of one cluster."""

    def __init__(self, call: _Call, wanted: Wanted) -> None:
        self._call, self._wanted = call, wanted
        self.outcome = Outcome(wanted.tenant)

    @property
    def waits(self) -> bool:
        """Whether something is not as wanted yet that may become so by itself."""
        pending = leaving if self._call.settings.absent else unready
        return self.outcome.error is None and bool(pending(self.outcome.results))

    def make(self) -> None:
        with self._objects() as objects:
            for result in objects.delete() if self._call.settings.absent else objects.apply():
                self.outcome.results.append(result)

    def wait(self) -> None:
        with self._objects() as objects:
            try:
                (objects.wait_gone if self._call.settings.absent else objects.wait_ready)(self.outcome.results)
            finally:
                self.outcome.warnings = objects.warnings

    @contextmanager
    def _objects(self) -> Iterator[ObjectList]:
        settings = self._call.settings
        with self._call.client(self._wanted.tenant) as client:
            yield ObjectList(
                client,
                self._wanted.objects,
                settings.field_manager,
                self._call.deadline,
                namespace=settings.namespace,
                dry_run=settings.dry_run,
                force=settings.force,
            )
