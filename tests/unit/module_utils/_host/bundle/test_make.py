# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole bundle from the source release, from the source directory, and everything that must be refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import parse_bundle
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import (
    Inspection,
    Order,
    assemble_bundle,
    host_arch,
    inspect,
    is_made,
    make_part,
    missing_prerequisites,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import CNI_PLUGINS, KUBERNETES_TOOLS, Spec

from .conftest import IMAGES, KUBERNETES, TOKEN, VERSIONS, Upstream, order_for, raw_spec, sha256, spec_for

BINARIES = {*KUBERNETES_TOOLS, "etcd", "etcdctl", "etcdutl", "containerd", "ctr", "containerd-shim-runc-v2", "runc", "crictl"}
KUBEADM_PATH = f"/release/{KUBERNETES}/bin/linux/{host_arch()}/kubeadm"


def look(order: Order, source: str = "release") -> Inspection:
    return inspect(order, source, remember=True, probe_timeout_s=2)


def make_all(order: Order, source: str = "release") -> list[str]:
    """Do what the role does. Returns the names of components that were made."""
    made = [] if not make_part(order, source, "kubernetes")[1] else ["kubernetes"]
    for wanted in look(order, source).wanted:
        if make_part(order, source, wanted.component.name)[1]:
            made.append(wanted.component.name)
    assemble_bundle(order, source)
    return made


def test_release_makes_the_whole_bundle(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    before = look(order)
    assert not before.complete
    assert {item.component.name for item in before.wanted if item.ident is None} == {"etcd", "pause", "coredns"}

    make_all(order)

    assert look(order).complete
    root = Path(order.bundle_dir)
    bundle = parse_bundle((root / "manifest.json").read_text(), "manifest.json")
    assert {item.name for item in bundle.artefacts if item.kind == "binary"} == BINARIES
    assert {item.name for item in bundle.artefacts if item.kind == "cni"} == {*CNI_PLUGINS, "flannel"}
    assert {item.reference for item in bundle.artefacts if item.kind == "image"} == set(IMAGES)
    for item in bundle.artefacts:
        assert sha256((root / item.path).read_bytes()) == item.sha256
        assert os.access(root / item.path, os.X_OK) == (item.kind != "image")
    sources = {item["name"]: item["source"] for item in json.loads((root / "manifest.json").read_text())["artefacts"]}
    assert sources["kubelet"] == f"{upstream.url}/release/{KUBERNETES}/bin/linux/{host_arch()}/kubelet"
    assert sources["pause"].startswith(f"{upstream.url}/pause@sha256:")
    assert bundle.get("binary", "etcd").version == "v3.6.8"
    assert bundle.get("image", "etcd").version == "3.6.8-0"


def test_images_are_archives_with_upstreams_reference(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_part(order, "release", "kubernetes")
    part, _made = make_part(order, "release", "pause")
    with tarfile.open(os.path.join(order.store.path(part.ident), "images/pause.tar")) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest.json"))
        names = archive.getnames()
    assert manifest[0]["RepoTags"] == ["registry.k8s.io/pause:3.10.2"]
    assert {manifest[0]["Config"], *manifest[0]["Layers"]} < set(names)
    assert f"{manifest[0]['Layers'][0]}" == f"{sha256(upstream.files[upstream.asked('/storage/')[-1]])}.tar.gz"


def test_token_goes_to_the_registry_only(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_part(order, "release", "konnectivity")
    assert any(headers.get("Authorization") == f"Bearer {TOKEN}" for path, headers in upstream.requests if path.startswith("/v2/"))
    assert all("Authorization" not in headers for path, headers in upstream.requests if path.startswith("/storage/"))
    assert any("scope=repository%3Akas-network-proxy%2Fproxy-server%3Apull" in path for path in upstream.asked("/token"))


def test_second_run_asks_for_nothing(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_all(order)
    upstream.requests.clear()
    started = time.process_time()
    assert look(order, "auto") == look(order)
    assert make_all(order) == []
    assert not assemble_bundle(order, "release")
    assert time.process_time() - started < 1
    assert upstream.requests == []


def test_only_the_changed_version_is_made_again(tmp_path: Path, upstream: Upstream) -> None:
    make_all(order_for(tmp_path, upstream.url))
    upstream.add_image("quay.io/metallb/controller:v0.15.3")
    upstream.add_image("quay.io/metallb/speaker:v0.15.3")
    order = order_for(tmp_path, upstream.url)
    changed = Order(_with_version(order.spec, "metallb", "v0.15.3"), order.cache_dir, order.bundle_dir)
    assert not look(changed).complete
    assert make_all(changed) == ["metallb"]
    text = Path(order.bundle_dir, "manifest.json").read_text()
    assert "v0.15.3" in text
    assert "v0.15.2" not in text


def _with_version(spec: Spec, name: str, version: str) -> Spec:
    return Spec(spec.kubernetes, spec.arch, {**VERSIONS, name: version}, spec.urls, spec.registries)


def test_auto_takes_release_only_when_it_answers(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    assert look(order, "auto").source == "release"
    del upstream.files[f"{KUBEADM_PATH}.sha256"]
    assert look(order, "auto").source == "go"
    nobody = order_for(tmp_path, "http://127.0.0.1:9")
    assert look(nobody, "auto").source == "go"


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    expected = sha256(upstream.files[KUBEADM_PATH])
    upstream.files[KUBEADM_PATH] += b"# changed"
    order = order_for(tmp_path, upstream.url)
    with pytest.raises(HostedKubernetesError) as refused:
        make_part(order, "release", "kubernetes")
    message = refused.value.msg
    assert f"{upstream.url}{KUBEADM_PATH}" in message
    assert expected in message
    assert sha256(upstream.files[KUBEADM_PATH]) in message
    assert "run again" in message
    assert not is_made(order, "release", "kubernetes")


def test_a_checksum_that_changed_since_it_was_first_seen_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    part, _made = make_part(order, "release", "kubernetes")
    shutil.rmtree(order.store.path(part.ident))
    old = sha256(upstream.files[KUBEADM_PATH])
    upstream.files[KUBEADM_PATH] += b"# changed, with the checksum beside it"
    upstream.files[f"{KUBEADM_PATH}.sha256"] = sha256(upstream.files[KUBEADM_PATH]).encode()
    with pytest.raises(HostedKubernetesError, match=f"expected {old} .*checksums.json.*remove its line"):
        make_part(order, "release", "kubernetes")


@pytest.mark.parametrize("name", [KUBEADM_PATH, "registry.k8s.io/pause:3.10.2"])
def test_a_checksum_the_user_wrote_down_must_be_met(tmp_path: Path, upstream: Upstream, name: str) -> None:
    pinned = f"{upstream.url}{name}" if name.startswith("/") else name
    order = order_for(tmp_path, upstream.url, checksums={pinned: "f" * 64})
    with pytest.raises(HostedKubernetesError, match=r"expected f{64} \(from bundle_checksums"):
        make_all(order)


def test_a_layer_with_another_digest_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    for path in [path for path in upstream.files if path.startswith("/storage/")]:
        upstream.files[path] += b"changed"
    with pytest.raises(
        HostedKubernetesError, match=r"/blobs/sha256:\w+: expected digest sha256:\w+, found sha256:\w+; nothing was taken over"
    ):
        make_part(order, "release", "flannel")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (KUBEADM_PATH, "HTTP status 404 .*does upstream publish this version there"),
        (f"{KUBEADM_PATH}.sha256", "HTTP status 404"),
        (f"/v2/kube-proxy/manifests/{KUBERNETES}", "HTTP status 404"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, upstream: Upstream, path: str, message: str) -> None:
    del upstream.files[path]
    with pytest.raises(HostedKubernetesError, match=message) as missing:
        make_part(order_for(tmp_path, upstream.url), "release", "kubernetes")
    assert path in missing.value.msg


def test_a_checksum_file_without_the_name_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_part(order, "release", "kubernetes")
    upstream.files["/etcd-io/etcd/releases/download/v3.6.8/SHA256SUMS"] = f"{'0' * 64}  another.tar.gz\n".encode()
    with pytest.raises(HostedKubernetesError, match=r"SHA256SUMS: holds no SHA-256 of etcd-v3.6.8"):
        make_part(order, "release", "etcd")


def test_an_unreachable_site_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(HostedKubernetesError, match=r"http://127.0.0.1:9/.*: .*refused; check the network.*bundle_source"):
        make_part(order_for(tmp_path, "http://127.0.0.1:9"), "release", "kubernetes")


def test_a_killed_run_leaves_nothing_half_made(tmp_path: Path, upstream: Upstream) -> None:
    upstream.stall = threading.Event()
    order = order_for(tmp_path, upstream.url)
    code = (
        "import json, sys\n"
        "from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle import make, recipes\n"
        "raw, cache, folder = json.loads(sys.argv[1])\n"
        "make.make_part(make.Order(recipes.parse_spec(raw), cache, folder), 'release', 'kubernetes')\n"
    )
    arguments = json.dumps([raw_spec(upstream.url), order.cache_dir, order.bundle_dir])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, arguments], env=environment) as process:
        deadline = time.monotonic() + 120
        # Not its checksum file, which is asked for before.
        while KUBEADM_PATH.replace("kubeadm", "kubelet") not in upstream.asked("/release/") and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert any(path.endswith("/kubelet") for path, _headers in upstream.requests)
    assert not is_made(order, "release", "kubernetes")
    upstream.stall.set()
    upstream.stall = None
    make_all(order)
    assert look(order).complete
    assert [name for name in os.listdir(order.store.root) if name.startswith(".tmp")] == []


def test_a_changed_file_of_the_bundle_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_all(order)
    file = Path(order.bundle_dir, "bin/kubelet")
    status = file.stat()
    file.write_bytes(file.read_bytes().replace(b"program", b"trojan!"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(HostedKubernetesError) as refused:
        look(order)
    assert f"{file}: expected SHA-256 {sha256(b'the program kubelet')}" in refused.value.msg
    assert f"found {sha256(b'the trojan! kubelet')}" in refused.value.msg
    assert f"remove {order.bundle_dir}" in refused.value.msg
    # The part shares the file: assembling again from it must not let it through either.
    shutil.rmtree(order.bundle_dir)
    with pytest.raises(HostedKubernetesError, match=r"bin/kubelet: expected SHA-256 .*, found .*; nothing was taken over"):
        assemble_bundle(order, "release")


def test_a_removed_file_comes_back(tmp_path: Path, upstream: Upstream) -> None:
    order = order_for(tmp_path, upstream.url)
    make_all(order)
    file = Path(order.bundle_dir, "images/pause.tar")
    file.unlink()
    inspection = look(order)
    assert (inspection.complete, inspection.missing) == (False, ("images/pause.tar",))
    assert assemble_bundle(order, "release")
    assert file.exists()
    assert look(order).complete


@pytest.fixture(name="finished")
def finished_fixture(tmp_path: Path, upstream: Upstream) -> Order:
    order = order_for(tmp_path / "connected", upstream.url)
    make_all(order)
    return order


def directory_order(tmp_path: Path, directory: str, **more: Any) -> Order:
    return order_for(tmp_path / "air-gapped", "http://127.0.0.1:9", directory=directory, **more)


def test_directory_copies_a_finished_bundle(tmp_path: Path, finished: Order) -> None:
    order = directory_order(tmp_path, finished.bundle_dir)
    assert not look(order, "directory").complete
    assert assemble_bundle(order, "directory")
    assert look(order, "directory").complete
    assert not assemble_bundle(order, "directory")
    for name in ("bin/kubelet", "images/etcd.tar"):
        copy, original = Path(order.bundle_dir, name), Path(finished.bundle_dir, name)
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_ino != original.stat().st_ino
    assert json.loads(Path(order.bundle_dir, "manifest.json").read_text())["source"] == "directory"


def test_directory_refuses_a_damaged_file_and_leaves_nothing(tmp_path: Path, finished: Order) -> None:
    Path(finished.bundle_dir, "cni/bridge").write_bytes(b"damaged")
    order = directory_order(tmp_path, finished.bundle_dir)
    with pytest.raises(HostedKubernetesError, match=rf"bridge: expected SHA-256 {sha256(b'bridge')} .*, found {sha256(b'damaged')}"):
        assemble_bundle(order, "directory")
    assert not os.path.exists(order.bundle_dir)


def test_directory_refuses_a_missing_file(tmp_path: Path, finished: Order) -> None:
    Path(finished.bundle_dir, "cni/bridge").unlink()
    with pytest.raises(HostedKubernetesError, match="cni/bridge: its manifest lists this file and it is not there; copy the bundle again"):
        assemble_bundle(directory_order(tmp_path, finished.bundle_dir), "directory")


def test_directory_refuses_another_version(tmp_path: Path, finished: Order) -> None:
    manifest = Path(finished.bundle_dir, "manifest.json")
    manifest.write_text(manifest.read_text().replace(f'"kubernetes": "{KUBERNETES}"', '"kubernetes": "v1.35.4"'))
    with pytest.raises(HostedKubernetesError, match=f"holds Kubernetes v1.35.4 {host_arch()}, asked for was {KUBERNETES}"):
        look(directory_order(tmp_path, finished.bundle_dir), "directory")


@pytest.mark.parametrize(
    ("directory", "message"),
    [("", "needs bundle_directory"), ("{tmp}/nothing", "holds no manifest.json"), ("{tmp}", "holds no manifest.json")],
)
def test_directory_must_hold_a_bundle(tmp_path: Path, directory: str, message: str) -> None:
    with pytest.raises(HostedKubernetesError, match=message):
        look(directory_order(tmp_path, directory.format(tmp=tmp_path)), "directory")


def test_directory_refuses_paths_that_lead_out(tmp_path: Path, finished: Order) -> None:
    manifest = Path(finished.bundle_dir, "manifest.json")
    manifest.write_text(manifest.read_text().replace('"bin/kubelet"', '"../../kubelet"'))
    with pytest.raises(HostedKubernetesError, match="leads out of the bundle"):
        look(directory_order(tmp_path, finished.bundle_dir), "directory")


def test_prerequisites_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    module = sys.modules[missing_prerequisites.__module__]
    monkeypatch.setattr(module.images, "find_tool", lambda name: None)
    order = order_for(tmp_path / "not" / "there", "http://127.0.0.1:9")
    problems = missing_prerequisites(order, look(order, "go"), 1e9, 1e9)
    assert len(problems) == 4
    for index, words in enumerate(("bundle_cache_dir", "install Go 1.26", "install the package nftables", "GiB of memory")):
        assert words in problems[index]
    assert len(missing_prerequisites(order, look(order, "release"), 0, 1e9)) == 0


def test_an_old_go_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go1.24.9\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    order = order_for(tmp_path, "http://127.0.0.1:9")
    assert any(f"{go} is go1.24.9; install Go 1.26" in problem for problem in missing_prerequisites(order, look(order, "go"), 0, 0))


def test_go_builds_for_this_machine_only(tmp_path: Path) -> None:
    order = order_for(tmp_path, "http://127.0.0.1:9")
    other = "arm64" if host_arch() == "amd64" else "amd64"
    spec = spec_for()
    foreign = Order(Spec(spec.kubernetes, other, spec.versions, spec.urls, spec.registries), order.cache_dir, order.bundle_dir)
    with pytest.raises(HostedKubernetesError, match=f"bundle_arch {other}.*for this machine"):
        make_part(foreign, "go", "kubernetes")
