# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test servers from packages of the system have in common: a private folder, an unprivileged user, the way to them.

Database servers refuse to run as root, and the folders of pytest are root's alone; so each server has a folder of its own that
belongs to an unprivileged user and is removed afterwards. The system's own service and its data are never touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import Credentials, Endpoint
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql import Login, Target, Tls, Way
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair

UNPRIVILEGED = "nobody"
OPERATOR = Login("operator", "operator's secret ü%")


@dataclass(frozen=True)
class Server:
    """A running database server. It speaks TLS with a certificate of authority."""

    driver: str
    port: int
    authority: Authority
    host: str = "127.0.0.1"

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def credentials(self, login: Login) -> Credentials:
        return Credentials(self.authority.pair.certificate.read_bytes(), None, None, None, login.user, login.password)

    def datastore(self, *endpoints: str) -> api.DataStore:
        """A DataStore over this server, or over other endpoints."""
        value = {"content": "eA=="}
        return api.check(
            {
                "metadata": {"name": "shared"},
                "spec": {
                    "driver": self.driver,
                    "endpoints": list(endpoints or (self.endpoint,)),
                    "basicAuth": {"username": value, "password": value},
                    "tlsConfig": {"certificateAuthority": {"certificate": value}},
                },
            }
        )

    def way(self) -> Way:
        """How the library reaches it."""
        tls = Tls(self.authority.pair.certificate.read_bytes())
        return Way("shared", (Target(Endpoint(self.host, self.port)),), tls, 5.0)


def program(name: str, package: str, *folders: Path) -> str:
    """Path of a program. Raises RuntimeError saying how to get it."""
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"{name} of package {package} is missing; install it with tools/test-servers (as root)")
    return found


@contextlib.contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """A folder that is removed at the end; own() gives it to the unprivileged user."""
    with tempfile.TemporaryDirectory(prefix=f"hosted-kubernetes-{prefix}-") as name:
        yield Path(name)


def in_folder(pair: Pair, authority: Authority, folder: Path) -> Pair:
    """Copy a server's pair, and its authority's certificate as trusted.crt, to where the server can read them."""
    shutil.copy(authority.pair.certificate, folder / "trusted.crt")
    served = Pair(folder / "served.crt", folder / "served.key")
    shutil.copy(pair.certificate, served.certificate)
    shutil.copy(pair.key, served.key)
    return served


def own(folder: Path) -> None:
    """Give a folder with all that is in it to the user the server runs as."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def unprivileged(argv: list[str]) -> list[str]:
    """The command as the unprivileged user, killed with its parent: a change of user takes that away, so it is said again."""
    if os.geteuid() != 0:
        return argv
    user = pwd.getpwnam(UNPRIVILEGED)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig", "KILL", *argv]


def run_once(argv: list[str], folder: Path) -> None:
    """Run a program that prepares a server's data. Raises RuntimeError with what it printed."""
    done = subprocess.run(unprivileged(argv), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
