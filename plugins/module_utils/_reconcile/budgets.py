# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what tenants with a data budget use of their etcd, and have writing limited in those that have used it up.

Measuring reads all keys and values of these tenants, so it is done when it is asked for and never by the engine's own runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.data_budget import DataBudget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation, Usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.reader import Reader
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import FreshOpener, Opener
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import not_served
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import plan_diff
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored import desired_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.write_limits import Limited, WriteLimits, status_patch

_STORES_AT_ONCE: Final = 8
# Of certificates nothing is looked at here.
_ANY: Final = timedelta(0)


@dataclass(frozen=True)
class Account:
    """One tenant in one DataStore. budget_bytes: None when what is written is no size. error: why it is not known what it uses."""

    tenant: str
    store: str
    budget_bytes: int | None
    usage: Usage | None = None
    error: str = ""


@dataclass(frozen=True)
class _Tenant:
    """A stored tenant that has, or had, a budget. accounts: of each of its stores in which it has one."""

    resource: Json = field(repr=False)
    share: Share
    recorded: tuple[DataBudget, ...]
    accounts: tuple[Account, ...]

    @property
    def key(self) -> str:
        return f"{self.resource['metadata']['namespace']}/{self.resource['metadata']['name']}"

    def judged(self) -> tuple[DataBudget, ...]:
        """What is known now, store by store. Where nothing was measured, what was found last counts on."""
        before = {item.store: item for item in self.recorded}
        return tuple(item for account in self.accounts for item in _judged(account, before.get(account.store)))


def _judged(account: Account, before: DataBudget | None) -> Iterator[DataBudget]:
    if account.budget_bytes is None:
        return
    if account.usage is not None and account.usage.size_bytes is not None:
        yield data_budget.judge(account.store, account.budget_bytes, account.usage.size_bytes, before)
    elif before is not None:
        yield before


@dataclass(frozen=True)
class Scope:
    """Whose budgets are looked at. store: only what is in this DataStore; None: in all. serves: whether tenants of a namespace are."""

    store: str | None = None
    serves: Callable[[str], bool] = field(default=lambda _namespace: True)


def keep_budgets(client: Client, settings: Settings, scope: Scope, *, reader: Reader | None = None, opener: Opener | None = None) -> Json:
    """Measure, limit and lift, and return a module's result.

    reader: where resources are read, by default the API server; opener: how datastores are opened, by default anew.
    Raises HostedKubernetesError, with the results of all, when anything could not be measured or limited.
    """
    store, reader = scope.store, reader or client
    try:
        stores = {item["metadata"]["name"]: item for item in reader.list(resource_of(api.KIND)).items}
        resources = [item for item in reader.list(resource_of(KIND)).items if scope.serves(item["metadata"]["namespace"])]
    except NotFoundError as error:
        raise not_served(resource_of(api.KIND)) from error
    if store is not None and store not in stores:
        raise InvalidError(f"DataStore {store} does not exist; correct the name")
    tenants = [_tenant(resource, stores) for resource in resources if not resource["metadata"].get("deletionTimestamp")]
    tenants = [item for item in tenants if item.accounts or item.recorded]
    tenants = _measured(tenants, stores, store, opener or FreshOpener(client))
    problems: dict[str, str] = {}
    outcomes = WriteLimits(client, settings).keep(_to_keep(tenants, settings, problems))
    return _result([item for item in tenants if store in (None, *item.share.stores)], outcomes, problems)


def _tenant(resource: Json, stores: Mapping[str, Json]) -> _Tenant:
    return _Tenant(resource, share_of(resource), data_budget.recorded(resource.get("status") or {}), accounts_of(resource, stores))


def accounts_of(resource: Json, stores: Mapping[str, Json]) -> tuple[Account, ...]:
    """In which of its DataStores a stored tenant has a budget; nothing is counted yet. stores: all DataStores by name. Pure."""
    # Without a share there is nothing to count yet.
    if not (resource.get("status") or {}).get("storage"):
        return ()
    found = [_account(resource, name, stores.get(name)) for name in share_of(resource).stores]
    accounts = [item for item in found if item is not None]
    # A tenant in a database may have a budget for what it keeps in an etcd beside it.
    some_count = any(not item.error for item in accounts)
    return tuple(item for item in accounts if not some_count or item.store not in stores or _is_etcd(stores[item.store]))


def _account(resource: Json, store: str, live: Json | None) -> Account | None:
    key = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
    try:
        budget = data_budget.budget_bytes(resource.get("spec") or {}, (live or {}).get("spec") or {})
    except ValueError:
        error = "its budget is no size; correct spec.dataStoreBudget, or capacity.tenantBudget of its DataStore"
        return Account(key, store, None, error=error)
    if budget is None:
        return None
    return Account(key, store, budget, error=_refusal(store, live))


def _is_etcd(live: Json) -> bool:
    return bool((live.get("spec") or {}).get("driver") == api.ETCD)


def _refusal(name: str, live: Json | None) -> str:
    """Why nothing can be counted in a DataStore, "" when it can."""
    if live is None:
        return f"DataStore {name} does not exist"
    if _is_etcd(live):
        return ""
    return f"DataStore {name} is of driver {live['spec']['driver']}, and budgets are counted in etcd only; remove spec.dataStoreBudget"


def _measured(tenants: Sequence[_Tenant], stores: Mapping[str, Json], only: str | None, opener: Opener) -> list[_Tenant]:
    """The same with what they use of the stores that are asked, several stores at a time."""
    asked: dict[str, list[_Tenant]] = {}
    for tenant in tenants:
        for account in tenant.accounts:
            if only in (None, account.store) and not account.error:
                asked.setdefault(account.store, []).append(tenant)
    with ThreadPoolExecutor(max_workers=min(_STORES_AT_ONCE, len(asked) or 1)) as pool:
        found = list(pool.map(lambda item: _usage(stores[item[0]], item[1], opener), asked.items()))
    usage = dict(zip(asked, found, strict=True))
    return [
        replace(tenant, accounts=tuple(_counted(account, usage.get(account.store, {}).get(tenant.key)) for account in tenant.accounts))
        for tenant in tenants
    ]


def _usage(live: Json, tenants: Sequence[_Tenant], opener: Opener) -> dict[str, Usage]:
    """What tenants use of one store, by tenant."""
    try:
        isolations = {item.key: Isolation(item.share.schema, item.share.user) for item in tenants}
        with opener.open(api.check(live)) as store:
            found = store.driver.account([*isolations.values()])
        return {key: found[item.schema] for key, item in isolations.items()}
    except HostedKubernetesError as error:
        return {item.key: Usage(error=error.msg) for item in tenants}


def _counted(account: Account, usage: Usage | None) -> Account:
    return account if usage is None else replace(account, usage=usage, error=usage.error)


def _to_keep(tenants: Sequence[_Tenant], settings: Settings, problems: dict[str, str]) -> list[Desired]:
    """The tenants in which there may be something to do: with a limit, or with news for their status. problems: is told who cannot be read."""
    found = []
    for tenant in tenants:
        try:
            desired = replace(desired_of(tenant.resource, (), _ANY), budgets=tenant.judged())
        except InvalidError as error:
            problems[tenant.key] = error.msg
            continue
        status = tenant.resource.get("status") or {}
        if data_budget.is_limited(desired.budgets or ()) or status_patch(desired, status, settings.now()):
            found.append(desired)
    return found


def _result(tenants: Sequence[_Tenant], outcomes: Sequence[Limited], problems: Mapping[str, str]) -> Json:
    changes = [change for outcome in outcomes for change in outcome.changes]
    result: Json = {
        "changed": bool(changes),
        "budgets": [_entry(tenant, account) for tenant in tenants for account in tenant.accounts],
        "plan": [change.to_result() for change in changes],
        "diff": plan_diff(changes),
        "warnings": [*_warnings(tenants, outcomes)],
    }
    unknown = (f"{item.tenant}: {item.error}" for tenant in tenants for item in tenant.accounts if item.error)
    failed = [*unknown, *problems.values(), *(outcome.error for outcome in outcomes if outcome.error)]
    if failed:
        raise HostedKubernetesError("; ".join(failed), **result)
    return result


def _entry(tenant: _Tenant, account: Account) -> Json:
    usage = account.usage or Usage()
    judged = next((item for item in tenant.judged() if item.store == account.store), None)
    size, budget = usage.size_bytes, account.budget_bytes
    return {
        "tenant": account.tenant,
        "datastore": account.store,
        "budget_bytes": budget,
        "size_bytes": size,
        "keys": usage.keys,
        "used_percent": 100 * size // budget if size is not None and budget else None,
        "state": judged.state if judged else "Unknown",
        "write_limited": bool(judged and judged.limited),
        "error": account.error,
    }


def _warnings(tenants: Sequence[_Tenant], outcomes: Sequence[Limited]) -> Iterator[str]:
    for tenant in tenants:
        found = data_budget.condition(tenant.judged())
        if found and not found[0]:
            yield f"{KIND} {tenant.key}: {found[2]}"
    for outcome in outcomes:
        if outcome.note:
            yield f"{KIND} {outcome.tenant}: its write permissions are left as they are: {outcome.note}; run again when that is over"
