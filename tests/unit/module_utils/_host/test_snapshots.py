# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a host's files: taken once, put back exactly, whatever a killed run left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import snapshots
from ansible_collections.hosted.kubernetes.plugins.modules import host_snapshot
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module


class Host:
    """A program under two names, a configuration, a folder of registries, and a file that is not there."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder / "snapshots")
        self.program, self.second = folder / "bin/kubelet", folder / "bin/kubectl"
        self.config, self.registries, self.absent = folder / "config.yaml", folder / "certs.d", folder / "new"
        self.program.parent.mkdir()
        self.program.write_bytes(b"old program" * 1000)
        self.program.chmod(0o755)
        os.link(self.program, self.second)
        self.config.write_text("old: true\n")
        self.config.chmod(0o600)
        (self.registries / "docker.io").mkdir(parents=True)
        (self.registries / "docker.io/hosts.toml").write_text("old\n")
        self.before = self.state()

    @property
    def paths(self) -> list[str]:
        return [str(path) for path in (self.program, self.second, self.config, self.registries, self.absent)]

    def take(self, **facts: object) -> None:
        snapshots.take("upgrade", self.paths, facts, self.root)

    def upgrade(self) -> None:
        """As host_files does it: new files by rename, others in place."""
        new = self.program.with_suffix(".new")
        new.write_bytes(b"new program")
        new.chmod(0o750)
        new.replace(self.program)
        self.second.unlink()
        self.config.write_text("new: true\n")
        (self.registries / "quay.io").mkdir()
        (self.registries / "quay.io/hosts.toml").write_text("new\n")
        self.absent.write_text("new\n")

    def state(self) -> dict[str, tuple[int, bytes]]:
        every = [self.program, self.second, self.config, self.absent, *sorted(self.registries.rglob("*.toml"))]
        return {str(path): (path.stat().st_mode, path.read_bytes()) for path in every if path.exists()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_all_is_put_back_as_it_was(host: Host) -> None:
    host.take(version="v1.36.3")
    host.upgrade()
    assert host.state() != host.before
    changed = snapshots.restore("upgrade", host.root)
    assert host.state() == host.before
    assert sorted(changed) == sorted(
        map(str, (host.program, host.second, host.config, host.absent, host.registries / "quay.io/hosts.toml"))
    )
    assert snapshots.restore("upgrade", host.root) == []


def test_a_program_of_two_names_is_kept_once(host: Host) -> None:
    host.take()
    kept = [path for path in Path(host.root, "upgrade").iterdir() if path.name != "manifest.json"]
    assert len(kept) == 3
    assert Path(host.root).stat().st_mode & 0o077 == 0


def test_what_is_there_is_not_taken_again(host: Host) -> None:
    """The next run after one that was killed in the middle of an upgrade must not keep half of it."""
    host.take(version="v1.36.3")
    host.upgrade()
    host.take(version="v1.37.2")
    found = snapshots.read("upgrade", host.root)
    assert found is not None
    assert found.facts == {"version": "v1.36.3"}
    snapshots.restore("upgrade", host.root)
    assert host.state() == host.before


def test_one_that_was_killed_while_it_was_taken_is_none(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        host.take()
    monkeypatch.undo()
    assert snapshots.read("upgrade", host.root) is None
    host.take(version="v1.36.3")
    assert snapshots.read("upgrade", host.root) is not None
    assert os.listdir(host.root) == ["upgrade"]


@pytest.mark.parametrize("number", range(5))
def test_a_restore_that_was_killed_is_completed(host: Host, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    host.take()
    host.upgrade()
    real, calls = snapshots._put_back, iter(range(10))

    def kill_after(*arguments: object) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "_put_back", kill_after)
    with pytest.raises(KeyboardInterrupt):
        snapshots.restore("upgrade", host.root)
    monkeypatch.undo()
    snapshots.restore("upgrade", host.root)
    assert host.state() == host.before


def test_a_damaged_copy_is_told_before_a_file_is_touched(host: Host) -> None:
    host.take()
    host.upgrade()
    upgraded = host.state()
    Path(host.root, "upgrade/0").write_bytes(b"damaged")
    with pytest.raises(HostedKubernetesError, match=r"the copy of \S+ is damaged; put that file back by hand"):
        snapshots.restore("upgrade", host.root)
    assert host.state() == upgraded


def test_one_that_cannot_be_read_is_no_reason_to_take_another(host: Host) -> None:
    host.take()
    Path(host.root, "upgrade/manifest.json").write_text("{")
    with pytest.raises(HostedKubernetesError, match="this snapshot cannot be read"):
        host.take()


def test_no_room_leaves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HostedKubernetesError, match="no space left on the device; free some and run again"):
        host.take()
    assert os.listdir(host.root) == []


def test_the_module_climbs_its_ladder(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (snapshots.read, snapshots.take, snapshots.restore, snapshots.remove):
        monkeypatch.setattr(function, "__defaults__", (host.root,))

    def run(state: str, *, check: bool = False) -> dict[str, object]:
        given = {"name": "upgrade", "state": state, "paths": host.paths, "facts": {"version": "v1.36.3"}}
        return run_module(host_snapshot.main, given, check=check)

    assert run("read")["facts"] is None
    for state in ("present", "restored", "absent"):
        if state == "restored":
            assert not run(state)["changed"]
            host.upgrade()
        foreseen, done = run(state, check=True), run(state)
        assert foreseen == done
        assert done["changed"]
        if state != "absent":
            assert run("read")["facts"] == {"version": "v1.36.3"}
        assert not run(state if state != "absent" else "read")["changed"]
    assert host.state() == host.before
    assert run("read")["facts"] is None
    assert not run("absent")["changed"]
    with pytest.raises(ModuleFailedError, match="there is no snapshot to go back to"):
        run("restored")
