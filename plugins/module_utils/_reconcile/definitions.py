# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests in files."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND


def read_manifests(path: str) -> list[Json]:
    """Return the documents of a YAML file. Raises InvalidError naming file and line when it cannot be read."""
    import yaml

    try:
        documents = list(yaml.safe_load_all(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidError(f"src {path}: {error.strerror}; give a readable YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"src {path}: is not YAML: {error}") from error
    found = [document for document in documents if document is not None]
    if not found:
        raise InvalidError(f"src {path}: holds no definition; give at least one {KIND}")
    return found
