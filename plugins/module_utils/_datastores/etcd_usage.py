# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tenants use of an etcd: keys and bytes by reading them in pages, writes by watching all of them with one watch.

etcd keeps no account by prefix, and tells the size of a value only together with it. So values are read, counted and forgotten; a
page is as large as a few mebibytes, whatever the values are.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Usage
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_pages import PageReader, following
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import Member, message
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.library import grpc

# How much longer than asked for a watch may last: the pages that are read meanwhile take their time.
_WATCH_S: Final = 3600.0
_OPENING_S: Final = 5.0


def measure(call: Callable[..., Any], key: bytes, end: bytes) -> Usage:
    """Count the keys from key to end and their bytes. call: EtcdDriver's. Raises DatastoreError."""
    pages, keys, size_bytes = PageReader(call, end), 0, 0
    while True:
        page = pages.read(key)
        keys, size_bytes = keys + len(page.kvs), size_bytes + sum(len(item.key) + len(item.value) for item in page.kvs)
        if not page.more:
            return Usage(keys, size_bytes)
        key = following(page)


@dataclass
class Writes:
    """The writes that were seen. error: why they could not be watched, or not to the end."""

    seen: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str = ""

    def noted(self, schema: str, usage: Usage) -> Usage:
        """A share's usage with the rate of its writes."""
        if self.error:
            return replace(usage, error="; ".join(filter(None, (usage.error, f"writes could not be watched ({self.error})"))))
        return replace(usage, writes_per_s=round(self.seen[schema] / self.seconds, 2)) if self.seconds else usage

    def count(self, answer: Any) -> None:
        """Count the events of a WatchResponse by schema, which is the first part of a key."""
        self.seen.update(item.kv.key[1:].partition(b"/")[0].decode(errors="replace") for item in answer.events)


@contextlib.contextmanager
def counting_writes(member: Member, ranges: Sequence[tuple[bytes, bytes]], interval_s: float) -> Iterator[Writes]:
    """Count all writes from the first to the last of the ranges until the block ends. Nothing when interval_s is 0."""
    writes, done, opened = Writes(), threading.Event(), threading.Event()
    if not interval_s or not ranges:
        yield writes
        return
    request = message("WatchRequest")(
        create_request=message("WatchCreateRequest")(
            key=min(key for key, _end in ranges), range_end=max(end for _key, end in ranges), fragment=True
        )
    )

    def requests() -> Iterator[Any]:
        yield request
        done.wait(_WATCH_S)

    stream = member.watch(requests(), interval_s + _WATCH_S)
    thread = threading.Thread(target=_watch, args=(stream, writes, opened, done), daemon=True)
    thread.start()
    is_open = opened.wait(_OPENING_S)
    started = time.monotonic()
    try:
        yield writes
    finally:
        writes.seconds = time.monotonic() - started
        done.set()
        stream.cancel()
        thread.join(_OPENING_S)
        if not is_open and not writes.error:
            writes.error = "the watch was not opened in time"


def _watch(stream: Any, writes: Writes, opened: threading.Event, done: threading.Event) -> None:
    try:
        for answer in stream:
            if answer.created:
                opened.set()
            if answer.canceled:
                writes.error = answer.cancel_reason or "etcd ended the watch"
                return
            writes.count(answer)
    except grpc.RpcError as error:
        if not done.is_set():
            writes.error = str(error.details() or error.code())
    finally:
        opened.set()
