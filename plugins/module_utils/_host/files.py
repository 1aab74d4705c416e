# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host: compare by content, write by rename, link what is the same binary under several names.

A path is never half-written: the new content lies complete beside it before the rename, so that a killed run leaves
the old file or the new one. Binaries arrive as staged files named by their SHA-256, which is checked before use.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

_CHUNK = 1 << 20
_DIFF_LIMIT_BYTES = 100_000
_ADVICE: Final = {
    errno.ENOSPC: "no space left on the device; free some and run again",
    errno.EDQUOT: "the disk quota of the user is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; make it writable, or choose another directory",
    errno.EISDIR: "is a directory; give the path of a file",
    errno.ENOTDIR: "a part of the path is no directory; give the path of a file in a directory",
    errno.EACCES: "permission denied; run as a user who may, or choose another path",
    errno.EPERM: "permission denied; run as a user who may, or choose another path",
}


@dataclass(frozen=True)
class WantedFile:
    """One regular file. Exactly one of content (text) and sha256 (a bundle artefact) is given.

    mode: permission bits, such as 0o755.
    validate: command whose %s is replaced by the path of the new content before it takes the file's place; text only.
    """

    path: str
    mode: int
    content: bytes | None = None
    sha256: str | None = None
    validate: str | None = None

    @property
    def digest(self) -> str:
        if self.sha256 is not None:
            return self.sha256
        return hashlib.sha256(self.content or b"").hexdigest()


@dataclass(frozen=True)
class WantedDirectory:
    path: str
    mode: int


@dataclass(frozen=True)
class FileChange:
    """One difference between the host and what is wanted; action is content, mode, directory or remove."""

    path: str
    action: str


def sha256_of(path: str) -> str | None:
    """Return the SHA-256 of a regular file as hexadecimal text, None when there is no such file."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return digest.hexdigest()


def plan(
    directories: Sequence[WantedDirectory], files: Sequence[WantedFile], absent: Sequence[str]
) -> tuple[list[FileChange], dict[str, str]]:
    """Compare the host with what is wanted, writing nothing.

    Returns the changes in order of execution, and a path for each wanted SHA-256 that some wanted path already holds.
    """
    changes = [FileChange(item.path, "directory") for item in directories if not _is_directory(item)]
    present: dict[str, str] = {}
    for item in files:
        found = None if os.path.islink(item.path) else sha256_of(item.path)
        if found != item.digest:
            changes.append(FileChange(item.path, "content"))
            continue
        present.setdefault(found, item.path)
        if _mode_of(item.path) != item.mode:
            changes.append(FileChange(item.path, "mode"))
    changes += [FileChange(path, "remove") for path in absent if os.path.lexists(path)]
    return changes, present


def missing_artefacts(changes: Sequence[FileChange], files: Sequence[WantedFile], present: Mapping[str, str]) -> list[str]:
    """Return the SHA-256 of each artefact that must travel to the host, once each, in order of first use."""
    changed = {change.path for change in changes if change.action == "content"}
    wanted = [item.sha256 for item in files if item.sha256 is not None and item.path in changed]
    return [digest for digest in dict.fromkeys(wanted) if digest not in present]


def apply(
    changes: Sequence[FileChange],
    directories: Sequence[WantedDirectory],
    files: Sequence[WantedFile],
    sources: Mapping[str, str],
) -> None:
    """Carry out a plan.

    sources: SHA-256 to a path on this host that holds it, staged or already in place.
    Raises HostedKubernetesError that names the path when the disk is full, a checksum differs or validation fails.
    """
    modes = {item.path: item.mode for item in directories}
    wanted = {item.path: item for item in files}
    placed = dict(sources)
    for change in changes:
        try:
            if change.action == "directory":
                _make_directory(change.path, modes[change.path])
            elif change.action == "remove":
                remove(change.path)
            elif change.action == "mode":
                os.chmod(change.path, wanted[change.path].mode)
            else:
                _place(wanted[change.path], placed)
        except OSError as error:
            raise explained(change.path, error) from error


def diff(changes: Sequence[FileChange], files: Sequence[WantedFile]) -> dict[str, str]:
    """Return before and after of a plan as --diff shows them; binaries by checksum, text in full."""
    wanted = {item.path: item for item in files}
    before: list[str] = []
    after: list[str] = []
    for change in changes:
        item = wanted.get(change.path)
        if change.action == "content" and item is not None:
            before.append(f"# {change.path}\n{_shown(change.path, item)}")
            after.append(f"# {change.path}\n{_text(item)}")
        elif change.action == "mode" and item is not None:
            before.append(f"# {change.path}\nmode {_mode_of(change.path) or 0:04o}\n")
            after.append(f"# {change.path}\nmode {item.mode:04o}\n")
        else:
            (before if change.action == "remove" else after).append(f"# {change.path}\n{change.action}\n")
    return {"before": "".join(before), "after": "".join(after)}


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory; a path that is gone already is fine."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def write(path: str, content: bytes, mode: int) -> None:
    """Write a file with its final mode by rename. Raises HostedKubernetesError that names the path, and leaves the old file then."""
    new = f"{path}.hosted-kubernetes.new"
    try:
        _write_new(new, content, mode)
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            remove(new)
        raise explained(path, error) from error


def explained(path: str, error: OSError) -> HostedKubernetesError:
    """What is wrong with a path, and what to do."""
    advice = _ADVICE.get(error.errno or 0)
    return HostedKubernetesError(f"{path}: {advice or error.strerror or error}")


def _is_directory(item: WantedDirectory) -> bool:
    return os.path.isdir(item.path) and _mode_of(item.path) == item.mode


def _make_directory(path: str, mode: int) -> None:
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode & 0o7777
    except FileNotFoundError:
        return None


def _place(item: WantedFile, placed: dict[str, str]) -> None:
    os.makedirs(os.path.dirname(item.path), exist_ok=True)
    new = f"{item.path}.hosted-kubernetes.new"
    remove(new)
    try:
        if item.sha256 is None:
            _write_new(new, item.content or b"", item.mode)
            if item.validate:
                _validate(item, new)
        else:
            _link_or_copy(placed[item.sha256], new, item)
            placed[item.sha256] = item.path
        os.replace(new, item.path)
    finally:
        # rename() of two links to one file does nothing and keeps both names.
        remove(new)


def _link_or_copy(source: str, new: str, item: WantedFile) -> None:
    """Link when the source is an installed file of the same file system and mode, copy otherwise."""
    if _mode_of(source) == item.mode and not _is_staged(source):
        try:
            os.link(source, new)
            return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
    shutil.copyfile(source, new)
    os.chmod(new, item.mode)
    found = sha256_of(new)
    if found != item.sha256:
        raise HostedKubernetesError(
            f"{item.path}: the bundle file has SHA-256 {found}, its manifest says {item.sha256}; make the bundle again"
        )


def _is_staged(path: str) -> bool:
    """Staged files belong to the connecting user, who must not keep a name for an installed binary."""
    return os.stat(path).st_uid != os.geteuid() or "/ansible-tmp-" in path


def _write_new(new: str, content: bytes, mode: int) -> None:
    remove(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(new, mode)


def _validate(item: WantedFile, new: str) -> None:
    command = [part.replace("%s", new) for part in (item.validate or "").split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()[-500:]
        raise HostedKubernetesError(
            f"{item.path}: the new content is refused by {command[0]}: {said}; correct the variables it is made from"
        )


def _shown(path: str, item: WantedFile) -> str:
    found = sha256_of(path)
    if found is None:
        return ""
    if item.sha256 is not None or os.path.getsize(path) > _DIFF_LIMIT_BYTES:
        return f"sha256 {found}\n"
    with open(path, "rb") as stream:
        return stream.read().decode(errors="replace")


def _text(item: WantedFile) -> str:
    return f"sha256 {item.sha256}\n" if item.sha256 is not None else (item.content or b"").decode(errors="replace")


def parse_file(raw: Mapping[str, Any]) -> WantedFile:
    """Turn one entry of the module's files option into a WantedFile. Raises HostedKubernetesError when it contradicts itself."""
    content, digest = raw.get("content"), raw.get("sha256")
    if (content is None) == (digest is None):
        raise HostedKubernetesError(f"{raw['path']}: give either content or artefact, not both and not neither")
    return WantedFile(
        path=raw["path"],
        mode=int(str(raw["mode"]), 8),
        content=None if content is None else content.encode(),
        sha256=digest,
        validate=raw.get("validate") or None,
    )
