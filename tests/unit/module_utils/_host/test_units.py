# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a unit is restarted: only when it runs with other files than those on the host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.units import Record, UnitState, foreseen, plan

DIGESTS = {"/usr/local/bin/containerd": "a", "/etc/containerd/config.toml": "b"}
RUNNING = UnitState(
    load="loaded",
    active="active",
    enabled=True,
    needs_reload=False,
    invocation="one",
    started_s=1000.0,
    newest_file_s=900.0,
    digests=DIGESTS,
    record=Record("one", DIGESTS),
)
STOPPED = replace(RUNNING, active="inactive", started_s=None, invocation="")
FRESH = replace(STOPPED, load="not-found", enabled=False, record=None, newest_file_s=None)


@pytest.mark.parametrize(
    ("state", "wanted", "steps"),
    [
        pytest.param(RUNNING, "started", [], id="current"),
        pytest.param(FRESH, "started", ["reload", "enable", "start"], id="not installed, check mode"),
        pytest.param(replace(FRESH, load="loaded"), "started", ["enable", "start"], id="never started"),
        pytest.param(STOPPED, "started", ["start"], id="stopped"),
        pytest.param(STOPPED, "present", [], id="stopped and left alone"),
        pytest.param(RUNNING, "stopped", ["stop"], id="to be stopped"),
        pytest.param(STOPPED, "stopped", [], id="stopped already"),
        pytest.param(replace(RUNNING, active="failed"), "started", ["start"], id="failed"),
        pytest.param(replace(RUNNING, active="activating"), "started", [], id="about to start"),
        pytest.param(replace(RUNNING, enabled=False), "started", ["enable"], id="not enabled"),
        pytest.param(replace(RUNNING, digests={**DIGESTS, "/etc/containerd/config.toml": "c"}), "started", ["restart"], id="changed since"),
        pytest.param(replace(RUNNING, digests={**DIGESTS, "/new": "d"}), "present", ["restart"], id="changed since, present"),
        pytest.param(replace(RUNNING, needs_reload=True), "started", ["reload", "restart"], id="unit file changed"),
        pytest.param(replace(STOPPED, needs_reload=True), "present", ["reload"], id="unit file changed, stopped"),
        pytest.param(replace(RUNNING, invocation="two"), "started", [], id="started by a boot, files older"),
        pytest.param(replace(RUNNING, invocation="two", newest_file_s=1001.0), "started", ["restart"], id="files newer than the process"),
        pytest.param(replace(RUNNING, record=None), "started", [], id="started by kubeadm, files older"),
        pytest.param(replace(RUNNING, record=None, newest_file_s=1001.0), "present", ["restart"], id="killed before the first restart"),
    ],
)
def test_plan(state: UnitState, wanted: str, steps: list[str]) -> None:
    assert plan(state, enabled=True, wanted=wanted) == steps


def test_disables() -> None:
    assert plan(RUNNING, enabled=False, wanted="stopped") == ["disable", "stop"]


@pytest.mark.parametrize("record", [RUNNING.record, None], ids=["started by us", "started by kubeadm"])
def test_a_check_foresees_the_restart_for_files_that_are_not_written_yet(record: Record | None) -> None:
    seen = replace(RUNNING, record=record)
    assert plan(foreseen(seen, ["/etc/containerd/config.toml"]), enabled=True, wanted="started") == ["restart"]
    # A file that the unit does not read, and one that was written already.
    assert plan(foreseen(seen, ["/etc/crictl.yaml"]), enabled=True, wanted="started") == []
    assert plan(foreseen(seen, []), enabled=True, wanted="started") == []


def test_a_unit_that_a_run_would_have_stopped_is_not_restarted() -> None:
    pending = ["/etc/containerd/config.toml"]
    assert plan(foreseen(RUNNING, pending), enabled=True, wanted="present") == ["restart"]
    assert plan(foreseen(RUNNING, pending, is_stopped=True), enabled=True, wanted="present") == []
    assert plan(foreseen(RUNNING, pending, is_stopped=True), enabled=True, wanted="started") == ["start"]
