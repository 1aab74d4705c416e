# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a Secret, in base64 as manifests have it and as bytes. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


def decoded(secret: Json) -> dict[str, bytes]:
    """Key → content of a Secret that was read whole."""
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """What stands under data in a manifest."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}
