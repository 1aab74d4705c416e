# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab whose run is killed after each of its steps: the next run completes it, and removing it leaves no trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import lab as labs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_names import Machine, lab_network
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_rootfs import RootFs
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.lab_supervisor import supervisor_for_host
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, cache_directory
from ansible_collections.hosted.kubernetes.tests.support.lab import traces

NAME = "kill"
DEFAULTS = yaml.safe_load((COLLECTION / "roles/lab_machine/defaults/main.yml").read_text())
NETWORK = lab_network(NAME)
LAB = labs.Lab(
    name=NAME,
    network=NETWORK,
    machines=(Machine("kill-a", NETWORK.address(10)),),
    rootfs=RootFs(
        DEFAULTS["lab_machine_suite"], DEFAULTS["lab_machine_mirror"], tuple(DEFAULTS["lab_machine_packages"]), DEFAULTS["lab_machine_user"]
    ),
    cache=str(cache_directory()),
)
SUPERVISOR = supervisor_for_host(NAME)

# Makes the first steps of a plan, then ends as by a power cut.
KILLED_RUN = """
import os, signal, sys
from ansible_collections.hosted.kubernetes.tests.integration.cluster.test_lab import LAB, SUPERVISOR, labs
plan = {"present": labs.plan_present, "absent": labs.plan_absent}[sys.argv[1]]
labs.apply(LAB, SUPERVISOR, plan(LAB, labs.observe(LAB, SUPERVISOR))[: int(sys.argv[2])])
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_run(state: str, after: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(COLLECTION.parents[2])}
    done = subprocess.run([sys.executable, "-c", KILLED_RUN, state, str(after)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def make() -> None:
    labs.apply(LAB, SUPERVISOR, labs.plan_present(LAB, labs.observe(LAB, SUPERVISOR)))
    labs.wait_ready(LAB, SUPERVISOR, timeout_s=120)


def remove() -> None:
    labs.apply(LAB, SUPERVISOR, labs.plan_absent(LAB, labs.observe(LAB, SUPERVISOR)))


@pytest.fixture(autouse=True)
def no_lab() -> Iterator[None]:
    remove()
    yield
    remove()


def test_a_lab_killed_after_any_step_of_its_making_is_completed() -> None:
    make()
    remove()
    steps = labs.plan_present(LAB, labs.observe(LAB, SUPERVISOR))
    assert [step.action for step in steps].count("start") == 1
    for after in range(len(steps)):
        killed_run("present", after)
        make()
        assert labs.plan_present(LAB, labs.observe(LAB, SUPERVISOR)) == [], f"killed after step {after} of {steps}"
        remove()
        assert traces(NAME) == [], f"killed after step {after} of {steps}"


@pytest.mark.long
def test_a_lab_killed_after_any_step_of_its_making_is_removed() -> None:
    for after in range(len(labs.plan_present(LAB, labs.observe(LAB, SUPERVISOR)))):
        killed_run("present", after)
        remove()
        assert traces(NAME) == [], f"killed after step {after}"


@pytest.mark.long
def test_a_lab_killed_after_any_step_of_its_removal_is_removed_or_made_again() -> None:
    make()
    steps = labs.plan_absent(LAB, labs.observe(LAB, SUPERVISOR))
    assert traces(NAME) != []
    for after in range(len(steps)):
        killed_run("absent", after)
        remove()
        assert traces(NAME) == [], f"killed after step {after} of {steps}"
        make()
    killed_run("absent", 1)
    make()
    assert labs.plan_present(LAB, labs.observe(LAB, SUPERVISOR)) == []
