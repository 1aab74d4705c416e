# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities as bytes, and bytes as texts."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import bytes_text, parse_bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("1Ki", 1024),
        ("1k", 1000),
        ("4Gi", 4 * 1024**3),
        ("1.5Mi", 1536 * 1024),
        (".5Ki", 512),
        ("2E", 2 * 10**18),
        ("2Ei", 2 * 1024**6),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1.0001k", 1001),
        ("15e-1", 2),
    ],
)
def test_parse(value: int | str, expected: int) -> None:
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", ["", "Gi", "-1", -1, "1 Gi", "1GB", "1.2.3", "100m", "1e", True, None])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="is no number of bytes"):
        parse_bytes(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (4_300_000, "4.1 MiB"), (2 * 1024**3, "2 GiB"), (1717986918, "1.6 GiB")],
)
def test_text(size: int, text: str) -> None:
    assert bytes_text(size) == text
