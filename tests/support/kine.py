# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kine over a tenant's database, asked by etcdctl as the API server would ask it."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.control_plane import prepared_on
from ansible_collections.hosted.kubernetes.tests.support.databases import Database


class Key(NamedTuple):
    """A key as kine serves it."""

    name: str
    value: bytes
    created: int
    revision: int
    lease: int


class Event(NamedTuple):
    """A change as a watch of kine tells it. before: the value until then."""

    name: str
    value: bytes
    gone: bool
    revision: int
    before: bytes


@dataclass(frozen=True)
class Kine:
    """A kine that runs."""

    etcdctl: str
    socket: Path

    def keys(self, revision: int = 0) -> tuple[int, list[Key]]:
        """The revision, and all keys of the API server."""
        found = self._json("get", "--prefix", "/registry/", *([f"--rev={revision}"] if revision else []))
        return found["header"]["revision"], [_key(item) for item in found.get("kvs", []) if _text(item) != "/registry/health"]

    def put(self, name: str, value: str, lease_s: int = 0) -> None:
        """lease_s: kine numbers leases by their seconds; etcdctl wants them in hexadecimal."""
        self._run("put", *([f"--lease={lease_s:x}"] if lease_s else []), name, value)

    def transaction(self, name: str, revision: int, value: str | None) -> bool:
        """Write, or remove (None), a key that has this revision, 0 when it is not there; whether it was done."""
        then = f"put {name} {value}" if value is not None else f"del {name}"
        otherwise = f"get {name}" if revision else ""
        said = self._run("txn", given=f'mod("{name}") = "{revision}"\n\n{then}\n\n{otherwise}\n\n')
        return said.startswith(b"SUCCESS")

    def watch(self, revision: int, count: int) -> list[Event]:
        """So many changes from a revision on. Raises AssertionError with what was said when it ends before."""
        command = [
            self.etcdctl,
            f"--endpoints=unix://{self.socket}",
            "watch",
            "--prefix",
            "/registry/",
            f"--rev={revision}",
            "--prev-kv",
            "-w=json",
        ]
        found: list[Event] = []
        with subprocess.Popen(["timeout", "10", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout
            said = []
            for line in process.stdout:
                said.append(line[:300])
                if line.startswith(b"{"):
                    found += [_event(item) for item in json.loads(line).get("Events") or []]
                if len(found) >= count:
                    break
            process.terminate()
        assert len(found) >= count, said
        return found

    def refused_watch(self, revision: int) -> str:
        """What a watch from a revision says that cannot begin there."""
        command = [self.etcdctl, f"--endpoints=unix://{self.socket}", "watch", "--prefix", "/registry/", f"--rev={revision}"]
        done = subprocess.run(["timeout", "5", *command], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def _json(self, *arguments: str) -> Any:
        return json.loads(self._run(*arguments, "-w=json"))

    def _run(self, *arguments: str, given: str = "") -> bytes:
        command = [self.etcdctl, f"--endpoints=unix://{self.socket}", *arguments]
        done = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def running_kine(database: Database, isolation: Isolation, bundle: Path) -> Iterator[Kine]:
    """Run it with what a tenant's pod gives it, until the block ends. isolation: with the password."""
    with tempfile.TemporaryDirectory(prefix="kine-") as name:
        control_plane = prepared_on(database.store(isolation), bundle, Path(name), {})
        with control_plane.run_kine():
            yield Kine(str(binary(bundle, "etcdctl")), Path(name) / "kine.sock")


def _text(item: Any) -> str:
    return base64.b64decode(item["key"]).decode()


def _key(item: Any) -> Key:
    value = base64.b64decode(item.get("value", ""))
    return Key(_text(item), value, item["create_revision"], item["mod_revision"], item.get("lease", 0))


def _event(item: Any) -> Event:
    now, before = item["kv"], item.get("prev_kv") or {}
    return Event(
        _text(now),
        base64.b64decode(now.get("value", "")),
        bool(item.get("type")),
        now["mod_revision"],
        base64.b64decode(before.get("value", "")),
    )
