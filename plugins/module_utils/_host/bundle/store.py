# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles and their parts on disk: records, checksums, atomic replacement.

A part is one made component, kept by its fingerprint in <cache>/bundle-parts. A bundle is hard links to files of parts and a
manifest. Both appear under their name only when they are whole, so that a run may be killed at any point.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

MANIFEST = "manifest.json"
RECORD = "part.json"
_VERIFIED = ".verified.json"
_BLOCK = 1 << 20
_UNUSED_PART_AGE_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Artefact:
    """One file of a bundle; path is relative to its root, reference only for images."""

    name: str
    version: str
    kind: str
    path: str
    sha256: str
    source: str
    reference: str = ""

    def to_json(self) -> dict[str, str]:
        raw = {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "path": self.path,
            "sha256": self.sha256,
            "source": self.source,
        }
        return {**raw, "reference": self.reference} if self.reference else raw

    @classmethod
    def from_json(cls, raw: Mapping[str, str]) -> Artefact:
        """Read one entry. Raises KeyError, and ValueError for a path that leads out of the bundle."""
        path = raw["path"]
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"path {path} leads out of the bundle")
        return cls(raw["name"], raw["version"], raw["kind"], path, raw["sha256"], raw.get("source", ""), raw.get("reference", ""))


@dataclass(frozen=True)
class Part:
    """A made component. images: what kubeadm names (etcd, coredns, pause), only with the part kubernetes."""

    ident: str
    artefacts: tuple[Artefact, ...]
    images: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """A bundle's manifest. parts: fingerprinted names of the parts it was assembled from."""

    kubernetes: str
    arch: str
    source: str
    parts: tuple[str, ...]
    images: Mapping[str, str]
    artefacts: tuple[Artefact, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "kubernetes": self.kubernetes,
            "arch": self.arch,
            "source": self.source,
            "parts": list(self.parts),
            "kubeadm_images": dict(self.images),
            "artefacts": [artefact.to_json() for artefact in self.artefacts],
        }


class Hasher:
    """SHA-256 of files; hard links to one content are read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def sha256(self, path: str) -> str:
        status = os.stat(path)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            digest = hashlib.sha256()
            with open(path, "rb") as stream:
                for block in iter(lambda: stream.read(_BLOCK), b""):
                    digest.update(block)
            self._known[key] = digest.hexdigest()
        return self._known[key]


class Store:
    """The parts below one cache directory."""

    def __init__(self, cache_dir: str) -> None:
        self.root = os.path.join(cache_dir, "bundle-parts")

    def path(self, ident: str) -> str:
        return os.path.join(self.root, ident)

    def sums(self, name: str, version: str) -> str:
        return os.path.join(self.root, "sums", f"{name}-{version}.sum")

    @property
    def pins(self) -> str:
        return os.path.join(self.root, "checksums.json")

    def read(self, ident: str) -> Part | None:
        """Return a finished part, None when there is none."""
        raw = _read_json(os.path.join(self.path(ident), RECORD))
        if raw is None:
            return None
        return Part(ident, tuple(Artefact.from_json(item) for item in raw["artefacts"]), raw.get("kubeadm_images", {}))

    def write(self, part: Part, folder: str) -> None:
        """Give a made folder its name. Whatever stood there before is replaced."""
        record = {"artefacts": [artefact.to_json() for artefact in part.artefacts], "kubeadm_images": dict(part.images)}
        write_json(os.path.join(folder, RECORD), record)
        shutil.rmtree(self.path(part.ident), ignore_errors=True)
        os.rename(folder, self.path(part.ident))

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the store; a second run waits (also for what a killed run left working), after calling on_wait."""
        os.makedirs(self.root, exist_ok=True)
        with open(os.path.join(self.root, ".lock"), "w", encoding="ascii") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def workspace(self, ident: str) -> Iterator[str]:
        """Make an empty folder for a part, on the same file system. What a killed run left there goes first."""
        folder = os.path.join(self.root, f".tmp-{ident}")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self, used: Sequence[str], now: float) -> list[str]:
        """Remove parts that no bundle uses and that are a week old (now: seconds since 1970). Returns their names."""
        removed = []
        for name in sorted(os.listdir(self.root)):
            record = os.path.join(self.root, name, RECORD)
            if name not in used and os.path.exists(record) and now - os.stat(record).st_mtime > _UNUSED_PART_AGE_S:
                shutil.rmtree(os.path.join(self.root, name))
                removed.append(name)
        return removed


def read_manifest(folder: str) -> Manifest | None:
    """Return the manifest of a bundle, None when there is none. Raises HostedKubernetesError when it cannot be understood."""
    path = os.path.join(folder, MANIFEST)
    raw = _read_json(path)
    if raw is None:
        return None
    try:
        artefacts = tuple(Artefact.from_json(item) for item in raw["artefacts"])
        return Manifest(
            raw["kubernetes"], raw["arch"], raw.get("source", ""), tuple(raw.get("parts", ())), raw.get("kubeadm_images", {}), artefacts
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HostedKubernetesError(f"{path}: not a bundle manifest ({error!r}); remove {folder} and run the bundle role again") from error


def verify(folder: str, manifest: Manifest, *, remember: bool, hasher: Hasher | None = None) -> list[str]:
    """Compare a bundle's files with its manifest.

    A file is read again only when size, times or inode are not those of the last good comparison; remember: write these down.
    hasher: one that may have read these files already.
    Returns the paths of missing files.
    Raises HostedKubernetesError naming file, expected and found sum when a file has another content.
    """
    path = os.path.join(folder, _VERIFIED)
    known = _read_json(path) or {}
    hasher = hasher or Hasher()
    missing, verified = [], {}
    for artefact in manifest.artefacts:
        file = os.path.join(folder, artefact.path)
        try:
            status = os.stat(file)
        except FileNotFoundError:
            missing.append(artefact.path)
            continue
        # The change time cannot be set back by a program, unlike the modification time.
        seen = [artefact.sha256, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if known.get(artefact.path) != seen:
            _compare(file, artefact.sha256, hasher.sha256(file), folder)
        verified[artefact.path] = seen
    if remember and verified != known:
        write_json(path, verified)
    return missing


def _compare(file: str, expected: str, found: str, folder: str) -> None:
    if expected != found:
        raise HostedKubernetesError(
            f"{file}: expected SHA-256 {expected} as in {os.path.join(folder, MANIFEST)}, found {found}; the file was changed after it was made. "
            f"When you do not know why, treat this machine as suspect; to make it again, remove {folder} and its part in the cache (bundle-parts), "
            "and run the bundle role",
            file=file,
            expected=expected,
            found=found,
        )


def assemble(folder: str, manifest: Manifest, sources: Mapping[str, str], leftover: str = "") -> None:
    """Make a bundle out of files, whole or not at all. sources: file by the artefact's path; leftover: a folder to remove then.

    Files are hard-linked where the file system allows it, else copied. Every one is compared with its checksum on the way.
    """
    fresh, old = f"{folder}.new", f"{folder}.old"
    for stale in (fresh, old):
        shutil.rmtree(stale, ignore_errors=True)
    hasher = Hasher()
    placed: dict[tuple[int, int], str] = {}
    for artefact in manifest.artefacts:
        source, target = sources[artefact.path], os.path.join(fresh, artefact.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _place(source, target, placed)
        _compare_source(source, artefact, hasher.sha256(target))
    write_json(os.path.join(fresh, MANIFEST), manifest.to_json())
    if os.path.isdir(folder):
        os.rename(folder, old)
    os.rename(fresh, folder)
    for stale in (old, leftover):
        shutil.rmtree(stale, ignore_errors=True)
    # Last: removing another link changes the times that are written down.
    verify(folder, manifest, remember=True, hasher=hasher)


def _place(source: str, target: str, placed: dict[tuple[int, int], str]) -> None:
    status = os.stat(source)
    key = (status.st_dev, status.st_ino)
    try:
        os.link(placed.get(key, source), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copy2(source, target)
    placed.setdefault(key, target)


def copy_bundle(source: str, folder: str, manifest: Manifest) -> None:
    """Copy a finished bundle from another directory; the copy shares no file with it. Raises as assemble() does."""
    work = f"{folder}.copy"
    shutil.rmtree(work, ignore_errors=True)
    placed: dict[tuple[int, int], str] = {}
    files = {}
    for artefact in manifest.artefacts:
        origin, target = os.path.join(source, artefact.path), os.path.join(work, artefact.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            _copy_once(origin, target, placed)
        except FileNotFoundError as error:
            raise HostedKubernetesError(
                f"{origin}: its manifest lists this file and it is not there; copy the bundle again, whole (rsync -aH keeps its hard links)"
            ) from error
        files[artefact.path] = target
    assemble(folder, manifest, files, leftover=work)


def _copy_once(origin: str, target: str, placed: dict[tuple[int, int], str]) -> None:
    status = os.stat(origin)
    key = (status.st_dev, status.st_ino)
    if key in placed:
        os.link(placed[key], target)
    else:
        shutil.copy2(origin, target)
        placed[key] = target


def _compare_source(source: str, artefact: Artefact, found: str) -> None:
    if artefact.sha256 != found:
        raise HostedKubernetesError(
            f"{source}: expected SHA-256 {artefact.sha256} as recorded for {artefact.name} {artefact.version}, found {found}; "
            f"nothing was taken over; the file is damaged or was changed: remove {os.path.dirname(os.path.dirname(source))} to make or copy it again",
            file=source,
            expected=artefact.sha256,
            found=found,
        )


def used_parts(bundles: str) -> list[str]:
    """Return the names of all parts that bundles below a folder were assembled from."""
    used: list[str] = []
    for name in os.listdir(bundles) if os.path.isdir(bundles) else ():
        manifest = read_manifest(os.path.join(bundles, name))
        used += manifest.parts if manifest else ()
    return used


def write_json(path: str, value: Any) -> None:
    """Write a JSON file atomically, readable for all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.part"
    with open(partial, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            value: dict[str, Any] = json.load(stream)
            return value
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise HostedKubernetesError(f"{path}: not JSON ({error}); remove it and run the bundle role again") from error
