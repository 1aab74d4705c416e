# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a host's files as they were when all was well, kept on the host until a change has proved itself.

A snapshot is complete or not there: it is made beside its place and renamed. What is there is never taken again, so that a run that
was killed in the middle of a change finds the state from before the change. Files are put back by rename, each after its checksum.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files

ROOT = "/var/lib/hosted-kubernetes/snapshots"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One file as it was. sha256 is None of a file that did not exist. copy: name of its content in the snapshot."""

    path: str
    sha256: str | None = None
    copy: str = ""
    mode: int = 0
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class Snapshot:
    """facts: whatever the maker wanted to remember. folders: directories whose further files were not there."""

    facts: Mapping[str, Any]
    entries: Sequence[Entry]
    folders: Sequence[str]


def read(name: str, root: str = ROOT) -> Snapshot | None:
    """Return a complete snapshot, None when there is none. Raises HostedKubernetesError when it cannot be read."""
    path = os.path.join(root, name, _MANIFEST)
    try:
        with open(path, encoding="utf-8") as stream:
            raw = json.load(stream)
        return Snapshot(raw["facts"], [Entry(**item) for item in raw["entries"]], raw["folders"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostedKubernetesError(
            f"{path}: this snapshot cannot be read ({error}); look whether the host is in order, and remove {os.path.dirname(path)}"
        ) from error


def take(name: str, paths: Sequence[str], facts: Mapping[str, Any], root: str = ROOT) -> None:
    """Copy files, and all files of directories, unless the snapshot is there already. Raises HostedKubernetesError, and leaves nothing then."""
    final, new = os.path.join(root, name), os.path.join(root, f"{name}.new")
    if read(name, root) is not None:
        return
    os.makedirs(root, mode=0o700, exist_ok=True)
    host_files.remove(new)
    try:
        os.mkdir(new, 0o700)
        # One program may have several names, and is kept once.
        copies: dict[str, str] = {}
        entries = [_copied(path, new, copies) for path in _expanded(paths)]
        folders = [path for path in paths if os.path.isdir(path)]
        content = {"facts": dict(facts), "entries": [asdict(entry) for entry in entries], "folders": folders}
        host_files.write(os.path.join(new, _MANIFEST), json.dumps(content).encode(), 0o600)
        os.sync()
        os.rename(new, final)
    except OSError as error:
        host_files.remove(new)
        raise host_files.explained(error.filename or new, error) from error


def differences(snapshot: Snapshot) -> list[str]:
    """Return the paths that are not as they were, new files in the snapshot's directories included, in the order of a restore."""
    changed = [entry.path for entry in snapshot.entries if not _is_as_it_was(entry)]
    known = {entry.path for entry in snapshot.entries}
    return changed + [path for path in _expanded(snapshot.folders) if path not in known and os.path.lexists(path)]


def restore(name: str, root: str = ROOT) -> list[str]:
    """Put all files back. Returns the paths that were not as they had been; the snapshot stays.

    Raises HostedKubernetesError when there is no snapshot, or its copy of a file is damaged, before any file is touched.
    """
    snapshot = read(name, root)
    if snapshot is None:
        raise HostedKubernetesError(f"{os.path.join(root, name)}: there is no snapshot to go back to")
    for entry in snapshot.entries:
        if entry.sha256 is not None and host_files.sha256_of(os.path.join(root, name, entry.copy)) != entry.sha256:
            raise HostedKubernetesError(
                f"{os.path.join(root, name, entry.copy)}: the copy of {entry.path} is damaged; put that file back by hand, or run the upgrade again"
            )
    changed = differences(snapshot)
    by_path = {entry.path: entry for entry in snapshot.entries}
    for path in changed:
        try:
            _put_back(by_path.get(path, Entry(path)), os.path.join(root, name))
        except OSError as error:
            raise host_files.explained(path, error) from error
    return changed


def remove(name: str, root: str = ROOT) -> None:
    """Remove a snapshot and what a killed run left of one."""
    final, new = os.path.join(root, name), os.path.join(root, f"{name}.new")
    host_files.remove(new)
    if os.path.isdir(final):
        # At once no snapshot any more, also when this is killed.
        os.rename(final, new)
    host_files.remove(new)


def _expanded(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
        else:
            found.append(path)
    return sorted(dict.fromkeys(found))


def _copied(path: str, folder: str, copies: dict[str, str]) -> Entry:
    digest = host_files.sha256_of(path)
    if digest is None:
        return Entry(path)
    if digest not in copies:
        copies[digest] = str(len(copies))
        shutil.copyfile(path, os.path.join(folder, copies[digest]))
    seen = os.stat(path)
    return Entry(path, digest, copies[digest], seen.st_mode & 0o7777, seen.st_uid, seen.st_gid)


def _is_as_it_was(entry: Entry) -> bool:
    if host_files.sha256_of(entry.path) != entry.sha256:
        return False
    return entry.sha256 is None or os.stat(entry.path).st_mode & 0o7777 == entry.mode


def _put_back(entry: Entry, folder: str) -> None:
    if entry.sha256 is None:
        host_files.remove(entry.path)
        return
    new = f"{entry.path}.hosted-kubernetes.new"
    host_files.remove(new)
    os.makedirs(os.path.dirname(entry.path), exist_ok=True)
    shutil.copyfile(os.path.join(folder, entry.copy), new)
    os.chown(new, entry.owner, entry.group)
    os.chmod(new, entry.mode)
    os.replace(new, entry.path)
