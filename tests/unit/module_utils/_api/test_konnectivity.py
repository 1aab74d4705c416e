# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which konnectivity goes with which Kubernetes."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.konnectivity import counts_by_leases, default_version


@pytest.mark.parametrize(
    ("kubernetes", "expected"),
    [
        ("v1.30.14", "v0.33.0"),
        ("v1.33.1", "v0.33.0"),
        ("v1.34.4", "v0.34.0"),
        ("v1.35.4", "v0.34.0"),
        ("v1.36.3", "v0.36.0"),
        ("1.37.2", "v0.36.0"),
    ],
)
def test_default_version(kubernetes: str, expected: str) -> None:
    assert default_version(kubernetes) == expected


def test_not_a_version() -> None:
    with pytest.raises(ValueError, match="latest is not"):
        default_version("latest")


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v0.28.6", False), ("v0.30.3", False), ("v0.33.0", True), ("v0.36.0", True), ("v1.0.0", True), ("mine", True)],
)
def test_counting_by_leases(version: str, expected: bool) -> None:
    assert counts_by_leases(version) is expected
