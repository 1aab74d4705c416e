# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of konnectivity: which one goes with a Kubernetes minor, and which can count servers by leases."""

from __future__ import annotations

import re
from typing import Final

# Minors of konnectivity do not follow those of Kubernetes one by one; these are the ones the bundle carries.
_RELEASES: Final = ((36, "v0.36.0"), (34, "v0.34.0"), (33, "v0.33.0"))
_LEASES_SINCE: Final = 33  # cmd/server/app/options: --enable-lease-controller is missing in v0.30.3, present in v0.33.0
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")


def default_version(kubernetes_version: str) -> str:
    """Return the konnectivity version (image tag) for a Kubernetes version such as v1.36.3."""
    minor = _minor(kubernetes_version)
    return next((release for floor, release in _RELEASES if minor >= floor), _RELEASES[-1][1])


def counts_by_leases(version: str) -> bool:
    """Whether servers of this version publish leases, so that agents learn their number without a restart.

    A version that is not numbered (a digest, a build of one's own) counts as new.
    """
    match = _VERSION.match(version)
    return match is None or int(match[1]) > 0 or int(match[2]) >= _LEASES_SINCE


def _minor(version: str) -> int:
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"{version} is not a Kubernetes version")
    return int(match[2])
