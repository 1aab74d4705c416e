# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins need to bring files of a bundle from the controller to a host."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import Artefact, Bundle, parse_bundle
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class BundleAction(ActionBase):
    """Runs a module once; when it asks for artefacts that its host lacks, sends them and runs it again."""

    TRANSFERS_FILES = True
    MODULE: ClassVar[str]
    _requires_connection = True

    @abstractmethod
    def look_up(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Artefact]]:
        """Return the arguments for the module and the artefacts it may ask for, by SHA-256. Raises HostedKubernetesError."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._bring(dict(self._task.args), task_vars or {}))
        except HostedKubernetesError as error:
            # ansible-core appends the message of each cause, which would say the same again.
            raise AnsibleActionFail(error.msg) from None
        return result

    def _bring(self, given: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        arguments, artefacts = self.look_up(given)
        done: dict[str, Any] = self._execute_module(self.MODULE, arguments, task_vars=task_vars)
        missing = done.pop("missing", None)
        if not missing:
            return done
        staged = stage(self, given["bundle_dir"], [artefacts[digest] for digest in missing])
        done = self._execute_module(self.MODULE, {**arguments, "staged": staged}, task_vars=task_vars)
        done["transferred"] = [artefacts[digest].path for digest in missing]
        return done


def read_bundle(bundle_dir: str) -> Bundle:
    """Read the manifest of a bundle directory on the controller. Raises HostedKubernetesError that says how to make one."""
    path = os.path.join(bundle_dir, "manifest.json")
    try:
        with open(path, encoding="utf-8") as stream:
            return parse_bundle(stream.read(), path)
    except OSError as error:
        raise HostedKubernetesError(
            f'bundle_dir "{bundle_dir}": {error.strerror} (manifest.json on the controller); make the bundle with the role '
            "hosted.kubernetes.bundle, or name the directory of a finished one"
        ) from error


def stage(action: ActionBase, bundle_dir: str, artefacts: Iterable[Artefact]) -> dict[str, str]:
    """Put artefacts into the action's temporary directory on the host, each content once.

    Returns the path on the host by SHA-256. The directory is removed when the action ends.
    Raises HostedKubernetesError when a file of the bundle cannot be read.
    """
    shell = action._connection._shell  # pylint: disable=protected-access
    if not shell.tmpdir:
        action._make_tmp_path()  # pylint: disable=protected-access
    staged: dict[str, str] = {}
    for artefact in artefacts:
        if artefact.sha256 in staged:
            continue
        local = os.path.join(bundle_dir, artefact.path)
        if not os.access(local, os.R_OK):
            raise HostedKubernetesError(f"{local}: the manifest lists this file, it cannot be read; make the bundle again")
        remote = shell.join_path(shell.tmpdir, artefact.sha256)
        action._transfer_file(local, remote)  # pylint: disable=protected-access
        staged[artefact.sha256] = remote
    return staged
