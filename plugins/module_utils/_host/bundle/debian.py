# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder with the files of Debian packages, made without root: apt fetches and verifies them into a world of its own, dpkg-deb unpacks them.

No script of a package runs, so that the same packages give the same files.
"""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.images import find_tool, run_tool
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.logged import run_logged
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog

TOOLS = ("apt-get", "apt-config", "dpkg-deb")
# Debian names architectures as Go does, as far as we make images for them.
_FOLDERS = (
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/trusted.gpg.d",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg",
    "extra",
)
# Debian's own package for them brings an awk along.
_MERGED_FOLDERS = ("bin", "lib", "lib64", "sbin")
# Where scanners of images look for packages when there is no package manager.
_STATUS = "var/lib/dpkg/status.d"


@dataclass(frozen=True)
class Debian:
    """Where packages come from. security_mirror: "" for none. keyring: file with the keys that the mirror's lists are signed with.

    packages are taken with what they depend on, alone only without it.
    """

    suite: str
    arch: str
    mirror: str
    security_mirror: str
    keyring: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()


def missing_tools(debian: Debian) -> list[str]:
    """Return what this machine lacks for unpack(), each with its remedy."""
    problems = [f"{tool} was not found; it is part of Debian and Ubuntu" for tool in TOOLS if find_tool(tool) is None]
    if not os.path.isfile(debian.keyring):
        problems.append(f"{debian.keyring}: there is no such file; install the package debian-archive-keyring")
    return problems


def unpack(debian: Debian, work: str, target: str, log: ProgressLog) -> list[str]:
    """Put the files of the packages into the folder target. work: an empty folder for what is needed on the way.

    Returns the packages as name_version_arch, sorted. Raises HostedKubernetesError.
    """
    apt = _Apt(debian, work, log)
    apt.run("update", [])
    log.step(f"Debian {debian.suite}: {', '.join(debian.packages)} and what they need")
    apt.run("install", ["--download-only", "--assume-yes", *debian.packages])
    if debian.alone:
        apt.run("download", list(debian.alone))
    for name in _MERGED_FOLDERS:
        os.makedirs(os.path.join(target, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(target, name))
    folders = (os.path.join(work, "var/cache/apt/archives"), apt.extra)
    files = sorted((name, folder) for folder in folders for name in os.listdir(folder) if name.endswith(".deb"))
    os.makedirs(os.path.join(target, _STATUS))
    for name, folder in files:
        file = os.path.join(folder, name)
        run_tool(["dpkg-deb", "--extract", file, target])
        with open(os.path.join(target, _STATUS, name.split("_")[0]), "w", encoding="utf-8") as stream:
            stream.write(run_tool(["dpkg-deb", "--field", file]))
    return [urllib.parse.unquote(name)[: -len(".deb")] for name, _folder in files]


class _Apt:
    """apt with lists, cache and a state (nothing is installed) of its own; of this machine's settings it takes over proxies."""

    def __init__(self, debian: Debian, work: str, log: ProgressLog) -> None:
        self._debian, self._log = debian, log
        self.extra = os.path.join(work, "extra")
        for folder in _FOLDERS:
            os.makedirs(os.path.join(work, folder))
        _write(os.path.join(work, "var/lib/dpkg/status"), "")
        _write(os.path.join(work, "etc/apt/sources.list"), _sources(debian))
        proxies = [line for line in run_tool(["apt-config", "dump"]).splitlines() if line.startswith("Acquire::http")]
        self._config = os.path.join(work, "apt.conf")
        _write(self._config, "\n".join([*_settings(debian, work), *proxies, ""]))

    def run(self, verb: str, arguments: list[str]) -> None:
        run_logged(
            ["apt-get", verb, *arguments],
            self._log,
            environment={**os.environ, "APT_CONFIG": self._config, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            what=f"apt-get {verb} for the suite {self._debian.suite} of {self._debian.mirror}",
            remedy="check that the mirror answers, carries the suite and its packages, and is signed with a key of " + self._debian.keyring,
            folder=self.extra,
        )


def _settings(debian: Debian, work: str) -> list[str]:
    return [
        f'Dir "{work}";',
        f'Dir::State::status "{work}/var/lib/dpkg/status";',
        f'APT::Architecture "{debian.arch}";',
        f'APT::Architectures {{ "{debian.arch}"; }};',
        'APT::Install-Recommends "false";',
        # Root's folders are not apt's own user's.
        'APT::Sandbox::User "root";',
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
    ]


def _sources(debian: Debian) -> str:
    places = [(debian.mirror, debian.suite)]
    if debian.security_mirror:
        places.append((debian.security_mirror, f"{debian.suite}-security"))
    return "".join(f"deb [signed-by={debian.keyring}] {mirror} {suite} main\n" for mirror, suite in places)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
