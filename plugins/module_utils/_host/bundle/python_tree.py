# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python in a folder that is no root file system yet: run in place, given libraries, byte-compiled, and freed of what a program does not need.

It runs without chroot, thus without root: its own loader is called with its own libraries. Libraries are installed by it and not by the Python
that Ansible runs with, so that they are those for its version.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.logged import run_logged
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog

# Debian's Python looks here for what is not its own.
SITE = "usr/lib/python3/dist-packages"
_PIP = "usr/share/python-wheels/pip-*.whl"
# What of Debian's packages stays.
_KEPT = re.compile(
    r"/(bin|lib|lib64|sbin|usr/bin/python3\.\d+|usr/lib64/.*|usr/lib/[^/]+-linux-gnu[^/]*/.*|usr/lib/python3.*|usr/lib/ld-linux[^/]*"
    r"|usr/lib/(ssl|os-release)(/.*)?|etc/(os-release|debian_version|protocols|services|ssl/.*)"
    r"|usr/share/doc/[^/]+/copyright|usr/share/common-licenses/.*|var/lib/dpkg/status\.d/.*)"
)
# What of that goes: character sets of libc, parts of Python for people and for building, what libraries bring for compilers and shells, and lists
# of files with sums of scripts that name the folder they were made in.
_DROPPED = re.compile(
    r"/usr/lib/[^/]+/(gconv|perl[^/]*)/|/usr/lib/python3\.\d+/(sitecustomize\.py$|(idlelib|tkinter|turtledemo|ensurepip|pydoc_data|test|config-[^/]*)/)"
    rf"|/{SITE}/(bin/|[^/]+\.dist-info/RECORD$|.*(\.pyi|\.pyx|\.pxd|\.c|\.h|/py\.typed)$)"
)


class PythonTree:
    """root: the folder. version: such as 3.13."""

    def __init__(self, root: str, version: str, log: ProgressLog) -> None:
        self._root, self._version, self._log = root, version, log

    def install(self, libraries: Sequence[str], work: str) -> None:
        """Install libraries as wheels with Debian's pip (package python3-pip-whl), which must be in the folder.

        libraries: as name==version, with everything they need, since nothing else is fetched. work: folder for what is needed on the way.
        Raises HostedKubernetesError.
        """
        wanted = os.path.join(work, "requirements.txt")
        with open(wanted, "w", encoding="utf-8") as stream:
            stream.writelines(f"{library}\n" for library in libraries)
        options = [
            "--no-deps",
            "--only-binary=:all:",
            "--no-compile",
            "--no-cache-dir",
            "--root-user-action=ignore",
            "--disable-pip-version-check",
        ]
        self._run(
            ["-m", "pip", "install", *options, "--target", os.path.join(self._root, SITE), "--requirement", wanted],
            "pip, for the libraries of the image",
            "check the settings of pip on this machine (pip config list), and that its index has wheels of these versions",
            path=self._one(_PIP),
        )

    def compile(self, *folders: str) -> None:
        """Write byte code beside the sources: a read-only image cannot do so later. It is not compared with them when it is read."""
        paths = [os.path.join(self._root, folder) for folder in folders]
        options = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", self._root, "-p", "/"]
        self._run(["-m", "compileall", *options, *paths], "byte compiler", "the libraries do not fit to this Python; choose other versions")

    def prove(self, module: str) -> None:
        """Show that a program can be imported: its --help is asked. Raises HostedKubernetesError."""
        self._run(
            ["-B", "-m", module, "--help"],
            f"the program {module} with Python {self._version}",
            "a library is missing in the list of libraries",
            path=os.path.join(self._root, SITE),
        )

    def _run(self, arguments: Sequence[str], what: str, remedy: str, path: str = "") -> None:
        command = [self._one("usr/lib*/ld-linux*.so.*"), "--library-path", os.path.dirname(self._one("usr/lib/*/libc.so.6"))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_"))}
        # Seeds decide the order of sets in byte code.
        environment.update(PYTHONHOME=os.path.join(self._root, "usr"), PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=path)
        program = self._one(f"usr/bin/python{self._version}")
        run_logged([*command, program, "-s", *arguments], self._log, environment=environment, what=what, remedy=remedy)

    def _one(self, pattern: str) -> str:
        found = sorted(glob.glob(os.path.join(self._root, pattern)))
        if not found:
            raise HostedKubernetesError(f"the packages of the suite hold no {pattern}; is there a Python {self._version} in this suite?")
        return found[0]


def strip(root: str) -> None:
    """Remove what the image does not need, and folders that are empty then."""
    for folder, folders, files in os.walk(root, topdown=False):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            path = os.path.join(folder, name)[len(root) :]
            if not _KEPT.fullmatch(path) or _DROPPED.search(path):
                os.unlink(root + path)
        if folder != root and not os.listdir(folder):
            os.rmdir(folder)


def copy_sources(collection: str, packages: Sequence[str], root: str) -> None:
    """Copy Python packages of the collection to where Debian's Python finds them. packages: folders relative to the collection."""
    for package in packages:
        target = os.path.join(root, SITE, "ansible_collections/hosted/kubernetes", package)
        shutil.copytree(
            os.path.join(collection, package), target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__")
        )
