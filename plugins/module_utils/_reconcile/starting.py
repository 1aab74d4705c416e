# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the new pods of a control plane are on their way, or held up by what does not pass by itself."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import (
    pod_ready,
    pods_are_made,
    pods_are_refused,
    will_not_start,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, WaitTimeout, wait_for, wait_until

# Starting costs 4 to 5 CPU-seconds; who is not ready after this does not work, but waits for something.
LONGEST_START_S: Final = 120.0


def is_held_up(client: Client, namespace: str, name: str, *, before: Collection[str], wanted: int, deadline: float) -> bool:
    """Watch the new pods of a Deployment until so many are ready (False), or they will not be without help (True).

    before: uids of the pods that were there before. deadline: on the clock of time.monotonic(). Raises ApiError.
    """
    deadline = min(deadline, time.monotonic() + LONGEST_START_S)

    def new(pods: Objects) -> list[Json]:
        return [pod for pod in pods.values() if pod["metadata"]["uid"] not in before]

    def are_ready(pods: Objects) -> bool:
        return sum(map(pod_ready, new(pods))) >= wanted

    def is_decided(pods: Objects) -> bool:
        return are_ready(pods) or any(map(will_not_start, new(pods)))

    def is_begun(deployment: Json | None) -> bool:
        return deployment is not None and (pods_are_made(deployment) or pods_are_refused(deployment))

    try:
        deployment = wait_for(client, resource_of("Deployment"), name, namespace, predicate=is_begun, deadline=deadline)
        if deployment is None or pods_are_refused(deployment):
            return True
        pods = wait_until(
            client,
            resource_of("Pod"),
            namespace=namespace,
            label_selector=f"{names.LABEL_NAME}={name}",
            predicate=is_decided,
            deadline=deadline,
            what=f"pods of {namespace}/{name}",
            explain=lambda _pods: "they are starting",
        )
    except WaitTimeout:
        return True
    return not are_ready(pods)
