# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a directory: private files that appear under their name when they are complete and on the disk, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import IO, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError

_PARTIAL: Final = ".partial"
_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full; make room or lower keep, then run again",
    errno.EDQUOT: "the quota is used up; make room or lower keep, then run again",
    errno.EACCES: "this user may not do that there; correct owner and mode",
    errno.EPERM: "this user may not do that there; correct owner and mode",
    errno.EROFS: "the file system is read-only; mount it for writing or name another directory",
    errno.EEXIST: "another run wrote it in the same second; run again",
    errno.ENOENT: "there is no such file; correct the name",
    errno.ENOTDIR: "a part of the path is no directory; correct the path",
}


class DirectoryTarget:
    """Implements target.BackupTarget. The directory is made when the first backup is written; only its owner may look into it then."""

    def __init__(self, path: str) -> None:
        self._path = path

    def describe(self, name: str) -> str:
        return os.path.join(self._path, name)

    def names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._path) if target.is_name(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _explained("list", self._path, error) from error

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        path, partial = self.describe(name), os.path.join(self._path, f".{name}{_PARTIAL}")
        try:
            self._make()
            self._clear()
            with _locked(partial) as stream:
                yield stream
                _publish(stream, partial, path)
        except OSError as error:
            raise _explained("write", path, error) from error

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[_OpenFile]:
        path = self.describe(name)
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(open(path, "rb"))
            except OSError as error:
                raise _explained("read", path, error) from error
            yield _OpenFile(stream, path)

    def delete(self, name: str) -> None:
        try:
            os.unlink(self.describe(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _explained("remove", self.describe(name), error) from error

    def _make(self) -> None:
        if os.path.lexists(self._path) and not os.path.isdir(self._path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path)
        os.makedirs(self._path, mode=0o700, exist_ok=True)

    def _clear(self) -> None:
        """Remove what killed runs have left: nobody holds its lock any more."""
        for name in os.listdir(self._path):
            if name.startswith(".") and name.endswith(_PARTIAL) and target.is_name(name[1 : -len(_PARTIAL)]):
                with contextlib.suppress(OSError), open(os.path.join(self._path, name), "rb") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(stream.name)


class _OpenFile:
    """Implements target.Source; the open file stays the same whatever becomes of its name."""

    def __init__(self, stream: IO[bytes], path: str) -> None:
        self._stream, self._path = stream, path

    def rewind(self) -> None:
        self._stream.seek(0)

    def read(self, length: int) -> bytes:
        try:
            return self._stream.read(length)
        except OSError as error:
            raise _explained("read", self._path, error) from error


@contextlib.contextmanager
def _locked(path: str) -> Iterator[IO[bytes]]:
    """A new private file that is removed when the block fails, and known as dead when this process is killed."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield stream
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise


def _publish(stream: IO[bytes], partial: str, path: str) -> None:
    """Give a complete file its name, once it is on the disk. Another one of that name is never replaced."""
    stream.flush()
    os.fsync(stream.fileno())
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    os.rename(partial, path)
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _explained(verb: str, path: str, error: OSError) -> BackupError:
    remedy = _REMEDIES.get(error.errno or 0, "correct that, then run again")
    return BackupError(f"cannot {verb} {path}: {error.strerror or error}; {remedy}", path=path)
