# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approves the requests of kubelets for serving certificates, of many nodes in one call (rules in _api/kubelet_serving.py)."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import kubelet_serving as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_serving import RequestState, ServingHost
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConflictError, NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, WaitTimeout, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PkiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.requests import read_request

_REQUESTS: Final = resource_of("CertificateSigningRequest")
_SELECTOR: Final = f"spec.signerName={api.SIGNER}"


@dataclass
class Outcome:
    """What became of one node's requests, by their names. refused: with the reason; left pending. error: why a certificate that must come does not."""

    host: ServingHost
    approved: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    is_expected: bool = False
    error: str = ""


def approve(client: Client, hosts: Sequence[ServingHost], *, wait: bool, timeout_s: float, check: bool) -> list[Outcome]:
    """Approve what may be approved, and wait until it is signed; of hosts without a certificate, until a request has come.

    check: make and wait for nothing; is_expected says then of which hosts a request has still to come.
    """
    run = _Run(client, hosts)
    requests = client.list(_REQUESTS, field_selector=_SELECTOR).items
    run.look(requests, check=check)
    if check:
        run.expect(requests)
    elif wait:
        run.wait(time.monotonic() + timeout_s)
    return run.outcomes


class _Run:
    """One call. Requests are known by their uid: names may come again."""

    def __init__(self, client: Client, hosts: Sequence[ServingHost]) -> None:
        self._client = client
        self.outcomes = [Outcome(host) for host in hosts]
        self._decided: set[str] = set()
        # A request is older than its Node when it was made by a kubelet that this host had before.
        self._since = {host.name: self._born(host) for host in hosts if host.is_missing}

    def look(self, requests: Sequence[Json], *, check: bool) -> None:
        """Decide about every request that is pending and has not been decided about."""
        for outcome, request in self._undecided(requests):
            name = request["metadata"]["name"]
            reason = _refusal(request, outcome.host)
            if reason:
                outcome.refused[name] = reason
            elif not check and not self._approve(request):
                continue
            else:
                outcome.approved.append(name)
            self._decided.add(request["metadata"]["uid"])

    def expect(self, requests: Sequence[Json]) -> None:
        for outcome in self.outcomes:
            is_there = outcome.approved or outcome.refused or self._states(outcome, requests)
            outcome.is_expected = outcome.host.is_missing and not is_there

    def wait(self, deadline: float) -> None:
        """Go on until every request that was approved is signed. What is missing in the end is the outcome's error."""
        while True:
            try:
                found = wait_until(
                    self._client,
                    _REQUESTS,
                    field_selector=_SELECTOR,
                    predicate=lambda objects: bool(self._undecided(_items(objects)) or not self._unfinished(_items(objects))),
                    deadline=deadline,
                    what="serving certificates of kubelets",
                    explain=lambda objects: "; ".join(self._unfinished(_items(objects)).values()),
                )
            except WaitTimeout as error:
                for name, reason in self._unfinished(_items(error.last)).items():
                    self._outcome(name).error = reason
                return
            if not self._undecided(_items(found)):
                break
            self.look(_items(found), check=False)
        for outcome in self.outcomes:
            rejected = self._rejected(outcome, _items(found))
            if rejected:
                outcome.error = f"request {rejected[-1]} was approved and could not be signed: kubectl describe csr {rejected[-1]} says why"
            elif outcome.host.is_missing and outcome.refused and not outcome.approved:
                outcome.error = "; ".join(f"request {name} is left pending: {reason}" for name, reason in outcome.refused.items())

    def _undecided(self, requests: Sequence[Json]) -> list[tuple[Outcome, Json]]:
        return [
            (outcome, request)
            for outcome in self.outcomes
            for request in api.requests_of(outcome.host, requests)
            if api.state(request) is RequestState.PENDING and request["metadata"]["uid"] not in self._decided
        ]

    def _unfinished(self, requests: Sequence[Json]) -> dict[str, str]:
        """Why nodes are waited for, by their names."""
        reasons = {outcome.host.name: self._unfinished_reason(outcome, requests) for outcome in self.outcomes}
        return {name: reason for name, reason in reasons.items() if reason}

    def _unfinished_reason(self, outcome: Outcome, requests: Sequence[Json]) -> str:
        states = self._states(outcome, requests)
        unsigned = [name for name, state in states.items() if state is RequestState.APPROVED]
        if unsigned and (outcome.host.is_missing or set(unsigned) & set(outcome.approved)):
            return f"request {unsigned[-1]} is approved and not signed: look at the tenant's controller manager"
        if self._rejected(outcome, requests):
            return ""  # it does not get better
        if outcome.host.is_missing and not outcome.refused and RequestState.ISSUED not in states.values():
            return "its kubelet asks for no certificate: look at journalctl -u kubelet there, and whether serverTLSBootstrap is set"
        return ""

    def _states(self, outcome: Outcome, requests: Sequence[Json]) -> dict[str, RequestState]:
        """States of a host's requests by name; of one that must come, only of those that its present kubelet made."""
        since = self._since.get(outcome.host.name, "")
        mine = api.requests_of(outcome.host, requests)
        return {item["metadata"]["name"]: api.state(item) for item in mine if item["metadata"]["creationTimestamp"] >= since}

    def _rejected(self, outcome: Outcome, requests: Sequence[Json]) -> list[str]:
        states = self._states(outcome, requests)
        return [name for name, state in states.items() if state is RequestState.REJECTED and name in outcome.approved]

    def _born(self, host: ServingHost) -> str:
        node = self._client.get(resource_of("Node"), host.name, metadata_only=True)
        return str(node["metadata"]["creationTimestamp"]) if node else ""

    def _approve(self, request: Json) -> bool:
        """Approve it as it was seen; False when it has changed or gone meanwhile."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._client.request("PUT", _REQUESTS.path("", request["metadata"]["name"], "approval"), body=api.approved(request, now))
        except (ConflictError, NotFoundError):
            return False
        return True

    def _outcome(self, name: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.host.name == name)


def _refusal(request: Json, host: ServingHost) -> str | None:
    try:
        content = read_request(base64.b64decode(request["spec"]["request"], validate=True))
    except (PkiError, binascii.Error) as error:
        return str(error)
    return api.refusal(request, content, host)


def _items(objects: Objects) -> list[Json]:
    return list(objects.values())
