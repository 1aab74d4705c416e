# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's version: that of the collection (galaxy.yml; a test compares them)."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

ENGINE_VERSION: Final = "0.1.0"


def refuse_newer(tenant: str, recorded: str | None) -> None:
    """Raise when a newer engine has written this tenant: an older one would take its settings away."""
    if recorded and _parts(recorded) > _parts(ENGINE_VERSION):
        raise HostedKubernetesError(
            f"TenantControlPlane {tenant}: last changed by hosted.kubernetes {recorded}, this is {ENGINE_VERSION}; "
            f"install hosted.kubernetes {recorded} or newer here"
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split("."))
