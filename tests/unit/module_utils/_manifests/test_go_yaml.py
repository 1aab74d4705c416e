# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as Go writes it: what reads as another type is quoted, and everything reads back as it was."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.go_yaml import to_yaml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("0", '"0"'),
        ("1.5", '"1.5"'),
        ("true", '"true"'),
        ("null", '"null"'),
        ("2026-11-22", '"2026-11-22"'),
        ("10:20", '"10:20"'),
        ("::", "'::'"),
        ("[fd00::1]:6443", "'[fd00::1]:6443'"),
        ("fd00::a", "fd00::a"),
        ("0s", "0s"),
        ("10.96.0.0/16,fd00:96::/112", "10.96.0.0/16,fd00:96::/112"),
        ("https://api.example:6443", "https://api.example:6443"),
        (None, "null"),
        (0, "0"),
        (False, "false"),
        ({}, "{}"),
        ([], "[]"),
        (f"https://{UNKNOWN}:6443", f"https://{UNKNOWN}:6443"),
        ("a " * 100 + "end", "a " * 100 + "end"),
    ],
)
def test_a_value(value: object, text: str) -> None:
    assert to_yaml({"key": value}) == f"key: {text}\n"
    assert yaml.safe_load(to_yaml({"key": value})) == {"key": value}


def test_sequences_are_not_indented_and_keys_are_sorted() -> None:
    document: Json = {"b": ["x", {"d": 1, "c": 2}], "a": {"e": ["y"]}}
    assert to_yaml(document) == "a:\n  e:\n  - y\nb:\n- x\n- c: 2\n  d: 1\n"


def test_lines_stand_in_block_style() -> None:
    assert to_yaml({"key": "one\ntwo\n"}) == "key: |\n  one\n  two\n"


def test_a_value_that_stands_twice_is_written_twice() -> None:
    shared = ["x"]
    assert "&" not in to_yaml({"a": shared, "b": shared})
