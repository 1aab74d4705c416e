# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers of the lab: run a command, look at mounts, remove a tree without following what is mounted in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OCTAL = re.compile(r"\\([0-7]{3})")


class LabError(HostedKubernetesError):
    """Something of the lab could not be made, started or removed."""


def run(argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command and return it with its output; raise LabError with the end of its error output when it fails."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"the command {argv[0]} is missing on this host; install the package that brings it (on Debian and Ubuntu: make demo does)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the command {' '.join(argv)} has not ended after {timeout_s:.0f} s") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise LabError(f"the command {' '.join(argv)} failed with code {done.returncode}: {said}", rc=done.returncode)
    return done


def mounts_below(path: str) -> list[str]:
    """Return the mount points at and below the path, innermost first: the order to unmount them in."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            point = _OCTAL.sub(lambda code: chr(int(code.group(1), 8)), line.split()[4])
            if point == path or point.startswith(path.rstrip("/") + "/"):
                found.append(point)
    return sorted(found, key=lambda point: point.count("/"), reverse=True)


def unmount_below(path: str) -> None:
    """Unmount everything at and below the path; what is busy is detached and vanishes with its last user."""
    for point in mounts_below(path):
        if run(["umount", point], check=False).returncode != 0:
            run(["umount", "--lazy", point])


def remove_tree(path: str) -> None:
    """Remove a directory with all content; nothing that is mounted in it is touched, it is unmounted before."""
    unmount_below(path)
    if os.path.lexists(path):
        shutil.rmtree(path)


def write_file(path: str, content: str, mode: int) -> None:
    """Write a file in one step with its final mode; a reader sees the old content or the new, never a part."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), mode)
        out.write(content)
    os.replace(fresh, path)


def read_file(path: str) -> str | None:
    """Return the text of a file, None when it does not exist."""
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Hold the lock file while the block runs; wait for another holder. The file is gone afterwards."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Its last holder may have removed the file between open and lock.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                break
        os.close(handle)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(handle)
