# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several datastores a new tenant goes to: the one with most room. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD, Capacity
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import bytes_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, kine_problem

NEARLY_FULL: Final = 0.8
"""The share of a quota from which on a store is called nearly full, and gets no tenant that could go elsewhere."""
SLOW_MS: Final = 250
"""A store whose fastest read takes longer is called slow."""

_LATENCY_STEP_MS: Final = 10
_HEADER: Final = ("DATASTORE", "TENANTS", "SIZE", "LATENCY", "NOT POSSIBLE BECAUSE")


class NoRoomError(HostedKubernetesError):
    """None of the stores that a tenant may choose from can take it."""


@dataclass(frozen=True)
class Candidate:
    """A store that a selector picks, as it was found.

    shares: those of all tenants in it. size_bytes, latency_ms: None when it was not asked. quota_bytes: None when it has none, or
    does not tell it. fault: why no tenant can use it, "" when they can.
    """

    name: str
    driver: str
    capacity: Capacity
    shares: tuple[Share, ...] = ()
    size_bytes: int | None = None
    quota_bytes: int | None = None
    latency_ms: float | None = None
    fault: str = ""

    @property
    def most_bytes(self) -> int | None:
        """The size from which on it gets no further tenant, None when there is no bound."""
        bounds = [self.capacity.size_bytes, None if self.quota_bytes is None else int(NEARLY_FULL * self.quota_bytes)]
        return min((bound for bound in bounds if bound is not None), default=None)


def choose(share: Share, candidates: Sequence[Candidate]) -> str:
    """Return the name of the store with most room for a share whose own store is not chosen yet.

    Fewest tenants come first, in proportion to the bound where every store has one; of equals the smaller one in the same way, then
    the faster one, then the first by name. Raises NoRoomError with a table of what keeps each store from taking it.
    """
    reasons = {item.name: _reason(share, item) for item in candidates}
    free = [item for item in candidates if not reasons[item.name]]
    if not free:
        raise NoRoomError(
            "no DataStore that spec.dataStoreSelector picks can take it; add one, raise spec.capacity of one, or name one in spec.dataStore:\n"
            + table([(*_figures(item), reasons[item.name]) for item in sorted(candidates, key=lambda item: item.name)])
        )
    by_tenants = all(item.capacity.tenants for item in free)
    by_size = all(item.most_bytes for item in free)

    def rank(item: Candidate) -> tuple[float, float, int, str]:
        tenants, size = len(item.shares), item.size_bytes or 0
        return (
            tenants / (item.capacity.tenants or 1) if by_tenants else tenants,
            size / (item.most_bytes or 1) if by_size else size,
            int((item.latency_ms or 0) / _LATENCY_STEP_MS),
            item.name,
        )

    return min(free, key=rank).name


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns of equal width, under a header."""
    lines = [_HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _reason(share: Share, item: Candidate) -> str:
    """Why a store cannot take a share, "" when it can."""
    if item.fault:
        return item.fault
    if item.name in share.overrides:
        return "spec.dataStoreOverrides names it"
    if share.overrides and item.driver != ETCD:
        return f"spec.dataStoreOverrides needs driver {ETCD}"
    if any(share.schema == other.schema or share.user == other.user for other in item.shares):
        return f'another tenant has schema "{share.schema}" or user "{share.user}" there'
    return (kine_problem(share, item.driver) if item.driver != ETCD else None) or _full(item)


def _full(item: Candidate) -> str:
    bound, most, slowest = item.capacity.tenants, item.most_bytes, item.capacity.latency_ms or SLOW_MS
    if bound is not None and len(item.shares) >= bound:
        return "has as many tenants as it may (spec.capacity.tenants)"
    if most is not None and (item.size_bytes or 0) >= most:
        return "is as large as it may be (spec.capacity.size, or four fifths of its quota)"
    if item.latency_ms is not None and item.latency_ms > slowest:
        return "is too slow (spec.capacity.latencyMilliseconds)"
    return ""


def _figures(item: Candidate) -> tuple[str, str, str, str]:
    bound, most = item.capacity.tenants, item.most_bytes
    size = "?" if item.size_bytes is None else bytes_text(item.size_bytes)
    return (
        item.name,
        f"{len(item.shares)} of {bound}" if bound is not None else str(len(item.shares)),
        size if most is None else f"{size} of {bytes_text(most)}",
        "?" if item.latency_ms is None else f"{item.latency_ms:.0f} of {item.capacity.latency_ms or SLOW_MS} ms",
    )
