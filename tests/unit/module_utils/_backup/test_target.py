# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How backups are called and kept, and how they come into a directory."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.directory import DirectoryTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError

NOW = datetime(2026, 11, 28, 5, 0, 9, tzinfo=UTC)
NAME = "team-a_acme_20261128T050009Z.hkbackup"


def test_names() -> None:
    assert target.name_of("team-a", "acme", NOW) == NAME
    assert target.is_name(NAME)
    for other in (f".{NAME}.partial", "team-a_acme.hkbackup", "notes.txt", f"{NAME}.bak", f"x/{NAME}"):
        assert not target.is_name(other)


def test_whose_backup_it_is() -> None:
    assert target.tenant_of(NAME) == ("team-a", "acme")
    assert target.tenant_of("notes.txt") is None


def test_snapshots_of_stores_have_names_of_their_own() -> None:
    name = "default_20261128T050009Z.snapshot.db"
    assert target.snapshot_name("default", NOW) == name
    assert target.is_name(name)
    assert target.tenant_of(name) is None
    assert {target.series_of(item) for item in (name, "default_20261129T050009Z.snapshot.db")} == {"store default"}
    assert target.series_of(NAME) == "tenant team-a/acme"
    assert target.series_of("notes.txt") is None
    older = "default_20251128T050009Z.snapshot.db"
    others = ["default-2_20241128T050009Z.snapshot.db", NAME, "default_notes.snapshot.db"]
    assert target.of_store([name, *others, older], "default") == [older, name]
    assert target.of_tenant([name, *others, older], "team-a", "acme") == [NAME]


@pytest.mark.parametrize(("keep", "gone"), [(0, []), (1, ["1", "2"]), (2, ["1"]), (3, []), (9, [])])
def test_retention_counts_each_tenant_alone(keep: int, gone: list[str]) -> None:
    own = {number: f"team-a_acme_2026112{number}T050009Z.hkbackup" for number in "123"}
    others = ["team-a_acme-2_20261101T050009Z.hkbackup", "team_acme_20261101T050009Z.hkbackup", "team-a_acme_notes.txt"]
    found = target.superfluous([*others, own["3"], own["1"], own["2"]], "team-a", "acme", keep)
    assert found == [own[number] for number in gone]


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    place = DirectoryTarget(str(tmp_path / "new" / "backups"))
    assert place.names() == []
    with place.create(NAME) as sink:
        sink.write(b"one")
        assert place.names() == []
    assert place.names() == [NAME]
    path = tmp_path / "new" / "backups" / NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with place.open(NAME) as source:
        place.delete(NAME)
        assert source.read(9) == b"one"
        source.rewind()
        assert source.read(2) == b"on"
    place.delete(NAME)
    assert os.listdir(path.parent) == []


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    place = DirectoryTarget(str(tmp_path))

    def fail() -> None:
        with place.create(NAME) as sink:
            sink.write(b"one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == []


def test_leftovers_of_killed_runs_go_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    place = DirectoryTarget(str(tmp_path))
    dead, foreign = tmp_path / ".team-b_blue_20261128T050009Z.hkbackup.partial", tmp_path / ".something.partial"
    for path in (dead, foreign):
        path.write_bytes(b"x")
    with place.create("team-c_red_20261128T050009Z.hkbackup") as alive:
        alive.write(b"1")
        assert not dead.exists()
        with place.create(NAME) as sink:
            sink.write(b"2")
    assert place.names() == [NAME, "team-c_red_20261128T050009Z.hkbackup"]
    assert foreign.exists()


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    place = DirectoryTarget(str(tmp_path))
    (tmp_path / NAME).write_bytes(b"first")
    with pytest.raises(BackupError, match="another run wrote it in the same second"), place.create(NAME) as sink:
        sink.write(b"second")
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"first"


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(BackupError, match=r"cannot read .*: No such file or directory; there is no such file; correct the name"),
        DirectoryTarget(str(tmp_path)).open(NAME),
    ):
        pass
    with pytest.raises(BackupError, match=r"cannot list .*: Not a directory"):
        DirectoryTarget(str(tmp_path / "file")).names()
    with pytest.raises(BackupError, match=r"cannot write .*; correct"), DirectoryTarget(str(tmp_path / "file")).create(NAME):
        pass
    with pytest.raises(BackupError, match="No space left on device; the disk is full; make room or lower keep"):
        fill(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def fill(directory: Path) -> None:
    """The kernel's own full device stands in for a file on a full disk."""
    with DirectoryTarget(str(directory)).create(NAME) as sink:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, sink.fileno())
        os.close(full)
        sink.write(b"x" * 100_000)
