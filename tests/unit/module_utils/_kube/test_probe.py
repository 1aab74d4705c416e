# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is waited for when a management cluster is probed, and what is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client, ListResult
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ExpiredCredentialError,
    TlsError,
    UnreachableError,
    api_error,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.probe import (
    certificate_warnings,
    check_management_version,
    cluster_facts,
)

NOT_READY = api_error("https://k", "GET", "/readyz", {"code": 500, "message": "[-]etcd failed"})
FORBIDDEN = api_error("https://k", "GET", "/readyz", {"code": 403, "message": "no"})


class Server:
    """Answers /readyz with the given faults first, then well."""

    def __init__(self, faults: Sequence[Exception]) -> None:
        self.faults = list(faults)
        self.now = 0.0

    def get_raw(self, _path: str) -> str:
        if self.faults:
            raise self.faults.pop(0)
        return "ok"

    def request(self, _method: str, _path: str) -> Any:
        return {"gitVersion": "v1.36.3"}

    def list(self, _resource: object) -> ListResult:
        ready = {"type": "Ready", "status": "True"}
        return ListResult(
            [
                {"metadata": {"name": "a"}, "status": {"conditions": [ready]}},
                {"metadata": {"name": "b"}, "status": {"conditions": [{**ready, "status": "Unknown"}]}},
                {"metadata": {"name": "c"}, "status": {}},
            ],
            "1",
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def probe(server: Server, timeout_s: float) -> Any:
    return cluster_facts(cast(Client, server), timeout_s=timeout_s, clock=lambda: server.now, sleep=server.sleep)


def test_a_server_that_starts_is_waited_for() -> None:
    facts = probe(Server([UnreachableError("refused"), NOT_READY]), timeout_s=10)
    assert facts.version == "v1.36.3"
    assert facts.nodes == {"a": True, "b": False, "c": False}


def test_the_last_fault_is_told_when_the_time_is_over() -> None:
    with pytest.raises(UnreachableError, match="refused"):
        probe(Server([UnreachableError("refused")] * 100), timeout_s=3)


@pytest.mark.parametrize("fault", [TlsError("another authority"), ExpiredCredentialError("ended"), FORBIDDEN])
def test_what_does_not_pass_by_itself_is_told_at_once(fault: Exception) -> None:
    server = Server([fault])
    with pytest.raises(type(fault)):
        probe(server, timeout_s=60)
    assert server.now == 0


@pytest.mark.parametrize("version", ["v1.33.0", "v1.36.3", "v1.40.1-eks-abc", "v2.0.0"])
def test_supported_versions(version: str) -> None:
    check_management_version("kubeconfig a", version)


@pytest.mark.parametrize(
    ("version", "message"),
    [("v1.32.9", "kubeconfig a: management cluster runs v1.32.9; 1.33 or newer is needed"), ("nginx", "is this a Kubernetes API server")],
)
def test_unsupported_versions_say_what_is_needed(version: str, message: str) -> None:
    with pytest.raises(HostedKubernetesError, match=message):
        check_management_version("kubeconfig a", version)


def test_certificates_that_end_soon_are_warned_of() -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    ends = {"server": now + timedelta(days=89, hours=1), "client": now + timedelta(days=90)}
    (warning,) = certificate_warnings("https://a:6443 (kubeconfig b)", ends, now=now, before_days=90)
    assert warning.startswith(
        "https://a:6443 (kubeconfig b): the certificate of the API server ends at 2027-02-28T01:00:00Z, in 89 days; renew it"
    )
    assert "'kubeadm certs renew all'" in warning
    assert len(certificate_warnings("", ends, now=now, before_days=91)) == 2
    assert certificate_warnings("", ends, now=now, before_days=0) == []
