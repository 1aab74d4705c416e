# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities of Kubernetes as numbers, and bytes as people read them. Pure.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_SHAPE: Final = re.compile(r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?)(?P<unit>[KMGTPE]i|[numkMGTPE])?")
_PARTS: Final = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}
_LARGE: Final = "kMGTPE"
_STEP: Final = 1024


def quantity(value: Any) -> Decimal | None:
    """The number a quantity stands for, such as 2.5 for "2500m"; None when it is none."""
    match = _SHAPE.fullmatch(str(value))
    return None if match is None else Decimal(match["number"]) * _factor(match["unit"] or "")


def _factor(unit: str) -> Decimal:
    if not unit:
        return Decimal(1)
    if unit.endswith("i"):
        return Decimal(_STEP) ** (1 + _LARGE.upper().index(unit[0]))
    return _PARTS[unit] if unit in _PARTS else Decimal(1000) ** (1 + _LARGE.index(unit))


def parse_bytes(value: int | str) -> int:
    """The bytes that a quantity such as 4Gi, 500M, 1e9 or 4096 says, rounded up. Raises ValueError when it says none, or less than 0."""
    found = quantity(value)
    if found is None or found < 0 or str(value).endswith(tuple(_PARTS)):
        raise ValueError(f"{value!r} is no number of bytes")
    return int(found) + (found != int(found))


def bytes_text(size: int) -> str:
    """A size for people: 512 B, 4.1 MiB, 2 GiB."""
    number, unit = float(size), 0
    while number >= _STEP and unit < len(_LARGE):
        number, unit = number / _STEP, unit + 1
    return f"{number:.3g} {_LARGE[unit - 1].upper()}iB" if unit else f"{size} B"
