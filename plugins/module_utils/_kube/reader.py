# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only looks at objects needs: an API server gives it, and so does a cache of what watches have told."""

from __future__ import annotations

from typing import Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, Resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import ListResult


class Reader(Protocol):
    """Objects by name and by label, as Client gives them; the errors are the same, too."""

    def get(self, resource: Resource, name: str, namespace: str = "", *, metadata_only: bool = False) -> Json | None:
        """Return one object; None when it does not exist."""

    def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ListResult:
        """Return the selected objects. Raises NotFoundError for a kind that is not served."""
