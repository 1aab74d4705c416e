# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes versions: parse, compare, what belongs to which minor, and how far components may be apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

MAX_KUBELET_SKEW: Final = 3
_PATTERN: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")


@dataclass(frozen=True)
class Version:
    """A semantic version. Ordered as semver.org says: a pre-release comes before its release, build text does not count."""

    major: int
    minor: int
    patch: int
    pre_release: str = ""
    build: str = ""

    @property
    def minor_text(self) -> str:
        """Such as "1.36"."""
        return f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        pre_release = f"-{self.pre_release}" if self.pre_release else ""
        build = f"+{self.build}" if self.build else ""
        return f"v{self.major}.{self.minor}.{self.patch}{pre_release}{build}"

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __le__(self, other: Version) -> bool:
        return self._key() <= other._key()

    def __gt__(self, other: Version) -> bool:
        return other < self

    def __ge__(self, other: Version) -> bool:
        return other <= self

    def _key(self) -> tuple[int, int, int, bool, list[tuple[bool, int, str]]]:
        parts = self.pre_release.split(".") if self.pre_release else []
        identifiers = [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
        return self.major, self.minor, self.patch, not self.pre_release, identifiers


@dataclass(frozen=True)
class Companions:
    """Image tags that belong to a minor, as its kubeadm names them. For konnectivity see konnectivity.py."""

    coredns: str
    etcd: str


# From cmd/kubeadm/app/constants/constants.go of the newest patch of each minor; the golden files hold them to the letter.
COMPANIONS: Final[Mapping[str, Companions]] = {
    "1.34": Companions(coredns="v1.12.1", etcd="3.6.5-0"),
    "1.35": Companions(coredns="v1.13.1", etcd="3.6.6-0"),
    "1.36": Companions(coredns="v1.14.2", etcd="3.6.8-0"),
    "1.37": Companions(coredns="v1.14.6", etcd="3.7.0-0"),
}
SUPPORTED_MINORS: Final = tuple(COMPANIONS)
# Admission plugins that not all supported minors have: from the first to the last that has them
# (pkg/kubeapiserver/options/plugins.go). An API server does not start with a plugin it does not know.
PLUGIN_MINORS: Final[Mapping[str, tuple[int, int]]] = {
    "JobValidation": (36, 36),
    "NodeDeclaredFeatureValidator": (35, 999),
    "PodGroupProtection": (36, 999),
    "PodGroupWorkloadExists": (36, 36),
    "PodResizeValidator": (36, 999),
}


def parse_version(text: str) -> Version:
    """Parse a version such as v1.36.3, 1.36.3 or v1.37.0-rc.1+build. Raises InvalidError."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise InvalidError(f'"{text}" is not a Kubernetes version; write it in full, such as v1.36.3')
    major, minor, patch, pre_release, build = match.groups()
    return Version(int(major), int(minor), int(patch), pre_release or "", build or "")


def companions(version: str) -> Companions:
    """Return what belongs to the minor of a version. Raises InvalidError when this collection does not know that minor."""
    known = COMPANIONS.get(parse_version(version).minor_text)
    if known is None:
        raise InvalidError(f"Kubernetes {version} is not supported; use a version of {SUPPORTED_MINORS[0]} to {SUPPORTED_MINORS[-1]}")
    return known


def support_problem(version: str) -> str | None:
    """Return why this collection cannot run a version, None when it can: "too old" or "too new" and the supported range."""
    parsed = parse_version(version)
    oldest, newest = (_minor_number(minor) for minor in (SUPPORTED_MINORS[0], SUPPORTED_MINORS[-1]))
    if oldest <= (parsed.major, parsed.minor) <= newest:
        return None
    age = "old" if (parsed.major, parsed.minor) < oldest else "new"
    return f"{parsed} is too {age}; supported are {SUPPORTED_MINORS[0]} to {SUPPORTED_MINORS[-1]}"


def plugin_problem(version: str, plugin: str) -> str | None:
    """Return why an API server of a version does not start with an admission plugin, None when it does."""
    first, last = PLUGIN_MINORS.get(plugin, (0, 999))
    if first <= parse_version(version).minor <= last:
        return None
    return f"is not known to {version}; it is there {plugin_minors(plugin)}"


def plugin_minors(plugin: str) -> str:
    """Say which minors have an admission plugin that not all have: "from 1.35 on", "in 1.36 only"."""
    first, last = PLUGIN_MINORS[plugin]
    return f"in 1.{first} only" if first == last else f"from 1.{first} on"


def upgrade_problem(installed: str, wanted: str) -> str | None:
    """Return why a control plane must not go from one version to another, None when it may.

    One minor at a time and never back (https://kubernetes.io/releases/version-skew-policy/#supported-component-upgrade-order);
    within a minor every patch is allowed, an older one too, so that a bad patch can be left.
    """
    before, after = parse_version(installed), parse_version(wanted)
    step = _minors_apart(before, after)
    if step < 0:
        return f"a downgrade from {before} to {after} is not possible; create a new tenant, or stay on {before.minor_text}"
    if step > 1:
        return f"{before} to {after} skips a minor; upgrade to {before.major}.{before.minor + 1} first"
    return None


def kubelet_problem(api_server: str, kubelet: str) -> str | None:
    """Return why a kubelet must not talk to an API server of a version, None when it may.

    Not newer, and at most three minors older (https://kubernetes.io/releases/version-skew-policy/#kubelet).
    """
    server, node = parse_version(api_server), parse_version(kubelet)
    apart = _minors_apart(node, server)
    if apart < 0:
        return f"kubelet {node} is newer than the API server {server}; upgrade the control plane first"
    if apart > MAX_KUBELET_SKEW:
        return f"kubelet {node} is more than {MAX_KUBELET_SKEW} minors older than the API server {server}; upgrade the node first"
    return None


def image_tag(version: str) -> str:
    """The tag of the images of a Kubernetes version: build text is joined by "_", as "+" cannot stand in a tag."""
    return str(parse_version(version)).replace("+", "_")


def _minors_apart(older: Version, newer: Version) -> int:
    """How many minors `newer` is ahead; a change of the major counts as more than any skew allows."""
    return (newer.major - older.major) * 1000 + newer.minor - older.minor


def _minor_number(text: str) -> tuple[int, int]:
    major, _unused, minor = text.partition(".")
    return int(major), int(minor)
