# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` with its virtual environments in a folder of ours, without fetching anything but Python packages.

Usage: sanity.py HOME_DIRECTORY [ARGUMENTS OF ansible-test sanity…], in the collection's folder below ansible_collections.
ansible-test keeps its caches below ~ and bootstraps pip with a script from a server of its own. HOME_DIRECTORY becomes its ~, where
a script of the same name is laid ready that does the same with Python's ensurepip and the configured package index.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

# Called by ansible-test as get-pip is: packages and pip options as arguments.
GET_PIP = """\
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
options = [item for item in sys.argv[1:] if item not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *options]).returncode)
"""
# Where pip looks for the user's index and certificates.
PIP_SETTINGS = (".config/pip", ".pip")


def prepare_home(home: Path, pip_version: str) -> None:
    """Lay the bootstrap script ready and make the user's pip settings visible."""
    script = home / ".ansible/test/cache" / f"get_pip_{pip_version.replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(GET_PIP, encoding="utf-8")
    for name in PIP_SETTINGS:
        link, target = home / name, Path.home() / name
        if target.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def wanted_pip_version() -> str:
    """Return the version of pip that this ansible-test puts into its environments; it is part of the script's name."""
    from ansible_test._internal.python_requirements import get_venv_packages

    python = SimpleNamespace(version=f"{sys.version_info.major}.{sys.version_info.minor}")
    return str(get_venv_packages(python)["pip"])


def main(arguments: list[str]) -> None:
    """Replace this process by ansible-test."""
    home = Path(arguments[0])
    prepare_home(home, wanted_pip_version())
    ansible_test = str(Path(sys.executable).parent / "ansible-test")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [ansible_test, "sanity", "--venv", "--python", python, "--color", "no", "--truncate", "0", "--junit", *arguments[1:]]
    os.execve(ansible_test, command, {**os.environ, "HOME": str(home)})


if __name__ == "__main__":
    main(sys.argv[1:])
