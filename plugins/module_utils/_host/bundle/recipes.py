# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle is made of: which components, from which Go packages or upstream files, into which binaries and images. Pure.

Images are laid out as upstream lays them out (path, user, entry point, file capability), so that manifests written for
upstream's images run with the images made here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gomod import staging_version

# Goes into every fingerprint: raise it when the same recipe would give other files than before.
RECIPE_REVISION = 1
KUBERNETES_TOOLS = ("kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap", "ptp", "bandwidth", "firewall")
# Variables of the role by the key of the specification they fill.
PINNED = ("containerd", "runc", "cni_plugins", "cri_tools", "konnectivity", "kine", "flannel", "flannel_cni_plugin", "metallb", "agnhost")
URLS = ("kubernetes", "github")
REGISTRIES = ("registry.k8s.io", "ghcr.io", "quay.io")
_VERSION = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
# agnhost is versioned by its image's tag, which has no v.
_PATTERNS = {"agnhost": (re.compile(r"\d+\.\d+(\.\d+)?"), "2.63.0")}
_ARCHES = ("amd64", "arm64")
# The only version of containernetworking's plugins module that still holds the flannel plugin and is served by Go proxies.
_FLANNEL_CNI_GO = ("github.com/containernetworking/plugins", "v0.9.1")


@dataclass(frozen=True)
class Spec:
    """What was asked for: versions with a leading v, arch as Go names it, base URLs without a trailing slash.

    urls: download sites by name (URLS). registries: base URL by the registry's name in references (REGISTRIES).
    """

    kubernetes: str
    arch: str
    versions: Mapping[str, str]
    urls: Mapping[str, str]
    registries: Mapping[str, str]

    @property
    def minor(self) -> int:
        return int(self.kubernetes.split(".")[1])


@dataclass(frozen=True)
class Binary:
    """A file of the bundle. built: the Go output it is a (hard) link to; several names of one multi-call binary share it."""

    name: str
    built: str
    kind: str = "binary"

    @property
    def path(self) -> str:
        return f"{'cni' if self.kind == 'cni' else 'bin'}/{self.name}"


@dataclass(frozen=True)
class Layer:
    """One image layer: a built binary under its paths.

    net_bind_service: give the file cap_net_bind_service=ep, as upstream does. nft: the host's nft, its libraries, and the names of
    protocols instead.
    """

    built: str
    paths: tuple[str, ...]
    net_bind_service: bool = False
    nft: bool = False


_NFT = Layer("", ("/usr/sbin/nft", "/etc/protocols"), nft=True)


@dataclass(frozen=True)
class Image:
    """An image by its upstream reference. user: numeric uid:gid, empty for root."""

    name: str
    reference: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...]
    user: str = ""

    @property
    def version(self) -> str:
        return self.reference.rpartition(":")[2]

    @property
    def path(self) -> str:
        return f"images/{self.name}.tar"


@dataclass(frozen=True)
class GoBuild:
    """How Go builds a component.

    modules: (path, version) that are required; the first one is the component itself.
    packages: (import path, output); "." is the component's own main.go, or upstream's when `upstream_main` is set.
    stamps: values for -ldflags -X. staging: take over the first module's replacements of ./staging modules.
    without_imports: import lines dropped from the file `trimmed` of the first module.
    """

    modules: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    stamps: tuple[tuple[str, str], ...] = ()
    staging: bool = False
    upstream_main: bool = False
    without_imports: tuple[str, ...] = ()
    trimmed: str = "main.go"

    @property
    def needs_main(self) -> bool:
        return any(package == "." for package, _output in self.packages) and not self.upstream_main


@dataclass(frozen=True)
class Download:
    """An upstream file and where upstream publishes its SHA-256.

    members: (path in the archive, name of the binary); empty: the file is itself the binary `binary`.
    """

    url: str
    checksum_url: str
    binary: str = ""
    members: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Component:
    """A part of the bundle that is made on its own. minutes: measured Go build time from nothing on two cores."""

    name: str
    version: str
    binaries: tuple[Binary, ...] = ()
    images: tuple[Image, ...] = ()
    go: GoBuild | None = None
    downloads: tuple[Download, ...] = ()
    minutes: float = 0

    def sources(self) -> tuple[str, ...]:
        """Return the sources this component can come from."""
        return ("release",) if self.go is None else ("release", "go")


def parse_spec(raw: Mapping[str, Any]) -> Spec:
    """Check what the role hands over and name its variables in errors.

    raw: kubernetes, arch, versions (keys PINNED), urls (keys URLS), registries (keys REGISTRIES).
    Raises HostedKubernetesError that lists all problems.
    """
    versions = {name: str(raw.get("versions", {}).get(name) or "") for name in PINNED}
    urls = {name: str(raw.get("urls", {}).get(name) or "").rstrip("/") for name in URLS}
    registries = {name: str((raw.get("registries") or {}).get(name) or f"https://{name}").rstrip("/") for name in REGISTRIES}
    spec = Spec(str(raw.get("kubernetes") or ""), str(raw.get("arch") or ""), versions, urls, registries)
    problems = [
        f'bundle_{name}_version "{version}" is not a version; write one such as {example}'
        for name, version in (("kubernetes", spec.kubernetes), *versions.items())
        for pattern, example in (_PATTERNS.get(name, (_VERSION, "v1.36.3")),)
        if not pattern.fullmatch(version)
    ]
    if spec.arch not in _ARCHES:
        problems.append(f'bundle_arch "{spec.arch}" is not known; write one of {", ".join(_ARCHES)}')
    bases = {f"bundle_{name}_url": url for name, url in urls.items()}
    bases.update({f'bundle_registries["{name}"]': url for name, url in registries.items()})
    problems += [f'{name} "{url}" is not an http(s) URL' for name, url in bases.items() if not url.startswith(("http://", "https://"))]
    problems += [
        f'bundle_registries: no image comes from "{name}"; known are {", ".join(REGISTRIES)}'
        for name in raw.get("registries") or {}
        if name not in REGISTRIES
    ]
    if problems:
        raise HostedKubernetesError("; ".join(problems), problems=problems)
    return spec


def fingerprint(spec: Spec, component: Component, source: str, main: str = "") -> str:
    """Return 16 hex digits that change when the component would be made differently. main: text of the component's main.go."""
    made_by: Any = asdict(component)
    if source == "go":
        made_by.pop("downloads")
        made_by["main"] = main
    else:
        made_by.pop("go")
        made_by["registries"] = dict(spec.registries)
    made_by.pop("minutes")
    text = json.dumps([RECIPE_REVISION, source, spec.arch, made_by], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kubernetes_component(spec: Spec) -> Component:
    """Return the recipe of the seven Kubernetes tools and their four images."""
    version = spec.kubernetes
    shared = ("kube-controller-manager", "kube-scheduler", "kube-proxy")
    # Upstream gives only kube-apiserver the capability; the others must start without NET_BIND_SERVICE in their bounding set.
    api_layer = Layer("kubernetes", ("/usr/local/bin/kube-apiserver",), net_bind_service=True)
    shared_layer = Layer("kubernetes", tuple(f"/usr/local/bin/{name}" for name in shared))
    layers = {"kube-apiserver": (api_layer,), "kube-proxy": (shared_layer, _NFT)}
    names = ("kube-apiserver", *shared)
    stamp_values = _version_stamps(version)
    return Component(
        name="kubernetes",
        version=version,
        binaries=tuple(Binary(name, "kubernetes") for name in KUBERNETES_TOOLS),
        images=tuple(
            Image(name, f"registry.k8s.io/{name}:{version}", layers.get(name, (shared_layer,)), (f"/usr/local/bin/{name}",))
            for name in names
        ),
        go=GoBuild(
            modules=(("k8s.io/kubernetes", version),),
            packages=((".", "kubernetes"),),
            stamps=tuple(
                (f"{package}.{name}", value)
                for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
                for name, value in stamp_values
            ),
            staging=True,
        ),
        downloads=tuple(
            Download(url, f"{url}.sha256", binary=name)
            for name in KUBERNETES_TOOLS
            for url in (f"{spec.urls['kubernetes']}/release/{version}/bin/linux/{spec.arch}/{name}",)
        ),
        minutes=9,
    )


def _version_stamps(version: str) -> tuple[tuple[str, str], ...]:
    major, minor, _patch = version[1:].split(".", 2)
    return (
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        # A module has no commit; a constant keeps the build reproducible.
        ("gitCommit", "0" * 40),
        ("buildDate", "1970-01-01T00:00:00Z"),
    )


def kubeadm_versions(listing: str) -> dict[str, str]:
    """Read `kubeadm config images list`: reference by component (etcd, coredns, pause).

    Raises HostedKubernetesError when one of the three is not listed.
    """
    references = [line.strip() for line in listing.splitlines() if ":" in line and " " not in line.strip()]
    found = {reference.rpartition(":")[0].rpartition("/")[2]: reference for reference in references}
    missing = [name for name in ("etcd", "coredns", "pause") if name not in found]
    if missing:
        raise HostedKubernetesError(
            f"kubeadm config images list: no image of {', '.join(missing)} among: {', '.join(references) or 'nothing'}"
        )
    return {name: found[name] for name in ("etcd", "coredns", "pause")}


def other_components(spec: Spec, references: Mapping[str, str], source: str) -> tuple[Component, ...]:
    """Return the recipes of everything but Kubernetes itself. references: what kubeadm_versions() read."""
    return (
        _etcd(spec, references["etcd"]),
        _containerd(spec),
        _runc(spec),
        _cni_plugins(spec),
        _flannel_cni_plugin(spec, source),
        _cri_tools(spec),
        _pause(references["pause"]),
        _coredns(references["coredns"]),
        _konnectivity(spec),
        _kine(spec),
        _flannel(spec),
        _metallb(spec),
        _agnhost(spec),
    )


def _etcd(spec: Spec, reference: str) -> Component:
    # The tag is a version and the number of the image build: 3.6.8-0.
    version = "v" + reference.rpartition(":")[2].lstrip("v").partition("-")[0]
    tools = (("etcd", "server"), ("etcdctl", "etcdctl"), ("etcdutl", "etcdutl"))
    folder = f"etcd-{version}-linux-{spec.arch}"
    base = f"{spec.urls['github']}/etcd-io/etcd/releases/download/{version}"
    return Component(
        name="etcd",
        version=version,
        binaries=tuple(Binary(name, name) for name, _module in tools),
        images=(
            Image("etcd", reference, tuple(Layer(name, (f"/usr/local/bin/{name}",)) for name, _module in tools), ("/usr/local/bin/etcd",)),
        ),
        go=GoBuild(
            modules=tuple((f"go.etcd.io/etcd/{module}/v3", version) for _name, module in tools),
            packages=tuple((f"go.etcd.io/etcd/{module}/v3", name) for name, module in tools),
        ),
        downloads=(
            Download(f"{base}/{folder}.tar.gz", f"{base}/SHA256SUMS", members=tuple((f"{folder}/{name}", name) for name, _m in tools)),
        ),
        minutes=1,
    )


def _containerd(spec: Spec) -> Component:
    version = spec.versions["containerd"]
    module = "github.com/containerd/containerd/v2"
    names = ("containerd", "ctr", "containerd-shim-runc-v2")
    # The static archive: the other one needs the glibc it was built with.
    url = (
        f"{spec.urls['github']}/containerd/containerd/releases/download/{version}/containerd-static-{version[1:]}-linux-{spec.arch}.tar.gz"
    )
    return Component(
        name="containerd",
        version=version,
        binaries=tuple(Binary(name, name) for name in names),
        go=GoBuild(
            modules=((module, version),),
            packages=tuple((f"{module}/cmd/{name}", name) for name in names),
            stamps=((f"{module}/version.Version", version),),
        ),
        downloads=(Download(url, f"{url}.sha256sum", members=tuple((f"bin/{name}", name) for name in names)),),
        minutes=2,
    )


def _runc(spec: Spec) -> Component:
    version = spec.versions["runc"]
    base = f"{spec.urls['github']}/opencontainers/runc/releases/download/{version}"
    # No Go build: it needs libseccomp and cgo. Hosts then take runc from their distribution.
    return Component(
        name="runc",
        version=version,
        binaries=(Binary("runc", "runc"),),
        downloads=(Download(f"{base}/runc.{spec.arch}", f"{base}/runc.sha256sum", binary="runc"),),
    )


def _cni_plugins(spec: Spec) -> Component:
    version = spec.versions["cni_plugins"]
    module = "github.com/containernetworking/plugins"
    folders = {"host-local": "ipam", "portmap": "meta", "bandwidth": "meta", "firewall": "meta"}
    url = f"{spec.urls['github']}/containernetworking/plugins/releases/download/{version}/cni-plugins-linux-{spec.arch}-{version}.tgz"
    return Component(
        name="cni-plugins",
        version=version,
        binaries=tuple(Binary(name, name, "cni") for name in CNI_PLUGINS),
        go=GoBuild(
            modules=((module, version),),
            packages=tuple((f"{module}/plugins/{folders.get(name, 'main')}/{name}", name) for name in CNI_PLUGINS),
            stamps=((f"{module}/pkg/utils/buildversion.BuildVersion", version),),
        ),
        downloads=(Download(url, f"{url}.sha256", members=tuple((name, name) for name in CNI_PLUGINS)),),
        minutes=0.3,
    )


def _flannel_cni_plugin(spec: Spec, source: str) -> Component:
    version = spec.versions["flannel_cni_plugin"]
    base = f"{spec.urls['github']}/flannel-io/cni-plugin/releases/download/{version}"
    url = f"{base}/cni-plugin-flannel-linux-{spec.arch}-{version}.tgz"
    module, module_version = _FLANNEL_CNI_GO
    return Component(
        name="flannel-cni-plugin",
        version=module_version if source == "go" else version,
        binaries=(Binary("flannel", "flannel", "cni"),),
        go=GoBuild(
            modules=(_FLANNEL_CNI_GO,),
            packages=((f"{module}/plugins/meta/flannel", "flannel"),),
            stamps=((f"{module}/pkg/utils/buildversion.BuildVersion", module_version),),
        ),
        downloads=(Download(url, f"{url}.sha256", members=((f"flannel-{spec.arch}", "flannel"),)),),
        minutes=0.2,
    )


def _cri_tools(spec: Spec) -> Component:
    version = spec.versions["cri_tools"]
    module = "sigs.k8s.io/cri-tools"
    url = f"{spec.urls['github']}/kubernetes-sigs/cri-tools/releases/download/{version}/crictl-{version}-linux-{spec.arch}.tar.gz"
    return Component(
        name="cri-tools",
        version=version,
        binaries=(Binary("crictl", "crictl"),),
        go=GoBuild(
            modules=((module, version),),
            packages=((f"{module}/cmd/crictl", "crictl"),),
            stamps=((f"{module}/pkg/version.Version", version),),
        ),
        downloads=(Download(url, f"{url}.sha256", members=(("crictl", "crictl"),)),),
        minutes=1,
    )


def _pause(reference: str) -> Component:
    return Component(
        name="pause",
        version=reference.rpartition(":")[2],
        images=(Image("pause", reference, (Layer("pause", ("/pause",)),), ("/pause",), user="65535:65535"),),
        go=GoBuild(modules=(), packages=((".", "pause"),)),
        minutes=0.1,
    )


def _coredns(reference: str) -> Component:
    version = reference.rpartition(":")[2]
    layer = Layer("coredns", ("/coredns",), net_bind_service=True)
    return Component(
        name="coredns",
        version=version,
        images=(Image("coredns", reference, (layer,), ("/coredns",), user="65532:65532"),),
        go=GoBuild(modules=(("github.com/coredns/coredns", version),), packages=((".", "coredns"),)),
        minutes=2,
    )


def _konnectivity(spec: Spec) -> Component:
    version = spec.versions["konnectivity"]
    module = "sigs.k8s.io/apiserver-network-proxy"
    tools = (("proxy-server", "server"), ("proxy-agent", "agent"))
    return Component(
        name="konnectivity",
        version=version,
        images=tuple(
            Image(
                name,
                f"registry.k8s.io/kas-network-proxy/{name}:{version}",
                (Layer(name, (f"/{name}",)),),
                (f"/{name}",),
                user="65532:65532",
            )
            for name, _folder in tools
        ),
        go=GoBuild(
            modules=((module, version), (f"{module}/konnectivity-client", version)),
            packages=tuple((f"{module}/cmd/{folder}", name) for name, folder in tools),
        ),
        minutes=2,
    )


def _kine(spec: Spec) -> Component:
    version = spec.versions["kine"]
    module = "github.com/k3s-io/kine"
    # Upstream's variant without C, which is what Go builds here.
    reference = f"ghcr.io/k3s-io/kine:{version}-nocgo"
    return Component(
        name="kine",
        version=version,
        images=(Image("kine", reference, (Layer("kine", ("/bin/kine",)),), ("/bin/kine",), user="65534:65534"),),
        go=GoBuild(
            modules=((module, version),),
            packages=((module, "kine"),),
            stamps=((f"{module}/pkg/version.Version", version),),
            # Stores that no DataStore can be; SQLite in Go and a store on AWS take half of the compiler's time.
            without_imports=(f"{module}/pkg/drivers/sqlite", f"{module}/pkg/drivers/t4"),
            trimmed="pkg/endpoint/init.go",
        ),
        minutes=2,
    )


def _flannel(spec: Spec) -> Component:
    version = spec.versions["flannel"]
    module = "github.com/flannel-io/flannel"
    # Upstream's image has cp, and its manifest puts the CNI configuration in place with it.
    layers = (Layer("flanneld", ("/opt/bin/flanneld",)), Layer("cp", ("/bin/cp",)), _NFT)
    return Component(
        name="flannel",
        version=version,
        images=(Image("flannel", f"ghcr.io/flannel-io/flannel:{version}", layers, ("/opt/bin/flanneld",)),),
        go=GoBuild(
            modules=((module, version),),
            packages=((".", "flanneld"), ("./own", "cp")),
            stamps=((f"{module}/pkg/version.Version", version),),
            upstream_main=True,
            # The udp backend is the only part that needs cgo; it is for debugging and no manifest here uses it.
            without_imports=(f"{module}/pkg/backend/udp",),
        ),
        minutes=2,
    )


def _metallb(spec: Spec) -> Component:
    version = spec.versions["metallb"]
    module = "go.universe.tf/metallb"
    names = ("controller", "speaker")
    return Component(
        name="metallb",
        version=version,
        images=tuple(
            Image(f"metallb-{name}", f"quay.io/metallb/{name}:{version}", (Layer(name, (f"/{name}",)),), (f"/{name}",)) for name in names
        ),
        go=GoBuild(
            modules=((module, version),),
            packages=tuple((f"{module}/{name}", name) for name in names),
            stamps=((f"{module}/internal/version.gitBranch", version), (f"{module}/internal/version.gitCommit", version)),
        ),
        minutes=3,
    )


def _agnhost(spec: Spec) -> Component:
    version = spec.versions["agnhost"]
    module, staging = "k8s.io/kubernetes", staging_version(spec.kubernetes)
    return Component(
        name="agnhost",
        version=version,
        images=(Image("agnhost", f"registry.k8s.io/e2e-test-images/agnhost:{version}", (Layer("agnhost", ("/agnhost",)),), ("/agnhost",)),),
        go=GoBuild(
            # The last two make Go choose the same versions of all k8s.io modules as for the component kubernetes (their names are part of
            # what is compiled), so that it finds nearly everything in its cache.
            modules=((module, spec.kubernetes), ("k8s.io/component-base", staging), ("k8s.io/apiserver", staging)),
            packages=((f"{module}/test/images/agnhost", "agnhost"),),
            stamps=(("main.Version", version),),
            staging=True,
        ),
        minutes=2,
    )
