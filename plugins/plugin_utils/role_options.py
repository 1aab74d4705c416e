# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables the roles and playbooks of this collection know, read from their own files."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.variables import KnownVariables

_COLLECTION: Final = Path(__file__).parents[2]


@cache
def known_variables() -> KnownVariables:
    """Return the options of every role (all its entry points), and every name that a playbook or a task of a role mentions."""
    specs = {path.parents[1].name: path for path in _COLLECTION.glob("roles/*/meta/argument_specs.yml")}
    files = [*_COLLECTION.glob("playbooks/**/*.yml"), *_COLLECTION.glob("roles/*/tasks/*.yml")]
    mentioned = (name for path in files for name in re.findall(r"\b[a-z]\w*\b", path.read_text(encoding="utf-8")))
    return KnownVariables({role: _options(path) for role, path in specs.items()}, frozenset(mentioned))


def _options(path: Path) -> frozenset[str]:
    entry_points = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
    return frozenset(name for entry in entry_points for name in entry.get("options", {}))
