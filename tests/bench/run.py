# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a tenant takes, against the floor: a bare kube-apiserver process, and finished manifests applied with kubectl.

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
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.cluster import running_cluster

LAB_NAME: Final = "bench"
OUTPUT: Final = COLLECTION / "tests/output/bench.json"
_REFERENCE: Final = "finished"
# Module against finished manifests, module against the bare process: ratios wanted, not demanded.
_WANTED: Final = {"manifests": 1.25, "bare": 1.75}


@dataclass
class Measured:
    """Everything that was measured, in seconds; load is the machine's load average over a minute, before and after."""

    bare: list[float] = field(default_factory=list)
    manifests: list[float] = field(default_factory=list)
    module: list[ModuleCall] = field(default_factory=list)
    many: ModuleCall | None = None
    restarts: int = 0
    load: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, print, and keep the numbers."""
    parser = argparse.ArgumentParser(description="Measure one tenant, and many in one call; machines of its own, as root.")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--many", type=int, default=5, help="tenants in one call (default 5, 0 leaves it out)")
    given = parser.parse_args()
    bundle, measured = bundle_directory(), Measured()
    with (
        tempfile.TemporaryDirectory() as name,
        running_cluster(bundle, Path(name), lab_name=LAB_NAME) as cluster,
        prepared_ground(cluster, bundle) as ground,
    ):
        _measure(measured, ground, bundle, Path(name), given.runs, given.many)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(asdict(measured), indent=2) + "\n", encoding="utf-8")
    print("\n".join(report(measured)))
    print(f"all numbers: {OUTPUT}")


def _measure(measured: Measured, ground: Ground, bundle: Path, directory: Path, runs: int, many: int) -> None:
    measured.load.append(os.getloadavg()[0])
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
    if many:
        tenants = [f"many-{number}" for number in range(1, many + 1)]
        measured.many = ground.module(*tenants)
        measured.restarts = ground.restarts()
        ground.remove(*tenants)
    measured.load.append(os.getloadavg()[0])


def report(measured: Measured) -> list[str]:
    """The lines of the tables."""
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
        *_many(measured),
        f"load average of the machine: {', '.join(f'{load:.1f}' for load in measured.load)}",
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


if __name__ == "__main__":
    main()
