# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll-out over tenants that are awake: real pods are replaced wave by wave, none restarts, and one that does not stay ready is found out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_counts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call, rollout
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fleet import Pace
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster

NAMESPACE = "rollout-test"
TENANTS = ("canary", "blue", "green")


@dataclass(frozen=True)
class Fleet:
    """Tenants of one pod each, without addons."""

    client: Client

    def definition(self, name: str) -> Json:
        return {
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "kubernetes": {"version": "v1.36.3"},
                "controlPlane": {"deployment": {"replicas": 1}, "service": {"serviceType": "LoadBalancer"}},
            },
        }

    def make(self, *, absent: bool = False) -> None:
        definitions = [self.definition(name) for name in TENANTS]
        request = call.Request(definitions, None, None, NAMESPACE, absent, rollout_now=False, renew_before_days=30, force=False)
        call.run(self.client, request, Settings("test", timeout_s=240))

    def roll(self, argument: str, **options: Any) -> Json:
        """Give the API servers of all another argument, the canary first."""
        tell = options.pop("tell", lambda _text: None)
        patch = {"controlPlane": {"deployment": {"extraArgs": {"apiServer": [argument]}}}}
        keys = tuple(f"{NAMESPACE}/{name}" for name in TENANTS)
        request = rollout.Request("test", patch=patch, tenants=keys, pace=Pace(1, "2"), **options)
        return rollout.run(self.client, request, Settings("test", timeout_s=120), tell)

    def pods(self, name: str) -> list[Json]:
        """Of one tenant, those that are not over."""
        found = self.client.list(resource_of("Pod"), namespace=NAMESPACE, label_selector=f"{names.LABEL_NAME}={name}").items
        return [pod for pod in found if pod_counts(pod)]

    def with_argument(self, argument: str) -> list[str]:
        """Tenants whose pods have it, all of them."""
        return [name for name in TENANTS if self.pods(name) and all(argument in str(pod["spec"]) for pod in self.pods(name))]

    def restarts(self) -> int:
        statuses = [status for name in TENANTS for pod in self.pods(name) for status in pod["status"]["containerStatuses"]]
        assert len(statuses) == 3 * len(TENANTS)
        return sum(int(status["restartCount"]) for status in statuses)


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, kubeconfig: Path, bundle: Path) -> Iterator[Fleet]:
    with cluster.datastore(bundle), connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        fleet = Fleet(client)
        fleet.make()
        yield fleet
        fleet.make(absent=True)
        client.delete(resource_of("Namespace"), NAMESPACE)


@pytest.mark.long
def test_pods_are_replaced_wave_by_wave_without_a_restart(fleet: Fleet) -> None:
    seen: dict[str, list[str]] = {}
    started = time.monotonic()

    def look(text: str) -> None:
        wave, _unused, what = text.partition(" (")
        if what.endswith("begins"):
            seen[wave] = fleet.with_argument("--v=3")

    result = fleet.roll("--v=3", canary_soak_s=2, tell=look)
    print(f"3 tenants in 2 waves: {time.monotonic() - started:.1f} s; {[item['durations'] for item in result['tenants']]}")
    assert seen == {"canary wave": [], "wave 1": ["canary"]}
    assert fleet.with_argument("--v=3") == [*TENANTS]
    assert [(item["wave"], item["outcome"], item["phase"], item["pods"]) for item in result["tenants"]] == [
        ("canary", "done", "Ready", "current"),
        ("1", "done", "Ready", "current"),
        ("1", "done", "Ready", "current"),
    ]
    assert fleet.restarts() == 0
    assert not fleet.roll("--v=3")["changed"]


@pytest.mark.long
def test_a_canary_that_does_not_stay_ready_stops_the_roll_out(fleet: Fleet) -> None:
    def delete_pod(text: str) -> None:
        if "has to stay ready" in text:
            (pod,) = fleet.pods("canary")
            fleet.client.delete(resource_of("Pod"), pod["metadata"]["name"], NAMESPACE)

    with pytest.raises(HostedKubernetesError) as failure:
        fleet.roll("--v=4", canary_soak_s=60, tell=delete_pod)
    assert (
        f"stopped, a canary failed: TenantControlPlane {NAMESPACE}/canary: did not stay ready for 60 s: 0 of 1 pods are available"
        in failure.value.msg
    )
    assert fleet.with_argument("--v=4") == ["canary"]
    # It comes back by itself; the roll-out goes on where it stopped.
    result = fleet.roll("--v=4", canary_soak_s=0)
    assert [item["outcome"] for item in result["tenants"]][1:] == ["done", "done"]
    assert fleet.with_argument("--v=4") == [*TENANTS]
