# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling images with the OCI distribution API into docker-archive files.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md; tokens as in https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.download import attempt, open_url
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.images import write_raw_archive
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.pins import Pins
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import Spec

_INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Reference:
    """A reference in parts: registry.k8s.io/coredns/coredns:v1.14.2."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        name, _colon, tag = text.rpartition(":")
        registry, _slash, repository = name.partition("/")
        if not (registry and repository and tag) or "/" in tag:
            raise HostedKubernetesError(f'image "{text}": not of the form registry/repository:tag')
        return cls(registry, repository, tag)


class Registry:
    """One repository of a registry, read anonymously."""

    def __init__(self, base_url: str, repository: str) -> None:
        self._base = f"{base_url}/v2/{repository}"
        self._token: str | None = None

    def manifest(self, name: str) -> tuple[dict[str, Any], str]:
        """Return a manifest or index by tag or digest, and its digest, which is computed from what was received."""
        url = f"{self._base}/manifests/{name}"
        text = attempt(url, lambda: self._read(url, accept=", ".join(_INDEX_TYPES + _MANIFEST_TYPES)))
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        if name.startswith("sha256:") and name != digest:
            raise _differs(url, name, digest)
        parsed: dict[str, Any] = json.loads(text)
        return parsed, digest

    def blob(self, digest: str, path: str) -> None:
        """Fetch a blob into path. Raises HostedKubernetesError when its content has another digest."""
        url = f"{self._base}/blobs/{digest}"
        found = attempt(url, lambda: self._copy(url, path))
        if found != digest:
            os.unlink(path)
            raise _differs(url, digest, found)

    def _copy(self, url: str, path: str) -> str:
        sha256 = hashlib.sha256()
        with self._open(url, "*/*") as response, open(path, "wb") as stream:
            for block in iter(lambda: response.read(_BLOCK), b""):
                sha256.update(block)
                stream.write(block)
        return f"sha256:{sha256.hexdigest()}"

    def _read(self, url: str, accept: str) -> str:
        with self._open(url, accept) as response:
            body: bytes = response.read()
            return body.decode("utf-8")

    def _open(self, url: str, accept: str) -> Any:
        try:
            return open_url(url, self._headers(accept))
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "") if error.code == 401 and self._token is None else ""
            if not challenge.lower().startswith("bearer"):
                raise
            self._token = _fetch_token(challenge)
            return open_url(url, self._headers(accept))

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def pull(spec: Spec, image: str, path: str, *, work: str, pins: Pins, log: ProgressLog) -> str:
    """Pull an image of the bundle's architecture into a docker-archive.

    image: reference as upstream writes it; the registry's base URL comes from spec.registries. work: a folder for blobs.
    Returns the source text: base URL, repository and digest of what the tag points to.
    Raises HostedKubernetesError for a digest that differs and for an image that lacks the architecture.
    """
    reference = Reference.parse(image)
    base_url = spec.registries.get(reference.registry, f"https://{reference.registry}")
    registry = Registry(base_url, reference.repository)
    manifest, digest = registry.manifest(reference.tag)
    pins.check(image, digest)
    if "manifests" in manifest:
        manifest, _own = registry.manifest(_pick(manifest["manifests"], spec.arch, image))
    config = os.path.join(work, "config")
    registry.blob(manifest["config"]["digest"], config)
    layers: list[tuple[str, str]] = []
    for layer in manifest["layers"]:
        file = os.path.join(work, layer["digest"].partition(":")[2])
        if not os.path.exists(file):
            registry.blob(layer["digest"], file)
        layers.append((file, layer["digest"].partition(":")[2]))
    with open(config, "rb") as stream:
        write_raw_archive(path, image, stream.read(), layers)
    log.step(f"pulled {image} from {base_url}, {digest}")
    return f"{base_url}/{reference.repository}@{digest}"


def _pick(manifests: list[dict[str, Any]], arch: str, image: str) -> str:
    for entry in manifests:
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", arch):
            digest: str = entry["digest"]
            return digest
    there = ", ".join(sorted({str(entry.get("platform", {}).get("architecture")) for entry in manifests}))
    raise HostedKubernetesError(f"image {image}: has no variant for linux/{arch} (it has: {there}); choose another version or bundle_arch")


def _fetch_token(challenge: str) -> str:
    fields = dict(_CHALLENGE.findall(challenge))
    query = urllib.parse.urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
    url = f"{fields.get('realm', '')}?{query}"
    if not url.startswith(("http://", "https://")):
        raise HostedKubernetesError(f'registry: asks for a token from "{url}", which is no http(s) URL; check bundle_registries')
    with open_url(url) as response:
        answer: dict[str, str] = json.loads(response.read())
    return answer.get("token") or answer.get("access_token") or ""


def _differs(url: str, expected: str, found: str) -> HostedKubernetesError:
    return HostedKubernetesError(
        f"{url}: expected digest {expected}, found {found}; nothing was taken over; run again, or set bundle_registries to another mirror",
        file=url,
        expected=expected,
        found=found,
    )
