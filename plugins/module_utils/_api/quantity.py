# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities of Kubernetes as numbers of bytes, and bytes as people read them. Pure.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SHAPE: Final = re.compile(r"(?P<number>\+?(\d+(\.\d*)?|\.\d+))(?P<unit>[KMGTPE]i|[kMGTPE]|[eE][+-]?\d{1,2})?")
_UNITS: Final = ("", "k", "M", "G", "T", "P", "E")
_STEP: Final = 1024


def parse_bytes(value: int | str) -> int:
    """The bytes that a quantity such as 4Gi, 500M, 1e9 or 4096 says, rounded up. Raises ValueError when it says none, or less than 0."""
    match = _SHAPE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no number of bytes")
    number, unit = Decimal(match["number"]), match["unit"] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit != "Ei":
        factor = Decimal(10) ** int(unit[1:])
    elif unit.endswith("i"):
        factor = Decimal(_STEP) ** (1 + "KMGTPE".index(unit[0]))
    else:
        factor = Decimal(1000) ** _UNITS.index(unit)
    found = number * factor
    return int(found) + (found != int(found))


def bytes_text(size: int) -> str:
    """A size for people: 512 B, 4.1 MiB, 2 GiB."""
    number, unit = float(size), 0
    while number >= _STEP and unit < len(_UNITS) - 1:
        number, unit = number / _STEP, unit + 1
    return f"{number:.3g} {_UNITS[unit].upper()}iB" if unit else f"{size} B"
