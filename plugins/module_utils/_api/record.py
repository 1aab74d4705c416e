# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tenant's data as a sequence of records in the order of their keys, whatever store they come from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class Record(NamedTuple):
    """One key of a tenant. key: without what every key of its share begins with (datastore.key_prefix()), such as b"pods/default/web".

    ttl_s: seconds after which it vanishes by itself; 0 for one that stays.
    """

    key: bytes
    value: bytes
    ttl_s: int = 0


class Step(Enum):
    """What has to happen to one key, so that the present data becomes the wanted data."""

    PUT = "put"
    DELETE = "delete"
    KEEP = "keep"


def differences(wanted: Iterable[Record], present: Iterable[Record]) -> Iterator[tuple[Step, Record]]:
    """Compare two sequences in the order of their keys, with one record of each in memory.

    A key stays when its value is the same, and when both or none of the two vanish by themselves, however much time is left.
    Raises HostedKubernetesError when the wanted keys do not ascend.
    """
    left = iter(present)
    there = next(left, None)
    last = b""
    for record in wanted:
        if record.key <= last:
            raise HostedKubernetesError("the keys of the backup are not in order, so it cannot be restored; take another one")
        last = record.key
        while there is not None and there.key < record.key:
            yield Step.DELETE, there
            there = next(left, None)
        same = there is not None and there.key == record.key
        kept = there is not None and same and there.value == record.value and bool(there.ttl_s) == bool(record.ttl_s)
        yield (Step.KEEP if kept else Step.PUT), record
        if same:
            there = next(left, None)
    while there is not None:
        yield Step.DELETE, there
        there = next(left, None)
