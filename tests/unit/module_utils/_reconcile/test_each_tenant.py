# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing for many tenants: how many at a time, and what is told of those that fail."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.each_tenant import for_each, refuse_twice, result_of, told


def test_answers_keep_their_order_and_errors_their_place() -> None:
    def work(number: int) -> int:
        if number % 2:
            raise HostedKubernetesError(f"{number} is odd")
        return number * 10

    answers = for_each([0, 1, 2, 3], work)
    assert [answer.msg if isinstance(answer, HostedKubernetesError) else answer for answer in answers] == [0, "1 is odd", 20, "3 is odd"]
    assert for_each([], work) == []


def test_what_is_no_error_of_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        for_each([1, 0], lambda number: 1 // number)


def test_so_many_at_a_time_and_no_more() -> None:
    together, busy, most = threading.Barrier(3, timeout=10), threading.Semaphore(3), []

    def work(_number: int) -> None:
        most.append(busy.acquire(blocking=False))
        together.wait()
        busy.release()

    for_each(range(9), work, at_once=3)
    assert most == [True] * 9


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("TenantControlPlane a/b: sleeps", "TenantControlPlane a/b: sleeps"),
        ("TenantControlPlane a/b does not exist", "TenantControlPlane a/b does not exist"),
        ("TenantControlPlane a/bc: sleeps", "TenantControlPlane a/b: TenantControlPlane a/bc: sleeps"),
        ("Secret a/b-ca has no key", "TenantControlPlane a/b: Secret a/b-ca has no key"),
    ],
)
def test_an_error_names_its_tenant_once(message: str, shown: str) -> None:
    assert told("a/b", HostedKubernetesError(message)) == shown
    assert told("a/b", None) == ""


def test_a_result_fails_with_everything_that_was_done() -> None:
    well, ill = {"tenant": "a/b", "changed": True, "error": ""}, {"tenant": "a/c", "changed": False, "error": "no"}
    assert result_of([well], diff=[]) == {"changed": True, "tenants": [well], "diff": []}
    with pytest.raises(HostedKubernetesError, match=r"^no; no$") as error:
        result_of([ill, well, ill], diff=[1])
    assert error.value.result == {"changed": True, "tenants": [ill, well, ill], "diff": [1]}


def test_a_tenant_is_named_once() -> None:
    refuse_twice([("a", "b"), ("b", "a"), ("a", "c")])
    with pytest.raises(InvalidError, match="tenants names a/b more than once"):
        refuse_twice([("a", "b"), ("a", "c"), ("a", "b")])
