# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's image: what makes it another one, what is left out, what is said when it cannot be made. The real one: tests/integration/api."""

from __future__ import annotations

import dataclasses
import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle import debian, images, python_tree
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.controller_image import (
    PACKAGES,
    ImageOrder,
    is_current,
    make,
    problems,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import host_arch
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.store import (
    Artefact,
    Hasher,
    Manifest,
    Part,
    assemble,
)


@pytest.fixture(name="order")
def order_fixture(tmp_path: Path) -> ImageOrder:
    collection, keyring = tmp_path / "collection", tmp_path / "keyring"
    for package in PACKAGES:
        (collection / package).mkdir(parents=True)
        (collection / package / "code.py").write_text(f"# {package}\n")
    keyring.touch()
    cache = tmp_path / "cache"
    return ImageOrder(
        cache_dir=str(cache),
        dir=str(cache / "bundles/controller"),
        collection=str(collection),
        version="0.1.0",
        arch=host_arch(),
        python="3.13",
        suite="trixie",
        mirror="http://mirror.example.com/debian",
        security_mirror="",
        keyring=str(keyring),
        libraries=("PyYAML==6.0.3",),
        revision="",
    )


@pytest.mark.parametrize(
    ("changes", "python", "image"),
    [
        ({"mirror": "http://other.example.com/debian", "keyring": "/other", "cache_dir": "/other", "dir": "/other"}, False, False),
        ({"revision": "2026-12"}, True, True),
        ({"suite": "forky"}, True, True),
        ({"python": "3.14"}, True, True),
        ({"libraries": ("PyYAML==6.0.4",)}, True, True),
        ({"version": "0.2.0"}, False, True),
    ],
)
def test_what_makes_it_another_image(order: ImageOrder, changes: dict[str, object], python: bool, image: bool) -> None:
    other = dataclasses.replace(order, **changes)  # type: ignore[arg-type]
    assert (other.python_ident != order.python_ident, other.reference() != order.reference()) == (python, image)


def test_its_code_makes_it_another_image_and_what_is_compiled_does_not(order: ImageOrder) -> None:
    before, folder = order.reference(), Path(order.collection, PACKAGES[0])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/code.pyc").write_bytes(b"compiled")
    assert order.reference() == before
    (folder / "code.py").write_text("# changed\n")
    assert order.reference() != before
    with pytest.raises(HostedKubernetesError, match=r"/nowhere/.*there is no such folder; collection must be"):
        dataclasses.replace(order, collection="/nowhere").reference()


def test_it_is_current_while_it_is_what_was_ordered_and_whole(order: ImageOrder, tmp_path: Path) -> None:
    assert not is_current(order, remember=False)
    file = tmp_path / "controller.tar"
    file.write_bytes(b"image")
    artefact = Artefact("controller", "0.1.0", "image", "images/controller.tar", Hasher().sha256(str(file)), "", order.reference())
    assemble(order.dir, Manifest("any", order.arch, "", (order.python_ident, order.ident()), {}, (artefact,)), {artefact.path: str(file)})
    assert is_current(order, remember=False)
    assert make(order, str(tmp_path / "log")) is False
    assert not is_current(dataclasses.replace(order, revision="2026-12"), remember=False)
    os.unlink(f"{order.dir}/images/controller.tar")
    assert not is_current(order, remember=False)
    Path(order.dir, "images/controller.tar").write_bytes(b"other")
    with pytest.raises(HostedKubernetesError, match="the file was changed after it was made"):
        is_current(order, remember=False)


def test_what_a_machine_lacks(order: ImageOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "find_tool", lambda name: None if name == "apt-get" else f"/usr/bin/{name}")
    other = "arm64" if order.arch == "amd64" else "amd64"
    found = problems(dataclasses.replace(order, arch=other, keyring="/nowhere"))
    assert [problem.partition(";")[0].partition(",")[0] for problem in found] == [
        f"the image is made for the machine it is made on ({order.arch})",
        "apt-get was not found",
        "/nowhere: there is no such file",
    ]
    order.store.write(Part(order.python_ident, (), {}), _folder(order, "made"))
    assert problems(dataclasses.replace(order, keyring="/nowhere")) == [], "with Python in the cache no package is fetched"


def _folder(order: ImageOrder, name: str) -> str:
    path = Path(order.store.root, name)
    path.mkdir(parents=True)
    return str(path)


def test_a_mirror_that_fails_is_named_and_nothing_half_made_stays(
    order: ImageOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in (("apt-get", "echo first; echo 'E: no Release file'; exit 100"), ("apt-config", "true"), ("dpkg-deb", "true")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(HostedKubernetesError) as caught:
        make(order, str(tmp_path / "log/image.log"))
    assert (
        "apt-get update for the suite trixie of http://mirror.example.com/debian: ended with 100: first | E: no Release file"
        in caught.value.msg
    )
    assert f"(whole output: {tmp_path}/log/image.log)" in caught.value.msg
    assert [name for name in os.listdir(order.store.root) if name != ".lock"] == []
    assert not os.path.exists(order.dir)


def test_what_of_packages_and_libraries_stays(tmp_path: Path) -> None:
    site = python_tree.SITE
    kept = [
        "usr/bin/python3.13",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/python3.13/json/decoder.py",
        f"{site}/grpc/__init__.py",
        f"{site}/grpc/cygrpc.so",
        "usr/share/doc/libc6/copyright",
        "var/lib/dpkg/status.d/libc6",
        "etc/os-release",
    ]
    dropped = [
        "usr/bin/perl",
        "usr/lib/x86_64-linux-gnu/gconv/UTF-7.so",
        "usr/lib/python3.13/idlelib/run.py",
        "usr/lib/python3.13/sitecustomize.py",
        f"{site}/grpc/cygrpc.pyx",
        f"{site}/grpc/py.typed",
        f"{site}/bin/jsonpatch",
        f"{site}/jsonpatch-1.dist-info/RECORD",
        "usr/share/doc/libc6/changelog.gz",
        "usr/share/locale/de/x.mo",
        "usr/share/python-wheels/pip-25.whl",
        "var/lib/dpkg/info/x",
    ]
    for name in (*kept, *dropped):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/share/link").symlink_to("doc")
    python_tree.strip(str(tmp_path))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir() or path.is_symlink()}
    assert left == {*kept, "lib"}
    assert not (tmp_path / "usr/share/locale").exists()


def test_a_tree_becomes_a_layer_with_its_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/a.so").touch(0o700)
    (root / "usr/lib/b.py").touch(0o600)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/a.so.1").symlink_to("a.so")
    images.write_layer(images.tree_entries(str(root)), str(tmp_path / "layer"))
    with tarfile.open(tmp_path / "layer") as archive:
        found = {info.name: (info.linkname or oct(info.mode)) for info in archive if not info.isdir()}
    assert found == {"lib": "usr/lib", "usr/lib/a.so": "0o755", "usr/lib/a.so.1": "a.so", "usr/lib/b.py": "0o644"}


def test_a_suite_without_that_python_is_named(tmp_path: Path) -> None:
    with ProgressLog(str(tmp_path / "log")) as log, pytest.raises(HostedKubernetesError, match=r"is there a Python 3\.13 in this suite\?"):
        python_tree.PythonTree(str(tmp_path), "3.13", log).compile("usr/lib")
