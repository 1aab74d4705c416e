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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import command, run_command

LAB_NAME = "test"
DEMO = str(COLLECTION / "inventories/demo")
# From nothing to a cluster whose Services get addresses; each is a play of site.yml too.
PLAYBOOKS = ("lab", "management_cluster")


class PlaybookError(Exception):
    """A playbook ended with an error; the message carries the end of its output."""


@dataclass(frozen=True)
class Cluster:
    """A running management cluster. directory is where playbooks put kubeconfigs; workers: whether the lab has machines for a tenant's workers too."""

    lab_name: str
    directory: Path
    workers: bool = False

    @property
    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        return self.directory / "management.kubeconfig"

    def playbook(self, name: str | Path, **variables: Any) -> str:
        """Run one of the collection's playbooks, or one in a file, on the machines of this lab; return its output. Raises PlaybookError."""
        done = run_command(self.command(name, **variables))
        if done.status:
            raise PlaybookError(f"playbook {name} ended with status {done.status}:\n{done.output[-6000:]}")
        return done.output

    def bring_images(self, bundle: Path, names: Mapping[str, Sequence[str]]) -> None:
        """Bring the images of another bundle to machines, as a site without a registry does before an upgrade. names: images by group."""
        plays = [
            {
                "hosts": hosts,
                "gather_facts": False,
                "become": True,
                "tasks": [{"hosted.kubernetes.container_image": {"bundle_dir": str(bundle), "names": list(images)}}],
            }
            for hosts, images in names.items()
        ]
        path = self.directory / "images.json"
        path.write_text(json.dumps(plays), encoding="utf-8")
        self.playbook(path)

    @contextlib.contextmanager
    def datastore(self, bundle: Path) -> Iterator[None]:
        """An etcd for tenants, DataStore default, which goes with its data when the block ends."""
        named = {"datastore_name": "default", "datastore_remove_local_data": True}
        self.playbook("datastore", bundle_dir=str(bundle), **named)
        yield
        self.playbook("datastore", datastore_tasks="absent", **named)

    def command(self, name: str | Path, **variables: Any) -> list[str]:
        """The command line of such a playbook. In a lab without workers their plays have no hosts to run on."""
        groups = ["management", *(["workers"] if self.workers else [])]
        every = {"lab_name": self.lab_name, "demo_dir": str(self.directory), "lab_groups": groups, **variables}
        playbook = name if isinstance(name, Path) else f"hosted.kubernetes.{name}"
        return command(playbook, "--limit", ",".join(["localhost", *groups]), inventory=DEMO, variables=every)


@contextlib.contextmanager
def running_cluster(bundle: Path, directory: Path, *, lab_name: str = LAB_NAME, workers: bool = False) -> Iterator[Cluster]:
    """Boot a machine, make a cluster on it, and remove the machine when the block ends, however it ends.

    bundle: folder as made by the role bundle. workers: boot two more machines, bare ones. Needs root. Raises PlaybookError.
    """
    cluster = Cluster(lab_name, directory, workers)
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
