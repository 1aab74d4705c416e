# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image archives without a registry or an engine: deterministic layers and docker-archive files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

# struct vfs_cap_data, revision 2 with the effective bit, permitted = CAP_NET_BIND_SERVICE (10): see capabilities(7).
_NET_BIND_SERVICE = (b"\x01\x00\x00\x02" + (1 << 10).to_bytes(4, "little") + b"\x00" * 12).decode("ascii")
_CAPABILITY_RECORD = "SCHILY.xattr.security.capability"
_BLOCK = 1 << 20
# A little slower to make than level 1, a third smaller than it, and as fast to unpack.
_GZIP_LEVEL = 5
_EPOCH = "1970-01-01T00:00:00Z"
_LDD_LIBRARY = re.compile(r"(?:=>\s*|^\s*)(/\S+)\s+\(0x[0-9a-f]+\)", re.MULTILINE)
_PASSWD = (
    "root:x:0:0:root:/root:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    "nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n"
)
# nft prints a protocol's number when it does not know its name, and kube-proxy, which reads its rules back when it starts, looks for the name.
_PROTOCOLS = "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n"
_GROUP = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"


@dataclass(frozen=True)
class Entry:
    """One file of a layer: its absolute path in the image and where the content comes from (source file, data, hard or symbolic link)."""

    path: str
    source: str = ""
    data: bytes = b""
    link_to: str = ""
    symlink_to: str = ""
    mode: int = 0o755
    net_bind_service: bool = False


@dataclass(frozen=True)
class LayerFile:
    """A written layer: file on disk, SHA-256 of the compressed file and (diff_id) of the tar inside."""

    path: str
    digest: str
    diff_id: str


@dataclass(frozen=True)
class ImageConfig:
    """What the image's configuration says."""

    arch: str
    entrypoint: tuple[str, ...]
    user: str = ""


class _HashingWriter(io.RawIOBase):
    """Passes bytes on and keeps their SHA-256."""

    def __init__(self, target: IO[bytes]) -> None:
        super().__init__()
        self._target = target
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self._target.write(data)
        return len(data)


def write_layer(entries: Iterable[Entry], path: str) -> LayerFile:
    """Write entries as one gzip-compressed layer to path. Same entries give the same bytes: owner root, time 0, sorted folders."""
    with open(path, "wb") as stream:
        outer = _HashingWriter(stream)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=cast("IO[bytes]", outer), mtime=0) as packed:
            inner = _HashingWriter(cast("IO[bytes]", packed))
            with tarfile.open(fileobj=cast("IO[bytes]", inner), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK) as archive:
                _add_entries(archive, list(entries))
    return LayerFile(path, outer.sha256.hexdigest(), inner.sha256.hexdigest())


def _add_entries(archive: tarfile.TarFile, entries: Sequence[Entry]) -> None:
    folders: set[str] = set()
    for entry in entries:
        parts = entry.path.strip("/").split("/")[:-1]
        folders.update("/".join(parts[: length + 1]) for length in range(len(parts)))
    for folder in sorted(folders):
        archive.addfile(_info(folder, 0o1777 if folder == "tmp" else 0o755, tarfile.DIRTYPE))
    for entry in entries:
        _add_entry(archive, entry)


def _add_entry(archive: tarfile.TarFile, entry: Entry) -> None:
    info = _info(entry.path.strip("/"), entry.mode, tarfile.REGTYPE)
    if entry.net_bind_service:
        info.pax_headers = {_CAPABILITY_RECORD: _NET_BIND_SERVICE}
    if entry.link_to:
        info.type, info.linkname = tarfile.LNKTYPE, entry.link_to.strip("/")
        archive.addfile(info)
    elif entry.symlink_to:
        info.type, info.linkname = tarfile.SYMTYPE, entry.symlink_to
        archive.addfile(info)
    elif entry.source:
        info.size = os.stat(entry.source).st_size
        with open(entry.source, "rb") as content:
            archive.addfile(info, content)
    else:
        info.size = len(entry.data)
        archive.addfile(info, io.BytesIO(entry.data))


def _info(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.mtime = mode, kind, 0
    return info


def tree_entries(root: str) -> list[Entry]:
    """Return all files and symbolic links below a folder, sorted, at the same paths. Of modes only whether a file can be run is kept."""
    entries = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            source = os.path.join(folder, name)
            path = source[len(root) :]
            if os.path.islink(source):
                entries.append(Entry(path, symlink_to=os.readlink(source), mode=0o777))
            else:
                entries.append(Entry(path, source=source, mode=0o755 if os.stat(source).st_mode & stat.S_IXUSR else 0o644))
    return sorted(entries, key=lambda entry: entry.path)


def base_entries() -> list[Entry]:
    """Return what every image starts with: the users upstream's base image knows and a world-writable /tmp."""
    return [
        Entry("/etc/passwd", data=_PASSWD.encode(), mode=0o644),
        Entry("/etc/group", data=_GROUP.encode(), mode=0o644),
        Entry("/tmp/.keep", mode=0o644),
    ]


def nft_entries() -> list[Entry]:
    """Return nft of this machine with the names of protocols and the shared libraries it needs, at the paths its loader looks them up.

    Raises HostedKubernetesError when nft is not installed.
    """
    nft = find_tool("nft")
    if nft is None:
        raise HostedKubernetesError(
            "nft was not found; kube-proxy's and flannel's images need it: install the package nftables (apt-get install nftables, dnf install nftables)"
        )
    listing = run_tool(["ldd", nft])
    libraries = sorted({match.group(1) for match in _LDD_LIBRARY.finditer(listing)})
    return [
        Entry("/usr/sbin/nft", source=os.path.realpath(nft)),
        Entry("/etc/protocols", data=_PROTOCOLS.encode(), mode=0o644),
        *(Entry(path, source=os.path.realpath(path)) for path in libraries),
    ]


def nft_version() -> str:
    """Return the version that nft of this machine reports, such as 1.0.6."""
    nft = find_tool("nft")
    words = run_tool([nft, "--version"]).split() if nft else []
    return words[1].lstrip("v") if len(words) > 1 else "unknown"


def find_tool(name: str) -> str | None:
    """Return the path of a tool, looking into the sbin folders too (an ordinary user's PATH lacks them)."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]))


def run_tool(command: Sequence[str]) -> str:
    """Run a short command and return its output. Raises HostedKubernetesError with what it said."""
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False, env=environment)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise HostedKubernetesError(f"{' '.join(command)} ended with {done.returncode}: {text.strip()[-500:]}")
    return text


def write_archive(path: str, reference: str, config: ImageConfig, layers: Sequence[LayerFile]) -> None:
    """Write a docker-archive that `ctr images import` and `docker load` read, atomically and the same for the same input."""
    config_text = _compact(
        {
            "architecture": config.arch,
            "os": "linux",
            "created": _EPOCH,
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Entrypoint": list(config.entrypoint),
                "User": config.user,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": "hosted.kubernetes bundle"} for _layer in layers],
        }
    )
    write_raw_archive(path, reference, config_text, [(layer.path, layer.digest) for layer in layers])


def write_raw_archive(path: str, reference: str, config: bytes, layers: Sequence[tuple[str, str]]) -> None:
    """Write a docker-archive from a ready configuration and ready layers: (file, SHA-256 of the file)."""
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = _compact([{"Config": config_name, "RepoTags": [reference], "Layers": [f"{digest}.tar.gz" for _file, digest in layers]}])
    partial = f"{path}.part"
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        _add_entry(archive, Entry("manifest.json", data=manifest, mode=0o644))
        _add_entry(archive, Entry(config_name, data=config, mode=0o644))
        seen: dict[str, str] = {digest: file for file, digest in layers}
        for digest, file in seen.items():
            _add_entry(archive, Entry(f"{digest}.tar.gz", source=file, mode=0o644))
    os.chmod(partial, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
    os.replace(partial, path)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
