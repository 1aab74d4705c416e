# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubeconfigs of all KubeconfigGenerators, in one look: the engine's own call for them, read from the cache."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff, spread
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.metrics import Metrics
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import generators

_FIRST_RETRY_S: Final = 2.0
_LONGEST_RETRY_S: Final = 300.0

_log = logging.getLogger("hosted_kubernetes.controller")


class Generators:
    """What fails of one generator or tenant does not hold up the others; its status says what is missing."""

    def __init__(self, client: Client, cache: Cache, metrics: Metrics, resync: timedelta) -> None:
        self._client, self._cache, self._metrics, self._resync = client, cache, metrics, resync
        self._failures = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)

    def reconcile(self) -> float | None:
        """Look at all of them; return after how many seconds to look again, None when there is none."""
        if not self._cache.has_generators():
            self._failures.reset("")
            return None
        try:
            result = generators.run(self._client, generators.Request(), generators.Settings(), self._cache.whole())
        except HostedKubernetesError as error:
            reason = reasons.of_error(error)
            self._metrics.failed(reason)
            _log.warning("%s", error.msg, extra={"reason": reason})
            return self._failures.next_s("")
        for item in result["generators"]:
            if item["changed"]:
                _log.info("made %d changes", len(item["plan"]), extra={"generator": item["name"]})
        self._failures.reset("")
        return spread(self._resync.total_seconds())
