# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers and archives, static binaries, the live log."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle import images
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gobuild import require_static
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.images import Entry, ImageConfig, write_archive, write_layer
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import STEP_MARK, ProgressLog, duration_text

# What `setcap cap_net_bind_service=ep FILE` and `getfattr -e hex -n security.capability FILE` give on Debian 12.
NET_BIND_SERVICE = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture(name="program")
def program_fixture(tmp_path: Path) -> Path:
    program = tmp_path / "program"
    program.write_bytes(b"program" * 100)
    return program


def test_a_layer_is_the_same_every_time(tmp_path: Path, program: Path) -> None:
    entries = [Entry("/usr/local/bin/a", source=str(program)), Entry("/usr/local/bin/b", link_to="/usr/local/bin/a")]
    first = write_layer(entries, str(tmp_path / "1"))
    program.touch()
    second = write_layer(entries, str(tmp_path / "2"))
    assert (first.digest, first.diff_id) == (second.digest, second.diff_id)
    packed = (tmp_path / "1").read_bytes()
    assert first.digest == hashlib.sha256(packed).hexdigest()
    assert first.diff_id == hashlib.sha256(gzip.decompress(packed)).hexdigest()


def test_a_layer_holds_folders_links_and_the_capability(tmp_path: Path, program: Path) -> None:
    entries = [
        Entry("/usr/bin/a", source=str(program), net_bind_service=True),
        Entry("/usr/bin/b", link_to="/usr/bin/a"),
        Entry("/tmp/.keep", mode=0o644),
    ]
    write_layer(entries, str(tmp_path / "layer"))
    with tarfile.open(tmp_path / "layer") as archive:
        found = {info.name: info for info in archive}
        content = archive.extractfile("usr/bin/a")
        assert content is not None
        assert content.read() == program.read_bytes()
    assert list(found) == ["tmp", "usr", "usr/bin", "usr/bin/a", "usr/bin/b", "tmp/.keep"]
    assert (found["tmp"].mode, found["usr"].mode, found["usr/bin/a"].mode) == (0o1777, 0o755, 0o755)
    assert found["usr/bin/b"].linkname == "usr/bin/a"
    assert found["usr/bin/a"].pax_headers["SCHILY.xattr.security.capability"].encode() == NET_BIND_SERVICE
    assert {(info.uid, info.gid, info.mtime) for info in found.values()} == {(0, 0, 0)}


def test_an_archive_names_its_image(tmp_path: Path, program: Path) -> None:
    layer = write_layer([Entry("/program", source=str(program))], str(tmp_path / "layer"))
    path = tmp_path / "image.tar"
    config = ImageConfig("amd64", ("/program",), "65532:65532")
    write_archive(str(path), "registry.k8s.io/pause:3.10.2", config, [layer, layer])
    once = path.read_bytes()
    write_archive(str(path), "registry.k8s.io/pause:3.10.2", config, [layer, layer])
    assert path.read_bytes() == once
    with tarfile.open(fileobj=io.BytesIO(once)) as archive:
        assert len(archive.getnames()) == 3
        manifest = json.loads((archive.extractfile("manifest.json") or io.BytesIO()).read())[0]
        settings = json.loads((archive.extractfile(manifest["Config"]) or io.BytesIO()).read())
    assert manifest["RepoTags"] == ["registry.k8s.io/pause:3.10.2"]
    assert manifest["Layers"] == [f"{layer.digest}.tar.gz"] * 2
    assert settings["rootfs"]["diff_ids"] == [f"sha256:{layer.diff_id}"] * 2
    assert (settings["config"]["User"], settings["config"]["Entrypoint"]) == ("65532:65532", ["/program"])


# ldd /usr/sbin/nft on Debian 12 (nftables 1.0.6), shortened.
LDD = """\tlinux-vdso.so.1 (0x00007ffc4a5f2000)
\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f6b7e0a0000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6b7deae000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f6b7e1c5000)
"""


def test_nft_comes_with_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_tool", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(images, "run_tool", lambda command: LDD)
    paths = [entry.path for entry in images.nft_entries()]
    assert paths == [
        "/usr/sbin/nft",
        "/etc/protocols",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libnftables.so.1",
        "/lib64/ld-linux-x86-64.so.2",
    ]


def test_missing_nft_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_tool", lambda name: None)
    with pytest.raises(HostedKubernetesError, match="install the package nftables"):
        images.nft_entries()


def test_a_failing_tool_is_quoted() -> None:
    with pytest.raises(HostedKubernetesError, match="sh -c echo no; exit 3 ended with 3: no"):
        images.run_tool(["sh", "-c", "echo no; exit 3"])


def elf(*kinds: int) -> bytes:
    """A 64-bit ELF header with program headers of these types behind it."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0)
    return header + b"".join(struct.pack("<I", kind) + bytes(52) for kind in kinds)


def test_static_binaries_pass(tmp_path: Path) -> None:
    (tmp_path / "static").write_bytes(elf(1, 4))
    require_static(str(tmp_path / "static"))


@pytest.mark.parametrize(("content", "message"), [(elf(1, 3), "dynamically linked"), (b"#!/bin/sh\n", "not a 64-bit ELF binary")])
def test_others_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "program").write_bytes(content)
    with pytest.raises(HostedKubernetesError, match=message):
        require_static(str(tmp_path / "program"))


def test_progress_is_written_now_and_then(tmp_path: Path) -> None:
    seconds = iter([0.0, 5.0, 16.0, 16.0, 20.0])
    path = tmp_path / "log" / "bundle.log"
    with ProgressLog(str(path), lambda: next(seconds)) as log:
        log.output("a line\n")
        log.progress("too early")
        log.progress("after a while")
        log.progress("too early again")
    assert path.read_text() == f"a line\n{STEP_MARK}after a while\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 5 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
