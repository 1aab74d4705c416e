# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of host_files: looks artefacts up in the bundle and sends those the host lacks."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import Artefact
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.plugin_utils.bundle import read_bundle, stage

MODULE = "hosted.kubernetes.host_files"


class ActionModule(ActionBase):
    """Runs the module once; when it asks for artefacts, sends them and runs it again."""

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
        files, artefacts = resolve(args.get("bundle_dir") or "", args.get("files") or [])
        args["files"] = files
        done: dict[str, Any] = self._execute_module(MODULE, args, task_vars=task_vars)
        missing = done.pop("missing", None)
        if not missing:
            return done
        staged = stage(self, args["bundle_dir"], [artefacts[digest] for digest in missing])
        done = self._execute_module(MODULE, {**args, "staged": staged}, task_vars=task_vars)
        done["transferred"] = [artefacts[digest].path for digest in missing]
        return done


def resolve(bundle_dir: str, files: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Artefact]]:
    """Give each artefact entry its SHA-256 from the manifest; leave out optional ones that the bundle lacks.

    Returns the entries for the module and the artefacts by SHA-256.
    """
    if not any(item.get("artefact") for item in files):
        return files, {}
    bundle = read_bundle(bundle_dir)
    entries: list[dict[str, Any]] = []
    artefacts: dict[str, Artefact] = {}
    for item in files:
        if not item.get("artefact"):
            entries.append(item)
            continue
        kind, name = item.get("kind") or "binary", item["artefact"]
        artefact = bundle.find(kind, name) if item.get("optional") else bundle.get(kind, name)
        if artefact is not None:
            artefacts[artefact.sha256] = artefact
            entries.append({**item, "sha256": artefact.sha256})
    return entries, artefacts
