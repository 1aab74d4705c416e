# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watch does after each kind of end."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.position import Position
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ApiError,
    GoneError,
    NotFoundError,
    UnreachableError,
    api_error,
)


def answer(code: int, reason: str) -> ApiError:
    return api_error("https://server", "GET", "/path", {"code": code, "reason": reason, "message": "no"})


GONE, NOT_FOUND = answer(410, "Expired"), answer(404, "NotFound")
BROKEN = UnreachableError("the connection broke")


def at(version: str | None, *, optional: bool = False) -> Position:
    position = Position(optional=optional, chance=lambda: 0.5)
    if version:
        position.listed(version)
    return position


def test_the_errors_are_what_they_are_taken_for() -> None:
    assert isinstance(GONE, GoneError)
    assert isinstance(NOT_FOUND, NotFoundError)


@pytest.mark.parametrize(
    ("error", "version", "pause_s"),
    [
        (BROKEN, "7", 0.2),
        (GONE, None, 0.0),
        (answer(500, "InternalError"), None, 0.2),
        # A server that was restored from a backup does not know our version yet.
        (answer(504, "Timeout"), None, 0.2),
        (answer(403, "Forbidden"), None, 0.2),
        (NOT_FOUND, None, 0.2),
    ],
)
def test_after_an_error(error: HostedKubernetesError, version: str | None, pause_s: float) -> None:
    position = at("7")
    assert position.failed(error) == pause_s
    assert position.version == version


def test_a_kind_that_need_not_be_served_is_asked_for_rarely() -> None:
    assert at(None, optional=True).failed(NOT_FOUND) == 60.0


def test_pauses_grow_until_a_watch_works() -> None:
    position = at("7")
    assert [position.failed(BROKEN) for _try in range(10)][-2:] == [30.0, 30.0]
    # That a list works proves nothing: the watch may fail each time.
    position.listed("8")
    assert position.failed(GONE) == 30.0
    position.seen("9")
    assert position.failed(BROKEN) == 0.2
    assert position.version == "9"
    position.ended()
    assert position.failed(GONE) == 0.0
    # A server that forgets at once is not asked for everything without a pause.
    assert position.failed(GONE) == 0.4
