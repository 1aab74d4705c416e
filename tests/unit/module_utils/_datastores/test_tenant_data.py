# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of tenants' data needs no store: portions, reading ahead, names of rows, prefixes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import key_prefix
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record, Step
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import mysql_data, sql_data, tenant_data
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Batch, Replaced, Work


@pytest.mark.parametrize(("driver", "expected"), [("etcd", "/team-a_acme/"), ("PostgreSQL", "/registry/"), ("MySQL", "/registry/")])
def test_prefixes(driver: str, expected: str) -> None:
    assert key_prefix(driver, "team-a_acme") == expected


def test_own_rows_of_kine() -> None:
    assert (sql_data.PREFIX, sql_data.END, sql_data.HEALTH) == ("/registry/", "/registry0", "/registry/health")


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(250, 10, [100, 100, 50]), (3, 600_000, [1, 1, 1]), (3, 500_000, [2, 1]), (1, 5_000_000, [1]), (0, 0, [])],
)
def test_portions(count: int, size: int, expected: list[int]) -> None:
    """Neither many keys nor many bytes at a time; a value that is larger than a portion goes alone."""
    portions: list[int] = []
    told: list[int] = []

    def write(work: Work) -> None:
        portions.append(len(work))

    batch = Batch(write, 32, lambda: told.append(0), told.append)
    steps = [(Step.PUT, Record(b"%d" % number, b"x" * size)) for number in range(count)]
    assert tenant_data.tally(steps, batch) == Replaced(put=count)
    assert portions == expected
    assert told == [item for number in range(len(expected)) for item in (0, number + 1)]


def test_what_is_kept_is_not_written() -> None:
    def write(work: Work) -> None:
        raise AssertionError(work)

    batch = Batch(write, 32, lambda: None, lambda _number: None)
    assert tenant_data.tally([(Step.KEEP, Record(b"a", b""))], batch) == Replaced(kept=1)


def test_one_item_is_fetched_ahead() -> None:
    fetched: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            fetched.append(number)
            yield number

    items = tenant_data.read_ahead(numbers())
    assert next(items) == 0
    items.close()
    assert fetched == [0, 1]
    assert list(tenant_data.read_ahead(numbers())) == [*range(5)]


def test_errors_of_what_is_fetched_ahead_arrive() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("cut")

    items = tenant_data.read_ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="cut"):
        next(items)


def test_names_that_are_one_to_mysql_are_written_one_after_the_other() -> None:
    work = [(Step.PUT, Record(name, b"")) for name in (b"A", b"B", b"a", b"b", b"c")]
    assert [[record.key for _step, record in part] for part in mysql_data._apart(work)] == [[b"A", b"B"], [b"a", b"b", b"c"]]
