# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to third-party libraries: the one file of this package that imports them.

A module's adapter checks for the libraries and gives the message; until then a missing one must not hinder an import
(ansible-test imports every file without them), so the names stand for None.
"""

from __future__ import annotations

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]
try:
    import jsonpatch
except ImportError:
    jsonpatch = None  # type: ignore[assignment]

__all__ = ["jsonpatch", "yaml"]
