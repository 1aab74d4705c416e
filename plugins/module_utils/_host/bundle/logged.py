# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running tools whose output goes to the live log as it comes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog

_LINES_SHOWN = 6


def run_logged(
    command: Sequence[str], log: ProgressLog, *, environment: Mapping[str, str], what: str, remedy: str, folder: str = "/"
) -> None:
    """Run a tool in a folder. what, remedy: how the error begins and what it advises.

    Raises HostedKubernetesError with the tool's last lines and the path of the log.
    """
    lines: list[str] = []
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            log.output(line)
            if line.strip():
                lines.append(line.strip())
    if process.returncode != 0:
        said = " | ".join(lines[-_LINES_SHOWN:])[-800:]
        raise HostedKubernetesError(f"{what}: ended with {process.returncode}: {said}; {remedy} (whole output: {log.path})")
