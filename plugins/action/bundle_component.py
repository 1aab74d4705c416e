# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of bundle_component: shows the steps of a long build while it runs.

The module writes them to its log; this follows the file when it lies on the controller, where bundles usually are made.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import log_path
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.progress import Follower

MODULE = "hosted.kubernetes.bundle_component"


class ActionModule(ActionBase):
    """Runs the module and relays marked lines of its log."""

    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        follower = Follower(self._log_path(), Display())
        follower.start()
        try:
            result.update(self._execute_module(MODULE, task_vars=task_vars))
        finally:
            follower.stop()
        return result

    def _log_path(self) -> str:
        spec = self._task.args.get("spec") or {}
        cache_dir = os.path.expanduser(str(self._task.args.get("cache_dir") or ""))
        return log_path(cache_dir, str(spec.get("kubernetes")), str(spec.get("arch")))
