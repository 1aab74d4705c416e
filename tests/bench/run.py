# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a tenant takes, against the floor: a bare kube-apiserver process, and finished manifests applied with kubectl; how long each
step of its life takes; what its containers use.

`make bench` makes a lab machine of its own with a management cluster, and removes it. All runs alternate, so that a machine
that becomes slower meanwhile changes no ratio. Nothing fails for being slow: the numbers are printed, and kept in
tests/output/bench.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from ansible_collections.hosted.kubernetes.tests.bench.ground import (
    FinishedManifests,
    Ground,
    ModuleCall,
    bare_process,
    prepared_ground,
)
from ansible_collections.hosted.kubernetes.tests.bench.life import Use, steps, use, use_with_collector
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.cluster import running_cluster

LAB_NAME: Final = "bench"
OUTPUT: Final = COLLECTION / "tests/output/bench.json"
_REFERENCE: Final = "finished"
# Module against finished manifests, module against the bare process: ratios wanted, not demanded.
_WANTED: Final = {"manifests": 1.25, "bare": 1.75}
# Idle memory (PSS, MiB) of a tenant's pod in the reference system.
_REFERENCE_PSS: Final = {"kube-apiserver": 196, "kube-controller-manager": 46, "kube-scheduler": 25}


@dataclass
class Measured:
    """Everything that was measured, in seconds; load is the machine's load average over a minute, before and after."""

    bare: list[float] = field(default_factory=list)
    manifests: list[float] = field(default_factory=list)
    module: list[ModuleCall] = field(default_factory=list)
    many: ModuleCall | None = None
    restarts: int = 0
    life: dict[str, float] = field(default_factory=dict)
    use: dict[str, Use] = field(default_factory=dict)
    collector: dict[int, dict[str, Use]] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, print, and keep the numbers."""
    parser = argparse.ArgumentParser(description="Measure one tenant, and many in one call; machines of its own, as root.")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--many", type=int, default=5, help="tenants in one call (default 5, 0 leaves it out)")
    parser.add_argument("--life", action=argparse.BooleanOptionalAction, default=True, help="the steps of a life, and memory (4 minutes)")
    parser.add_argument("--gogc", type=int, nargs="+", default=[], help="memory with other settings of Go's garbage collector too")
    given = parser.parse_args()
    bundle, measured = bundle_directory(), Measured()
    with (
        tempfile.TemporaryDirectory() as name,
        running_cluster(bundle, Path(name), lab_name=LAB_NAME) as cluster,
        prepared_ground(cluster, bundle) as ground,
    ):
        measured.load.append(os.getloadavg()[0])
        if given.runs:
            _measure(measured, ground, bundle, Path(name), given.runs)
        if given.many:
            _measure_many(measured, ground, given.many)
        if given.gogc:
            measured.collector = use_with_collector(ground, f"{LAB_NAME}-management", "collected", given.gogc)
        if given.life:
            measured.use = use(ground, f"{LAB_NAME}-management", "idle")
            measured.life = steps(ground, "life")
        measured.load.append(os.getloadavg()[0])
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(asdict(measured), indent=2) + "\n", encoding="utf-8")
    print("\n".join(report(measured)))
    print(f"all numbers: {OUTPUT}")


def _measure(measured: Measured, ground: Ground, bundle: Path, directory: Path, runs: int) -> None:
    manifests = FinishedManifests(ground, directory, _REFERENCE)
    for number in range(1, runs + 1):
        measured.bare.append(bare_process(bundle))
        measured.manifests.append(manifests.apply())
        manifests.clear()
        tenant = f"one-{number}"
        measured.module.append(ground.module(tenant))
        ground.remove(tenant)
        last = measured.bare[-1], measured.manifests[-1], measured.module[-1].ready_s
        print(f"run {number} of {runs}: bare {last[0]:.2f} s, manifests {last[1]:.2f} s, module {last[2]:.2f} s", flush=True)
    ground.remove(_REFERENCE)


def _measure_many(measured: Measured, ground: Ground, number: int) -> None:
    tenants = [f"many-{one}" for one in range(1, number + 1)]
    measured.many = ground.module(*tenants)
    measured.restarts = ground.restarts()
    ground.remove(*tenants)


def report(measured: Measured) -> list[str]:
    """The lines of the tables."""
    return [
        *(_one(measured) if measured.module else []),
        *_many(measured),
        *_life(measured.life),
        *_use("one replica, idle", measured.use),
        *(line for percentage, found in measured.collector.items() for line in _use(f"one replica, idle, GOGC={percentage}", found)),
        f"load average of the machine: {', '.join(f'{load:.1f}' for load in measured.load)}",
    ]


def _one(measured: Measured) -> list[str]:
    module = measured.module
    ready = [call.ready_s for call in module]
    return [
        "",
        f"{'one tenant, 1 replica: start to authenticated /readyz, seconds':64} {'median':>7} {'least':>7} {'most':>7}",
        _row("a  bare kube-apiserver with ready certificates", measured.bare),
        _row("b  finished manifests and ready keys applied with kubectl", measured.manifests),
        _row("c  module tenant_control_plane, a fresh process", ready),
        "",
        _row("c, whole process without the phases after that", [call.before_tenant_s for call in module]),
        _row("c, whole process: tenant filled, rolled out, recorded", [call.total_s for call in module]),
        *_phases(module),
        _row("c, processor time of the engine", [call.cpu_s for call in module]),
        f"c, API calls: {_calls(module)}",
        "",
        _ratio("c / b", ready, measured.manifests, _WANTED["manifests"]),
        _ratio("c / a", ready, measured.bare, _WANTED["bare"]),
    ]


def _row(what: str, values: Sequence[float]) -> str:
    return f"{what:64} {statistics.median(values):7.2f} {min(values):7.2f} {max(values):7.2f}"


def _phases(module: Iterable[ModuleCall]) -> list[str]:
    durations = [call.durations for call in module]
    names = dict.fromkeys(name for found in durations for name in found)
    return [_row(f"c, phase {name}", [found.get(name, 0.0) for found in durations]) for name in names]


def _calls(module: Sequence[ModuleCall]) -> str:
    names = sorted({name for call in module for name in call.calls})
    return ", ".join(f"{name} {statistics.median(call.calls.get(name, 0) for call in module):g}" for name in names)


def _ratio(what: str, ours: Sequence[float], theirs: Sequence[float], wanted: float) -> str:
    ratio = statistics.median(ours) / statistics.median(theirs)
    return f"{what} {ratio:.2f} (wanted: at most {wanted:.2f}): {'PASS' if ratio <= wanted else 'over'}"


def _many(measured: Measured) -> list[str]:
    many = measured.many
    if many is None:
        return []
    count = len(many.tenants)
    ready = sum(tenant["phase"] == "Ready" for tenant in many.tenants)
    took = f"{count} tenants in one call: {ready} Ready after {many.total_s:.1f} s"
    return ["", f"{took}, {measured.restarts} container restarts, processor time per tenant {many.cpu_s / count:.2f} s"]


def _life(seconds: dict[str, float]) -> list[str]:
    if not seconds:
        return []
    return [
        "",
        "steps of a life, 2 replicas, each until ready again: seconds",
        *(f"{step:64} {took:7.2f}" for step, took in seconds.items()),
    ]


def _use(what: str, found: dict[str, Use]) -> list[str]:
    if not found:
        return []
    heads = ("PSS MiB", "reference", "RSS MiB", "idle m", "start CPU s")
    lines = [
        "",
        f"{what}: memory and processor of each container",
        f"{'':28} " + " ".join(f"{head:>11}" for head in heads),
    ]
    for program, item in found.items():
        reference = _REFERENCE_PSS.get(program, "")
        lines.append(
            f"{program:28} {item.pss_mib:11.1f} {reference:>11} {item.rss_mib:11.1f} {item.idle_cpu_m:11.1f} {item.start_cpu_s:11.2f}"
        )
    ours = sum(item.pss_mib for program, item in found.items() if program in _REFERENCE_PSS)
    return [*lines, f"{'the three of the reference':28} {ours:11.1f} {sum(_REFERENCE_PSS.values()):11}"]


if __name__ == "__main__":
    main()
