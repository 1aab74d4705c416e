# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.pull_secrets import merged

ONE = b'{"auths": {"one.example.com": {"auth": "first"}}}'
BOTH = b'{"auths": {"one.example.com": {"auth": "second"}, "two.example.com": {"auth": "x"}}, "credHelpers": {}}'


def test_all_registries_are_there_and_the_first_counts() -> None:
    auths = json.loads(merged({"t/a": ONE, "t/b": BOTH}))["auths"]
    assert auths == {"one.example.com": {"auth": "first"}, "two.example.com": {"auth": "x"}}


def test_the_order_of_registries_changes_nothing() -> None:
    assert merged({"t/b": BOTH}) == merged({"t/b": b'{"auths": {"two.example.com": {"auth": "x"}, "one.example.com": {"auth": "second"}}}'})


@pytest.mark.parametrize("text", [b"", b"hunter2", b"{}", b"[]", b'{"auths": []}', b"\xff"])
def test_what_holds_no_registries_is_named_without_its_text(text: bytes) -> None:
    with pytest.raises(InvalidError, match=r"Secret t/b holds no registries in \.dockerconfigjson") as caught:
        merged({"t/a": ONE, "t/b": text})
    assert "hunter2" not in str(caught.value)
