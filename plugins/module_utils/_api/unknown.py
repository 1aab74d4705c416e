# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that are known only after apply: a load-balancer address, a key's checksum.

UNKNOWN is text, so that it composes with formatting: "https://" + UNKNOWN + ":6443" is unknown as well, and a diff
shows it where it stands. Validation refuses user input that contains it.
"""

from __future__ import annotations

from typing import Any, Final

UNKNOWN: Final = "⟨known after apply⟩"


def has_unknown(value: Any) -> bool:
    """Whether a JSON value holds UNKNOWN anywhere, also inside a longer text."""
    if isinstance(value, str):
        return UNKNOWN in value
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_unknown(item) for item in value)
    return False
