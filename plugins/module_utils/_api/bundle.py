# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle: what one directory of binaries, CNI plugins and images holds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

_KEYS = ("name", "version", "kind", "path", "sha256")


@dataclass(frozen=True)
class Artefact:
    """One file of a bundle. path is relative to the bundle; reference is the image's name and tag, None for other kinds."""

    name: str
    version: str
    kind: str
    path: str
    sha256: str
    reference: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A parsed manifest. kubernetes is a version such as v1.36.3, arch as Go names it, such as amd64."""

    kubernetes: str
    arch: str
    artefacts: tuple[Artefact, ...]

    def find(self, kind: str, name: str) -> Artefact | None:
        """Return the artefact of this kind and name, None when the bundle lacks it."""
        return next((item for item in self.artefacts if (item.kind, item.name) == (kind, name)), None)

    def get(self, kind: str, name: str) -> Artefact:
        """Return the artefact of this kind and name. Raises HostedKubernetesError that lists what there is."""
        found = self.find(kind, name)
        if found is None:
            names = ", ".join(sorted(item.name for item in self.artefacts if item.kind == kind)) or "none"
            raise HostedKubernetesError(
                f'the bundle of Kubernetes {self.kubernetes} has no {kind} "{name}" (it has: {names}); make the bundle again'
            )
        return found


def parse_bundle(text: str, where: str) -> Bundle:
    """Parse manifest.json.

    where: path for messages.
    Raises HostedKubernetesError when the text is not a manifest of the layout in the bundle role's README.
    """
    try:
        raw = json.loads(text)
        artefacts = tuple(_artefact(item) for item in raw["artefacts"])
        return Bundle(kubernetes=raw["kubernetes"], arch=raw["arch"], artefacts=artefacts)
    except (ValueError, KeyError, TypeError) as error:
        raise HostedKubernetesError(f"{where}: not a bundle manifest ({error!r}); make the bundle again") from error


def _artefact(raw: dict[str, str]) -> Artefact:
    name, version, kind, path, sha256 = (raw[key] for key in _KEYS)
    return Artefact(name, version, kind, path, sha256, raw.get("reference"))
