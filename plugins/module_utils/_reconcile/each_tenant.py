# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing for many tenants: several at a time, and one that fails does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey

TENANTS_AT_ONCE: Final = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(
    items: Sequence[Item], work: Callable[[Item], Result], *, at_once: int = TENANTS_AT_ONCE
) -> list[Result | HostedKubernetesError]:
    """Do it for every item; the answers in their order, an error being the answer of an item that failed with it."""

    def caught(item: Item) -> Result | HostedKubernetesError:
        try:
            return work(item)
        except HostedKubernetesError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(at_once, len(items)) or 1) as pool:
        return list(pool.map(caught, items))


def told(tenant: str, error: HostedKubernetesError | None) -> str:
    """The message of an error, with the tenant (namespace/name) that it is about; "" when there is none."""
    if error is None:
        return ""
    subject = f"{KIND} {tenant}"
    return error.msg if error.msg.startswith((f"{subject}:", f"{subject} ")) else f"{subject}: {error.msg}"


def result_of(entries: Sequence[Json], **more: Any) -> Json:
    """A module's result about several tenants. entries: with changed, and error ("" for none). more: parts of the result.

    Raises HostedKubernetesError when any tenant failed, with the results of all.
    """
    result: Json = {"changed": any(entry["changed"] for entry in entries), "tenants": list(entries), **more}
    failed = [entry["error"] for entry in entries if entry["error"]]
    if failed:
        raise HostedKubernetesError("; ".join(failed), **result)
    return result


def refuse_twice(tenants: Sequence[TenantKey]) -> None:
    """Raises InvalidError when a call names a tenant more than once."""
    twice = sorted({f"{namespace}/{name}" for namespace, name in tenants if tenants.count((namespace, name)) > 1})
    if twice:
        raise InvalidError(f"tenants names {', '.join(twice)} more than once; leave one entry for each tenant")
