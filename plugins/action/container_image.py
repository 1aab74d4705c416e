# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of container_image: looks images up in the bundle and sends the archives the host lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import Artefact
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.bundle import BundleAction, read_bundle


class ActionModule(BundleAction):
    """Knows images by their names in the bundle."""

    MODULE = "hosted.kubernetes.container_image"

    def look_up(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Artefact]]:
        names = arguments.get("names") or []
        if not names:
            return dict(arguments), {}
        bundle = read_bundle(arguments.get("bundle_dir") or "")
        artefacts = {item.sha256: item for item in (bundle.get("image", name) for name in names)}
        images = [{"reference": item.reference, "sha256": item.sha256} for item in artefacts.values()]
        return {**arguments, "images": images}, artefacts
