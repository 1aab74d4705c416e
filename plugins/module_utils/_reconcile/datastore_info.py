# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at datastores and at what each tenant uses of them. Reads only, in the management cluster and in the stores."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Driver, Isolation, Usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import (
    ObservedStore,
    open_store,
    probe_result,
    summary,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import not_served

_STORES_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Question:
    """What is asked about stores. name: of one of them, None for all. usage: whether also what each tenant uses.

    interval_s: how long the tenants' writes are counted, 0: not at all.
    """

    name: str | None
    usage: bool
    interval_s: float


@dataclass(frozen=True)
class _Tenant:
    """A tenant with a share in some store. isolation: None when its names cannot be used; error says why."""

    key: str
    stores: tuple[str, ...]
    schema: str
    user: str
    isolation: Isolation | None = field(repr=False)
    error: str = ""


def stores_info(client: Client, question: Question, now: datetime) -> list[Json]:
    """Return one entry for each DataStore that exists (and has the name, when one is given). now: UTC.

    Raises HostedKubernetesError when the resource definitions are not installed.
    """
    try:
        stores = client.list(resource_of(api.KIND)).items
        listed = client.list(resource_of(KIND)).items
    except NotFoundError as error:
        raise not_served(resource_of(api.KIND)) from error
    wanted = [item for item in stores if question.name in (None, item["metadata"]["name"])]
    tenants = [_tenant(item, passwords) for passwords in [_passwords(client, wanted)] for item in listed]
    with ThreadPoolExecutor(max_workers=min(_STORES_AT_ONCE, len(wanted) or 1)) as pool:
        return list(pool.map(lambda live: _entry(client, live, listed, tenants, question, now), wanted))


def _passwords(client: Client, stores: Sequence[Json]) -> Mapping[tuple[str, str], str]:
    """(namespace, Secret) → a tenant's password; not read when no store knows its users by one."""
    if all((item.get("spec") or {}).get("driver") == api.ETCD for item in stores):
        return {}
    selector = f"{names.PROJECT_SELECTOR},{names.LABEL_COMPONENT}={names.DATASTORE_CONFIG_COMPONENT}"
    found = client.list(resource_of("Secret"), label_selector=selector).items
    return {
        (item["metadata"]["namespace"], item["metadata"]["name"]): base64.b64decode(item["data"]["DB_PASSWORD"]).decode()
        for item in found
        if (item.get("data") or {}).get("DB_PASSWORD")
    }


def _tenant(resource: Json, passwords: Mapping[tuple[str, str], str]) -> _Tenant:
    namespace, name, share = resource["metadata"]["namespace"], resource["metadata"]["name"], share_of(resource)
    found = _Tenant(f"{namespace}/{name}", share.stores, share.schema, share.user, None)
    try:
        return replace(found, isolation=Isolation(share.schema, share.user, passwords.get((namespace, name + names.DATASTORE_CONFIG))))
    except InvalidError as error:
        return replace(found, error=error.msg)


def _entry(client: Client, live: Json, resources: Sequence[Json], tenants: Sequence[_Tenant], question: Question, now: datetime) -> Json:
    name = live["metadata"]["name"]
    here = [item for item in tenants if name in item.stores]
    try:
        definition = api.check(live)
    except InvalidError as error:
        return {**_unknown(live, error.msg), "tenants": [_tenant_entry(item, Usage()) for item in here]}
    observed = ObservedStore(definition, live, api.used_by(name, resources))
    used: Mapping[str, Usage] = {}
    try:
        with open_store(client, definition) as store:
            observed = replace(observed, probe=store.driver.probe())
            if question.usage:
                used = _usage(store.driver, here, question)
    except api.MissingCredentialError as error:
        observed = replace(observed, problems=tuple(error.result["problems"]))
    except DatastoreError as error:
        observed = replace(observed, error=error)
    return {
        **summary(observed, now),
        "labels": dict(definition.labels),
        "problem": observed.fault or "",
        "warnings": list(observed.probe.warnings) if observed.probe else [],
        "probe": probe_result(observed.probe),
        "tenants": [_tenant_entry(item, used.get(item.schema, Usage())) for item in here],
    }


def _usage(driver: Driver, tenants: Sequence[_Tenant], question: Question) -> Mapping[str, Usage]:
    """What each share uses, by schema. A store that fails while it is asked is no error of the probe."""
    isolations = [item.isolation for item in tenants if item.isolation and (item.isolation.password or PASSWORD not in driver.parts)]
    without = {item.schema: Usage(error="its password is not known; run tenant_control_plane once") for item in tenants}
    try:
        return {**without, **driver.account(isolations, interval_s=question.interval_s)}
    except HostedKubernetesError as error:
        return {item.schema: Usage(error=error.msg) for item in tenants}


def _tenant_entry(tenant: _Tenant, usage: Usage) -> Json:
    return {
        "tenant": tenant.key,
        "schema": tenant.schema,
        "user": tenant.user,
        "keys": usage.keys,
        "size_bytes": usage.size_bytes,
        "writes_per_second": usage.writes_per_s,
        "error": tenant.error or usage.error,
    }


def _unknown(live: Json, problem: str) -> dict[str, Any]:
    """A store whose definition cannot be understood."""
    spec: Json = live.get("spec") or {}
    return {
        "name": live["metadata"]["name"],
        "driver": str(spec.get("driver", "")),
        "endpoints": [str(item) for item in spec.get("endpoints") or []],
        "ready": False,
        "used_by": [],
        "conditions": [],
        "labels": dict(live["metadata"].get("labels") or {}),
        "problem": problem,
        "warnings": [],
        "probe": None,
    }
