# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on hosts can be imported there: run on Python 3.9 with the standard library and ansible's module_utils only."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

COLLECTION = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.hosted.kubernetes"


def names_of_host_code() -> list[str]:
    """Return the full names of the packages for hosts and of every module whose documentation says that it works on the host."""
    plugins = COLLECTION / "plugins"
    files = [*plugins.glob("module_utils/_host/**/*.py"), *plugins.glob("module_utils/_ansible/**/*.py")]
    files += [path for path in plugins.glob("modules/*.py") if "hosted.kubernetes.attributes.host" in path.read_text(encoding="utf-8")]
    return sorted(".".join([PACKAGE, *path.relative_to(COLLECTION).with_suffix("").parts]) for path in files)


@pytest.mark.parametrize("name", names_of_host_code())
def test_import_needs_nothing_that_a_host_lacks(name: str) -> None:
    importlib.import_module(name)
