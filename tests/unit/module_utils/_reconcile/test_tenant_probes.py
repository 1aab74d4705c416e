# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often is tried what goes through konnectivity, and what is told of several failures; pods are tried in tests/integration/cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_check import CheckPod
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import api_error
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import tenant_probes
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_paths import Path, Paths
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_probes import CheckFailedError, Target

POD = CheckPod("w1", "check-a", "10.0.0.1")
NO_AGENT = {"code": 500, "reason": "InternalError", "message": "No agent available"}


class Way:
    """Answers logs, but not the tries whose numbers are in `refused`. One client for each connection."""

    def __init__(self, label: str, *refused: int) -> None:
        self.path = Path(label, cast(Callable[[], Client], lambda: self))
        self.refused, self.tries, self.open = refused, 0, 0

    def __enter__(self) -> Way:
        self.open += 1
        return self

    def __exit__(self, *_exception: object) -> None:
        self.open -= 1

    def get_raw(self, path: str) -> str:
        self.tries += 1
        if self.tries in self.refused:
            raise api_error("https://x", "GET", path, NO_AGENT)
        return "now Started HTTP server on port 8080"


def logs(*ways: Way, **more: Any) -> str:
    paths = Paths(tuple(way.path for way in ways), tuple(way.path.label for way in ways if way.path.label.startswith("replica")))
    return tenant_probes.logs(Target(paths, "space", (POD,), "10.1.0.1", **{"repeats": 3, "settle_s": 5.0, **more}))


def test_every_way_is_tried_with_connections_of_its_own() -> None:
    ways = Way("endpoint"), Way("replica a"), Way("replica b")
    assert logs(*ways) == "12 connections to node w1, through endpoint and each of 2 replicas"
    assert [way.tries for way in ways] == [4, 4, 4]
    assert [way.open for way in ways] == [0, 0, 0]


def test_a_late_start_is_waited_for_and_told() -> None:
    way = Way("replica a", 1, 2)
    assert logs(way) == "4 connections to node w1, through each of 1 replicas; the first of them after 2 refusals"
    assert way.tries == 6


def test_a_refusal_after_the_first_success_is_a_failure() -> None:
    with pytest.raises(CheckFailedError) as failed:
        logs(Way("endpoint"), Way("replica a", 3))
    assert failed.value.msg == "pod check-a on node w1 through replica a: 500 InternalError: No agent available"


def test_a_way_that_never_works_and_the_others() -> None:
    never = range(1, 100)
    with pytest.raises(CheckFailedError) as failed:
        logs(Way("replica a", *never), Way("replica b"), Way("replica c", *never), settle_s=0.2)
    reasons = failed.value.msg.split("; ")
    assert [reason.partition(":")[0] for reason in reasons] == [f"pod check-a on node w1 through replica {name}" for name in "ac"]
