# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to PyMySQL: the one file of this package that imports it (as library.py for gRPC)."""

from __future__ import annotations

import importlib

try:
    import pymysql
except ImportError:
    pymysql = None

__all__ = ["pymysql", "require"]


def require() -> None:
    """Raise ImportError when PyMySQL cannot be imported."""
    importlib.import_module("pymysql")
