# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to psycopg: the one file of this package that imports it (as library.py for gRPC)."""

from __future__ import annotations

import importlib
from typing import Any


def _load(name: str) -> Any:
    """The library, or None; without libpq psycopg cannot be imported either."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


psycopg: Any = _load("psycopg")
sql: Any = _load("psycopg.sql")

__all__ = ["psycopg", "require", "sql"]


def require() -> None:
    """Raise ImportError when psycopg, or the libpq it needs, cannot be imported."""
    importlib.import_module("psycopg")
