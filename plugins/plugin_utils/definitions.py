# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of tenants as users wrote them, which need not be valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(parent: Any, name: str) -> dict[str, Any]:
    """A field that is a mapping, empty when it, or what it would be in, is something else."""
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}
