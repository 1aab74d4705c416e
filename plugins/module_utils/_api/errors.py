# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception tree of the collection: what is wrong, where, and what to do."""

from __future__ import annotations

from typing import Any


class HostedKubernetesError(Exception):
    """An error whose message a person can act on.

    msg: one sentence that names the object or field, what is wrong and what to do; never a secret.
    result: further facts for the caller (JSON-able, no secrets), merged into a failing module's result.
    """

    def __init__(self, msg: str, **result: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.result = result


class InvalidError(HostedKubernetesError):
    """The desired state contradicts itself or the documented rules; nothing has been changed."""

    @classmethod
    def from_problems(cls, subject: str, problems: list[str]) -> InvalidError:
        """Join all problems of one object, so that a user mends them in one go."""
        return cls("; ".join(f"{subject}: {problem}" for problem in problems), problems=problems)
