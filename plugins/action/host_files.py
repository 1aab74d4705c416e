# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of host_files: looks artefacts up in the bundle and sends those the host lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import Artefact
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.bundle import BundleAction, read_bundle


class ActionModule(BundleAction):
    """Knows files that are artefacts of the bundle."""

    MODULE = "hosted.kubernetes.host_files"

    def look_up(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Artefact]]:
        files, artefacts = resolve(arguments.get("bundle_dir") or "", arguments.get("files") or [])
        return {**arguments, "files": files}, artefacts


def resolve(bundle_dir: str, files: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Artefact]]:
    """Give each artefact entry its SHA-256 from the manifest; leave out optional ones that the bundle lacks.

    Returns the entries for the module and the artefacts by SHA-256.
    """
    if not any(item.get("artefact") for item in files):
        return files, {}
    bundle = read_bundle(bundle_dir)
    entries: list[dict[str, Any]] = []
    artefacts: dict[str, Artefact] = {}
    for item in files:
        if not item.get("artefact"):
            entries.append(item)
            continue
        kind, name = item.get("kind") or "binary", item["artefact"]
        artefact = bundle.find(kind, name) if item.get("optional") else bundle.get(kind, name)
        if artefact is not None:
            artefacts[artefact.sha256] = artefact
            entries.append({**item, "sha256": artefact.sha256})
    return entries, artefacts
