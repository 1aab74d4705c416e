# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a user's definitions may be shown. A result of a module repeats its options, also when it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

REDACTED: Final = "(secret)"
SECRET_FIELDS: Final = frozenset({"data", "stringData"})


def without_secrets(definition: Any) -> Any:
    """Objects as given, without the values of Secrets and of objects of no kind; text becomes None, since nothing says where its secrets end."""
    if isinstance(definition, str):
        return None
    if isinstance(definition, Sequence):
        return [without_secrets(item) for item in definition]
    if not isinstance(definition, Mapping):
        return definition
    if definition.get("kind") in ("Secret", None):
        return {key: REDACTED if key in SECRET_FIELDS else value for key, value in definition.items()}
    return {**definition, "items": without_secrets(definition["items"])} if "items" in definition else definition


def without_secrets_of_each(entries: Any) -> Any:
    """Entries that have name, namespace and a definition, without the secrets of these; what is no entry becomes None."""
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        return None
    return [_shown_entry(entry) if isinstance(entry, Mapping) else None for entry in entries]


def _shown_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    # The key of a definition may be misspelt.
    return {key: value if key in ("name", "namespace") else without_secrets(value) for key, value in entry.items()}


def without_contents(value: Any) -> Any:
    """A DataStore, or a part of one, without inline keys and passwords; text, which was to be a mapping, becomes None."""
    if isinstance(value, str):
        return None
    if not isinstance(value, Mapping):
        return value
    return {
        key: REDACTED if key == "content" else without_contents(item) if isinstance(item, Mapping) else item for key, item in value.items()
    }
