# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's image: Debian's Python, the libraries it imports, and the collection's own code, in a directory that is laid out as a bundle.

Two parts, each kept by a fingerprint of what it is made of: Python with libraries, which needs the network, and the image.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle import debian, images
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import host_arch
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog, duration_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.python_tree import SITE, PythonTree, copy_sources, strip
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.store import (
    Artefact,
    Hasher,
    Manifest,
    Part,
    Store,
    assemble,
    read_manifest,
    used_parts,
    verify,
)

NAME = "controller"
REPOSITORY = "localhost/hosted-kubernetes-controller"
PROGRAM = "ansible_collections.hosted.kubernetes.plugins.module_utils._controller"
# Upstream's images have this user too; the file system can be read-only.
USER = "65532:65532"
# Packages of the library that the controller imports; what runs on hosts, behind modules, or for backups is left out.
PACKAGES = tuple(
    f"plugins/module_utils/{name}" for name in ("_api", "_controller", "_datastores", "_kube", "_manifests", "_pki", "_reconcile")
)
# Raise it when the same inputs would give another image than before.
_RECIPE = 1
_PYTHON_PACKAGES = ("python{0}-minimal", "libpython{0}-stdlib", "libstdc++6", "netbase")
_ALONE = ("base-files", "python3-pip-whl")
_PIP_PACKAGE = "python3-pip-whl"
_LAYER, _MINIMUM_DISK_GIB = "layer.tar.gz", 1.0
# Python says it to libraries that look for a home, and libc asks files before servers.
_FILES = (images.Entry("/etc/nsswitch.conf", data=b"hosts: files dns\n", mode=0o644),)


@dataclass(frozen=True)
class ImageOrder:
    """What to make and where.

    dir: where manifest.json and images/controller.tar appear. collection: the collection's folder. libraries: name==version of every one.
    revision: any text; another one makes everything anew, with the packages of that day.
    """

    cache_dir: str
    dir: str
    collection: str
    version: str
    arch: str
    python: str
    suite: str
    mirror: str
    security_mirror: str
    keyring: str
    libraries: tuple[str, ...]
    revision: str

    @property
    def store(self) -> Store:
        return Store(self.cache_dir)

    @property
    def debian(self) -> debian.Debian:
        packages = tuple(name.format(self.python) for name in _PYTHON_PACKAGES)
        return debian.Debian(self.suite, self.arch, self.mirror, self.security_mirror, self.keyring, packages, _ALONE)

    @property
    def python_ident(self) -> str:
        """Name of the part with Python and the libraries. Mirrors carry the same wherever they are."""
        wanted = [_RECIPE, self.revision, self.python, sorted(self.libraries), self.suite, self.debian.packages, self.debian.alone]
        return f"controller-python-{self.python}-{self.arch}-{_fingerprint(wanted)}"

    def ident(self) -> str:
        """Name of the part with the image. Raises HostedKubernetesError when the collection cannot be read."""
        wanted = [_RECIPE, self.python_ident, self.version, [[name, text] for name, text in self._sources()]]
        return f"controller-image-{self.version}-{self.arch}-{_fingerprint(wanted)}"

    def reference(self) -> str:
        """The image's name and tag, which is another one for other content."""
        return f"{REPOSITORY}:{self.version}-{self.ident().rpartition('-')[2][:12]}"

    def _sources(self) -> Iterator[tuple[str, str]]:
        for package in PACKAGES:
            folder = os.path.join(self.collection, package)
            if not os.path.isdir(folder):
                raise HostedKubernetesError(f"{folder}: there is no such folder; collection must be the folder of this collection")
            for root, folders, files in os.walk(folder):
                folders[:] = sorted(name for name in folders if name != "__pycache__")
                for name in sorted(files):
                    path = os.path.join(root, name)
                    with open(path, "rb") as stream:
                        yield os.path.relpath(path, self.collection), hashlib.sha256(stream.read()).hexdigest()


def is_current(order: ImageOrder, *, remember: bool) -> bool:
    """Tell whether the image is there as ordered. remember: keep the result of reading it, so that the next look is quick.

    Raises HostedKubernetesError when its file was changed.
    """
    manifest = read_manifest(order.dir)
    if manifest is None or manifest.parts != (order.python_ident, order.ident()):
        return False
    return not verify(order.dir, manifest, remember=remember)


def problems(order: ImageOrder) -> list[str]:
    """Return what this machine lacks for making what is missing, each with its remedy."""
    found = []
    if order.arch != host_arch():
        found.append(f"the image is made for the machine it is made on ({host_arch()}), asked for was {order.arch}")
    if order.store.read(order.python_ident) is None:
        found += debian.missing_tools(order.debian)
    folder = order.cache_dir
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    free_gib = shutil.disk_usage(folder).free / 2**30
    if free_gib < _MINIMUM_DISK_GIB:
        found.append(f"{folder}: {free_gib:.1f} GiB free, {_MINIMUM_DISK_GIB:g} are needed")
    return found


def make(order: ImageOrder, log_path: str) -> bool:
    """Make the image unless it is there; whether it was made. Raises HostedKubernetesError."""
    with ProgressLog(log_path) as log, order.store.locked(lambda: log.step("another run makes a part; waiting for it to end")):
        if is_current(order, remember=True):
            return False
        missing = problems(order)
        if missing:
            raise HostedKubernetesError(f"the controller's image cannot be made here: {'; '.join(missing)}; or use an image of a registry")
        started = time.monotonic()
        python = order.store.read(order.python_ident) or _make_python(order, log)
        image = order.store.read(order.ident()) or _make_image(order, python, log)
        artefact = image.artefacts[0]
        manifest = Manifest("any", order.arch, "packages", (python.ident, image.ident), {}, image.artefacts)
        os.makedirs(os.path.dirname(order.dir), exist_ok=True)
        assemble(order.dir, manifest, {artefact.path: os.path.join(order.store.path(image.ident), artefact.path)})
        log.step(f"{artefact.reference}: done after {duration_text(time.monotonic() - started)}")
        order.store.prune([*used_parts(os.path.dirname(order.dir)), *manifest.parts], time.time())
        return True


def _make_python(order: ImageOrder, log: ProgressLog) -> Part:
    ident = order.python_ident
    with order.store.workspace(ident) as folder:
        root, work, part = (os.path.join(folder, name) for name in ("root", "work", "part"))
        for path in (root, work, part):
            os.makedirs(path)
        packages = debian.unpack(order.debian, work, root, log)
        tree = PythonTree(root, order.python, log)
        log.step(f"libraries: {', '.join(order.libraries)}")
        tree.install(order.libraries, work)
        strip(root)
        log.step("byte code of Python and the libraries")
        tree.compile(f"usr/lib/python{order.python}", SITE)
        entries = [*images.base_entries(), *_FILES, *images.tree_entries(root)]
        source = ", ".join(name for name in packages if not name.startswith(_PIP_PACKAGE))
        return _finished(order, ident, _layer_artefact(part, entries, source), part)


def _make_image(order: ImageOrder, python: Part, log: ProgressLog) -> Part:
    ident = order.ident()
    with order.store.workspace(ident) as folder:
        root, part = os.path.join(folder, "root"), os.path.join(folder, "part")
        os.makedirs(os.path.join(part, "images"))
        base = os.path.join(order.store.path(python.ident), _LAYER)
        with tarfile.open(base) as archive:
            _extract(archive, root)
        copy_sources(order.collection, PACKAGES, root)
        log.step(f"byte code of the collection {order.version}")
        tree, own = PythonTree(root, order.python, log), f"{SITE}/ansible_collections"
        tree.compile(own)
        tree.prove(PROGRAM)
        entries = [entry for entry in images.tree_entries(root) if entry.path.startswith(f"/{own}/")]
        layer = images.write_layer([*entries, *_license(order)], os.path.join(folder, _LAYER))
        layers = [images.LayerFile(base, python.artefacts[0].sha256, python.artefacts[0].version), layer]
        path = os.path.join(part, "images", f"{NAME}.tar")
        images.write_archive(path, order.reference(), _config(order), layers)
        log.step(f"image {order.reference()}, {os.stat(path).st_size / 1e6:.0f} MB")
        source = f"collection {order.version}; {'; '.join(order.libraries)}; {python.artefacts[0].source}"
        artefact = Artefact(NAME, order.version, "image", f"images/{NAME}.tar", Hasher().sha256(path), source, order.reference())
        return _finished(order, ident, artefact, part)


def _config(order: ImageOrder) -> images.ImageConfig:
    # Nothing of the environment, of a user or of the working directory decides what is imported.
    return images.ImageConfig(order.arch, (f"/usr/bin/python{order.python}", "-I", "-B", "-m", PROGRAM), USER)


def _license(order: ImageOrder) -> list[images.Entry]:
    path = os.path.join(order.collection, "LICENSE")
    return [images.Entry("/usr/share/doc/hosted-kubernetes/LICENSE", source=path, mode=0o644)] if os.path.isfile(path) else []


def _layer_artefact(part: str, entries: list[images.Entry], source: str) -> Artefact:
    """Write a layer into a part; its version is the digest of what is packed in it (diff_id)."""
    layer = images.write_layer(entries, os.path.join(part, _LAYER))
    return Artefact("controller-python", layer.diff_id, "layer", _LAYER, layer.digest, source)


def _finished(order: ImageOrder, ident: str, artefact: Artefact, folder: str) -> Part:
    part = Part(ident, (artefact,), {})
    order.store.write(part, folder)
    return part


def _extract(archive: tarfile.TarFile, root: str) -> None:
    """Unpack a layer that was made here."""
    options: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
    archive.extractall(root, **options)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
