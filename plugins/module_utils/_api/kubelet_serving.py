# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kubelet gets the serving certificate that it asks its cluster for.

Nothing in Kubernetes approves such requests: a node may write any name into one, and whoever believed it would hand out certificates for
other hosts. So a request is held against what is known of the host from elsewhere.
Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import is_dns_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

SIGNER: Final = "kubernetes.io/kubelet-serving"
USER_PREFIX: Final = "system:node:"
NODES: Final = "system:nodes"
_AUTHENTICATED: Final = "system:authenticated"
# The signer's own rule (pkg/apis/certificates/helpers.go, ValidateKubeletServingCSR); keyEncipherment is for RSA keys only.
_USAGES: Final = frozenset({"digital signature", "server auth"})
_RSA_USAGES: Final = _USAGES | {"key encipherment"}
_REASON: Final = "NamesChecked"
_MESSAGE: Final = "hosted.kubernetes: all names and addresses are those of this host"


class RequestState(StrEnum):
    """APPROVED: not signed yet. REJECTED: denied, or the signer failed."""

    PENDING = "pending"
    APPROVED = "approved"
    ISSUED = "issued"
    REJECTED = "rejected"


@dataclass(frozen=True)
class RequestContent:
    """What a PKCS #10 request says. others: kinds of subject attributes and alternative names that are none of the four before.

    is_signed: by the key that it asks a certificate for.
    """

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    others: tuple[str, ...] = ()
    is_signed: bool = True


@dataclass(frozen=True)
class ServingHost:
    """A node, and by which names and addresses its host is known. is_missing: it has no certificate, so that a request of its must come."""

    name: str
    dns_names: frozenset[str]
    ip_addresses: frozenset[str]
    is_missing: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> ServingHost:
        """Build one from name, dns_names, ip_addresses and missing; the name is one of its DNS names. Raises InvalidError."""
        names = {text.lower() for text in (raw["name"], *(raw.get("dns_names") or ())) if text}
        addresses = {text for text in raw.get("ip_addresses") or () if text}
        wrong = sorted([name for name in names if not is_dns_name(name)] + [item for item in addresses if not is_address(item)])
        if wrong:
            raise InvalidError(f'node {raw["name"]}: "{wrong[0]}" is no DNS name or IP address; correct dns_names or ip_addresses')
        return cls(raw["name"], frozenset(names), frozenset(map(_plain, addresses)), bool(raw.get("missing")))

    @property
    def user(self) -> str:
        return USER_PREFIX + self.name


def state(request: Json) -> RequestState:
    """How far a CertificateSigningRequest is."""
    status = request.get("status") or {}
    conditions = {item["type"] for item in status.get("conditions") or [] if item.get("status", "True") == "True"}
    if conditions & {"Denied", "Failed"}:
        return RequestState.REJECTED
    if status.get("certificate"):
        return RequestState.ISSUED
    return RequestState.APPROVED if "Approved" in conditions else RequestState.PENDING


def requests_of(host: ServingHost, requests: Sequence[Json]) -> list[Json]:
    """Those of a host, the oldest first."""
    mine = [item for item in requests if item["spec"].get("signerName") == SIGNER and item["spec"].get("username") == host.user]
    return sorted(mine, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))


def refusal(request: Json, content: RequestContent, host: ServingHost) -> str | None:
    """Why a request may not be approved, all reasons in one text; None when it may.

    request: CertificateSigningRequest, whose user, groups and usages the API server vouches for. content: what is in it.
    """
    return "; ".join(_problems(request["spec"], content, host)) or None


def approved(request: Json, now: str) -> Json:
    """The request as it is sent to its subresource approval. now: RFC 3339."""
    condition = {"type": "Approved", "status": "True", "reason": _REASON, "message": _MESSAGE, "lastUpdateTime": now}
    status = request.get("status") or {}
    return {**request, "status": {**status, "conditions": [*(status.get("conditions") or []), condition]}}


def _problems(spec: Json, content: RequestContent, host: ServingHost) -> Iterator[str]:
    groups, usages = set(spec.get("groups") or []), frozenset(spec.get("usages") or [])
    if spec.get("signerName") != SIGNER:
        yield f"it is for signer {spec.get('signerName')}, not {SIGNER}"
    if spec.get("username") != host.user:
        yield f"it comes from user {spec.get('username')}, not {host.user}"
    if not groups >= {NODES, _AUTHENTICATED}:
        yield f"its user is not in the group {NODES}"
    if usages not in (_USAGES, _RSA_USAGES):
        yield f"it asks for the usages {', '.join(sorted(usages)) or '(none)'}"
    if not content.is_signed:
        yield "it is not signed by its own key"
    if content.common_name != host.user or content.organizations != (NODES,):
        yield f"its subject is CN={content.common_name}, O={', '.join(content.organizations) or '(none)'}, not CN={host.user}, O={NODES}"
    yield from _name_problems(content, host)


def _name_problems(content: RequestContent, host: ServingHost) -> Iterator[str]:
    if content.others:
        yield f"it asks for {', '.join(content.others)}, which no kubelet needs"
    if not content.dns_names and not content.ip_addresses:
        yield "it asks for no name and no address"
    for name in content.dns_names:
        if name.lower() not in host.dns_names:
            yield f"it asks for the name {name}, while the host has {_listed(host.dns_names)}"
    for address in content.ip_addresses:
        if _plain(address) not in host.ip_addresses:
            yield f"it asks for the address {address}, while the host has {_listed(host.ip_addresses)}"


def _plain(address: str) -> str:
    """One spelling of an address."""
    return str(ipaddress.ip_address(address))


def _listed(items: frozenset[str]) -> str:
    return ", ".join(sorted(items)) or "none that is known"
