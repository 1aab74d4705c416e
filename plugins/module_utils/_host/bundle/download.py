# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's files: fetched over HTTP, checked against the SHA-256 that upstream publishes beside them."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Callable

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.pins import Pins
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import Component, Download, Spec

_BLOCK = 1 << 20
_TIMEOUT_S = 60.0
_ATTEMPTS = 3
_SMALL = 1 << 20
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, socket.timeout, ConnectionError, TimeoutError)


def answers(spec: Spec, timeout_s: float) -> bool:
    """Tell whether the Kubernetes download site serves this version within timeout_s seconds."""
    url = f"{spec.urls['kubernetes']}/release/{spec.kubernetes}/bin/linux/{spec.arch}/kubeadm.sha256"
    try:
        with open_url(url, timeout_s=timeout_s) as response:
            return bool(_SHA256.search(response.read(_SMALL).decode("ascii", errors="replace")))
    except _NETWORK_ERRORS:
        return False


def open_url(url: str, headers: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> http.client.HTTPResponse:
    """Open a URL. headers go to this server only, never to one it redirects to (they may hold a token)."""
    request = urllib.request.Request(url)
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return response


def fetch_component(component: Component, out: str, pins: Pins, log: ProgressLog) -> tuple[tuple[str, str], ...]:
    """Fetch a component's downloads into out, one file per binary.

    Returns (binary, source URL) pairs.
    Raises HostedKubernetesError for a checksum that differs, a missing file and a network that fails.
    """
    sources: list[tuple[str, str]] = []
    for download in component.downloads:
        expected = published_checksum(download)
        pins.check(download.url, expected)
        path = os.path.join(out, download.binary or f".{os.path.basename(download.url)}")
        fetch(download.url, path, expected, lambda text: log.progress(f"{component.name} {component.version}: {text}"))
        log.step(f"{component.name} {component.version}: fetched {download.url}, checksum as published")
        if download.members:
            _unpack(path, download, out)
            os.unlink(path)
        names = [download.binary] if download.binary else [name for _member, name in download.members]
        for name in names:
            os.chmod(os.path.join(out, name), 0o755)
            sources.append((name, download.url))
    return tuple(sources)


def published_checksum(download: Download) -> str:
    """Return the SHA-256 upstream publishes for a download.

    Read are a bare sum, the lines of sha256sum, and lists of several files, of which the line that names the file counts.
    """
    text = read_small(download.checksum_url)
    name = os.path.basename(download.url)
    lines = [line for line in text.splitlines() if _SHA256.search(line)]
    named = [line for line in lines if line.split()[-1].lstrip("*").rpartition("/")[2] == name]
    bare = [line for line in lines if len(line.split()) == 1]
    chosen = named or (bare if len(lines) == 1 else [])
    found = _SHA256.search(chosen[0]) if chosen else None
    if found is None:
        raise HostedKubernetesError(
            f"{download.checksum_url}: holds no SHA-256 of {name}; are bundle_kubernetes_url and bundle_github_url right?"
        )
    return found.group()


def fetch(url: str, path: str, sha256: str, progress: Callable[[str], None]) -> None:
    """Fetch url into path when its SHA-256 is the given one; path never holds a part of it.

    Raises HostedKubernetesError naming URL, expected and found sum.
    """
    partial = f"{path}.part"
    found = attempt(url, lambda: _copy(url, partial, progress))
    if found != sha256:
        os.unlink(partial)
        raise HostedKubernetesError(
            f"{url}: expected SHA-256 {sha256} as published, found {found}; nothing was taken over. The file was cut or changed on its way: "
            "run again; when it stays so, ask the owner of this site or use another mirror (bundle_kubernetes_url, bundle_github_url)",
            file=url,
            expected=sha256,
            found=found,
        )
    os.replace(partial, path)


def read_small(url: str) -> str:
    """Return a small text file. Raises HostedKubernetesError."""

    def read() -> str:
        with open_url(url) as response:
            return response.read(_SMALL).decode("utf-8", errors="replace")

    return attempt(url, read)


def attempt(url: str, action: Callable[[], str]) -> str:
    """Run an action that talks to url, again when the network failed; an HTTP status below 500 is final."""
    for left in range(_ATTEMPTS - 1, -1, -1):
        try:
            return action()
        except urllib.error.HTTPError as error:
            if error.code < 500 or not left:
                raise HostedKubernetesError(
                    f"{url}: HTTP status {error.code} {error.reason}; does upstream publish this version there?"
                ) from error
        except _NETWORK_ERRORS as error:
            if not left:
                reason = getattr(error, "reason", error)
                raise HostedKubernetesError(
                    f"{url}: {reason}; check the network and proxy settings, set bundle_kubernetes_url, bundle_github_url and bundle_registries to mirrors, "
                    'or use bundle_source "go" or "directory"'
                ) from error
    raise AssertionError(url)


def _copy(url: str, partial: str, progress: Callable[[str], None]) -> str:
    sha256 = hashlib.sha256()
    done = 0
    with open_url(url) as response, open(partial, "wb") as stream:
        size = int(response.headers.get("Content-Length") or 0)
        for block in iter(lambda: response.read(_BLOCK), b""):
            sha256.update(block)
            stream.write(block)
            done += len(block)
            progress(f"{done >> 20} of {size >> 20} MiB of {url}")
    return sha256.hexdigest()


def _unpack(path: str, download: Download, out: str) -> None:
    wanted = dict(download.members)
    with tarfile.open(path) as archive:
        for info in archive:
            name = wanted.pop(info.name.removeprefix("./"), None)
            content = archive.extractfile(info) if name and info.isfile() else None
            if name and content:
                _write(os.path.join(out, name), content)
    if wanted:
        raise HostedKubernetesError(
            f"{download.url}: holds no {', '.join(sorted(wanted))}; this version is packed otherwise than the bundle role knows"
        )


def _write(path: str, content: IO[bytes]) -> None:
    with open(path, "wb") as stream:
        stream.writelines(iter(lambda: content.read(_BLOCK), b""))
