# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster on one lab machine, made by the project's own playbooks: real kubelet, real pods, Services with addresses.

By hand: KEEP_LAB=1 leaves the machines after the tests and reuses them next time, which saves half a minute per round.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION

LAB_NAME = "test"
# From nothing to a cluster whose Services get addresses; each is a play of site.yml too.
PLAYBOOKS = ("lab", "management_cluster")


class PlaybookError(Exception):
    """A playbook ended with an error; the message carries the end of its output."""


@dataclass(frozen=True)
class Cluster:
    """A running management cluster. directory is where playbooks put kubeconfigs."""

    lab_name: str
    directory: Path

    @property
    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        return self.directory / "management.kubeconfig"

    def playbook(self, name: str, **variables: Any) -> str:
        """Run one of the collection's playbooks on the machines of this lab; return its output. Raises PlaybookError."""
        every = {"lab_name": self.lab_name, "demo_dir": str(self.directory), "lab_groups": ["management"], **variables}
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "--inventory", str(COLLECTION / "inventories/demo")]
        # The lab has no workers: their plays have no hosts to run on.
        command += ["--limit", "localhost,management", "--extra-vars", json.dumps(every), f"hosted.kubernetes.{name}"]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2]),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
        }
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise PlaybookError(f"hosted.kubernetes.{name} ended with status {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout


@contextlib.contextmanager
def running_cluster(bundle: Path, directory: Path, *, lab_name: str = LAB_NAME) -> Iterator[Cluster]:
    """Boot one machine, make a cluster on it, and remove the machine when the block ends, however it ends.

    bundle: folder as made by the role bundle. Needs root. Raises PlaybookError.
    """
    cluster = Cluster(lab_name, directory)
    is_kept = bool(os.environ.get("KEEP_LAB"))
    try:
        if not is_kept:
            cluster.playbook("lab", lab_machine_state="absent")
        for name in PLAYBOOKS:
            cluster.playbook(name, bundle_dir=str(bundle))
        yield cluster
    finally:
        if not is_kept:
            cluster.playbook("lab", lab_machine_state="absent")
