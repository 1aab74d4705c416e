# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugins of modules that take the option log: they show the steps of the module as they come."""

from __future__ import annotations

import os
import tempfile
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosted.kubernetes.plugins.plugin_utils.progress import Follower


class FollowedModule(ActionBase):
    """Runs a module with a log of its steps, and shows these as they come, when the module runs on the controller."""

    module: ClassVar[str]
    _requires_connection = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, in_background = dict(self._task.args), self._task.async_val
        # Elsewhere, and as another user, the module could not write to a file of ours.
        if in_background or self._connection.transport != "local" or self._task.become:
            result.update(self._execute_module(self.module, given, task_vars=task_vars, wrap_async=in_background))
            return result
        with tempfile.TemporaryDirectory() as folder:
            log = str(given.get("log") or os.path.join(folder, "steps.log"))
            follower = Follower(log, Display())
            follower.start()
            try:
                result.update(self._execute_module(self.module, {**given, "log": log}, task_vars=task_vars))
            finally:
                follower.stop()
        return result
