# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two sequences of records."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step, differences

A, B, C = Record(b"a", b"1"), Record(b"b", b"2"), Record(b"c", b"3")
OTHER = Record(b"b", b"other")


@pytest.mark.parametrize(
    ("wanted", "present", "expected"),
    [
        ([], [], []),
        ([A], [], [(Step.PUT, A)]),
        ([], [A, B], [(Step.DELETE, A), (Step.DELETE, B)]),
        ([A, B, C], [A, B, C], [(Step.KEEP, A), (Step.KEEP, B), (Step.KEEP, C)]),
        ([A, C], [B], [(Step.PUT, A), (Step.DELETE, B), (Step.PUT, C)]),
        ([B], [A, OTHER, C], [(Step.DELETE, A), (Step.PUT, B), (Step.DELETE, C)]),
        ([A._replace(ttl_s=60)], [A], [(Step.PUT, A._replace(ttl_s=60))]),
        ([A], [A._replace(ttl_s=60)], [(Step.PUT, A)]),
        ([A._replace(ttl_s=60)], [A._replace(ttl_s=1)], [(Step.KEEP, A._replace(ttl_s=60))]),
    ],
)
def test_steps(wanted: list[Record], present: list[Record], expected: list[tuple[Step, Record]]) -> None:
    assert list(differences(wanted, present)) == expected


@pytest.mark.parametrize("wanted", [[B, A], [A, A]])
def test_order_is_demanded(wanted: list[Record]) -> None:
    with pytest.raises(HostedKubernetesError, match="not in order"):
        list(differences(wanted, []))
