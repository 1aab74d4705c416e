# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the watch of one list stands: what comes next, and after which pause. Pure but for chance, which is given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import GoneError, NotFoundError, UnreachableError

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0
_UNSERVED_PAUSE_S: Final = 60.0


class Position:
    """version: the resourceVersion from which a watch goes on; None when everything has to be listed.

    optional: the server need not know the kind. chance: returns numbers from 0 to 1.
    """

    def __init__(self, *, optional: bool = False, chance: Callable[[], float] = random.random) -> None:
        self.version: str | None = None
        self._optional, self._chance = optional, chance
        self._backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, chance)

    def listed(self, version: str) -> None:
        """Everything was listed; only a watch that works proves that there is no need to be careful."""
        self.version = version

    def seen(self, version: str) -> None:
        """The watch has told of this version, by an event or a bookmark."""
        self.version = version
        self._backoff.reset("")

    def ended(self) -> None:
        """The server has ended the watch, as it does after a time."""
        self._backoff.reset("")

    def failed(self, error: HostedKubernetesError) -> float:
        """Return how many seconds to wait before going on.

        A connection that broke loses nothing: the watch goes on where it was. After any other error everything is listed again, since the
        version may be too old (410), or one that a restored server never gave out.
        """
        if not isinstance(error, UnreachableError):
            self.version = None
        if isinstance(error, NotFoundError) and self._optional:
            return spread(_UNSERVED_PAUSE_S, self._chance)
        pause_s = self._backoff.next_s("")
        return 0.0 if isinstance(error, GoneError) and self._backoff.tries("") == 1 else pause_s
