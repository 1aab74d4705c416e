# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that wait are woken, and sent home at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.work_queue import Key, WorkQueue

A, B = Key("TenantControlPlane", "team", "a"), Key("DataStore", name="b")


def test_a_worker_that_waits_is_woken() -> None:
    queue = WorkQueue()
    queue.open()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.add(A)
        assert waiting.result(5) == A
        waiting = pool.submit(queue.take)
        queue.done(A, again_after_s=0.01)
        assert waiting.result(5) == A


def test_what_is_due_sooner_wakes_a_worker_that_waits_for_something_later() -> None:
    queue = WorkQueue()
    queue.open()
    queue.add(A, 60)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.add(B)
        assert waiting.result(5) == B


def test_a_queue_that_is_closed_sends_workers_home_and_takes_nothing() -> None:
    queue = WorkQueue()
    queue.open()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.close()
        assert waiting.result(5) is None
    queue.add(A)
    assert queue.is_idle
    queue.open()
    assert queue.depth() == 0


def test_keys_as_people_read_them() -> None:
    assert [str(A), str(B), str(Key("KubeconfigGenerator"))] == ["team/a", "b", "all"]
