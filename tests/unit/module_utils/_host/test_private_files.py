# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with keys: private at every moment, and nothing of them left over when the disk is full."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import private_files

TOO_MUCH = b"key" * 100_000


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A directory that takes small files only: a tiny file system of its own, or a limit where none can be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        yield tmp_path
        subprocess.run(["umount", str(tmp_path)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    assert private_files.read(str(path)) is None
    assert not private_files.exists(str(path))
    for content in (b"one", b"two"):
        private_files.write(str(path), content)
        assert private_files.read(str(path)) == content
        assert private_files.problem(str(path)) is None
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert private_files.exists(str(path))
    for _unused in range(2):
        private_files.remove(str(path))
        assert os.listdir(path.parent) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_told_and_mended(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    path.chmod(mode)
    assert private_files.problem(str(path)) == "others may read it"
    private_files.write(str(path), b"two")
    assert private_files.problem(str(path)) is None


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"one")
    (tmp_path / "a").symlink_to("theirs")
    private_files.write(str(tmp_path / "a"), b"two")
    assert (tmp_path / "theirs").read_bytes() == b"one"
    assert private_files.read(str(tmp_path / "a")) == b"two"


def test_a_full_disk_leaves_no_key_and_the_old_file(full: Path) -> None:
    path = full / "a"
    with pytest.raises(HostedKubernetesError, match=rf"{path}: (no space left on the device; free some|File too large)"):
        private_files.write(str(path), TOO_MUCH)
    assert os.listdir(full) == []
    private_files.write(str(path), b"one")
    with pytest.raises(HostedKubernetesError, match=str(path)):
        private_files.write(str(path), TOO_MUCH)
    assert os.listdir(full) == ["a"]
    assert path.read_bytes() == b"one"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("directory", "directory: is a directory; give the path of a file"),
        ("file/below", "file/below: a part of the path is no directory; give the path of a file in a directory"),
        ("loop", "loop: Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HostedKubernetesError, match=message):
        private_files.read(str(tmp_path / name))


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    for name, message in (("file/below/a", "a part of the path is no directory"), ("directory", "is a directory; give the path of a file")):
        with pytest.raises(HostedKubernetesError, match=f"{tmp_path / name}: {message}"):
            private_files.write(str(tmp_path / name), b"one")
    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]


def test_a_directory_is_never_removed(tmp_path: Path) -> None:
    for act in (private_files.exists, private_files.remove):
        with pytest.raises(HostedKubernetesError, match="is a directory; give the path of a file"):
            act(str(tmp_path))
