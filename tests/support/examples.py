# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definitions in docs/examples, which tests run as they are."""

from __future__ import annotations

from typing import Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION

FOLDER: Final = COLLECTION / "docs/examples"
NAMES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.yml")))


def example(name: str) -> Json:
    """The definition in docs/examples/<name>.yml."""
    found: Json = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    return found
