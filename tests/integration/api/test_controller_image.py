# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's image, really made: the same twice, and its program works as a pod runs it, without root and without a writable file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.controller_image import ImageOrder, make
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.store import Hasher
from ansible_collections.hosted.kubernetes.tests.support.controller_images import order_of
from ansible_collections.hosted.kubernetes.tests.support.controllers import Program, eventually
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground

pytestmark = pytest.mark.long

# What a pod's mounts are: the image read-only, an empty folder that can be written to, /proc (OpenSSL reads keys of no file there), and /dev, where gRPC
# looks for random numbers.
_POD = """
mkdir -p "$1/proc" "$1/dev"
mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; mount -t tmpfs tmpfs "$1/tmp"; mount --rbind /proc "$1/proc"; mount --rbind /dev "$1/dev"
root=$1 user=$2; shift 2
exec chroot --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Unpacked:
    """An image as a folder, with its configuration."""

    root: Path
    config: dict[str, Any]

    @property
    def command(self) -> list[str]:
        script = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _POD, "sh"]
        return [*script, str(self.root), self.config["User"], *self.config["Entrypoint"]]


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> ImageOrder:
    order = order_of(tmp_path_factory.mktemp("cache"))
    assert make(order, f"{order.cache_dir}/image.log")
    return order


@pytest.fixture(scope="module")
def image(order: ImageOrder, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    root = tmp_path_factory.mktemp("image") / "root"
    with tarfile.open(Path(order.dir, "images/controller.tar")) as archive:
        (manifest,) = _json(archive, "manifest.json")
        assert manifest["RepoTags"] == [order.reference()]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as packed:
                packed.extractall(root, filter="tar")
        return Unpacked(root, _json(archive, manifest["Config"])["config"])


def _json(archive: tarfile.TarFile, name: str) -> Any:
    stream = archive.extractfile(name)
    assert stream is not None
    return json.load(stream)


@contextlib.contextmanager
def running(image: Unpacked, log: Path, *arguments: str) -> Iterator[Program]:
    with log.open("wb") as stream:
        process = subprocess.Popen([*image.command, *arguments], stdin=subprocess.DEVNULL, stderr=stream)
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()


def test_the_same_inputs_give_the_same_image(order: ImageOrder, tmp_path: Path) -> None:
    assert not make(order, str(tmp_path / "again.log")), "it is there"
    anew = replace(order, cache_dir=str(tmp_path), dir=str(tmp_path / "bundles/controller"))
    assert make(anew, str(tmp_path / "anew.log"))
    first, second = (Hasher().sha256(f"{item.dir}/images/controller.tar") for item in (order, anew))
    assert first == second


def test_it_is_small_and_holds_no_tools(image: Unpacked) -> None:
    size = sum(path.stat().st_size for path in image.root.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 140 << 20
    assert {path.name for path in (image.root / "usr/bin").iterdir()} == {"python3.13"}
    assert not list(image.root.rglob("pip")), "what makes an image is not in it"
    assert (image.root / "usr/share/doc/libc6/copyright").is_file()
    assert (image.root / "var/lib/dpkg/status.d/libssl3t64").is_file(), "scanners look there"


def test_its_program_works_as_in_a_pod(image: Unpacked, ground: Ground, tmp_path: Path) -> None:
    assert image.config["User"] == "65532:65532"
    kubeconfig = image.root / "kubeconfig"
    shutil.copyfile(ground.kubeconfig, kubeconfig)
    os.chown(kubeconfig, 65532, 65532)
    kubeconfig.chmod(0o400)
    arguments = ("--kubeconfig=/kubeconfig", "--metrics-address=127.0.0.1:0", "--identity=image", "--namespace=default")
    with running(image, tmp_path / "controller.log", *arguments) as program:
        eventually("it knows the cluster", lambda: program.page("/readyz") == (200, "ok\n"), 60)
        eventually("it leads", program.leads, 30)
        assert program.page("/healthz") == (200, "ok\n")
        assert 'kamaji_build_info{version="' in program.page("/metrics")[1]
        status = Path(f"/proc/{program.process.pid}/status").read_text(encoding="utf-8")
        assert "Uid:\t65532\t65532\t65532\t65532" in status
        assert program.end() == 0
    assert list(image.root.rglob("*.pyc")), "it starts without compiling"
