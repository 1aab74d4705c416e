# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containerd keeps of a cluster: containers of pods, their writable layers, and images, through ctr.

It is asked wherever it has ever run: a host whose containerd has died is not clean because nobody can say otherwise.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import tools

ROOT = "/var/lib/containerd"
# Where containerd keeps what it knows of containers, and those that run.
STATE = (f"{ROOT}/io.containerd.metadata.v1.bolt", "/run/containerd/io.containerd.runtime.v2.task")
# What the kubelet's side of it notes of sandboxes and containers (plugins/cri/runtime/plugin.go): names, addresses, hosts files, exit codes.
NOTES = tuple(f"{base}/io.containerd.grpc.v1.cri/{kind}" for base in (ROOT, "/run/containerd") for kind in ("sandboxes", "containers"))
# Root file systems and shared memory of containers.
MOUNTS = ("/run/containerd/io.containerd.grpc.v1.cri/", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/")
_SNAPSHOTTERS = "io.containerd.snapshotter.v1."
# core/snapshots/snapshotter.go, UnpackKeyPrefix.
_UNPACKED = "extract-"
_NOT_LOADED = re.compile(r"snapshotter not loaded|snapshotter .*not found|unknown service")


@dataclass(frozen=True)
class Containerd:
    """containerd's namespace of pods. kept_images: references of images that stay; None when all do."""

    ctr: str
    socket: str
    kept_images: Collection[str] | None = None

    @property
    def has_run(self) -> bool:
        """Whether it can have left anything."""
        return os.path.exists(self.ctr) and (os.path.exists(self.socket) or any(map(os.path.exists, STATE)))

    def containers(self) -> list[str]:
        """Names of containers. Raises HostedKubernetesError when containerd does not answer."""
        if not self.has_run:
            return []
        try:
            return self._output(["--connect-timeout", "10s"], ["containers", "list", "--quiet"]).split()
        except HostedKubernetesError as error:
            raise HostedKubernetesError(
                f"nobody can say which containers of pods this host has, because containerd does not answer: {error.msg}; start it "
                "(systemctl start containerd) and run again"
            ) from error

    def layers(self) -> list[str]:
        """Return "snapshotter key" of each layer that somebody wrote into, which is of a container and not of an image."""
        return [f"{name} {key}" for name in _snapshotters() for key in writable(self._layers_of(name))] if self.has_run else []

    def images(self) -> list[str]:
        """References of the images that are to go."""
        if self.kept_images is None or not self.has_run:
            return []
        return superfluous(self._output([], ["images", "list"]), self.kept_images)

    def remove_container(self, name: str) -> None:
        self._try(["task", "kill", "--all", "--signal", "SIGKILL", name])
        self._try(["task", "delete", "--force", name])
        self._output([], ["container", "delete", name])

    def remove_layer(self, layer: str) -> None:
        snapshotter, key = layer.split(" ", 1)
        self._output([], ["snapshots", "--snapshotter", snapshotter, "remove", key])

    def remove_image(self, reference: str) -> None:
        # With what nobody else uses of it.
        self._output([], ["images", "remove", "--sync", reference])

    def _layers_of(self, snapshotter: str) -> str:
        try:
            return self._output([], ["snapshots", "--snapshotter", snapshotter, "list"])
        except HostedKubernetesError as error:
            if _NOT_LOADED.search(error.msg):
                return ""
            raise

    def _command(self, options: Sequence[str], arguments: Sequence[str]) -> list[str]:
        return [self.ctr, "--address", self.socket, *options, "--namespace", "k8s.io", *arguments]

    def _try(self, arguments: Sequence[str]) -> None:
        subprocess.run(self._command([], arguments), capture_output=True, check=False, env=tools.environment())

    def _output(self, options: Sequence[str], arguments: Sequence[str]) -> str:
        command = self._command(options, arguments)
        done = subprocess.run(command, capture_output=True, check=False, env=tools.environment())
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise HostedKubernetesError(f"{' '.join(command)} ended with status {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")


def writable(listed: str) -> list[str]:
    """Return the keys of active snapshots in what `ctr snapshots list` prints, without those of an image that is just being unpacked."""
    rows = [line.split() for line in listed.splitlines()[1:]]
    return [row[0] for row in rows if row and row[-1] == "Active" and not row[0].startswith(_UNPACKED)]


def superfluous(listed: str, kept: Collection[str]) -> list[str]:
    """Return the references in what `ctr images list` prints, without those that are kept and other names of the same images."""
    rows = [line.split() for line in listed.splitlines()[1:] if line.strip()]
    digests = {row[2] for row in rows if row[0] in kept}
    return [row[0] for row in rows if row[2] not in digests]


def _snapshotters() -> list[str]:
    try:
        found = sorted(os.listdir(ROOT))
    except OSError:
        return []
    return [name[len(_SNAPSHOTTERS) :] for name in found if name.startswith(_SNAPSHOTTERS)]
