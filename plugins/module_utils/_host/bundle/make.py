# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a bundle: which parts are wanted, which are there, how one is made, how all become one directory."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle import download, gobuild, images, registry
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gomod import go_key
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.pins import Pins
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog, duration_text, log_path
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import (
    Component,
    Image,
    Layer,
    Spec,
    fingerprint,
    kubeadm_versions,
    kubernetes_component,
    other_components,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.store import (
    Artefact,
    Hasher,
    Manifest,
    Part,
    Store,
    assemble,
    copy_bundle,
    read_manifest,
    used_parts,
    verify,
)

NAMED_BY_KUBEADM = ("etcd", "pause", "coredns")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Order:
    """What to make and where. mains: text of main.go by component; checksums: bundle_checksums of the user.

    bundle_dir: where the finished bundle lies. directory: a finished bundle to copy, with source "directory".
    """

    spec: Spec
    cache_dir: str
    bundle_dir: str
    directory: str = ""
    mains: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.cache_dir)

    @property
    def log_path(self) -> str:
        return log_path(self.cache_dir, self.spec.kubernetes, self.spec.arch)

    def ident(self, component: Component, source: str) -> str:
        """Return the name of a component's part: it changes whenever the part would be made differently."""
        print_ = fingerprint(self.spec, component, source, self.mains.get(component.name, ""))
        return f"{component.name}-{component.version}-{self.spec.arch}-{source}-{print_}"


@dataclass(frozen=True)
class Wanted:
    """A component of the bundle with the name of its part; ident is None while kubeadm has not named the version yet."""

    component: Component
    ident: str | None
    ready: bool


@dataclass(frozen=True)
class Inspection:
    """What there is. source: where the bundle comes from, or will; missing: files a bundle lacks."""

    source: str
    complete: bool
    wanted: tuple[Wanted, ...]
    missing: tuple[str, ...] = ()


def host_arch() -> str:
    """Return the architecture of this machine as Go names it."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def inspect(order: Order, source: str, *, remember: bool, probe_timeout_s: float) -> Inspection:
    """Look at a bundle and its parts without making anything.

    source: auto prefers what is finished already, then release when it answers within probe_timeout_s, then go.
    remember: keep the result of reading the files, so that the next look is quick.
    Raises HostedKubernetesError when a file of the bundle was changed, or when there is no fitting directory to copy from.
    """
    if source == "directory":
        read_directory(order)
    manifest = read_manifest(order.bundle_dir)
    candidates = ("release", "go") if source == "auto" else (source,)
    missing: tuple[str, ...] = ()
    for candidate in candidates:
        if manifest and _is_current(order, candidate, manifest):
            missing = tuple(verify(order.bundle_dir, manifest, remember=remember))
            if not missing:
                return Inspection(candidate, True, _wanted(order, candidate, manifest.images))
    if source == "auto":
        source = "release" if download.answers(order.spec, probe_timeout_s) else "go"
    return Inspection(source, False, _wanted(order, source, {}) if source != "directory" else (), missing)


def _is_current(order: Order, source: str, manifest: Manifest) -> bool:
    if source == "directory":
        return manifest.source == source and manifest.artefacts == read_directory(order).artefacts
    idents = [wanted.ident for wanted in _wanted(order, source, manifest.images)]
    return None not in idents and tuple(idents) == manifest.parts


def _wanted(order: Order, source: str, named: Mapping[str, str]) -> tuple[Wanted, ...]:
    """List the components. named: image references that kubeadm names; looked up in the store when empty."""
    kubernetes = kubernetes_component(order.spec)
    kubernetes_ident = order.ident(kubernetes, source)
    part = order.store.read(kubernetes_ident)
    references = dict(named) or (dict(part.images) if part else {})
    known = bool(references)
    components = other_components(order.spec, references or {name: f"{name}:unknown" for name in NAMED_BY_KUBEADM}, source)
    wanted = [Wanted(kubernetes, kubernetes_ident, part is not None)]
    for component in components:
        if source in component.sources():
            ident = order.ident(component, source) if known or component.name not in NAMED_BY_KUBEADM else None
            wanted.append(Wanted(component, ident, ident is not None and order.store.read(ident) is not None))
    return tuple(wanted)


def read_directory(order: Order) -> Manifest:
    """Return the manifest of the directory to copy from. Raises HostedKubernetesError when it holds no fitting bundle."""
    if not order.directory:
        raise HostedKubernetesError(
            'bundle_source "directory" needs bundle_directory: the path of a finished bundle, with its manifest.json'
        )
    manifest = read_manifest(order.directory)
    if manifest is None:
        raise HostedKubernetesError(
            f"bundle_directory {order.directory}: holds no manifest.json; copy a whole bundle there (rsync -aH keeps its hard links)"
        )
    found, wanted = (manifest.kubernetes, manifest.arch), (order.spec.kubernetes, order.spec.arch)
    if found != wanted:
        raise HostedKubernetesError(
            f"bundle_directory {order.directory}: holds Kubernetes {' '.join(found)}, asked for was {' '.join(wanted)}; "
            "set bundle_kubernetes_version and bundle_arch, or copy another bundle there"
        )
    return Manifest(manifest.kubernetes, manifest.arch, "directory", manifest.parts, manifest.images, manifest.artefacts)


def is_made(order: Order, source: str, name: str) -> bool:
    """Tell whether a component's part is there."""
    return any(item.ready for item in _wanted(order, source, {}) if item.component.name == name)


def make_part(order: Order, source: str, name: str) -> tuple[Part, bool]:
    """Make one component unless it is there. Returns the part and whether it was made. Raises HostedKubernetesError."""
    with ProgressLog(order.log_path) as log, order.store.locked(lambda: log.step("another run makes a part; waiting for it to end")):
        wanted = next((item for item in _wanted(order, source, {}) if item.component.name == name), None)
        if wanted is None or wanted.ident is None:
            raise HostedKubernetesError(
                f'{name}: cannot be made from source "{source}" now; the component kubernetes comes first, it names other versions'
            )
        part = order.store.read(wanted.ident)
        if part is not None:
            return part, False
        started = time.monotonic()
        log.step(f"{name} {wanted.component.version}: start, source {source}")
        with order.store.workspace(wanted.ident) as folder:
            part = _Maker(order, source, wanted.component, folder, log).make(wanted.ident)
            order.store.write(part, os.path.join(folder, "part"))
        log.step(f"{name} {wanted.component.version}: done after {duration_text(time.monotonic() - started)}")
        return part, True


class _Maker:
    """Makes one part in a folder: out/ holds raw outputs, part/ what will be kept."""

    def __init__(self, order: Order, source: str, component: Component, folder: str, log: ProgressLog) -> None:
        self._order = order
        self._source = source
        self._component = component
        self._folder = folder
        self._log = log
        self._pins = Pins(order.store.pins, order.checksums)
        self._layers: dict[Layer, images.LayerFile] = {}
        for name in ("out", "work", "part"):
            os.makedirs(os.path.join(folder, name))

    def make(self, ident: str) -> Part:
        origins = self._build() if self._source == "go" else self._fetch()
        hasher, artefacts = Hasher(), []
        for binary in self._component.binaries:
            built = binary.built if self._source == "go" else binary.name
            target = self._target(binary.path)
            os.link(os.path.join(self._folder, "out", built), target)
            artefacts.append(
                Artefact(binary.name, self._component.version, binary.kind, binary.path, hasher.sha256(target), origins[built])
            )
        named = self._ask_kubeadm() if self._component.name == "kubernetes" else {}
        for image in self._component.images:
            origin = self._image(image, origins)
            sha256 = hasher.sha256(self._target(image.path))
            artefacts.append(Artefact(image.name, image.version, "image", image.path, sha256, origin, image.reference))
        return Part(ident, tuple(artefacts), named)

    def _target(self, path: str) -> str:
        target = os.path.join(self._folder, "part", path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def _build(self) -> Mapping[str, str]:
        if self._order.spec.arch != host_arch():
            raise HostedKubernetesError(
                f'bundle_arch {self._order.spec.arch}: source "go" builds for this machine ({host_arch()}) only, images take nft from it; '
                'use bundle_source "release" or build on such a machine and copy the directory'
            )
        component, store = self._component, self._order.store
        return gobuild.build(
            gobuild.GoJob(
                component=component,
                arch=self._order.spec.arch,
                work=os.path.join(self._folder, "work"),
                out=os.path.join(self._folder, "out"),
                sums=store.sums(component.name, component.version),
                main=self._order.mains.get(component.name, ""),
                check_sum=self._pins.check,
            ),
            self._log,
        )

    def _fetch(self) -> Mapping[str, str]:
        return dict(download.fetch_component(self._component, os.path.join(self._folder, "out"), self._pins, self._log))

    def _ask_kubeadm(self) -> Mapping[str, str]:
        kubeadm = self._target("bin/kubeadm")
        if self._order.spec.arch != host_arch():
            kubeadm = self._fetch_own_kubeadm()
        # --kubernetes-version keeps it from asking the network for the newest one.
        listing = images.run_tool([kubeadm, "config", "images", "list", "--kubernetes-version", self._order.spec.kubernetes])
        return kubeadm_versions(listing)

    def _fetch_own_kubeadm(self) -> str:
        spec = self._order.spec
        own = kubernetes_component(Spec(spec.kubernetes, host_arch(), spec.versions, spec.urls, spec.registries))
        wanted = next(item for item in own.downloads if item.binary == "kubeadm")
        folder = os.path.join(self._folder, "work")
        download.fetch_component(Component(own.name, own.version, downloads=(wanted,)), folder, self._pins, self._log)
        return os.path.join(folder, "kubeadm")

    def _image(self, image: Image, origins: Mapping[str, str]) -> str:
        target = self._target(image.path)
        if self._source == "release":
            return registry.pull(
                self._order.spec, image.reference, target, work=os.path.join(self._folder, "work"), pins=self._pins, log=self._log
            )
        layers = [self._layer(layer) for layer in (None, *image.layers)]
        config = images.ImageConfig(self._order.spec.arch, image.entrypoint, image.user)
        images.write_archive(target, image.reference, config, layers)
        self._log.step(f"{self._component.name} {self._component.version}: image {image.reference}, {os.stat(target).st_size / 1e6:.0f} MB")
        origin = origins[image.layers[0].built]
        return f"{origin}, nft {images.nft_version()} of this machine" if any(layer.nft for layer in image.layers) else origin

    def _layer(self, layer: Layer | None) -> images.LayerFile:
        """Write a layer once, however many images share it. None is the base of every image."""
        key = layer or Layer("", ())
        if key not in self._layers:
            path = os.path.join(self._folder, "work", f"layer-{len(self._layers)}")
            self._layers[key] = images.write_layer(self._entries(layer), path)
        return self._layers[key]

    def _entries(self, layer: Layer | None) -> list[images.Entry]:
        if layer is None:
            return images.base_entries()
        if layer.nft:
            return images.nft_entries()
        first, *others = layer.paths
        source = os.path.join(self._folder, "out", layer.built)
        entries = [images.Entry(first, source=source, net_bind_service=layer.net_bind_service)]
        return entries + [images.Entry(path, link_to=first) for path in others]


def assemble_bundle(order: Order, source: str) -> bool:
    """Make the bundle directory from finished parts, or copy it from order.directory. Returns whether anything changed.

    Raises HostedKubernetesError when a part is missing or a file has another checksum than recorded.
    """
    with ProgressLog(order.log_path) as log, order.store.locked(lambda: log.step("another run makes a part; waiting for it to end")):
        if inspect(order, source, remember=True, probe_timeout_s=0).complete:
            return False
        os.makedirs(os.path.dirname(order.bundle_dir), exist_ok=True)
        if source == "directory":
            copy_bundle(order.directory, order.bundle_dir, read_directory(order))
            log.step(f"copied {order.directory} to {order.bundle_dir}, every file compared with its manifest")
            return True
        _assemble_parts(order, source)
        log.step(f"assembled {order.bundle_dir}")
        used = used_parts(os.path.dirname(order.bundle_dir))
        for name in order.store.prune(used, time.time()):
            log.step(f"removed the unused part {name}")
        return True


def _assemble_parts(order: Order, source: str) -> None:
    parts: list[Part] = []
    for wanted in _wanted(order, source, {}):
        part = order.store.read(wanted.ident) if wanted.ident else None
        if part is None:
            raise HostedKubernetesError(
                f"{wanted.component.name}: this part has not been made from source {source}; run the whole bundle role"
            )
        parts.append(part)
    files: dict[str, str] = {}
    artefacts: list[Artefact] = []
    for part in parts:
        files.update({artefact.path: os.path.join(order.store.path(part.ident), artefact.path) for artefact in part.artefacts})
        artefacts += part.artefacts
    spec = order.spec
    manifest = Manifest(spec.kubernetes, spec.arch, source, tuple(part.ident for part in parts), parts[0].images, tuple(artefacts))
    assemble(order.bundle_dir, manifest, files)


def missing_prerequisites(order: Order, inspection: Inspection, minimum_disk_gib: float, minimum_memory_gib: float) -> list[str]:
    """Return what this machine lacks for making what is missing, each with its remedy; empty when nothing is to be made."""
    if inspection.complete or (inspection.wanted and all(item.ready for item in inspection.wanted)):
        return []
    problems = []
    free_gib = shutil.disk_usage(_existing(order.cache_dir)).free / 2**30
    if free_gib < minimum_disk_gib:
        problems.append(
            f"{order.cache_dir}: {free_gib:.1f} GiB free, {minimum_disk_gib:g} are needed; free some, or set bundle_cache_dir to a larger file system"
        )
    if inspection.source == "go":
        problems += _go_problems(minimum_memory_gib)
    return problems


def _go_problems(minimum_memory_gib: float) -> list[str]:
    problems = []
    other = 'or set bundle_source to "release" or "directory"'
    go = images.find_tool("go")
    version = images.run_tool([go, "env", "GOVERSION"]).strip() if go else ""
    if go is None:
        problems.append(f"go was not found in PATH; install Go 1.26 or newer, {other}")
    elif go_key(version[len("go") :]) < (1, 26):
        problems.append(f"{go} is {version}; install Go 1.26 or newer, {other}")
    if images.find_tool("nft") is None:
        problems.append(
            f"nft was not found, kube-proxy's and flannel's images take it from this machine; install the package nftables, {other}"
        )
    memory_gib = _available_memory_gib()
    if memory_gib < minimum_memory_gib:
        problems.append(
            f"{memory_gib:.1f} GiB of memory are available, linking Kubernetes takes {minimum_memory_gib:g}; stop other programs, {other}"
        )
    return problems


def _available_memory_gib() -> float:
    with open("/proc/meminfo", encoding="ascii") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    raise HostedKubernetesError("/proc/meminfo: no line MemAvailable; this machine is not a Linux the bundle role knows")


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
