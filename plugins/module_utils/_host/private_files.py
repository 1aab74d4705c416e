# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with keys that only their owner may read, such as kubeconfigs. Every error names the path and the way out."""

from __future__ import annotations

import errno
import os

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files


def read(path: str) -> bytes | None:
    """Return the content of a file, None when there is none. Raises HostedKubernetesError when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.explained(path, error) from error


def problem(path: str) -> str | None:
    """Why an existing file is not private; None when it is."""
    return "others may read it" if os.stat(path).st_mode & 0o077 else None


def write(path: str, content: bytes) -> None:
    """Write a file that was private at every moment, and the directory it lies in. Raises HostedKubernetesError, and leaves nothing then."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
    except OSError as error:
        raise files.explained(path, error) from error
    files.write(path, content, 0o600)


def exists(path: str) -> bool:
    """Whether there is something to remove. Raises HostedKubernetesError when that is a directory."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise files.explained(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    return os.path.lexists(path)


def remove(path: str) -> None:
    """Remove a file or link; a path that is gone already is fine. Raises HostedKubernetesError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.explained(path, error) from error
