# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host: what is compared, what travels, what is linked, and what a failure leaves."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.files import WantedDirectory, WantedFile

BINARY = b"one binary, many names"
DIGEST = hashlib.sha256(BINARY).hexdigest()


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A staged artefact, as the action plugin leaves it."""
    folder = tmp_path / "ansible-tmp-1"
    folder.mkdir()
    path = folder / DIGEST
    path.write_bytes(BINARY)
    return path


def run(wanted: list[WantedFile], sources: dict[str, str], directories: list[WantedDirectory] | None = None) -> list[str]:
    changes, present = files.plan(directories or [], wanted, [])
    files.apply(changes, directories or [], wanted, {**present, **sources})
    return [f"{change.action} {os.path.basename(change.path)}" for change in changes]


def test_first_run_writes_and_second_changes_nothing(tmp_path: Path, stage: Path) -> None:
    wanted = [
        WantedFile(str(tmp_path / "bin/kubelet"), 0o755, sha256=DIGEST),
        WantedFile(str(tmp_path / "etc/unit"), 0o644, content=b"[Unit]\n"),
    ]
    directories = [WantedDirectory(str(tmp_path / "var/lib"), 0o750)]

    assert run(wanted, {DIGEST: str(stage)}, directories) == ["directory lib", "content kubelet", "content unit"]
    assert run(wanted, {}, directories) == []
    assert (tmp_path / "bin/kubelet").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "var/lib").stat().st_mode & 0o7777 == 0o750
    assert sorted(os.listdir(tmp_path / "bin")) == ["kubelet"]


def test_one_binary_under_two_names_travels_once_and_is_linked(tmp_path: Path, stage: Path) -> None:
    wanted = [WantedFile(str(tmp_path / name), 0o755, sha256=DIGEST) for name in ("kubelet", "kubeadm")]
    changes, present = files.plan([], wanted, [])
    assert files.missing_artefacts(changes, wanted, present) == [DIGEST]

    run(wanted, {DIGEST: str(stage)})
    assert (tmp_path / "kubelet").stat().st_ino == (tmp_path / "kubeadm").stat().st_ino
    assert (tmp_path / "kubelet").stat().st_ino != stage.stat().st_ino


def test_a_vanished_name_is_linked_from_the_other_without_travelling(tmp_path: Path, stage: Path) -> None:
    wanted = [WantedFile(str(tmp_path / name), 0o755, sha256=DIGEST) for name in ("kubelet", "kubeadm")]
    run(wanted, {DIGEST: str(stage)})
    (tmp_path / "kubelet").unlink()
    changes, present = files.plan([], wanted, [])

    assert files.missing_artefacts(changes, wanted, present) == []
    assert run(wanted, {}) == ["content kubelet"]
    assert (tmp_path / "kubelet").read_bytes() == BINARY


def test_a_path_that_is_about_to_change_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BINARY)
    wanted = [WantedFile(str(tmp_path / "a"), 0o755, sha256="0" * 64), WantedFile(str(tmp_path / "b"), 0o755, sha256=DIGEST)]
    changes, present = files.plan([], wanted, [])
    assert files.missing_artefacts(changes, wanted, present) == ["0" * 64, DIGEST]


def test_only_the_mode_differs(tmp_path: Path) -> None:
    path = tmp_path / "unit"
    path.write_bytes(b"x")
    path.chmod(0o600)
    assert run([WantedFile(str(path), 0o644, content=b"x")], {}) == ["mode unit"]
    assert path.stat().st_mode & 0o7777 == 0o644


def test_a_symbolic_link_is_replaced_by_the_file(tmp_path: Path, stage: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(BINARY)
    (tmp_path / "kubectl").symlink_to(tmp_path / "elsewhere")
    run([WantedFile(str(tmp_path / "kubectl"), 0o755, sha256=DIGEST)], {DIGEST: str(stage)})
    assert not (tmp_path / "kubectl").is_symlink()


def test_a_wrong_checksum_leaves_the_old_file(tmp_path: Path, stage: Path) -> None:
    target = tmp_path / "kubelet"
    target.write_bytes(b"old")
    stage.write_bytes(b"changed on the way")
    with pytest.raises(HostedKubernetesError, match="kubelet: the bundle file has SHA-256"):
        run([WantedFile(str(target), 0o755, sha256=DIGEST)], {DIGEST: str(stage)})
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["ansible-tmp-1", "kubelet"]


def test_text_that_its_program_refuses_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "config.toml"
    target.write_bytes(b"good")
    with pytest.raises(HostedKubernetesError, match=r"config.toml: the new content is refused by grep"):
        run([WantedFile(str(target), 0o644, content=b"bad", validate="grep good %s")], {})
    assert target.read_bytes() == b"good"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_unused: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HostedKubernetesError, match="kubelet: no space left on the device; free some and run again"):
        run([WantedFile(str(tmp_path / "kubelet"), 0o755, sha256=DIGEST)], {DIGEST: str(tmp_path)})


def test_removes_files_and_folders_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"")
    absent = [str(tmp_path / "folder"), str(tmp_path / "never")]
    changes, _unused = files.plan([], [], absent)
    assert [change.path for change in changes] == absent[:1]
    files.apply(changes, [], [], {})
    assert files.plan([], [], absent)[0] == []


def test_diff_shows_text_and_only_checksums_of_binaries(tmp_path: Path) -> None:
    wanted = [WantedFile(str(tmp_path / "kubelet"), 0o755, sha256=DIGEST), WantedFile(str(tmp_path / "unit"), 0o644, content=b"new\n")]
    (tmp_path / "unit").write_bytes(b"old\n")
    changes, _unused = files.plan([], wanted, [])
    shown = files.diff(changes, wanted)
    assert "old" in shown["before"]
    assert "new" in shown["after"]
    assert f"sha256 {DIGEST}" in shown["after"]


@pytest.mark.parametrize("raw", [{"content": "x", "sha256": DIGEST}, {}])
def test_a_file_has_one_origin(raw: dict[str, str]) -> None:
    with pytest.raises(HostedKubernetesError, match="either content or artefact"):
        files.parse_file({"path": "/x", "mode": "0644", **raw})
