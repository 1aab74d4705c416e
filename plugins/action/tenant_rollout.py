# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of tenant_rollout: shows waves and tenants while the roll-out goes on, when the module runs on the controller."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosted.kubernetes.plugins.plugin_utils.progress import Follower

MODULE = "hosted.kubernetes.tenant_rollout"


class ActionModule(ActionBase):
    """Runs the module with a log of its steps, and shows these as they come."""

    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        # Elsewhere, and as another user, the module could not write to a file of ours.
        if self._connection.transport != "local" or self._task.become:
            result.update(self._execute_module(MODULE, given, task_vars=task_vars))
            return result
        with tempfile.TemporaryDirectory() as folder:
            log = str(given.get("log") or os.path.join(folder, "rollout.log"))
            follower = Follower(log, Display())
            follower.start()
            try:
                result.update(self._execute_module(MODULE, {**given, "log": log}, task_vars=task_vars))
            finally:
                follower.stop()
        return result
