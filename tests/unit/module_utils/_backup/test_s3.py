# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bucket may be, before anybody connects to it."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.s3 import Bucket


@pytest.mark.parametrize(
    "endpoint", ["s3.example.com", "127.0.0.1:9000", "ftp://s3.example.com", "https://", "https://s3.example.com/?x=1"]
)
def test_endpoints_that_are_no_url(endpoint: str) -> None:
    with pytest.raises(InvalidError, match=r"is no URL; write https://HOST:PORT"):
        Bucket("backups", endpoint)


def test_a_login_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidError, match=r's3.endpoint "https://s3.example.com" is no URL'):
        Bucket("backups", "https://me:secret@s3.example.com")


@pytest.mark.parametrize(
    ("endpoint", "plain"), [("", False), ("https://s3.example.com:9000", False), ("http://s3", True), ("HTTP://s3", True)]
)
def test_plain_http(endpoint: str, plain: bool) -> None:
    assert Bucket("backups", endpoint).is_plain_http is plain


@pytest.mark.parametrize(("prefix", "folder"), [("", ""), ("/", ""), ("a", "a/"), ("/a/b/", "a/b/")])
def test_folders(prefix: str, folder: str) -> None:
    assert Bucket("backups", prefix=prefix).folder == folder


@pytest.mark.parametrize("login", [{"access_key": "a"}, {"secret_key": "b"}])
def test_half_a_login_is_refused(login: dict[str, str]) -> None:
    with pytest.raises(InvalidError, match="belong together"):
        Bucket("backups", **login)


def test_the_secret_key_is_not_shown() -> None:
    assert "hush" not in repr(Bucket("backups", access_key="a", secret_key="hush"))
