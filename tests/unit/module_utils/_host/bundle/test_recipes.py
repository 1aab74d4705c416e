# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes, go.mod texts and Go's environment: pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gobuild import drop_imports, go_environment
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gomod import (
    UpstreamModule,
    go_key,
    newest_go,
    parse_go_mod,
    render_go_mod,
    staging_version,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import (
    Component,
    fingerprint,
    kubeadm_versions,
    kubernetes_component,
    other_components,
    parse_spec,
)

from .conftest import VERSIONS, raw_spec, spec_for

NAMED = {
    "etcd": "registry.k8s.io/etcd:3.6.8-0",
    "coredns": "registry.k8s.io/coredns/coredns:v1.14.2",
    "pause": "registry.k8s.io/pause:3.10.2",
}
# Of k8s.io/kubernetes v1.36.3, shortened.
KUBERNETES_GO_MOD = """
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tk8s.io/api v0.0.0
\tk8s.io/klog/v2 v2.140.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/client-go => ./staging/src/k8s.io/client-go
\texample.com/other => example.com/fork v1.0.0
)
"""


def component(name: str, source: str = "go") -> Component:
    return next(item for item in other_components(spec_for(), NAMED, source) if item.name == name)


def test_staging_modules_and_settings_are_taken_from_upstream() -> None:
    assert parse_go_mod(KUBERNETES_GO_MOD) == UpstreamModule("1.26.0", ("default=go1.26",), ("k8s.io/api", "k8s.io/client-go"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("module m\n", UpstreamModule("1.17")),
        ("module m\ngo 1.23\nreplace m/api => ./staging/src/m/api\n", UpstreamModule("1.23", (), ("m/api",))),
        ("module m\ngo 1.24.2\ngodebug (\n\t// why\n\tdefault=go1.24\n\tx=1\n)\n", UpstreamModule("1.24.2", ("default=go1.24", "x=1"))),
    ],
)
def test_other_forms_of_go_mod(text: str, expected: UpstreamModule) -> None:
    assert parse_go_mod(text) == expected


def test_go_mod_is_written() -> None:
    upstream = UpstreamModule("1.26.0", ("default=go1.26",))
    text = render_go_mod("kubernetes", upstream, [("k8s.io/kubernetes", "v1.36.3")], [("k8s.io/api", "k8s.io/api v0.36.3")])
    assert text == (
        "module hosted.kubernetes/bundle/kubernetes\n\ngo 1.26.0\ngodebug default=go1.26\n"
        "require k8s.io/kubernetes v1.36.3\nreplace k8s.io/api => k8s.io/api v0.36.3\n"
    )


@pytest.mark.parametrize(("kubernetes", "staging"), [("v1.36.3", "v0.36.3"), ("v1.37.0-rc.1", "v0.37.0-rc.1")])
def test_staging_version(kubernetes: str, staging: str) -> None:
    assert staging_version(kubernetes) == staging


def test_staging_version_of_an_unknown_major() -> None:
    with pytest.raises(HostedKubernetesError, match="no rule is known"):
        staging_version("v2.0.0")


def test_go_versions_compare_by_number() -> None:
    assert newest_go(["1.9", "1.26.0", "1.25.11"]) == "1.26.0"
    assert go_key("1.26rc1") == (1, 26)


def test_go_environment_fixes_what_changes_the_output() -> None:
    environment = go_environment("arm64", {"GOFLAGS": "-tags=x", "GOARCH": "386", "GOPROXY": "https://proxy.example", "PATH": "/bin"})
    assert environment["GOPROXY"] == "https://proxy.example"
    assert (environment["GOARCH"], environment["CGO_ENABLED"], environment["GOFLAGS"]) == ("arm64", "0", "-mod=mod -buildvcs=false")


def test_imports_are_dropped() -> None:
    source = 'import (\n\t"fmt"\n\t_ "m/udp"\n\t_ "m/vxlan"\n)\n'
    assert drop_imports(source, ["m/udp"]) == 'import (\n\t"fmt"\n\t_ "m/vxlan"\n)\n'
    with pytest.raises(HostedKubernetesError, match="no longer imports m/wg"):
        drop_imports(source, ["m/wg"])


def test_kubeadm_names_versions() -> None:
    listing = "registry.k8s.io/kube-proxy:v1.36.3\n" + "\n".join(NAMED.values()) + "\n"
    assert kubeadm_versions(listing) == NAMED


def test_kubeadm_output_without_images() -> None:
    with pytest.raises(HostedKubernetesError, match=r"no image of coredns, pause among: registry\.k8s\.io/etcd:3\.6\.8-0"):
        kubeadm_versions("W0101 warning: something\nregistry.k8s.io/etcd:3.6.8-0\n")


def test_etcd_is_built_in_the_version_of_its_tag() -> None:
    etcd = component("etcd")
    assert etcd.version == "v3.6.8"
    assert etcd.go is not None
    assert ("go.etcd.io/etcd/server/v3", "v3.6.8") in etcd.go.modules
    assert etcd.images[0].reference == "registry.k8s.io/etcd:3.6.8-0"


def test_file_capabilities_are_upstreams() -> None:
    images = {image.name: image for image in kubernetes_component(spec_for()).images}
    assert [layer.net_bind_service for layer in images["kube-apiserver"].layers] == [True]
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        assert not any(layer.net_bind_service for layer in images[name].layers)
    assert component("coredns").images[0].layers[0].net_bind_service


def test_images_without_the_capability_share_one_layer() -> None:
    images = {image.name: image for image in kubernetes_component(spec_for()).images}
    assert len({images[name].layers[0] for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy")}) == 1


def test_the_flannel_plugin_says_which_one_it_is() -> None:
    assert component("flannel-cni-plugin", "go").version == "v0.9.1"
    assert component("flannel-cni-plugin", "release").version == "v1.7.1-flannel1"


def test_agnhost_is_built_from_the_sources_of_the_bundle_under_its_own_tag() -> None:
    agnhost = component("agnhost")
    assert agnhost.images[0].reference == "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
    assert agnhost.go is not None
    assert agnhost.go.modules[0] == ("k8s.io/kubernetes", "v1.36.3")
    assert {version for _module, version in agnhost.go.modules[1:]} == {"v0.36.3"}
    assert agnhost.go.staging


def test_kine_is_upstreams_variant_without_c() -> None:
    kine = component("kine")
    assert [(image.reference, image.entrypoint, image.user) for image in kine.images] == [
        ("ghcr.io/k3s-io/kine:v0.17.5-nocgo", ("/bin/kine",), "65534:65534")
    ]
    assert kine.go is not None
    assert kine.go.modules == (("github.com/k3s-io/kine", "v0.17.5"),)


def test_artefact_paths_are_unique() -> None:
    everything = (kubernetes_component(spec_for()), *other_components(spec_for(), NAMED, "release"))
    paths = [item.path for part in everything for item in part.binaries] + [item.path for part in everything for item in part.images]
    assert len(paths) == len(set(paths))


def test_fingerprint_follows_what_matters() -> None:
    spec, part = spec_for(), component("coredns")
    same = fingerprint(spec, part, "go", "package main")
    assert fingerprint(spec, replace(part, minutes=99), "go", "package main") == same
    mirrored = replace(spec, registries={**spec.registries, "registry.k8s.io": "https://mirror.example"})
    assert fingerprint(mirrored, part, "go", "package main") == same
    different = {
        fingerprint(spec, part, "go", "package main // changed"),
        fingerprint(spec, replace(part, version="v9.9.9"), "go", "package main"),
        fingerprint(replace(spec, arch="arm64"), part, "go", "package main"),
        fingerprint(spec, part, "release"),
        fingerprint(mirrored, part, "release"),
    }
    assert len(different | {same}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kubernetes": "1.36.3"}, 'bundle_kubernetes_version "1.36.3" is not a version'),
        ({"kubernetes": "v1.36"}, "bundle_kubernetes_version"),
        (
            {"versions": {**VERSIONS, "agnhost": "v2.63.0"}},
            '^bundle_agnhost_version "v2.63.0" is not a version; write one such as 2.63.0$',
        ),
        ({"versions": {}}, 'bundle_containerd_version "" is not a version.*bundle_metallb_version'),
        ({"arch": "x86_64"}, 'bundle_arch "x86_64" is not known; write one of amd64, arm64'),
        ({"urls": {"kubernetes": "file:///etc", "github": "https://github.com"}}, r'bundle_kubernetes_url "file:///etc" is not'),
        ({"registries": {"quay.io": "quay.example"}}, r'bundle_registries\["quay.io"\] "quay.example" is not an http'),
        ({"registries": {"docker.io": "https://docker.example"}}, r'bundle_registries: no image comes from "docker.io"'),
    ],
)
def test_values_that_cannot_work_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(HostedKubernetesError, match=message):
        parse_spec({**raw_spec("https://upstream.example"), **change})


def test_a_trailing_slash_of_a_base_url_does_not_matter() -> None:
    assert parse_spec(raw_spec("https://upstream.example/")) == parse_spec(raw_spec("https://upstream.example"))
