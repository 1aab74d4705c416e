# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which labels a selector picks."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import Selector, is_dns_name, is_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

LABELS = {"stage": "production", "team": "red", "empty": ""}


def expression(key: str, operator: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "picks"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {}, "matchExpressions": []}, True),
        ({"matchLabels": {"stage": "production"}}, True),
        ({"matchLabels": {"stage": "test"}}, False),
        ({"matchLabels": {"stage": "production", "team": "blue"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchLabels": {"empty": ""}}, True),
        (expression("team", "In", "blue", "red"), True),
        (expression("team", "In", "blue"), False),
        (expression("absent", "In", "red"), False),
        (expression("team", "NotIn", "red"), False),
        (expression("team", "NotIn", "blue"), True),
        # As in Kubernetes: nothing that is absent is among the values.
        (expression("absent", "NotIn", "blue"), True),
        (expression("team", "Exists"), True),
        (expression("absent", "Exists"), False),
        (expression("team", "DoesNotExist"), False),
        (expression("absent", "DoesNotExist"), True),
        ({"matchLabels": {"stage": "production"}, **expression("team", "NotIn", "red")}, False),
    ],
)
def test_picks(selector: Json | None, picks: bool) -> None:
    assert Selector.parse(selector).picks(LABELS) is picks


@pytest.mark.parametrize("labels", [None, {}])
def test_without_labels(labels: dict[str, str] | None) -> None:
    assert Selector.parse({}).picks(labels)
    assert not Selector.parse(expression("a", "Exists")).picks(labels)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a", True),
        ("example.com/a_B.c", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("/a", False),
        ("A.com/a", False),
        ("a/b/c", False),
    ],
)
def test_name(text: str, fits: bool) -> None:
    assert is_name(text) is fits


@pytest.mark.parametrize(("text", "fits"), [("a", True), ("a-1.b", True), ("", False), ("a.", False), ("A", False), ("a_b", False)])
def test_dns_name(text: str, fits: bool) -> None:
    assert is_dns_name(text) is fits
