# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads ranges of an etcd in pages of a few mebibytes, whatever the size of the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreTooLargeError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import FIRST_PAGE_KEYS, next_limit


class PageReader:
    """Fetches one page after the other, each with as many keys as make about PAGE_BYTES. call: EtcdDriver's."""

    def __init__(self, call: Callable[..., Any], end: bytes) -> None:
        self._call, self._end = call, end
        self._limit = FIRST_PAGE_KEYS

    def read(self, key: bytes, revision: int = 0) -> Any:
        """Return the RangeResponse from a key on. revision: 0 is the present one. Raises DatastoreError."""
        while True:
            try:
                page = self._call("Range", key=key, range_end=self._end, limit=self._limit, revision=revision)
                break
            except DatastoreTooLargeError:
                if self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 4)
        if page.kvs:
            self._limit = next_limit(len(page.kvs), page.ByteSize())
        return page


def following(page: Any) -> bytes:
    """The key from which on the next page is read."""
    last: bytes = page.kvs[-1].key
    return last + b"\0"
