# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tests find the bundle, and what they say when it is not there."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tarfile
from pathlib import Path
from typing import IO

import yaml

COLLECTION = Path(__file__).resolve().parents[2]
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class MissingBundleError(Exception):
    """The bundle is not there: an error, never a skipped test."""


def kubernetes_version() -> str:
    """Return the version tests run with: KUBERNETES_VERSION, else the default of the bundle role."""
    given = os.environ.get("KUBERNETES_VERSION")
    if given:
        return given
    defaults = yaml.safe_load((COLLECTION / "roles/bundle/defaults/main.yml").read_text(encoding="utf-8"))
    return str(defaults["bundle_kubernetes_version"])


def cache_directory() -> Path:
    """Return the folder with everything that is costly to make and outlives a checkout, as in the Makefile."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hosted-kubernetes"


def bundle_directory() -> Path:
    """Return the bundle's folder: BUNDLE_DIR, else the cached bundle of kubernetes_version(). Raises MissingBundleError."""
    given = os.environ.get("BUNDLE_DIR")
    return _with_manifest(Path(given)) if given else bundle_of(kubernetes_version())


def bundle_of(version: str) -> Path:
    """Return the folder of the cached bundle of one Kubernetes version. Raises MissingBundleError."""
    machine = platform.machine()
    return _with_manifest(
        cache_directory() / "bundles" / f"{version}-{_ARCHITECTURES.get(machine, machine)}", f" KUBERNETES_VERSION={version}"
    )


def _with_manifest(path: Path, argument: str = "") -> Path:
    if not (path / "manifest.json").is_file():
        raise MissingBundleError(f"no bundle in {path}: run make bundle{argument}")
    return path


def binary(bundle: Path, name: str) -> Path:
    """Return the path of one program of the bundle. Raises MissingBundleError."""
    path = bundle / "bin" / name
    if not path.is_file():
        raise MissingBundleError(f"the bundle in {bundle} has no bin/{name}: run make bundle")
    return path


def image_reference(bundle: Path, name: str) -> str:
    """Return the reference of an image of the bundle, as machines know it."""
    artefacts = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["artefacts"]
    (reference,) = (item["reference"] for item in artefacts if item["kind"] == "image" and item["name"] == name)
    return str(reference)


def program_of_image(bundle: Path, name: str, path: str, directory: Path) -> Path:
    """Take a program that only an image of the bundle has out of it; return where it is then. path: in the image, absolute."""
    target = directory / path.rpartition("/")[2]
    with tarfile.open(bundle / "images" / f"{name}.tar") as image:
        for layer in json.load(_member(image, "manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=_member(image, layer)) as files:
                if path.lstrip("/") in files.getnames():
                    with target.open("wb") as stream:
                        shutil.copyfileobj(_member(files, path.lstrip("/")), stream)
                    target.chmod(0o755)
                    return target
    raise MissingBundleError(f"image {name} of the bundle in {bundle} has no {path}: run make bundle")


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = archive.extractfile(name)
    assert stream is not None, name
    return stream
