# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a user's definitions is shown."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.redaction import (
    REDACTED,
    without_contents,
    without_secrets,
    without_secrets_of_each,
)

SECRET = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "sesame"}, "stringData": {"b": "sesame"}}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}


@pytest.mark.parametrize(
    "definition",
    [
        SECRET,
        [CONFIG_MAP, SECRET],
        {"kind": "List", "items": [SECRET]},
        [{"kind": "SecretList", "items": [SECRET]}],
        {"stringData": {"b": "sesame"}},
        "data: sesame",
        ["data: sesame"],
    ],
)
def test_values_of_secrets_do_not_show(definition: Any) -> None:
    assert "sesame" not in repr(without_secrets(definition))


def test_nothing_else_is_redacted() -> None:
    definition = [CONFIG_MAP, {"kind": "List", "items": [CONFIG_MAP]}, 1, None]
    assert without_secrets(definition) == definition


@pytest.mark.parametrize("definition", [SECRET, [SECRET], "data: sesame"])
def test_secrets_of_each_entry_do_not_show(definition: Any) -> None:
    entries = [{"name": "a", "namespace": "b", "definition": definition}, {"name": "c", "defintion": definition}, "sesame"]
    shown = without_secrets_of_each(entries)
    assert "sesame" not in repr(shown)
    assert (shown[0]["name"], shown[0]["namespace"]) == ("a", "b")
    assert without_secrets_of_each("sesame") is None
    plain = [{"name": "a", "definition": CONFIG_MAP}]
    assert without_secrets_of_each(plain) == plain


def test_inline_keys_and_passwords_do_not_show() -> None:
    reference = {"secretReference": {"name": "a", "keyPath": "password"}}
    auth = {"username": {"content": "sesame"}, "password": reference}
    shown = {"username": {"content": REDACTED}, "password": reference}
    assert without_contents(auth) == shown
    assert without_contents({"spec": {"driver": "etcd", "endpoints": ["a:1"], "basicAuth": auth}}) == {
        "spec": {"driver": "etcd", "endpoints": ["a:1"], "basicAuth": shown}
    }
    assert without_contents('{"username": {"content": "sesame"}}') is None
    assert without_contents(None) is None
