# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each step in a tenant's life takes, and what the containers of its pod use while nobody asks anything of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for, wait_until
from ansible_collections.hosted.kubernetes.tests.bench.ground import NAMESPACE, Ground
from ansible_collections.hosted.kubernetes.tests.support.lab import on_machine
from ansible_collections.hosted.kubernetes.tests.support.life import EXTRA_ARGS, REPLICAS, Life
from ansible_collections.hosted.kubernetes.tests.support.tenants import set_field

_IDLE_S: Final = 120.0
_ROLLOUT_S: Final = 120.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_MIB_KB: Final = 1024
# Of each process of a pod: its program, kB of its memory (all, and with shared pages divided among those who share them), processor ticks.
_LOOK: Final = """
for file in $(grep -lsE 'pod{uid}' /proc/[0-9]*/cgroup); do
  process=${{file%/cgroup}}
  tr '\\0' '\\n' <$process/cmdline | sed -n 1p
  awk '/^Rss:|^Pss:/ {{print $2}}' $process/smaps_rollup
  awk '{{print $14 + $15}}' $process/stat
done
"""


@dataclass(frozen=True)
class Use:
    """What one container uses. pss_mib and rss_mib: when idle; start_cpu_s: until the tenant was ready; idle_cpu_m: thousandths of a processor."""

    pss_mib: float
    rss_mib: float
    start_cpu_s: float
    idle_cpu_m: float


@dataclass(frozen=True)
class _Process:
    rss_kb: int
    pss_kb: int
    ticks: int


def steps(ground: Ground, name: str) -> dict[str, float]:
    """Seconds of each call of the engine, from nothing to nothing, each until the tenant is ready again. Two replicas."""
    life, definition = Life(ground.client, NAMESPACE, name), ground.definition(name)
    set_field(definition["spec"], REPLICAS, 2)
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: life.make(definition),
        "no-op": lambda: life.change({}),
        "scale from 2 to 3": lambda: life.scale(3),
        "scale from 3 to 2": lambda: life.scale(2),
        "another argument of the API server": lambda: life.change({EXTRA_ARGS: ["--v=1"]}),
        "renewal of all certificates": life.renew,
        "sleep": lambda: life.scale(0),
        "wake": lambda: life.scale(2),
        "delete": life.delete,
    }
    return {what: _seconds(step) for what, step in calls.items()}


def use(ground: Ground, machine: str, name: str) -> dict[str, Use]:
    """Make a tenant of one replica, leave it alone, and look what its containers use: program → use."""
    life, definition = Life(ground.client, NAMESPACE, name), ground.definition(name)
    life.make(definition)
    found = _idle_use(machine, _pod(ground, name))
    life.delete()
    return found


def use_with_collector(ground: Ground, machine: str, name: str, percentages: Sequence[int]) -> dict[int, dict[str, Use]]:
    """The same with other settings of Go's garbage collector in all containers: GOGC → program → use. 100 is Go's own."""
    life, definition = Life(ground.client, NAMESPACE, name), ground.definition(name)
    life.make(definition)
    found = {}
    for percentage in percentages:
        _set_environment(ground, name, {"name": "GOGC", "value": str(percentage)})
        found[percentage] = _idle_use(machine, _pod(ground, name))
    life.delete()
    return found


def _idle_use(machine: str, pod: Json) -> dict[str, Use]:
    started = _look(machine, pod)
    time.sleep(_IDLE_S / 2)
    before, since = _look(machine, pod), time.monotonic()
    time.sleep(_IDLE_S / 2)
    after, spent_s = _look(machine, pod), time.monotonic() - since
    return {
        program: Use(
            pss_mib=found.pss_kb / _MIB_KB,
            rss_mib=found.rss_kb / _MIB_KB,
            start_cpu_s=started[program].ticks / _TICKS_PER_S,
            idle_cpu_m=1000 * (found.ticks - before[program].ticks) / _TICKS_PER_S / spent_s,
        )
        for program, found in sorted(after.items())
    }


def _set_environment(ground: Ground, name: str, variable: Json) -> None:
    """Replace the pod by one whose containers have this variable, and wait until it alone is there and ready."""
    deployment = ground.client.get(resource_of("Deployment"), name, NAMESPACE)
    assert deployment is not None
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        others = [item for item in container.get("env", []) if item["name"] != variable["name"]]
        container["env"] = [*others, variable]
    wanted = ground.client.replace(deployment)["metadata"]["generation"]
    wait_for(
        ground.client,
        resource_of("Deployment"),
        name,
        NAMESPACE,
        predicate=lambda live: live is not None and live["status"].get("observedGeneration", 0) >= wanted and problem(live) is None,
        deadline=time.monotonic() + _ROLLOUT_S,
    )
    wait_until(
        ground.client,
        resource_of("Pod"),
        namespace=NAMESPACE,
        label_selector=f"{names.LABEL_NAME}={name}",
        predicate=lambda pods: len(pods) == 1,
        deadline=time.monotonic() + _ROLLOUT_S,
        what=f"pods of {name}",
        explain=lambda pods: f"{len(pods)} are there",
    )


def _seconds(step: Callable[[], object]) -> float:
    started = time.monotonic()
    step()
    return time.monotonic() - started


def _pod(ground: Ground, name: str) -> Json:
    (pod,) = ground.client.list(resource_of("Pod"), namespace=NAMESPACE, label_selector=f"{names.LABEL_NAME}={name}").items
    return pod


def _look(machine: str, pod: Json) -> dict[str, _Process]:
    """Program → its process, of all containers of a pod. The cgroup driver decides how a UID is written."""
    lab = machine.partition("-")[0]
    lines = iter(on_machine(lab, machine, _LOOK.format(uid=pod["metadata"]["uid"].replace("-", "[-_]"))).splitlines())
    return {
        PurePosixPath(program).name: _Process(int(rss), int(pss), int(ticks))
        for program, rss, pss, ticks in zip(lines, lines, lines, lines, strict=True)
    }
