# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders of the controller's image as the role gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.controller_image import ImageOrder
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import host_arch
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION

DEFAULTS: Final[dict[str, Any]] = yaml.safe_load((COLLECTION / "roles/controller/defaults/main.yml").read_text(encoding="utf-8"))


def order_of(cache: Path, collection: Path = COLLECTION) -> ImageOrder:
    """The image with the role's defaults, below a cache of its own."""
    return ImageOrder(
        cache_dir=str(cache),
        dir=str(cache / "bundles" / "controller"),
        collection=str(collection),
        version=ENGINE_VERSION,
        arch=host_arch(),
        python=DEFAULTS["controller_image_python"],
        suite=DEFAULTS["controller_image_suite"],
        mirror=DEFAULTS["controller_image_mirror"],
        security_mirror=DEFAULTS["controller_image_security_mirror"],
        keyring=DEFAULTS["controller_image_keyring"],
        libraries=tuple(DEFAULTS["controller_image_libraries"]),
        revision="",
    )
