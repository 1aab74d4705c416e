# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of container_image: looks images up in the bundle and sends the archives the host lacks."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.bundle import read_bundle, stage

MODULE = "hosted.kubernetes.container_image"


class ActionModule(ActionBase):
    """Runs the module once; when it asks for archives, sends them and runs it again."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._bring(dict(self._task.args), task_vars or {}))
        except HostedKubernetesError as error:
            raise AnsibleActionFail(error.msg) from error
        return result

    def _bring(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        names = args.get("names") or []
        artefacts = {}
        if names:
            bundle = read_bundle(args.get("bundle_dir") or "")
            artefacts = {item.sha256: item for item in (bundle.get("image", name) for name in names)}
            args["images"] = [{"reference": item.reference, "sha256": item.sha256} for item in artefacts.values()]
        done: dict[str, Any] = self._execute_module(MODULE, args, task_vars=task_vars)
        missing = done.pop("missing", None)
        if not missing:
            return done
        staged = stage(self, args["bundle_dir"], [artefacts[digest] for digest in missing])
        done = self._execute_module(MODULE, {**args, "staged": staged}, task_vars=task_vars)
        done["transferred"] = [artefacts[digest].path for digest in missing]
        return done
