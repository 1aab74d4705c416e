# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container runtimes that somebody else has set up on a host, told by the heading that the role's files carry."""

from __future__ import annotations

from collections.abc import Callable

CONFIG = "/etc/containerd/config.toml"
UNIT = "/etc/systemd/system/containerd.service"
_HEADING = "# Written by the role hosted.kubernetes.container_runtime"
_UNITS = ("containerd.service", "docker.service", "crio.service")


def foreign(config: str, unit: str, text: Callable[[str], str | None], is_active: Callable[[str], bool]) -> list[str]:
    """Return "file path" and "unit name" of each that is somebody else's; none when our containerd is there, whoever uses it too.

    config and unit: paths of containerd's configuration and unit. text: content of a file, None when there is none.
    """
    seen = {path: text(path) for path in (config, unit)}
    ours = [path for path, found in seen.items() if found is not None and _is_ours(found)]
    found = [f"file {path}" for path, content in seen.items() if content is not None and path not in ours]
    if len(ours) == len(seen):
        return found
    return found + [f"unit {name}" for name in _UNITS if is_active(name)]


def _is_ours(content: str) -> bool:
    return any(line.startswith(_HEADING) for line in content.splitlines())
