# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of each TenantControlPlane unpacked: what others must know of it, and what metrics say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.definitions import claims
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import Share, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """claims: names and ports that only one tenant can have. rank: who was there first (the lowest), when two claim the same.

    ends: Secret → when its certificate ends, as status recorded it (UTC).
    """

    share: Share
    claims: frozenset[tuple[str, str | int]]
    rank: tuple[bool, str, str]
    phase: str
    version: str
    endpoint: str
    ends: Mapping[str, datetime]


def summarise(resource: Json) -> TenantSummary:
    """Return the summary of a stored TenantControlPlane, good or bad."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    share = share_of(resource)
    records = (status.get("hosted") or {}).get("secrets") or {}
    return TenantSummary(
        share=share,
        claims=frozenset(claims(resource, share)),
        # One that has data already keeps it.
        rank=("setup" not in (status.get("storage") or {}), metadata.get("creationTimestamp") or "", metadata.get("uid") or ""),
        phase=((status.get("kubernetesResources") or {}).get("version") or {}).get("status", ""),
        version=str(((resource.get("spec") or {}).get("kubernetes") or {}).get("version", "")),
        endpoint=status.get("controlPlaneEndpoint", ""),
        ends={name: datetime.fromisoformat(record["notAfter"]) for name, record in records.items() if record.get("notAfter")},
    )


def rivals(summaries: Mapping[TenantKey, TenantSummary], key: TenantKey, own: TenantSummary) -> list[TenantKey]:
    """The other tenants that claim something that this one claims too."""
    return [other for other, summary in summaries.items() if other != key and not summary.claims.isdisjoint(own.claims)]


def earlier(summaries: Mapping[TenantKey, TenantSummary], key: TenantKey) -> list[TenantKey]:
    """Those of them that were there before it."""
    own = summaries[key]
    return [other for other in rivals(summaries, key, own) if summaries[other].rank < own.rank]


def neighbours(summaries: Mapping[TenantKey, TenantSummary], key: TenantKey) -> dict[str, Share]:
    """namespace/name → share of the tenants whose data must outlive this one's: all, but for those that were refused for its sake."""
    own = summaries[key]
    refused = {other for other in rivals(summaries, key, own) if own.rank < summaries[other].rank}
    return {f"{other[0]}/{other[1]}": summary.share for other, summary in summaries.items() if other not in {key, *refused}}
