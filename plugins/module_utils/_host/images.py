# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in containerd that came from archives of a bundle.

containerd makes its own digest from a docker-archive, so the archive's SHA-256 is kept as a label of the image: same
reference and same label mean that the image is the one of the bundle.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files, tools

LABEL = "hosted-kubernetes.io/archive-sha256"


@dataclass(frozen=True)
class WantedImage:
    """An image by its reference, such as registry.k8s.io/pause:3.10.2, and the SHA-256 of its archive."""

    reference: str
    sha256: str


def missing(wanted: Sequence[WantedImage], labels: Mapping[str, str]) -> list[WantedImage]:
    """Return the wanted images that containerd lacks or has from another archive. labels: archive SHA-256 by reference."""
    return [image for image in wanted if labels.get(image.reference) != image.sha256]


def parse_listing(text: str) -> dict[str, str]:
    """Read the archive label of each image from `ctr images list`; an image without the label has the value ""."""
    found = {}
    for line in text.splitlines()[1:]:
        columns = line.split()
        if columns:
            labels = dict(item.split("=", 1) for item in columns[-1].split(",") if "=" in item)
            found[columns[0]] = labels.get(LABEL, "")
    return found


class Containerd:
    """Images of one containerd namespace, through ctr."""

    def __init__(self, ctr: str, socket: str, namespace: str) -> None:
        self._ctr = ctr
        self._command = [ctr, "--address", socket, "--namespace", namespace]

    def labels(self) -> dict[str, str] | None:
        """Return the archive label by reference; None when containerd is not installed yet (check mode on a clean host)."""
        if not os.path.exists(self._ctr):
            return None
        return parse_listing(self._run(["images", "list"]))

    def import_archive(self, image: WantedImage, path: str) -> None:
        """Import an archive and label its image. Raises HostedKubernetesError when it is not the archive of the manifest."""
        self._check(image, path)
        try:
            self._run(["images", "import", path])
        except HostedKubernetesError as error:
            raise HostedKubernetesError(f"{image.reference}: not imported: {error.msg}") from error
        if image.reference not in parse_listing(self._run(["images", "list"])):
            raise HostedKubernetesError(f"{image.reference}: its archive in the bundle holds another image; make the bundle again")
        self._run(["images", "label", image.reference, f"{LABEL}={image.sha256}"])

    @staticmethod
    def _check(image: WantedImage, path: str) -> None:
        found = files.sha256_of(path)
        if found != image.sha256:
            raise HostedKubernetesError(
                f"{image.reference}: its archive came to this host with SHA-256 {found}, the bundle's manifest says {image.sha256}; "
                "nothing of it was imported: make the bundle again, or look at what damages files on their way"
            )

    def remove(self, reference: str) -> None:
        self._run(["images", "remove", "--sync", reference])

    def _run(self, arguments: Sequence[str]) -> str:
        done = subprocess.run([*self._command, *arguments], capture_output=True, check=False, env=tools.environment())
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            # Before its error it prints containerd's warnings.
            error = [line for line in said.splitlines() if line.startswith("ctr: ")] or [said]
            raise HostedKubernetesError(f"{error[-1][-500:]} ({' '.join(arguments[:2])}); is containerd running with space on its disk?")
        return done.stdout.decode(errors="replace")
