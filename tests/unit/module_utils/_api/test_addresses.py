# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IP addresses and host names as texts."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port, is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", True),
        ("2001:db8::7", True),
        ("192.0.2", False),
        ("192.0.2.300", False),
        ("[2001:db8::7]", False),
        ("acme.example.com", False),
        ("1.example", False),
        ("", False),
        (UNKNOWN, False),
    ],
)
def test_is_address(text: str, expected: bool) -> None:
    assert is_address(text) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("192.0.2.7", "192.0.2.7:6443"), ("fd00::1", "[fd00::1]:6443"), ("a.example", "a.example:6443"), (UNKNOWN, f"{UNKNOWN}:6443")],
)
def test_host_port(host: str, expected: str) -> None:
    assert host_port(host, 6443) == expected
